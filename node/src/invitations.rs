//! Invitations: what lets another machine become a node of the organisation, once and soon. They are in memory alone: a
//! restart ends them all, and nothing of them is to be found on a disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use quire_chaincode::name::{NameError, check_channel};
use quire_identity::organization::{OWN_IDENTITIES, is_identity_name};
use quire_wire::hash::{Hash, sha256};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

/// What a token of one begins with.
const PREFIX: &str = "quire_join_";
const SECRET_BYTES: usize = 32;

/// Most at one time.
const MAX_INVITATIONS: usize = 100;
/// How long one is good, if nobody says, and at most.
const HOUR: u64 = 3600;
pub(crate) const MAX_SECONDS: u64 = 24 * HOUR;
/// Most characters of a node's name: identities are named after it.
const MAX_NAME_CHARS: usize = 48;

/// A node that may join.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    /// What its certificates call it.
    pub(crate) name: String,
    /// The channels whose first block it is told; empty means all.
    #[serde(default)]
    pub(crate) channels: Vec<String>,
    /// How many seconds from now on.
    #[serde(default)]
    pub(crate) seconds: Option<u64>,
}

/// An invitation with its token, which is told this once.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Invited {
    pub(crate) name: String,
    pub(crate) channels: Vec<String>,
    pub(crate) seconds: u64,
    pub(crate) token: String,
    /// Whether the node serves a CA that will know the certificates by the node's name.
    #[serde(default)]
    pub(crate) is_remembered: bool,
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invited")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why nobody was invited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InviteError {
    #[error(
        "{0:?} cannot be the name of a node: that has 1 to {MAX_NAME_CHARS} of a-z A-Z 0-9 . _ - @ and begins with a \
         letter or digit"
    )]
    Name(String),
    #[error(
        "{0:?} is the name of an identity: whoever has a certificate of that name may act as it"
    )]
    Taken(String),
    #[error(
        "{0:?} is a name in another invitation that is open: wait for that one to end, or start the node again"
    )]
    Invited(String),
    #[error(transparent)]
    Channel(#[from] NameError),
    #[error("an invitation is good for {MAX_SECONDS} seconds at most")]
    TooLong,
    #[error(
        "{MAX_INVITATIONS} invitations are open: wait for one to end, or start the node again, which ends all"
    )]
    TooMany,
    #[error("the operating system gave no random numbers")]
    NoRandomness,
    /// Nobody could join.
    #[error("{0}")]
    NotHere(String),
}

/// Certificates, PEM, by the names of a node's own identities.
pub(crate) type Certificates = BTreeMap<String, String>;

/// Somebody who was invited.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) channels: Vec<String>,
}

/// What the first use of an invitation made of it.
#[derive(Debug)]
enum Use {
    /// It tells where channels begin.
    Blocks,
    /// It has given certificates for these keys.
    Certificates { keys: Hash, given: Certificates },
}

/// An invitation that is open.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(crate) guest: Guest,
    ends: SystemTime,
    first_use: Mutex<Option<Use>>,
}

impl Invitation {
    /// Gives certificates for keys, which `certify` makes the first time. From then on the same ones are given for these
    /// keys, because an answer can be lost, and none for others. Whoever wants none is given none; where that is the
    /// first use, the invitation gives none from then on.
    pub(crate) fn give<E: From<NotAdmitted>>(
        &self,
        keys: Option<Hash>,
        certify: impl FnOnce() -> Result<Certificates, E>,
    ) -> Result<Certificates, E> {
        let mut first_use = self.first_use.lock();
        let Some(keys) = keys else {
            first_use.get_or_insert(Use::Blocks);
            return Ok(Certificates::new());
        };
        match &*first_use {
            None => {}
            Some(Use::Certificates { keys: first, given }) if *first == keys => {
                return Ok(given.clone());
            }
            Some(_) => return Err(NotAdmitted::Used.into()),
        }
        let given = certify()?;
        *first_use = Some(Use::Certificates {
            keys,
            given: given.clone(),
        });
        Ok(given)
    }
}

