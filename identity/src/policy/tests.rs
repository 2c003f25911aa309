//! Guards against letting too few in, and too many.

use quire_wire::Message;
use quire_wire::config::{
    ConfigPolicy, ImplicitMetaPolicy, NOutOf, Policy as WirePolicy, SignaturePolicy, SignatureRule,
    implicit_meta_rule, policy_type,
};
use quire_wire::msp::{MspPrincipal, MspRole, principal_classification};

use super::*;
use crate::identity::Role;

/// A signer written as `Org.peer`, or `Org.peer.2` for another one like it.
fn signer(text: &str) -> Arc<Identity> {
    let mut parts = text.split('.');
    let msp_id = parts.next().unwrap();
    let unit = parts.next().unwrap();
    let role = Role::ALL.into_iter().find(|role| role.unit() == unit);
    let is_listed = unit == "listed";
    Arc::new(Identity::sample(msp_id, text, role, is_listed))
}

fn signers(text: &str) -> Vec<Arc<Identity>> {
    text.split_whitespace().map(signer).collect()
}

fn role_principal(text: &str) -> MspPrincipal {
    let (msp_id, name) = text.split_once('.').unwrap();
    let names = ["member", "admin", "client", "peer", "orderer"];
    let role = names.iter().position(|one| *one == name).unwrap();
    MspPrincipal {
        principal_classification: principal_classification::ROLE,
        principal: MspRole {
            msp_identifier: msp_id.to_owned(),
            role: i32::try_from(role).unwrap(),
        }
        .encode_to_vec()
        .into(),
    }
}

fn leaf(index: i32) -> SignaturePolicy {
    SignaturePolicy {
        rule: Some(SignatureRule::SignedBy(index)),
    }
}

fn out_of(n: i32, rules: Vec<SignaturePolicy>) -> SignaturePolicy {
    SignaturePolicy {
        rule: Some(SignatureRule::NOutOf(NOutOf { n, rules })),
    }
}

fn envelope(rule: SignaturePolicy, principals: &[&str]) -> SignaturePolicyEnvelope {
    SignaturePolicyEnvelope {
        version: 0,
        rule: Some(rule),
        identities: principals.iter().map(|text| role_principal(text)).collect(),
    }
}

fn check(envelope: &SignaturePolicyEnvelope, cases: &[(&str, bool)]) {
    let policy = Policy::from_envelope(envelope).unwrap();
    for (who, expected) in cases {
        assert_eq!(policy.is_satisfied_by(&signers(who)), *expected, "{who}");
    }
}

#[test]
fn a_leaf_wants_organisation_and_role() {
    let table: [(&str, &[(&str, bool)]); 4] = [
        (
            "A.member",
            &[
                ("A.client", true),
                ("A.none", true),
                ("B.client", false),
                ("", false),
            ],
        ),
        (
            "A.peer",
            &[("A.peer", true), ("A.client", false), ("A.none", false)],
        ),
        (
            "A.admin",
            &[
                ("A.admin", true),
                ("A.listed", true),
                ("A.peer", false),
                ("B.admin", false),
            ],
        ),
        ("A.orderer", &[("A.orderer", true), ("A.admin", false)]),
    ];
    for (principal, cases) in table {
        check(&envelope(leaf(0), &[principal]), cases);
    }
}

#[test]
fn and_or_and_out_of_count_branches() {
    let three = ["A.member", "B.member", "C.member"];
    let rules = || vec![leaf(0), leaf(1), leaf(2)];
    let (one, two) = ("B.peer", "C.peer A.peer");
    let all = "C.peer B.peer A.peer";
    for (n, expected) in [
        (0, [true, true, true, true]),
        (1, [false, true, true, true]),
        (2, [false, false, true, true]),
        (3, [false, false, false, true]),
        (4, [false, false, false, false]),
    ] {
        let cases: Vec<_> = ["", one, two, all].into_iter().zip(expected).collect();
        check(&envelope(out_of(n, rules()), &three), &cases);
    }
}

#[test]
fn one_signer_counts_for_one_leaf_and_once() {
    let two_of_a = envelope(out_of(2, vec![leaf(0), leaf(0)]), &["A.member"]);
    check(
        &two_of_a,
        &[
            ("A.peer", false),
            ("A.peer A.peer", false),
            ("A.peer A.peer.2", true),
        ],
    );
}

#[test]
fn leaves_take_the_first_signer_who_fits_from_left_to_right() {
    // The member leaf comes first and takes the admin, who is then missing for the admin leaf.
    let member_first = out_of(2, vec![leaf(0), leaf(1)]);
    let member_first = envelope(member_first, &["A.member", "A.admin"]);
    check(
        &member_first,
        &[("A.admin A.peer", false), ("A.peer A.admin", true)],
    );
    let admin_first = out_of(2, vec![leaf(1), leaf(0)]);
    let admin_first = envelope(admin_first, &["A.member", "A.admin"]);
    check(
        &admin_first,
        &[("A.admin A.peer", true), ("A.peer A.admin", true)],
    );
}

