use std::time::Duration;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn shop() -> NewToken {
    NewToken {
        identity: "shop".to_owned(),
        role: AccessRole::Writer,
        channels: vec!["main".to_owned(), "audit".to_owned(), "main".to_owned()],
        expires: None,
        certificate: false,
    }
}

fn of_secret(tokens: &Tokens, secret: &Secret) -> Result<String, NotAuthenticated> {
    let token = tokens.authenticate(secret.expose(), now());
    token.map(|token| token.identity.clone())
}

#[test]
fn a_token_is_good_until_it_is_rotated_revoked_or_expired_and_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
    assert!(!tokens.are_required());
    let (token, secret) = tokens.create(shop(), now()).unwrap();
    let first = secret.unwrap();
    assert!(tokens.are_required());
    assert_eq!(of_secret(&tokens, &first).unwrap(), "shop");
    assert_eq!(token.channels, ["audit", "main"]);
    assert!(token.reaches("main") && !token.reaches("other"));

    let (rotated, second) = tokens
        .rotate(&token.id, Some((now() + DAY).into()))
        .unwrap();
    assert_eq!(rotated.id, token.id);
    for tokens in [
        &tokens,
        &Tokens::open(&quire_disk::os(), dir.path()).unwrap(),
    ] {
        assert_eq!(of_secret(tokens, &first), Err(NotAuthenticated::Unknown));
        assert_eq!(of_secret(tokens, &second).unwrap(), "shop");
        let just_before = now() + DAY - Duration::from_secs(1);
        assert!(tokens.authenticate(second.expose(), just_before).is_ok());
        let late = tokens.authenticate(second.expose(), now() + DAY);
        assert_eq!(late.unwrap_err(), NotAuthenticated::Expired);
    }

    tokens.revoke(&token.id).unwrap();
    for tokens in [
        &tokens,
        &Tokens::open(&quire_disk::os(), dir.path()).unwrap(),
    ] {
        assert_eq!(of_secret(tokens, &second), Err(NotAuthenticated::Unknown));
        assert!(tokens.list().is_empty());
        assert!(
            tokens.are_required(),
            "revoking the last token opens nothing"
        );
    }
    assert!(tokens.revoke(&token.id).is_err());
    assert!(tokens.rotate(&token.id, None).is_err());
}

#[test]
fn the_secret_has_256_bits_and_is_nowhere_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
    let (token, secret) = tokens.create(shop(), now()).unwrap();
    let secret = secret.unwrap();
    let (head, random) = secret.expose().rsplit_at_last(43);
    assert_eq!(head, format!("quire_{}_", token.id));
    let path = dir.path().join("tokens/tokens.json");
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(!file.contains(random), "{file}");
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let (_, other) = tokens.create(shop(), now()).unwrap();
    assert_ne!(other.unwrap().expose(), secret.expose());
}

/// Splits the last `count` bytes off.
trait SplitEnd {
    fn rsplit_at_last(&self, count: usize) -> (&str, &str);
}

impl SplitEnd for str {
    fn rsplit_at_last(&self, count: usize) -> (&str, &str) {
        self.split_at(self.len() - count)
    }
}

#[test]
fn what_is_not_the_whole_secret_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
    let (token, secret) = tokens.create(shop(), now()).unwrap();
    let secret = secret.unwrap();
    let right = secret.expose();
    let mut certificate = shop();
    certificate.certificate = true;
    let (certificate, none) = tokens.create(certificate, now()).unwrap();
    assert!(none.is_none());
    for wrong in [
        "",
        "quire_",
        "shop",
        &token.id,
        &format!("quire_{}_", token.id),
        &format!("quire_{}_", certificate.id),
        &right[..right.len() - 1],
        &format!("{right}A"),
        &format!(" {right}"),
        &right.to_uppercase(),
        &right.replace("quire_", ""),
    ] {
        let verdict = tokens.authenticate(wrong, now());
        assert_eq!(verdict.unwrap_err(), NotAuthenticated::Unknown, "{wrong:?}");
    }
    assert!(tokens.authenticate(right, now()).is_ok());
}

#[test]
fn a_certificate_counts_only_where_a_token_was_made_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
    tokens.create(shop(), now()).unwrap();
    let unknown = tokens.of_certificate("shop", now()).unwrap_err();
    assert_eq!(unknown, NotAuthenticated::Unknown);
    let new = NewToken {
        certificate: true,
        expires: Some((now() + DAY).into()),
        ..shop()
    };
    let (token, _) = tokens.create(new.clone(), now()).unwrap();
    let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
    assert_eq!(tokens.of_certificate("shop", now()).unwrap().id, token.id);
    assert!(tokens.of_certificate("shopper", now()).is_err());
    let late = tokens.of_certificate("shop", now() + DAY).unwrap_err();
    assert_eq!(late, NotAuthenticated::Expired);
    assert!(tokens.create(new, now()).is_err(), "two would be ambiguous");
    assert!(tokens.rotate(&token.id, None).is_err());
}

#[test]
fn a_file_that_is_not_exactly_ours_is_refused() {
    let good = r#"{"version":1,"tokens":[{"id":"0a1b2c3d4e5f6071","identity":"shop",
        "role":"writer","channels":["main"],"created":"2026-01-02T03:04:05Z",
        "expires":"2027-01-02T03:04:05Z","secretSha256":"HASH"}]}"#
        .replace("HASH", &"ab".repeat(32));
    let table = file::parse(good.as_bytes()).unwrap();
    let again = file::render(&table).unwrap();
    assert_eq!(file::render(&file::parse(&again).unwrap()).unwrap(), again);
    for (from, to) in [
        ("\"version\":1", "\"version\":2"),
        ("\"version\":1,", ""),
        ("\"role\":\"writer\"", "\"role\":\"owner\""),
        ("\"channels\"", "\"channel\""),
        ("\"expires\"", "\"expiry\""),
        ("2027-01-02T03:04:05Z", "2027-13-02T03:04:05Z"),
        ("\"2027-01-02T03:04:05Z\"", "\"\""),
        ("2026-01-02T03:04:05Z", "yesterday"),
        ("abab", "abaz"),
        ("abab", "ab"),
        ("0a1b", "0A1B"),
        ("\"shop\"", "\"../shop\""),
        ("]}", "]} x"),
        ("]}", ""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(file::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let entry = good.split_once('[').unwrap().1.rsplit_once("]}").unwrap().0;
    let twice = good.replacen(entry, &format!("{entry},{entry}"), 1);
    let error = file::parse(twice.as_bytes()).unwrap_err();
    assert!(matches!(error, TokenFileError::Twice(_)), "{error}");
}

#[test]
fn a_leftover_of_a_crash_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
    let (_, secret) = tokens.create(shop(), now()).unwrap();
    std::fs::write(dir.path().join("tokens/.tokens.json.new"), "half").unwrap();
    let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
    assert!(of_secret(&tokens, &secret.unwrap()).is_ok());
    tokens.create(shop(), now()).unwrap();
    assert_eq!(
        Tokens::open(&quire_disk::os(), dir.path())
            .unwrap()
            .list()
            .len(),
        2
    );
}
