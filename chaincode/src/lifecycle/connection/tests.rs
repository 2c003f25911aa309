use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Connection, String> {
    Connection::read(text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn a_connection_in_the_clear_needs_an_address_only() {
    let connection = read(r#"{"address": "orders:9999", "dial_timeout": "10s"}"#).unwrap();
    assert_eq!(connection.address, "orders:9999");
    assert_eq!(connection.dial_timeout, Duration::from_secs(10));
    assert_eq!(connection.tls, None);
    for text in [
        r#"{"ADDRESS": "orders:9999"}"#,
        r#"{"address": "orders:9999", "dial_timeout": ""}"#,
        r#"{"address": "orders:9999", "dial_timeout": 0, "more": [1]}"#,
        r#"{"address": "a:1", "address": "orders:9999", "tls_required": null}"#,
        r#"{"address": "orders:9999", "client_key": "k", "root_cert": "r"}"#,
    ] {
        let found = read(text).map(|found| (found.address, found.dial_timeout, found.tls));
        let expected = ("orders:9999".to_owned(), Duration::from_secs(3), None);
        if text.contains(r#""dial_timeout": """#) {
            assert!(found.is_err(), "{text}");
        } else {
            assert_eq!(found, Ok(expected), "{text}");
        }
    }
    let nanos = read(r#"{"address": "[::1]:80", "dial_timeout": 1500000000}"#).unwrap();
    assert_eq!(nanos.dial_timeout, Duration::from_millis(1500));
}

#[test]
fn tls_needs_a_root_and_a_client_a_pair() {
    let text =
        |more: &str| format!(r#"{{"address": "a:1", "domain": "d", "tls_required": true{more}}}"#);
    let root = r#", "root_cert": "R""#;
    let tls = read(&text(root)).unwrap().tls.unwrap();
    assert_eq!((&*tls.root_cert, &tls.client), ("R", &None));
    let asks = format!(r#"{root}, "client_auth_required": true, "client_key": "K""#);
    let tls = read(&text(&format!(r#"{asks}, "client_cert": "C""#)))
        .unwrap()
        .tls;
    let client = tls.unwrap().client.unwrap();
    assert_eq!((&*client.key, &*client.certificate), ("K", "C"));
    assert_eq!(client.domain.as_deref(), Some("d"));
    assert!(!format!("{client:?}").contains('K'));

    let failed = |more: &str| read(&text(more)).unwrap_err();
    assert_eq!(failed(""), "chaincode tls root cert not provided");
    assert_eq!(failed(&asks), "chaincode tls cert not provided");
    let asks = r#", "client_auth_required": true"#;
    assert_eq!(failed(asks), "chaincode tls key not provided");
}

#[test]
fn what_cannot_be_gone_by_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "malformed connection.json: EOF"),
        ("[]", "malformed connection.json: invalid type"),
        (
            r#"{"address": 1}"#,
            "malformed connection.json: address is no string",
        ),
        (
            r#"{"address": "a:1"} x"#,
            "malformed connection.json: trailing",
        ),
        (
            r#"{"address": "a:1", "tls_required": "yes"}"#,
            "malformed connection.json: tls_required",
        ),
        ("{}", "chaincode address not provided"),
        ("null", "chaincode address not provided"),
        (
            r#"{"address": "a"}"#,
            "chaincode address \"a\" is not host:port",
        ),
        (r#"{"address": ":1"}"#, "chaincode address \":1\" is not"),
        (r#"{"address": "a:65536"}"#, "chaincode address"),
        (r#"{"address": "http://a:1"}"#, "chaincode address"),
        (
            r#"{"address": "a:1", "dial_timeout": "-1s"}"#,
            "malformed connection.json: dial_timeout",
        ),
        (
            r#"{"address": "a:1", "dial_timeout": null}"#,
            "malformed connection.json: dial_timeout",
        ),
        (
            r#"{"address": "a:1", "dial_timeout": 1e999}"#,
            "malformed connection.json: dial_timeout",
        ),
    ] {
        let found = read(text).unwrap_err();
        assert!(found.starts_with(reason), "{text}: {found}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_connection_or_an_error(text in any::<Vec<u8>>(), member in 0_usize..8, value in ".{0,20}") {
        drop(Connection::read(&text));
        let name = MEMBERS[member];
        drop(Connection::read(format!(r#"{{"address":"a:1","{name}":{value}}}"#).as_bytes()));
        drop(Connection::read(format!(r#"{{"address":"a:1","{name}":"{value}"}}"#).as_bytes()));
    }

    #[test]
    fn what_is_written_is_read_again(host in "[a-z]{1,9}", port in any::<u16>(), nanos in 1_u64..10_000_000_000, tls in any::<bool>(), client in any::<bool>()) {
        let pair = ClientPair { certificate: "C".to_owned(), key: "K".to_owned(), domain: Some("d".to_owned()) };
        let connection = Connection {
            address: format!("{host}:{port}"),
            dial_timeout: Duration::from_nanos(nanos),
            tls: tls.then(|| ConnectionTls { root_cert: "R".to_owned(), client: client.then_some(pair) }),
        };
        prop_assert_eq!(Connection::read(connection.to_json().as_bytes()).unwrap(), connection);
    }
}