#[test]
fn a_branch_that_fails_gives_its_signers_back_and_one_that_holds_takes_all_it_can() {
    let failing = out_of(2, vec![leaf(0), leaf(1)]);
    let outer = envelope(out_of(1, vec![failing, leaf(0)]), &["A.member", "B.member"]);
    check(&outer, &[("A.peer", true)]);
    // One would do for the inner branch, but it takes both, and the outer leaf finds nobody.
    let greedy = out_of(1, vec![leaf(0), leaf(0)]);
    let outer = envelope(out_of(2, vec![greedy, leaf(0)]), &["A.member"]);
    check(&outer, &[("A.1 A.2", false), ("A.1 A.2 A.3", true)]);
}

#[test]
fn malformed_policies_are_refused() {
    let mut nested = leaf(0);
    for _ in 0..=MAX_DEPTH {
        nested = out_of(1, vec![nested]);
    }
    let with = |rule| envelope(rule, &["A.member"]);
    let mut version = with(leaf(0));
    version.version = 1;
    let mut ruleless = with(leaf(0));
    ruleless.rule = None;
    let cases = [
        (with(leaf(1)), PolicyError::IdentityIndex(1)),
        (with(leaf(-1)), PolicyError::IdentityIndex(-1)),
        (with(nested), PolicyError::TooDeep),
        (with(SignaturePolicy { rule: None }), PolicyError::NoRule),
        (version, PolicyError::Version(1)),
        (ruleless, PolicyError::NoRule),
    ];
    for (envelope, expected) in cases {
        let refused = Policy::from_envelope(&envelope).unwrap_err();
        assert_eq!(refused, expected);
    }
}

#[test]
fn a_leaf_that_cannot_be_read_means_nobody_and_the_others_count() {
    let mut either = envelope(out_of(1, vec![leaf(0), leaf(1)]), &["A.member", "B.member"]);
    either.identities[0].principal_classification = 9;
    check(&either, &[("A.peer", false), ("B.peer", true)]);
}

/// As in Fabric, which reads principals only when it looks for signers who satisfy them.
#[test]
fn a_leaf_that_cannot_be_read_is_satisfied_by_nobody() {
    for (classification, bytes) in [(9, &b""[..]), (0, b"\x10\x09"), (0, b"\xff"), (2, b"")] {
        let mut envelope = envelope(leaf(0), &["A.member"]);
        envelope.identities = vec![MspPrincipal {
            principal_classification: classification,
            principal: bytes.into(),
        }];
        let policy = Policy::from_envelope(&envelope).unwrap();
        assert!(!policy.is_satisfied_by(&signers("A.peer A.admin")));
    }
}

#[test]
fn what_is_missing_is_told_with_what_was_used_and_what_was_not() {
    let two_of_three = out_of(2, vec![leaf(0), leaf(1), leaf(2)]);
    let envelope = envelope(two_of_three, &["A.peer", "B.peer", "C.admin"]);
    let policy = Policy::from_envelope(&envelope).unwrap();
    assert_eq!(policy.shortfall(&signers("B.peer A.peer")), None);
    let told = |who: &str| policy.shortfall(&signers(who)).unwrap().to_string();
    assert_eq!(
        told("A.peer A.admin"),
        "2 of (A.peer signed by \"A.peer\", B.peer is missing, C.admin is missing); the signature \
         of A.admin \"A.admin\" was not used"
    );
    assert_eq!(
        told(""),
        "2 of (A.peer is missing, B.peer is missing, C.admin is missing); nobody signed"
    );
}

/// A gate that asks for less than nothing holds in Fabric, so it holds here where it is in force; a new one
/// is refused.
#[test]
fn a_slip_in_a_policy_is_refused_where_it_is_new_and_holds_as_in_fabric_where_it_is_not() {
    let negative = envelope(out_of(-1, vec![leaf(0)]), &["A.member"]);
    assert!(
        Policy::from_envelope(&negative)
            .unwrap()
            .is_satisfied_by(&[])
    );
    let slip = group_of(policy(policy_type::SIGNATURE, &negative), &[]);
    let rule = group_of(implicit(7), &["A"]);
    let in_force = Policy::at(&rule, "P").unwrap();
    assert!(in_force.is_satisfied_by(&[]));
    assert!(!in_force.is_satisfied_by(&signers("A.peer")));
    let nothing = ConfigGroup::default();
    for (group, unsound) in [(slip, Unsound::Unguarded(-1)), (rule, Unsound::Rule(7))] {
        assert_eq!(check_sound_changes(&group, &group), Ok(()));
        let refused = check_sound_changes(&nothing, &group);
        assert_eq!(refused, Err(("P".to_owned(), unsound.clone())));
        let above = ConfigGroup {
            groups: [("Org".to_owned(), group)].into(),
            ..ConfigGroup::default()
        };
        let refused = check_sound_changes(&nothing, &above);
        assert_eq!(refused, Err(("Org/P".to_owned(), unsound)));
    }
}

