//! Whether this node's endorsement suffices for what a transaction touched: the Gateway asks before it hands out what
//! would only be found invalid when it is committed.

use std::collections::HashMap;

use parking_lot::Mutex;
use quire_ledger::{Height, LIFECYCLE, ReadError, Snapshot, chain_of};
use quire_peer::Channel;
use quire_wire::Message as _;
use quire_wire::peer::ChaincodeInterest;

use super::endorsement::descriptor;
use super::error::NoDescriptor;
use super::{About, Discovery, MAX_PARTS};

/// Answers that are kept, at most; then all are forgotten.
const MAX_KEPT: usize = 1_024;
/// Bytes of a question whose answer is kept. Keys may each have a policy, and each policy is a part of the question.
const MAX_KEPT_BYTES: usize = 4 << 10;

/// Why nobody here can endorse a transaction, in Fabric's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no combination of peers can be derived which satisfy the endorsement policy: {0}")]
pub(crate) struct Insufficient(String);

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    channel: String,
    /// The configuration's number.
    sequence: u64,
    /// When each chaincode was defined as it is now.
    defined: Vec<Option<Height>>,
    /// The serialized interest.
    interest: Vec<u8>,
}

/// Answers that hold until the channel's configuration or a definition changes.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<HashMap<Question, Result<(), Insufficient>>>);

impl Found {
    fn get(&self, question: &Question) -> Option<Result<(), Insufficient>> {
        self.0.lock().get(question).cloned()
    }

    fn keep(&self, question: Question, answer: &Result<(), Insufficient>) {
        if question.interest.len() > MAX_KEPT_BYTES {
            return;
        }
        let mut found = self.0.lock();
        if found.len() >= MAX_KEPT {
            found.clear();
        }
        found.insert(question, answer.clone());
    }
}

impl Discovery {
    /// Whether a transaction that touched this needs nobody's endorsement but this node's. Reads the channel's state.
    ///
    /// # Errors
    /// It does.
    pub(crate) fn suffices(
        &self,
        channel: &Channel,
        interest: &ChaincodeInterest,
    ) -> Result<(), Insufficient> {
        // Who is a member of what is not known: everything would be invalid, and the verdict says so.
        let Some(access) = &channel.access else {
            return Ok(());
        };
        let bundle = access.bundle();
        let defined = defined(&channel.reader.snapshot(), interest);
        let question = Question {
            channel: channel.name.to_string(),
            sequence: bundle.sequence(),
            defined: defined.map_err(|error| Insufficient(chain_of(&error)))?,
            interest: interest.encode_to_vec(),
        };
        if let Some(found) = self.found.get(&question) {
            return found;
        }
        let about = About {
            discovery: self,
            channel,
            bundle: &bundle,
        };
        match about.suffices(interest) {
            // Whether the node runs a chaincode changes without any definition.
            Err(Missing::Installed(insufficient)) => Err(insufficient),
            Err(Missing::Endorsement(insufficient)) => {
                let answer = Err(insufficient);
                self.found.keep(question, &answer);
                answer
            }
            Ok(()) => {
                self.found.keep(question, &Ok(()));
                Ok(())
            }
        }
    }
}

/// Why this node's endorsement does not suffice.
enum Missing {
    /// It does not run the chaincode now.
    Installed(Insufficient),
    /// Somebody else's.
    Endorsement(Insufficient),
}

impl About<'_> {
    fn suffices(&self, interest: &ChaincodeInterest) -> Result<(), Missing> {
        let policies = interest
            .chaincodes
            .iter()
            .map(|call| call.key_policies.len());
        if interest.chaincodes.len() > MAX_PARTS || policies.sum::<usize>() > MAX_PARTS {
            // It would take long to find out, and the verdict will say it.
            return Ok(());
        }
        let chaincodes = self.read();
        // A state that cannot be read now may be read later.
        let chaincodes = chaincodes.map_err(|reason| Missing::Installed(Insufficient(reason)))?;
        let definitions = chaincodes.definitions(interest);
        let me = self.candidates(&chaincodes, interest);
        match descriptor(interest, &definitions, &me) {
            Ok(_) | Err(NoDescriptor::TooMany) => Ok(()),
            Err(error) => {
                let insufficient = Insufficient(self.text(&error));
                Err(match error {
                    NoDescriptor::Installed => Missing::Installed(insufficient),
                    _ => Missing::Endorsement(insufficient),
                })
            }
        }
    }

    /// Fabric's words, where it has some.
    fn text(&self, error: &NoDescriptor) -> String {
        match error {
            NoDescriptor::Chaincode(name) => {
                let channel = self.bundle.channel();
                format!("No metadata was found for chaincode {name} in channel {channel}")
            }
            NoDescriptor::Peers => {
                "no peer combination can satisfy the endorsement policy".to_owned()
            }
            NoDescriptor::Installed => {
                "required chaincodes are not installed on sufficient peers".to_owned()
            }
            NoDescriptor::Unsatisfiable => "endorsement policy cannot be satisfied".to_owned(),
            other => other.to_string(),
        }
    }
}

/// When each chaincode of an interest was defined as it is now.
fn defined(
    snapshot: &Snapshot,
    interest: &ChaincodeInterest,
) -> Result<Vec<Option<Height>>, ReadError> {
    let mut defined: Vec<Option<Height>> = Vec::with_capacity(interest.chaincodes.len());
    for call in &interest.chaincodes {
        let key = format!("namespaces/fields/{}/Sequence", call.name);
        let found = snapshot.get(LIFECYCLE, &key)?;
        defined.push(found.map(|found| found.version));
    }
    Ok(defined)
}
