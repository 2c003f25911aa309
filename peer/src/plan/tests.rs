use std::collections::BTreeMap;

use super::*;

fn peer(msp_id: &str, address: &str) -> RemotePeer {
    RemotePeer {
        msp_id: msp_id.into(),
        address: address.into(),
        tls_roots: Arc::default(),
    }
}

/// Two peers of Org2 (1 and 2), one of Org3 (3). This node is 0.
fn others() -> Vec<RemotePeer> {
    vec![peer("Org2", "a"), peer("Org2", "b"), peer("Org3", "c")]
}

/// A plan of groups `(name, members)` and layouts `name*count name*count`.
fn plan(groups: &[(&str, &[usize])], layouts: &[&str]) -> Plan {
    let groups = groups.iter();
    let groups: BTreeMap<String, Vec<usize>> = groups
        .map(|(name, members)| ((*name).to_owned(), members.to_vec()))
        .collect();
    let layout = |text: &&str| {
        let parts = text.split(' ').map(|part| {
            let (name, count) = part.split_once('*').unwrap_or((part, "1"));
            (name.to_owned(), count.parse().unwrap())
        });
        parts.collect()
    };
    let descriptor = Descriptor {
        groups,
        meanings: BTreeMap::new(),
        layouts: layouts.iter().map(layout).collect(),
    };
    Plan::new(&descriptor, others())
}

const GROUPS: [(&str, &[usize]); 3] = [("one", &[0]), ("two", &[1, 2]), ("three", &[3])];

fn nobody(_: &RemotePeer) -> bool {
    false
}

#[test]
fn nobody_is_asked_where_this_node_suffices() {
    assert!(plan(&GROUPS, &["one two", "one"]).is_own_enough());
    assert!(!plan(&GROUPS, &["one two", "two"]).is_own_enough());
    assert!(!plan(&GROUPS, &["one*2"]).is_own_enough());
    let plan = plan(&GROUPS, &["one"]);
    assert_eq!(plan.sufficient(&plan.begin(true, 0)), Some(vec![OWN]));
    assert_eq!(plan.sufficient(&plan.begin(false, 0)), None);
}

#[test]
fn where_one_fails_the_next_of_its_group_is_asked_then_another_layout_and_then_nobody() {
    let plan = plan(&GROUPS, &["one two", "one three"]);
    let mut progress = plan.begin(true, 0);
    let mut order = Vec::new();
    while let Some(next) = plan.next(&progress, nobody) {
        let [position] = next[..] else {
            panic!("{next:?}");
        };
        progress.asked(position);
        // Whoever is being asked may be the one.
        assert_eq!(plan.next(&progress, nobody), Some(Vec::new()));
        assert_eq!(plan.sufficient(&progress), None);
        progress.failed(position);
        order.push(position);
    }
    order.sort_unstable();
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn a_layout_is_complete_with_those_who_have_endorsed_whatever_else_is_under_way() {
    let plan = plan(&GROUPS, &["one two three", "one two*2"]);
    let mut progress = plan.begin(true, 0);
    let asked = plan.next(&progress, nobody).unwrap();
    assert_eq!(asked.len(), 2);
    for position in [1, 2, 3] {
        progress.asked(position);
    }
    progress.set(2, Stage::Endorsed);
    assert_eq!(plan.sufficient(&progress), None);
    progress.set(1, Stage::Endorsed);
    assert_eq!(plan.sufficient(&progress), Some(vec![0, 1, 2]));
}

#[test]
fn peers_that_do_not_answer_are_asked_last() {
    let plan = plan(&GROUPS, &["one two", "one three"]);
    for turn in 0..8 {
        let progress = plan.begin(true, turn);
        let is_away = |peer: &RemotePeer| *peer.address != *"b";
        assert_eq!(plan.next(&progress, is_away), Some(vec![2]));
        let next = plan.next(&progress, |_| true).unwrap();
        assert_eq!(next.len(), 1);
    }
    // All peers that could be asked have their turns.
    let turns = (0..12).flat_map(|turn| plan.next(&plan.begin(true, turn), nobody).unwrap());
    let mut turns: Vec<usize> = turns.collect();
    turns.sort_unstable();
    turns.dedup();
    assert_eq!(turns, [1, 2, 3]);
}

#[test]
fn nobody_endorses_for_two() {
    let groups: [(&str, &[usize]); 2] = [("any", &[0, 1]), ("own", &[0])];
    let plan = plan(&groups, &["any own"]);
    let mut progress = plan.begin(true, 0);
    assert_eq!(plan.sufficient(&progress), None);
    assert_eq!(plan.next(&progress, nobody), Some(vec![1]));
    progress.set(1, Stage::Endorsed);
    assert_eq!(plan.sufficient(&progress), Some(vec![0, 1]));
    progress.failed(1);
    assert_eq!(plan.next(&progress, nobody), None);
}

#[test]
fn organizations_that_a_client_names_are_asked_once_each() {
    let listed =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let named = listed(&["Org1", "Org3", "Org1"]);
    let both = Plan::of_organizations(&named, ("Org1", "nowhere"), &others()).unwrap();
    assert_eq!(both.next(&both.begin(true, 0), nobody), Some(vec![3]));
    let named = listed(&["Org4", "Org2", "Org5"]);
    let missing = Plan::of_organizations(&named, ("Org1", "nowhere"), &others());
    assert_eq!(missing.unwrap_err(), ["Org4", "Org5"]);
}

#[test]
fn organizations_suffice_if_a_layout_is_among_their_peers() {
    let plan = plan(&GROUPS, &["one two three", "two*2"]);
    let within = |names: &[&str]| plan.is_within("Org1", |name| names.contains(&name));
    assert!(within(&["Org1", "Org2", "Org3"]));
    assert!(within(&["Org2"]));
    assert!(!within(&["Org1", "Org3"]));
}
