//! Reads query strings strictly: an unknown or repeated parameter is an error.

use std::borrow::Cow;

use axum::http::Uri;

use super::path::decode;
use crate::problem::Problem;

/// The parameters of a request. `+` is a space, as in forms; a plus sign is `%2B`.
#[derive(Debug)]
pub(crate) struct UrlQuery {
    parameters: Vec<(String, String)>,
}

impl UrlQuery {
    /// Reads the parameters; each must be in `allowed`, and may occur once.
    pub(crate) fn parse(uri: &Uri, allowed: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        let pairs = uri.query().unwrap_or_default().split('&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode_form(name)?, decode_form(value)?);
            if !allowed.contains(&name.as_str()) {
                let there_are = match allowed {
                    [] => "there are none".to_owned(),
                    [one] => format!("there is {one}"),
                    several => format!("there are {}", several.join(", ")),
                };
                let detail = format!("There is no query parameter {name:?} here; {there_are}.");
                return Err(Problem::invalid_argument(detail));
            }
            if parameters.iter().any(|(known, _)| *known == name) {
                let detail = format!("The query parameter {name} stands twice.");
                return Err(Problem::invalid_argument(detail));
            }
            parameters.push((name, value));
        }
        Ok(Self { parameters })
    }

    /// Refuses any parameter.
    pub(crate) fn none(uri: &Uri) -> Result<(), Problem> {
        Self::parse(uri, &[]).map(|_| ())
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        number(text)
            .map(Some)
            .ok_or_else(|| Problem::invalid_argument(format!("{name} is not a whole number.")))
    }

    /// `limit`, from 1 to `max`.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        let limit = match self.number("limit")? {
            None => default,
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        if (1..=max).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("limit is not between 1 and {max}.");
        Err(Problem::invalid_argument(detail))
    }
}

/// Digits only: no sign, no space.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn decode_form(text: &str) -> Result<String, Problem> {
    let text = if text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    Ok(decode(&text)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::ProblemKind;

    #[test]
    fn parameters_are_known_single_and_decoded() {
        let uri = Uri::from_static("/x?start=a+b%2B&&limit=5");
        let query = UrlQuery::parse(&uri, &["start", "limit", "end"]).unwrap();
        assert_eq!(query.get("start"), Some("a b+"));
        assert_eq!(query.get("end"), None);
        assert_eq!(query.limit(25, 1000).unwrap(), 5);
        assert!(query.limit(1, 4).is_err());

        for (uri, kind) in [
            ("/x?stat=a", ProblemKind::InvalidArgument),
            ("/x?start=a&start=a", ProblemKind::InvalidArgument),
            ("/x?start=%zz", ProblemKind::InvalidName),
        ] {
            let problem = UrlQuery::parse(&uri.parse().unwrap(), &["start"]).unwrap_err();
            assert_eq!(problem.kind(), kind, "{uri}");
        }
    }

    #[test]
    fn numbers_have_digits_only() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("+1", None),
            ("-1", None),
            (" 1", None),
            ("", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }
}
