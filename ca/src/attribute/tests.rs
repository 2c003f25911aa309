use super::*;
use crate::secret::SecretHash;

fn attributes(pairs: &[(&str, &str)]) -> Vec<Attribute> {
    let attribute = |(name, value): &(&str, &str)| Attribute {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
        ecert: false,
    };
    pairs.iter().map(attribute).collect()
}

fn identity(pairs: &[(&str, &str)]) -> IdentityRecord {
    IdentityRecord {
        name: "somebody".to_owned(),
        kind: "client".to_owned(),
        affiliation: String::new(),
        attributes: attributes(pairs),
        max_enrollments: -1,
        enrollments: 0,
        failed_attempts: 0,
        revoked: false,
        secret: serde_json::from_str::<SecretHash>("\"hash\"").unwrap(),
    }
}

/// A registrar, what it gives, and whether it may.
type Row<'a> = (&'a IdentityRecord, &'a [(&'a str, &'a str)], bool);

#[test]
fn nobody_gives_a_right_that_is_not_their_own() {
    let admin = identity(&FIRST_ADMIN);
    let clerk = identity(&[
        (ROLES, "client, peer"),
        (DELEGATE_ROLES, "client"),
        (
            REGISTRAR_ATTRIBUTES,
            "hf.Registrar.Roles, hf.Registrar.DelegateRoles, hf.Registrar.Attributes, hf.Revoker, hf.GenCRL, app.*, plain",
        ),
        (REVOKER, "true"),
        (GEN_CRL, "false"),
    ]);
    let nobody = identity(&[(ROLES, "client")]);
    let rows: &[Row<'_>] = &[
        (&nobody, &[], true),
        (&nobody, &[("plain", "x")], false),
        (
            &admin,
            &[("anything", "x"), (REVOKER, "true"), (ROLES, "*")],
            true,
        ),
        (&admin, &[(REVOKER, "perhaps")], false),
        (&admin, &[(REVOKER, "")], true),
        (&admin, &[(ENROLLMENT_ID, "x")], false),
        (&admin, &[(TYPE, "admin")], false),
        (&admin, &[(AFFILIATION, "org1")], false),
        (&admin, &[("hf.Unknown", "x")], false),
        (&admin, &[("", "x")], false),
        (&clerk, &[("app.color", "red"), ("plain", "1")], true),
        (&clerk, &[("plainer", "1")], false),
        (&clerk, &[("other", "1")], false),
        (&clerk, &[(REVOKER, "true")], true),
        (&clerk, &[(GEN_CRL, "true")], false),
        (&clerk, &[(AFFILIATION_MGR, "true")], false),
        (&clerk, &[(ROLES, "peer")], true),
        (&clerk, &[(ROLES, "peer,orderer")], false),
        (&clerk, &[(ROLES, "*")], false),
        (
            &clerk,
            &[(DELEGATE_ROLES, "client"), (ROLES, "client")],
            true,
        ),
        (&clerk, &[(DELEGATE_ROLES, "client")], false),
        (&clerk, &[(REGISTRAR_ATTRIBUTES, "app.size")], true),
        (&clerk, &[(REGISTRAR_ATTRIBUTES, "*")], false),
        (&clerk, &[(REGISTRAR_ATTRIBUTES, "hf.Revoker")], false),
        (
            &clerk,
            &[(REGISTRAR_ATTRIBUTES, "hf.Revoker"), (REVOKER, "true")],
            true,
        ),
    ];
    for (registrar, asked, expected) in rows {
        let given = check_given(&attributes(asked), None, registrar);
        assert_eq!(given.is_ok(), *expected, "{asked:?}: {given:?}");
    }
    let existing = identity(&[(REVOKER, "true"), (ROLES, "client")]);
    for asked in [
        (REGISTRAR_ATTRIBUTES, "hf.Revoker"),
        (DELEGATE_ROLES, "client"),
    ] {
        let asked = attributes(&[asked]);
        assert!(check_given(&asked, None, &clerk).is_err());
        assert!(check_given(&asked, Some(&existing), &clerk).is_ok());
    }
}

#[test]
fn a_certificate_has_what_was_asked_for_or_what_is_always_in_one() {
    let mut identity = identity(&[("a", "1"), ("b", "2")]);
    let wanted = |name: &str, optional| Wanted {
        name: name.to_owned(),
        optional,
    };
    let text = |found: Option<Vec<u8>>| found.map(|json| String::from_utf8(json).unwrap());
    assert_eq!(text(extension(&identity, None).unwrap()), None);
    identity.attributes[1].ecert = true;
    let always = text(extension(&identity, None).unwrap());
    assert_eq!(always.as_deref(), Some(r#"{"attrs":{"b":"2"}}"#));
    let asked = [wanted("a", false), wanted("c", true)];
    let asked = text(extension(&identity, Some(&asked)).unwrap());
    assert_eq!(asked.as_deref(), Some(r#"{"attrs":{"a":"1"}}"#));
    let none = text(extension(&identity, Some(&[])).unwrap());
    assert_eq!(none.as_deref(), Some(r#"{"attrs":{}}"#));
    let missing = extension(&identity, Some(&[wanted("c", false)])).unwrap_err();
    assert_eq!(missing.code, Code::AttributeExtension);
}

#[test]
fn what_is_too_much_is_refused() {
    assert!(check_size(&attributes(&[("a", &"v".repeat(4000))])).is_ok());
    assert!(check_size(&attributes(&[("a", &"v".repeat(4096))])).is_err());
    assert!(check_size(&attributes(&[("a", "b"); 65])).is_err());
}
