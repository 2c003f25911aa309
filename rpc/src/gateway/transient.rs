//! Transient data is for those alone who may see it: the peers of organisations that are members of the collections that
//! were touched.

use quire_wire::peer::ChaincodeInterest;

/// The interest under which only members of all its collections are asked, and the collections that make a difference;
/// `None` if none does.
pub(super) fn protected(interest: &ChaincodeInterest) -> Option<(ChaincodeInterest, Vec<String>)> {
    let mut careful = interest.clone();
    let mut collections = Vec::new();
    for call in &mut careful.chaincodes {
        if call.no_private_reads {
            call.no_private_reads = false;
            collections.extend(call.collection_names.iter().cloned());
        }
    }
    (!collections.is_empty()).then_some((careful, collections))
}

#[cfg(test)]
mod tests {
    use quire_wire::peer::ChaincodeCall;

    use super::*;

    fn interest(no_private_reads: bool) -> ChaincodeInterest {
        ChaincodeInterest {
            chaincodes: vec![ChaincodeCall {
                name: "orders".to_owned(),
                collection_names: vec!["prices".to_owned()],
                no_private_reads,
                ..ChaincodeCall::default()
            }],
        }
    }

    #[test]
    fn collections_that_were_only_written_are_for_their_members_too() {
        let (careful, collections) = protected(&interest(true)).unwrap();
        assert_eq!(careful, interest(false));
        assert_eq!(collections, ["prices"]);
        assert_eq!(protected(&interest(false)), None);
    }
}
