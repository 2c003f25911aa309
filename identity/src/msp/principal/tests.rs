//! Guards the kinds of principals that the recorded cases of Fabric do not have.

use super::*;

fn wire(kind: i32, content: &impl Message) -> MspPrincipal {
    MspPrincipal {
        principal_classification: kind,
        principal: content.encode_to_vec().into(),
    }
}

fn role(msp_id: &str, role: i32) -> MspPrincipal {
    let msp_identifier = msp_id.to_owned();
    wire(
        principal_classification::ROLE,
        &MspRole {
            msp_identifier,
            role,
        },
    )
}

fn combined(principals: Vec<MspPrincipal>) -> MspPrincipal {
    let combined = CombinedPrincipal { principals };
    wire(principal_classification::COMBINED, &combined)
}

fn anonymity_of(anonymity_type: i32) -> MspPrincipal {
    let asked = MspIdentityAnonymity { anonymity_type };
    wire(principal_classification::ANONYMITY, &asked)
}

/// A peer of `Org`, judged by the rules of a version.
fn peer(version: MspVersion) -> Identity {
    let mut identity = Identity::sample("Org", "peer0", Some(Role::Peer), false);
    let rules = std::sync::Arc::get_mut(&mut identity.rules).unwrap();
    rules.version = version;
    identity
}

#[test]
fn all_of_a_combination_must_be_satisfied() {
    let member = || role("Org", role::MEMBER);
    let peer_too = combined(vec![member(), role("Org", role::PEER)]);
    let nested = combined(vec![member(), peer_too.clone()]);
    let identity = peer(MspVersion::V1_4_3);
    for principal in [&peer_too, &nested] {
        assert_eq!(Principal::of(principal).is_satisfied_by(&identity), Ok(()));
    }
    let admin_too = combined(vec![peer_too.clone(), role("Org", role::ADMIN)]);
    assert_eq!(
        Principal::of(&admin_too).is_satisfied_by(&identity),
        Err(NotSatisfied::OtherRole(Role::Admin))
    );
    let text = "Org.member and Org.peer";
    assert_eq!(Principal::of(&peer_too).to_string(), text);
    let mut deep = member();
    for _ in 0..=MAX_DEPTH {
        deep = combined(vec![deep]);
    }
    for (principal, reason) in [
        (combined(Vec::new()), Unreadable::Empty),
        (deep, Unreadable::TooDeep),
    ] {
        let refused = Principal::of(&principal).is_satisfied_by(&identity);
        assert_eq!(refused, Err(NotSatisfied::Unreadable(reason)));
    }
}

#[test]
fn combinations_and_anonymity_came_with_version_1_3() {
    let principals = [
        combined(vec![role("Org", role::MEMBER)]),
        anonymity_of(anonymity::NOMINAL),
    ];
    for version in MspVersion::ALL {
        for principal in &principals {
            let answer = Principal::of(principal).is_satisfied_by(&peer(version));
            let expected = if version >= MspVersion::V1_3 {
                Ok(())
            } else {
                Err(NotSatisfied::Version(version))
            };
            assert_eq!(answer, expected);
        }
    }
}

#[test]
fn a_name_suffices_where_no_anonymity_is_asked_for() {
    let mut stranger = peer(MspVersion::V3_0);
    stranger.validity = Err(IdentityError::Revoked);
    let nominal = Principal::of(&anonymity_of(anonymity::NOMINAL));
    assert_eq!(nominal.is_satisfied_by(&stranger), Ok(()));
    let anonymous = Principal::of(&anonymity_of(anonymity::ANONYMOUS));
    let refused = anonymous.is_satisfied_by(&stranger);
    assert_eq!(refused, Err(NotSatisfied::NotAnonymous));
    let member = Principal::of(&role("Org", role::MEMBER));
    let refused = member.is_satisfied_by(&stranger);
    assert_eq!(refused, Err(NotSatisfied::Invalid(IdentityError::Revoked)));
}

#[test]
fn a_listed_administrator_stays_one_when_it_is_revoked() {
    let mut admin = Identity::sample("Org", "admin0", Some(Role::Client), true);
    admin.validity = Err(IdentityError::Revoked);
    let principal = Principal::of(&role("Org", role::ADMIN));
    assert_eq!(principal.is_satisfied_by(&admin), Ok(()));
    let mut by_unit = Identity::sample("Org", "admin1", Some(Role::Admin), false);
    assert_eq!(principal.is_satisfied_by(&by_unit), Ok(()));
    by_unit.validity = Err(IdentityError::Revoked);
    let revoked = NotSatisfied::Invalid(IdentityError::Revoked);
    assert_eq!(principal.is_satisfied_by(&by_unit), Err(revoked));
}

#[test]
fn what_cannot_be_read_means_nobody_and_says_why() {
    let identity = peer(MspVersion::V3_0);
    let raw = |kind, bytes: &'static [u8]| MspPrincipal {
        principal_classification: kind,
        principal: bytes.into(),
    };
    let cases = [
        (raw(0, b"\xff"), Unreadable::Bytes),
        (raw(0, b"\x10\x09"), Unreadable::Role(9)),
        (raw(1, b"\xff"), Unreadable::Bytes),
        (raw(2, b""), Unreadable::Certificate),
        (raw(3, b"\x08\x07"), Unreadable::Anonymity(7)),
        (raw(4, b"\xff"), Unreadable::Bytes),
        (raw(9, b""), Unreadable::Classification(9)),
    ];
    for (principal, reason) in cases {
        let principal = Principal::of(&principal);
        assert_eq!(principal.to_string(), format!("nobody ({reason})"));
        let refused = principal.is_satisfied_by(&identity);
        assert_eq!(refused, Err(NotSatisfied::Unreadable(reason)));
    }
}
