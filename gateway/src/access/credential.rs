//! What a request shows about its sender: the `Authorization` header.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::problem::Problem;

/// The token of a request: it comes after `Bearer`, or as the password of `Basic`.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // If there are two, a proxy may choose another one than is chosen here.
    if values.next().is_some() {
        return Err(Problem::unauthenticated("There are two Authorization headers.").bad_token());
    }
    let unusable = || {
        let detail = "Authorization is neither Bearer nor Basic with a token.";
        Problem::unauthenticated(detail).bad_token()
    };
    let (scheme, rest) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(unusable)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Cow::Borrowed(rest)));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let password = password(rest).ok_or_else(unusable)?;
        return Ok(Some(Cow::Owned(password)));
    }
    Err(unusable())
}

/// The password in `base64(user:password)`; the user may have any name.
fn password(encoded: &str) -> Option<String> {
    let text = STANDARD.decode(encoded).ok()?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    let password = text.get(colon + 1..)?;
    String::from_utf8(password.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_token_comes_as_bearer_or_as_a_basic_password() {
        let rows: [(&[&str], Option<Option<&str>>); 15] = [
            (&[], Some(None)),
            (&["Bearer abc"], Some(Some("abc"))),
            (&["bearer   abc "], Some(Some("abc"))),
            (&["Basic dXNlcjphYmM="], Some(Some("abc"))),
            (&["BASIC OmE6Yg=="], Some(Some("a:b"))),
            (&["Bearer"], None),
            (&["abc"], None),
            (&[""], None),
            (&["Digest abc"], None),
            (&["Basic"], None),
            (&["Basic !"], None),
            (&["Basic YWJj"], None),
            (&["Basic Ov8="], None),
            // The user's name is in another character set, and is ignored.
            (&["Basic /zphYmM="], Some(Some("abc"))),
            (&["Bearer abc", "Bearer abc"], None),
        ];
        for (values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            let token = token(&headers).ok();
            let token = token.as_ref().map(Option::as_deref);
            assert_eq!(token, expected, "{values:?}");
        }
    }
}
