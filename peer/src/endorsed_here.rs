//! The newest endorsements that this process signed for others or verified for them, so that it need not verify them when
//! the transactions come back.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;
use quire_wire::hash::{Hash, sha256};
use quire_wire::peer::Endorsement;

/// Endorsements that are remembered. Between an endorsement and its transaction are the signature of a client and two
/// ways over the network.
const REMEMBERED: usize = 65_536;

/// The newest endorsements. What is forgotten is verified like anybody's.
#[derive(Debug, Default)]
pub(crate) struct EndorsedHere(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    known: HashSet<Hash>,
    /// From the oldest to the newest.
    order: VecDeque<Hash>,
}

impl EndorsedHere {
    /// Remembers what this process signed or verified a moment ago, under the configuration with this sequence.
    pub(crate) fn remember(
        &self,
        sequence: u64,
        response_payload: &[u8],
        endorsement: &Endorsement,
    ) {
        let digest = digest(sequence, response_payload, endorsement);
        let mut newest = self.0.lock();
        if !newest.known.insert(digest) {
            return;
        }
        newest.order.push_back(digest);
        if newest.order.len() > REMEMBERED
            && let Some(oldest) = newest.order.pop_front()
        {
            newest.known.remove(&oldest);
        }
    }

    /// Whether this process signed or verified all of these under the configuration with this sequence, and remembers it.
    pub(crate) fn has_signed(
        &self,
        sequence: u64,
        response_payload: &[u8],
        endorsements: &[Endorsement],
    ) -> bool {
        let digests = endorsements
            .iter()
            .map(|one| digest(sequence, response_payload, one));
        let digests: Vec<Hash> = digests.collect();
        let newest = self.0.lock();
        digests.iter().all(|digest| newest.known.contains(digest))
    }
}

/// Of everything that an endorsement says, and the sequence of the configuration by which it was signed. Each part has its length before it: no other parts have the same digest.
fn digest(sequence: u64, response_payload: &[u8], endorsement: &Endorsement) -> Hash {
    let Endorsement {
        endorser,
        signature,
    } = endorsement;
    let lengths =
        [response_payload.len(), endorser.len()].map(|length| (length as u64).to_be_bytes());
    sha256([
        sequence.to_be_bytes().as_slice(),
        lengths[0].as_slice(),
        lengths[1].as_slice(),
        response_payload,
        endorser.as_ref(),
        signature.as_ref(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endorsement(signature: &'static str) -> Endorsement {
        Endorsement {
            endorser: "peer".into(),
            signature: signature.into(),
        }
    }

    #[test]
    fn only_what_was_signed_here_is_known_and_only_with_all_its_parts() {
        let here = EndorsedHere::default();
        here.remember(1, b"payload", &endorsement("signature"));
        let known = |payload: &[u8], endorsements: &[Endorsement]| {
            here.has_signed(1, payload, endorsements)
        };
        assert!(known(b"payload", &[endorsement("signature")]));
        assert!(!known(b"another", &[endorsement("signature")]));
        assert!(!known(b"payload", &[endorsement("other")]));
        assert!(!known(
            b"payload",
            &[endorsement("signature"), endorsement("other")]
        ));
        assert!(!here.has_signed(2, b"payload", &[endorsement("signature")]));
        // The same bytes, cut elsewhere.
        let shifted = Endorsement {
            endorser: "dpeer".into(),
            signature: "signature".into(),
        };
        assert!(!known(b"payloa", &[shifted]));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let here = EndorsedHere::default();
        here.remember(1, b"first", &endorsement("s"));
        for number in 0..REMEMBERED {
            here.remember(1, &number.to_be_bytes(), &endorsement("s"));
        }
        assert!(!here.has_signed(1, b"first", &[endorsement("s")]));
        assert_eq!(here.0.lock().known.len(), REMEMBERED);
    }
}