/// What the certificate calls an identity of a node: the peer has the node's name.
pub(crate) fn certificate_name(node: &str, identity: &str) -> String {
    match identity {
        "node" => node.to_owned(),
        other => format!("{node}-{other}"),
    }
}

/// All names that certificates of a node have.
pub(crate) fn certificate_names(node: &str) -> [String; 3] {
    OWN_IDENTITIES.map(|(identity, _)| certificate_name(node, identity))
}

/// Whose certificates could have this name: those of the node itself, and of the nodes to whose name it adds an
/// identity's.
pub(crate) fn nodes_with(name: &str) -> impl Iterator<Item = &str> {
    let added = OWN_IDENTITIES.into_iter().filter_map(move |(identity, _)| {
        let node = name.strip_suffix(identity)?;
        node.strip_suffix('-')
    });
    std::iter::once(name).chain(added)
}

/// Why an invitation is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// There is none of this token, or not any more.
    Unknown,
    /// Others have used it, or it was for blocks from its first use on.
    Used,
}

/// The invitations of a node that runs, by the hashes of their tokens.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    open: Mutex<BTreeMap<Hash, Arc<Invitation>>>,
}

impl Invitations {
    /// Makes an invitation; its token is told now and never again.
    pub(crate) fn invite(&self, request: Invite, now: SystemTime) -> Result<Invited, InviteError> {
        let Invite {
            name,
            channels,
            seconds,
        } = request;
        if !is_identity_name(&name) || name.len() > MAX_NAME_CHARS {
            return Err(InviteError::Name(name));
        }
        for channel in &channels {
            check_channel(channel)?;
        }
        let seconds = seconds.unwrap_or(HOUR);
        let ends = now.checked_add(Duration::from_secs(seconds));
        let ends = ends
            .filter(|_| seconds <= MAX_SECONDS)
            .ok_or(InviteError::TooLong)?;
        let mut secret = [0; SECRET_BYTES];
        let filled = SystemRandom::new().fill(&mut secret);
        filled.map_err(|_| InviteError::NoRandomness)?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let mut open = self.open.lock();
        open.retain(|_, one| one.ends > now);
        let names = certificate_names(&name);
        let others = open
            .values()
            .flat_map(|one| certificate_names(&one.guest.name));
        for other in others {
            if names.contains(&other) {
                return Err(InviteError::Invited(other));
            }
        }
        if open.len() >= MAX_INVITATIONS {
            return Err(InviteError::TooMany);
        }
        let guest = Guest {
            name: name.clone(),
            channels: channels.clone(),
        };
        let one = Invitation {
            guest,
            ends,
            first_use: Mutex::new(None),
        };
        open.insert(sha256([token.as_bytes()]), Arc::new(one));
        Ok(Invited {
            name,
            channels,
            seconds,
            token,
            is_remembered: false,
        })
    }

    /// Whether a token is one of an invitation that is open.
    pub(crate) fn knows(&self, token: &str, now: SystemTime) -> bool {
        let open = self.open.lock();
        let found = open.get(&sha256([token.as_bytes()]));
        found.is_some_and(|one| one.ends > now)
    }

