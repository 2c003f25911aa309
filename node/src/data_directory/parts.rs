//! The parts of a data directory: what each is, who cannot do without it, and what to do about one that is
//! missing or damaged.

use std::path::Path;

/// What the report about the directory itself is called. No channel can be.
pub(crate) const SUBJECT: &str = "data directory";

/// Who cannot do without a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// A start: it refuses one that is damaged, and one that is missing where it was there.
    Start,
    /// One channel, which stays closed.
    Channel,
    /// Callers, or Fabric's tools. The node starts without.
    Others,
    /// Nobody.
    Nobody,
}

/// A part of a data directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Where it is; `*` stands for any name, a final `/` for all that is in a folder.
    pub(crate) path: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    pub(crate) needed: Needed,
    /// Whether it is made again when it is not there.
    pub(crate) is_made_again: bool,
    /// What an operator does about one that is missing or damaged.
    pub(crate) advice: &'static str,
}

const fn part(
    path: &'static str,
    what: &'static str,
    needed: Needed,
    is_made_again: bool,
    advice: &'static str,
) -> Part {
    Part {
        path,
        what,
        needed,
        is_made_again,
        advice,
    }
}

const IDENTITY: &str = "Restore this folder of `identities` from a copy: an identity is never made again, \
                        transaction ids depend on it.";

/// Every part, the more particular before the more general.
pub(crate) const PARTS: [Part; 33] = [
    part(
        "lock",
        "the file that is locked while a process has the directory open",
        Needed::Start,
        true,
        "Remove what stands in the place of `lock`: it is an empty file that every start makes.",
    ),
    part(
        "id-store/",
        "the records of channels",
        Needed::Start,
        false,
        "Restore the record in `id-store` from a copy: it cannot be rebuilt. Where a channel is not \
         missed, move its folder in `channels` away with it, and `derived` too, which is rebuilt.",
    ),
    part(
        "channels/*/blockfile_*",
        "a channel's blocks",
        Needed::Channel,
        false,
        "`quire repair` takes blocks from a copy, `quire truncate-tail` accepts the loss of the end.",
    ),
    part(
        "channels/*/indexes.json",
        "the definitions of a channel's query indexes",
        Needed::Channel,
        false,
        "Restore `indexes.json` from a copy: it cannot be rebuilt. Or move it away, start the node, and \
         make the indexes again.",
    ),
    part(
        "channels/*/private/",
        "values of private keys, of which the blocks have hashes",
        Needed::Others,
        false,
        "Restore the channel's folder `private` from a copy: it cannot be rebuilt. Without it the values are \
         missing, and all else goes on.",
    ),
    part(
        "channels/*/cut*",
        "what was cut off a channel's blocks",
        Needed::Nobody,
        false,
        "",
    ),
    part(
        "chaincodes/packages/",
        "the packages of chaincodes that are installed",
        Needed::Others,
        false,
        "Install the package again: `quire chaincode deploy`. Until then what runs it does not run here.",
    ),
    part(
        "chaincodes/code/",
        "the code of chaincodes, unpacked and built",
        Needed::Nobody,
        true,
        "",
    ),
    part(
        "chaincodes/keys/",
        "the keys by which chaincodes' processes register",
        Needed::Nobody,
        true,
        "",
    ),
    part(
        "chaincodes/",
        "the packages of chaincodes, and their code",
        Needed::Others,
        true,
        "Install what ran here again: `quire chaincode deploy`.",
    ),
    part(
        "channels/*/",
        "a channel's folder",
        Needed::Channel,
        false,
        "Restore the channel's record in `id-store` and its folder in `channels` from one copy; or move \
         the folder away, and `derived` too, which is rebuilt, and `quire channel import` it.",
    ),
    part(
        "channels/",
        "the folder of channels",
        Needed::Start,
        true,
        "Nothing but folders of channels may lie in `channels`: move away what is none.",
    ),
    part(
        "derived/",
        "index, state and history",
        Needed::Start,
        true,
        "The next start makes what does not open again from the blocks; `quire rebuild` makes all of it \
         again.",
    ),
    part(
        "derived.damaged-*/",
        "a former `derived`",
        Needed::Nobody,
        false,
        "",
    ),
    part(
        "organization/ca/",
        "the organisation's CA",
        Needed::Start,
        false,
        "Restore `organization` from a copy: it cannot be made again, every chain names it.",
    ),
    part(
        "organization/msp/",
        "a copy for Fabric's tools of what the organisation is known by",
        Needed::Others,
        false,
        "Copy `ca/ca-cert.pem` to `msp/cacerts`, or `config.yaml` from another \
         such folder.",
    ),
    part(
        "organization/given/",
        "what others know an organisation by that was made elsewhere",
        Needed::Start,
        false,
        "Restore `organization` from a copy: every chain names what is in it.",
    ),
    part(
        "organization/",
        "the organisation",
        Needed::Start,
        false,
        "Restore `organization` from a copy: it cannot be made again, every chain names it.",
    ),
    part(
        "identities/*/msp/cacerts/",
        "a copy for Fabric's tools of the organisation's certificate",
        Needed::Others,
        false,
        "Copy `organization/ca/ca-cert.pem` there.",
    ),
    part(
        "identities/*/msp/config.yaml",
        "what units stand for, for Fabric's tools",
        Needed::Others,
        false,
        "Copy `config.yaml` from another such folder.",
    ),
    part(
        "identities/node/",
        "the node's own key and certificate",
        Needed::Start,
        false,
        IDENTITY,
    ),
    part(
        "identities/orderer/",
        "the orderer's own key and certificate",
        Needed::Start,
        false,
        IDENTITY,
    ),
    part(
        "identities/client/",
        "the key and certificate of callers without a token",
        Needed::Start,
        false,
        IDENTITY,
    ),
    part(
        "identities/",
        "an identity's key and certificate",
        Needed::Others,
        false,
        IDENTITY,
    ),
    part(
        "joining/",
        "the keys of a node that is joining its organisation",
        Needed::Start,
        true,
        "Run `quire join` again: it goes on where it was interrupted, and removes `joining` when it is done.",
    ),
    part(
        "tokens/",
        "the tokens that callers must show",
        Needed::Start,
        false,
        "Restore `tokens/tokens.json` from a copy, or make a token with `quire token create`: then \
         callers need that one. Without the file the node would be open to everybody.",
    ),
    part(
        "ca/",
        "the registry of the CA: who may enrol, what was issued and what was revoked",
        Needed::Start,
        false,
        "Restore `ca/registry` from a copy: what was revoked stands nowhere else.",
    ),
    part(
        "migrations/",
        "files of query indexes",
        Needed::Start,
        false,
        "A file that was applied keeps its name and content, and a change is a file of its own; what is \
         no such file must not lie there.",
    ),
    part(
        "admin.sock",
        "the socket for commands",
        Needed::Nobody,
        true,
        "",
    ),
    part(
        ".admin/",
        "where the socket is made",
        Needed::Nobody,
        true,
        "",
    ),
    part(
        "check-*/",
        "the scratch folder of a check",
        Needed::Nobody,
        true,
        "",
    ),
    part(
        "backup.json",
        "what a backup holds, until a node runs on it",
        Needed::Nobody,
        true,
        "",
    ),
    part(
        ".restore.new/",
        "a restore that is not finished",
        Needed::Nobody,
        true,
        "",
    ),
];