fn policy(kind: i32, message: &impl Message) -> ConfigPolicy {
    ConfigPolicy {
        policy: Some(WirePolicy {
            r#type: kind,
            value: message.encode_to_vec().into(),
        }),
        ..ConfigPolicy::default()
    }
}

fn implicit(rule: i32) -> ConfigPolicy {
    let sub_policy = "P".to_owned();
    let implicit = ImplicitMetaPolicy { sub_policy, rule };
    policy(policy_type::IMPLICIT_META, &implicit)
}

/// A group whose policy `P` is the given one, above organisations whose members satisfy theirs.
fn group_of(own: ConfigPolicy, organizations: &[&str]) -> ConfigGroup {
    let mut group = ConfigGroup::default();
    group.policies.insert("P".to_owned(), own);
    for name in organizations {
        let members = envelope(leaf(0), &[&format!("{name}.member")]);
        let mut organization = ConfigGroup::default();
        let signature = policy(policy_type::SIGNATURE, &members);
        organization.policies.insert("P".to_owned(), signature);
        group.groups.insert((*name).to_owned(), organization);
    }
    group
}

#[test]
fn implicit_policies_ask_any_all_or_more_than_half_of_the_groups_below() {
    use implicit_meta_rule::{ALL, ANY, MAJORITY};
    let four: &[&str] = &["A", "B", "C", "D"];
    let three: &[&str] = &["A", "B", "C"];
    let table = [
        (ANY, three, "", false),
        (ANY, three, "C.peer", true),
        (ALL, three, "A.peer C.peer", false),
        (ALL, three, "A.peer C.peer B.peer", true),
        (MAJORITY, three, "B.peer B.peer.2", false),
        (MAJORITY, three, "B.peer C.peer", true),
        (MAJORITY, four, "B.peer C.peer", false),
        (MAJORITY, four, "B.peer C.peer D.peer", true),
        (MAJORITY, &["A"], "A.peer", true),
        (ANY, &[], "", true),
        (MAJORITY, &[], "", true),
    ];
    for (rule, organizations, who, expected) in table {
        let root = group_of(implicit(rule), organizations);
        let policy = Policy::at(&root, "P").unwrap();
        let satisfied = policy.is_satisfied_by(&signers(who));
        assert_eq!(satisfied, expected, "{rule} {organizations:?} {who}");
    }
}

#[test]
fn a_group_without_the_policy_never_agrees() {
    let mut root = group_of(implicit(implicit_meta_rule::ALL), &["A"]);
    root.groups.insert("B".to_owned(), ConfigGroup::default());
    let policy = Policy::at(&root, "P").unwrap();
    assert!(!policy.is_satisfied_by(&signers("A.peer B.peer")));
}

#[test]
fn implicit_policies_go_down_through_groups_and_paths_find_them() {
    let mut root = group_of(implicit(implicit_meta_rule::ALL), &[]);
    for (name, organizations) in [("X", ["A", "B"]), ("Y", ["B", "C"])] {
        let group = group_of(implicit(implicit_meta_rule::ANY), &organizations);
        root.groups.insert(name.to_owned(), group);
    }
    for (path, who, expected) in [
        ("/Channel/P", "B.peer", true),
        ("/Channel/P", "A.peer", false),
        ("/Channel/X/P", "A.peer", true),
        ("X/A/P", "A.peer", true),
        ("X/B/P", "A.peer", false),
    ] {
        let policy = Policy::at(&root, path).unwrap();
        assert_eq!(
            policy.is_satisfied_by(&signers(who)),
            expected,
            "{path} {who}"
        );
    }
    for path in ["", "/Channel/", "Q", "/Channel/Z/P", "/Channel/X/Q"] {
        let missing = PolicyError::Missing(path.to_owned());
        assert_eq!(Policy::at(&root, path).unwrap_err(), missing);
    }
    let root = group_of(policy(2, &ImplicitMetaPolicy::default()), &[]);
    let malformed = PolicyError::At {
        path: "/Channel/P".to_owned(),
        source: Box::new(PolicyError::Kind(2)),
    };
    assert_eq!(Policy::at(&root, "P").unwrap_err(), malformed);
}
