//! Reads which of two forms a caller wants: `Accept` (RFC 9110).

use axum::http::header::HeaderValue;
use axum::http::{HeaderMap, header};

use super::grammar::{elements, name_and_value, pieces, text};
use crate::problem::{Problem, ProblemKind};

/// The form of a negotiated resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Decoded.
    Json,
    /// Fabric's bytes.
    Protobuf,
}

/// The media type of Fabric's bytes.
pub(crate) const PROTOBUF: &str = "application/x-protobuf";

/// The form that the caller prefers; JSON if it likes both equally.
pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Form, Problem> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Form::Json);
    }
    let (mut json, mut protobuf) = ((0, 0), (0, 0));
    for (media, quality) in ranges {
        // The most specific range that fits decides.
        for (best, subtype) in [(&mut json, "json"), (&mut protobuf, "x-protobuf")] {
            let specificity = match media.split_once('/') {
                Some(("application", given)) if given == subtype => 3,
                Some(("application", "*")) => 2,
                Some(("*", "*")) => 1,
                _ => 0,
            };
            if specificity > best.0 {
                *best = (specificity, quality);
            }
        }
    }
    match (json.1, protobuf.1) {
        (0, 0) => Err(not_acceptable(
            "application/json and application/x-protobuf",
        )),
        (json, protobuf) if protobuf > json => Ok(Form::Protobuf),
        _ => Ok(Form::Json),
    }
}

/// Makes sure that the caller takes `media`, the only form there is.
pub(crate) fn admit(headers: &HeaderMap, media: &'static str) -> Result<(), Problem> {
    let (kind, _) = media.split_once('/').unwrap_or((media, ""));
    let (any_of_kind, mut best) = (format!("{kind}/*"), (0, 1000));
    for (given, quality) in ranges(headers) {
        let specificity = match given.as_str() {
            given if given == media => 3,
            given if given == any_of_kind => 2,
            "*/*" => 1,
            // The caller named other types, but so far not this one.
            _ if best.0 == 0 => {
                best.1 = 0;
                continue;
            }
            _ => continue,
        };
        if specificity > best.0 {
            best = (specificity, quality);
        }
    }
    if best.1 == 0 {
        return Err(not_acceptable(media));
    }
    Ok(())
}

/// The answer to a caller that accepts no available form.
pub(crate) fn not_acceptable(forms: &str) -> Problem {
    Problem::new(
        ProblemKind::NotAcceptable,
        format!("This exists only as {forms}."),
    )
    .with_header(header::VARY, HeaderValue::from_static("Accept"))
}

/// The media ranges that the caller names, in lower case, each with its quality in thousandths.
fn ranges(headers: &HeaderMap) -> Vec<(String, u16)> {
    let values = headers.get_all(header::ACCEPT).iter().map(text);
    let mut ranges = Vec::new();
    for value in values {
        ranges.extend(elements(&value).map(read_range));
    }
    ranges
}

fn read_range(range: &str) -> (String, u16) {
    let mut parts = pieces(range, ';');
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .map(name_and_value)
        .find(|(name, _)| name.eq_ignore_ascii_case("q"))
        .map_or(1000, |(_, value)| thousandths(&value));
    (media, quality)
}

/// `0.8` is 800; what cannot be read counts as not wanted. Digits after the third are ignored.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return 0;
    }
    let digits = format!("{whole}{fraction:0<3.3}");
    digits.parse().unwrap_or(1000).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_form_is_refused_to_those_who_do_not_take_it() {
        let rows: [(&[&'static str], bool); 12] = [
            (&[], true),
            (&["*/*"], true),
            (&["text/event-stream"], true),
            (&["text/*;q=0.1, application/json"], true),
            (&["application/json, */*"], true),
            (&["application/json"], false),
            (&["text/event-stream;q=0, */*"], false),
            (&["text/html", "text/plain"], false),
            (&[",", ""], true),
            (&[", text/html,"], false),
            (&["text/html;x=\", text/event-stream\""], false),
            (&["text/html;x=\"a,b\", , text/event-stream"], true),
        ];
        for (values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            let admitted = admit(&headers, "text/event-stream").is_ok();
            assert_eq!(admitted, expected, "{values:?}");
        }
    }

    #[test]
    fn the_form_follows_accept() {
        let rows: [(&[&'static str], Option<Form>); 17] = [
            (&[], Some(Form::Json)),
            (&["*/*"], Some(Form::Json)),
            (&["application/json"], Some(Form::Json)),
            (&["application/x-protobuf"], Some(Form::Protobuf)),
            (
                &["Application/X-Protobuf;q=0.5, */*;q=0.1"],
                Some(Form::Protobuf),
            ),
            (
                &["application/x-protobuf;q=0.5, application/*"],
                Some(Form::Json),
            ),
            (&["application/json;q=0, */*"], Some(Form::Protobuf)),
            (&["text/html", "application/json;q=0.1"], Some(Form::Json)),
            (
                &["application/x-protobuf, application/json"],
                Some(Form::Json),
            ),
            (&["text/html"], None),
            (&["*/*;q=0"], None),
            (&["application/json;q=x"], None),
            (&["application/json;q=-1"], None),
            (&["application/json;q=0.33333"], Some(Form::Json)),
            (
                &["application/json;q=0.5,, application/x-protobuf;v=\"a,b\";q=0.6"],
                Some(Form::Protobuf),
            ),
            (
                &["text/html;x=\",application/x-protobuf\", application/json;q=0.1"],
                Some(Form::Json),
            ),
            (&[" , "], Some(Form::Json)),
        ];
        for (values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(negotiate(&headers).ok(), expected, "{values:?}");
        }
    }
}