impl Part {
    /// The part that a path in the directory belongs to.
    pub(crate) fn of(path: &Path) -> Option<&'static Self> {
        let names: Vec<_> = path
            .components()
            .map(|name| name.as_os_str().to_string_lossy())
            .collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        PARTS.iter().find(|part| part.holds(&names))
    }

    /// Whether a backup has it: it cannot be made again, and somebody needs it.
    pub(crate) fn is_kept(&self) -> bool {
        !self.is_made_again && self.needed != Needed::Nobody
    }

    /// Whether a path is of a part that a backup has, or of a folder that may have such a part in it.
    pub(crate) fn may_keep(names: &[&str]) -> bool {
        let mut kept = PARTS.iter().filter(|part| part.is_kept());
        kept.any(|part| {
            let patterns = part.path.trim_end_matches('/').split('/');
            patterns
                .zip(names)
                .all(|(pattern, name)| fits(pattern, name))
        })
    }

    /// What to do about it, and how the node does without it; none where it is nobody's loss.
    pub(super) fn told(&self) -> Option<String> {
        let advice = self.advice;
        let meanwhile = match self.needed {
            Needed::Nobody => return None,
            _ if self.is_made_again => "",
            Needed::Start => " No node starts without it.",
            Needed::Channel => " Until then the channel may stay closed; the others are served.",
            Needed::Others => " The node starts without it.",
        };
        Some(format!("{advice}{meanwhile}"))
    }

    fn holds(&self, names: &[&str]) -> bool {
        let folder = self.path.strip_suffix('/');
        let patterns: Vec<&str> = folder.unwrap_or(self.path).split('/').collect();
        let is_as_deep = folder.map_or(names.len() == patterns.len(), |_| {
            names.len() >= patterns.len()
        });
        let mut pairs = patterns.iter().zip(names);
        is_as_deep && pairs.all(|(pattern, name)| fits(pattern, name))
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => pattern == name,
    }
}