    /// The invitation of a token.
    pub(crate) fn take(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Arc<Invitation>, NotAdmitted> {
        let open = self.open.lock();
        let found = open.get(&sha256([token.as_bytes()]));
        let one = found.filter(|one| one.ends > now);
        one.cloned().ok_or(NotAdmitted::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn invite(name: &str, seconds: Option<u64>) -> Invite {
        Invite {
            name: name.to_owned(),
            channels: Vec::new(),
            seconds,
        }
    }

    fn certificates(text: &str) -> Certificates {
        Certificates::from([("node".to_owned(), text.to_owned())])
    }

    #[test]
    fn an_invitation_is_found_until_it_ends() {
        let invitations = Invitations::default();
        let invited = invitations.invite(invite("node2", None), now()).unwrap();
        let take = |at| invitations.take(&invited.token, at);
        assert!(invitations.knows(&invited.token, now()));
        assert_eq!(take(now()).unwrap().guest.name, "node2");
        take(now() + Duration::from_secs(HOUR - 1)).unwrap();
        let over = now() + Duration::from_secs(HOUR);
        assert_eq!(take(over).unwrap_err(), NotAdmitted::Unknown);
        assert!(!invitations.knows(&invited.token, over));
        let other = invitations.take("quire_join_x", now());
        assert_eq!(other.unwrap_err(), NotAdmitted::Unknown);
    }

    #[test]
    fn one_machine_is_given_the_same_certificates_each_time_and_no_other_any() {
        let invitations = Invitations::default();
        let invited = invitations.invite(invite("node2", None), now()).unwrap();
        let one = invitations.take(&invited.token, now()).unwrap();
        let failed = one.give(Some([2; 32]), || Err(NotAdmitted::Unknown));
        assert_eq!(failed.unwrap_err(), NotAdmitted::Unknown);
        let give = |keys, text| one.give::<NotAdmitted>(keys, || Ok(certificates(text)));
        assert_eq!(give(Some([1; 32]), "first").unwrap(), certificates("first"));
        assert_eq!(give(Some([1; 32]), "again").unwrap(), certificates("first"));
        let other = give(Some([2; 32]), "other");
        assert_eq!(other.unwrap_err(), NotAdmitted::Used);
        assert_eq!(give(None, "none").unwrap(), Certificates::new());
    }

    #[test]
    fn an_invitation_that_first_told_of_channels_gives_no_certificates() {
        let invitations = Invitations::default();
        let invited = invitations.invite(invite("node2", None), now()).unwrap();
        let one = invitations.take(&invited.token, now()).unwrap();
        let give = |keys| one.give::<NotAdmitted>(keys, || Ok(certificates("first")));
        assert_eq!(give(None).unwrap(), Certificates::new());
        assert_eq!(give(Some([1; 32])).unwrap_err(), NotAdmitted::Used);
        assert_eq!(give(None).unwrap(), Certificates::new());
    }

    #[test]
    fn what_no_node_could_be_called_and_what_would_be_good_for_long_is_refused() {
        let invitations = Invitations::default();
        for name in ["", "-n", "a/b", &"n".repeat(MAX_NAME_CHARS + 1)] {
            let refused = invitations.invite(invite(name, None), now());
            assert!(matches!(refused, Err(InviteError::Name(_))), "{name}");
        }
        let refused = invitations.invite(invite("n", Some(MAX_SECONDS + 1)), now());
        assert!(matches!(refused, Err(InviteError::TooLong)));
    }

    #[test]
    fn no_two_open_invitations_have_certificates_of_one_name() {
        let invitations = Invitations::default();
        let first = invite("node2", None);
        invitations.invite(first, now()).unwrap();
        for name in ["node2", "node2-orderer", "node2-client"] {
            let refused = invitations.invite(invite(name, None), now());
            assert!(matches!(refused, Err(InviteError::Invited(_))), "{name}");
        }
        invitations.invite(invite("node2-b", None), now()).unwrap();
        let later = now() + Duration::from_secs(HOUR);
        invitations
            .invite(invite("node2-client", None), later)
            .unwrap();
        let refused = invitations.invite(invite("node2", None), later);
        assert!(matches!(refused, Err(InviteError::Invited(name)) if name == "node2-client"));
        let nodes: Vec<_> = nodes_with("a-orderer").collect();
        assert_eq!(nodes, ["a-orderer", "a"]);
    }

    #[test]
    fn as_many_as_fit_are_open_and_those_that_ended_make_room() {
        let invitations = Invitations::default();
        for number in 0..MAX_INVITATIONS {
            let name = format!("n{number}");
            invitations.invite(invite(&name, None), now()).unwrap();
        }
        let refused = invitations.invite(invite("n", None), now());
        assert!(matches!(refused, Err(InviteError::TooMany)));
        let later = now() + Duration::from_secs(HOUR);
        invitations.invite(invite("n", None), later).unwrap();
    }
}
