//! What a data directory consists of: one list, for a start and for `quire check`.
//!
//! A start reads the parts that it needs and ends at the first that is not as it must be; what is one
//! channel's alone closes that channel, and the others are served. A check reads every part, by the same
//! readers, and tells of all. Settings, and the files that they name (TLS, passwords, a folder of query
//! indexes elsewhere), are not here: [`Config`](crate::config::Config) reads them, and `quire config`
//! says whether a node would start with them.

mod next;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quire_disk::FileError;
use quire_disk::OsDisk;
use quire_identity::organization::is_identity_name;
use quire_identity::token::OpenTokensError;
use quire_identity::{
    CreateIdentityError, LoadIdentityError, Organization, OrganizationError, SigningIdentity,
    Tokens,
};
use quire_ledger::check::{CheckError, Finding, Kind, Report};
use quire_ledger::{
    ChannelRecord, Ledgers, OpenError, Purpose, ReadError, StateEngine, Status, chain_of,
    has_own_blocks,
};
use quire_peer::channel::StartError;

use crate::clock;
use crate::commands;
use crate::migrations::{self, MigrationsError};
use crate::node::NodeError;
pub(crate) use next::{Place, name_next};

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
pub(crate) const PARTS: [Part; 23] = [
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
        "channels/*/cut*",
        "what was cut off a channel's blocks",
        Needed::Nobody,
        false,
        "",
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
        "tokens/",
        "the tokens that callers must show",
        Needed::Start,
        false,
        "Restore `tokens/tokens.json` from a copy, or make a token with `quire token create`: then \
         callers need that one. Without the file the node would be open to everybody.",
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

    /// What to do about it, and how the node does without it; none where it is nobody's loss.
    fn told(&self) -> Option<String> {
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
        let fits = folder.map_or(names.len() == patterns.len(), |_| {
            names.len() >= patterns.len()
        });
        let matches = |(pattern, name): (&&str, &&str)| match pattern.split_once('*') {
            Some((start, end)) => name.starts_with(start) && name.ends_with(end),
            None => pattern == name,
        };
        fits && patterns.iter().zip(names).all(matches)
    }
}

/// A data directory, read for use.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) ledgers: Ledgers,
    pub(crate) organization: Organization,
    pub(crate) tokens: Tokens,
    pub(crate) endorser: Arc<SigningIdentity>,
    pub(crate) orderer: Arc<SigningIdentity>,
    pub(crate) client: Arc<SigningIdentity>,
}

impl Directory {
    /// Reads what a start needs. The first start makes it; what cannot be made again is refused where
    /// it is missing or damaged.
    pub(crate) fn open(
        data: &Path,
        msp_id: &str,
        engine: &StateEngine,
        cache_bytes: u64,
    ) -> Result<Self, NodeError> {
        let disk = Arc::new(OsDisk);
        let ledgers = Ledgers::open_sized(disk, data, Purpose::Use, engine, cache_bytes)?;
        let organization = open_organization(&ledgers.list()?, data, msp_id)?;
        let own = |name: &str| {
            let identity = organization.identity(name)?;
            identity.ok_or_else(|| NodeError::NoIdentity(name.to_owned()))
        };
        let (endorser, orderer, client) = (own("node")?, own("orderer")?, own("client")?);
        // Last: an identity under another name speaks of a lost identity first, and of lost tokens then.
        let tokens = Tokens::open(&quire_disk::os(), data)?;
        Ok(Self {
            ledgers,
            organization,
            tokens,
            endorser,
            orderer,
            client,
        })
    }
}

/// The organisation of a data directory with these channels; made where there can be none yet.
pub(crate) fn open_organization(
    records: &[ChannelRecord],
    data: &Path,
    msp_id: &str,
) -> Result<Organization, OrganizationError> {
    if Organization::missing(&OsDisk, data)?.is_empty() || must_exist(records, data) {
        Organization::open_existing(&quire_disk::os(), data, msp_id)
    } else {
        Organization::open_or_create(&quire_disk::os(), data, msp_id, clock::now())
    }
}

/// Makes sure that the organisation of a data directory, where it has one, is sound and the one that is
/// named. Changes nothing.
pub(crate) fn check_organization(data: &Path, msp_id: &str) -> Result<(), NodeError> {
    let missing = Organization::missing(&OsDisk, data).map_err(OrganizationError::from)?;
    if !missing.contains(&data.join("organization")) {
        Organization::open_what_is_there(&quire_disk::os(), data, msp_id)?;
    }
    Ok(())
}

/// Whether a chain names this organisation and these identities: where a node has written a block.
fn must_exist(records: &[ChannelRecord], data: &Path) -> bool {
    // What cannot be read to find out is told of when the channel is opened.
    records
        .iter()
        .any(|record| has_own_blocks(data, record).unwrap_or(false))
}

/// Whether there is anything that only a data directory has.
pub(crate) fn is_one(data: &Path) -> bool {
    let of_ours = [
        "id-store",
        "channels",
        "organization",
        "identities",
        "tokens",
        "derived",
    ];
    of_ours.iter().any(|name| data.join(name).exists())
}

/// Checks a directory: each channel, or the one that is asked for, by `each`, and every other part. The
/// report on those comes last, where it has something to tell.
pub(crate) fn check(
    data: &Path,
    msp_id: &str,
    ledgers: &Ledgers,
    damage: &[OpenError],
    channel: Option<&str>,
    each: &mut dyn FnMut(&str) -> Result<Report, CheckError>,
) -> Result<Vec<Report>, CheckError> {
    let (records, _) = ledgers.examine();
    let own = examine(data, msp_id, ledgers, damage);
    let mut names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
    if let Some(asked) = channel {
        // A record that cannot be read, or is missing, is among what is told of the directory.
        if !names.contains(&asked) && own.is_sound() {
            return Err(OpenError::NoSuchChannel(asked.to_owned()).into());
        }
        names.retain(|name| *name == asked);
    }
    let mut reports: Vec<Report> = names
        .into_iter()
        .map(|name| {
            each(name).unwrap_or_else(|error| Report {
                subject: name.to_owned(),
                unseen: vec![chain_of(&error)],
                ..Report::default()
            })
        })
        .collect();
    if !own.is_sound() || records.is_empty() {
        reports.push(own);
    }
    advise(&mut reports, data);
    let on_couchdb = ledgers.is_on_couchdb();
    for report in &mut reports {
        name_next(report, Place::Data { data, on_couchdb });
    }
    Ok(reports)
}

/// Reads every part but the channels' own files, and tells of all that is not as it must be. `damage` is
/// what opening `ledgers` to look at them told. Changes nothing.
fn examine(data: &Path, msp_id: &str, ledgers: &Ledgers, damage: &[OpenError]) -> Report {
    let (records, _) = ledgers.examine();
    let mut report = Report {
        subject: SUBJECT.to_owned(),
        ..Report::default()
    };
    for error in damage {
        let finding = Finding::from(error);
        if finding.file.is_none() && finding.kind == Kind::File {
            let advice = commands::advice(error).map(str::to_owned);
            report.advice.extend(advice);
        }
        report.findings.push(finding);
    }
    let found = &mut report.findings;
    let organization = examine_organization(&records, data, msp_id, found);
    match Tokens::open(&quire_disk::os(), data) {
        Ok(tokens) => examine_tokens(&tokens, organization.as_ref(), data, found),
        Err(error) => found.push(of_tokens(&error)),
    }
    match migrations::of_folder(data) {
        Ok(migrations) => {
            let active = records.iter().filter(|one| one.status == Status::Active);
            for record in active {
                let told = ledgers.would_migrate(&record.name, &migrations);
                found.extend(told.err().map(|error| {
                    let text = format!("channel {}: {}", record.name, chain_of(&error));
                    finding(&data.join(migrations::FOLDER), text)
                }));
            }
        }
        Err(error) => found.push(of_migrations(&error)),
    }
    report
}

fn examine_organization(
    records: &[ChannelRecord],
    data: &Path,
    msp_id: &str,
    found: &mut Vec<Finding>,
) -> Option<Organization> {
    let missing = match Organization::missing(&OsDisk, data) {
        Ok(missing) => missing,
        Err(error) => {
            found.push(of_file(&error));
            return None;
        }
    };
    let folder = data.join("organization");
    let has_organization = !missing.contains(&folder);
    // Identities without their organisation are refused whoever has written; without both, a start
    // makes both, where no chain names them.
    let is_halved = !has_organization && has_identities(data);
    if !missing.is_empty() && (is_halved || must_exist(records, data)) {
        found.extend(
            missing
                .into_iter()
                .map(|path| finding(&path, "none".to_owned())),
        );
    }
    if !has_organization {
        return None;
    }
    let organization = match Organization::open_what_is_there(&quire_disk::os(), data, msp_id) {
        Ok(organization) => organization,
        Err(error) => {
            found.push(of_organization(&error));
            return None;
        }
    };
    for name in organization.identities().unwrap_or_default() {
        if let Err(error) = organization.identity(&name) {
            found.push(of_identity(&error));
        }
    }
    match organization.changed_copies() {
        Ok(changed) => found.extend(changed.into_iter().map(|(path, text)| finding(&path, text))),
        Err(error) => found.push(of_file(&error)),
    }
    Some(organization)
}

fn has_identities(data: &Path) -> bool {
    let entries = std::fs::read_dir(data.join("identities"));
    let mut names = entries.into_iter().flatten().flatten();
    names.any(|entry| entry.file_name().to_str().is_some_and(is_identity_name))
}

/// A token is good for nothing without its identity.
fn examine_tokens(
    tokens: &Tokens,
    organization: Option<&Organization>,
    data: &Path,
    found: &mut Vec<Finding>,
) {
    let named: BTreeSet<String> = tokens
        .list()
        .iter()
        .map(|token| token.identity.clone())
        .collect();
    let Some(organization) = organization else {
        return;
    };
    for name in named {
        if matches!(organization.identity(&name), Ok(None)) {
            let path = data.join("identities").join(&name);
            found.push(finding(&path, "none, though it has a token".to_owned()));
        }
    }
}

/// What is found where a part should be.
fn finding(path: &Path, text: String) -> Finding {
    // The part is known by the end of the path; the directory's own name may be anything.
    let count = path.components().count();
    let mut ends = (0..count)
        .rev()
        .map(|skipped| path.components().skip(skipped));
    let part = ends.find_map(|end| Part::of(&end.collect::<PathBuf>()));
    let what = part.map_or("what Quire wrote there", |part| part.what);
    Finding {
        file: Some(path.to_owned()),
        ..Finding::new(Kind::File, what.to_owned(), text)
    }
}

fn of_file(error: &FileError) -> Finding {
    finding(&error.path, error.source.to_string())
}

fn of_organization(error: &OrganizationError) -> Finding {
    use OrganizationError as E;
    match error {
        E::File(error) => of_file(error),
        E::Load(error) | E::Create(CreateIdentityError::Load(error)) => of_identity(error),
        E::OtherOrganization { path, .. } | E::Missing { path } => finding(path, chain_of(error)),
        E::Certificate { path, source } => finding(path, chain_of(source)),
        E::Key { path, source } => finding(path, chain_of(source)),
        E::Msp { path, source } => finding(path, chain_of(source)),
        E::MspId(_) | E::Issue(_) | E::Create(_) => {
            Finding::new(Kind::File, "an organisation".to_owned(), chain_of(error))
        }
    }
}

fn of_identity(error: &LoadIdentityError) -> Finding {
    use LoadIdentityError as E;
    match error {
        E::File(error) => of_file(error),
        E::Certificate { path, source } => finding(path, chain_of(source)),
        E::Key { path, source } => finding(path, chain_of(source)),
        E::Invalid { path, source } => finding(path, chain_of(source)),
        E::OtherName { path, .. } => finding(path, chain_of(error)),
    }
}

fn of_tokens(error: &OpenTokensError) -> Finding {
    use OpenTokensError as E;
    match error {
        E::File(error) => of_file(error),
        E::Damaged { path, source } => finding(path, chain_of(source)),
        E::Missing { path, reason } => finding(path, format!("none, though {reason}")),
    }
}

fn of_migrations(error: &MigrationsError) -> Finding {
    finding(error.path(), chain_of(error))
}

/// Adds to each report what to do about what it found.
fn advise(reports: &mut [Report], data: &Path) {
    for report in reports {
        let advice = &mut report.advice;
        for found in &report.findings {
            let path = found
                .file
                .as_ref()
                .and_then(|file| file.strip_prefix(data).ok());
            let part = match found.kind {
                Kind::Follower if path.is_none() => Part::of(Path::new("derived")),
                // Nobody has lost anything: somebody signed or judged wrongly.
                Kind::Signature | Kind::Verdict | Kind::Config => None,
                _ => path.and_then(Part::of),
            };
            let told = part.and_then(Part::told);
            advice.extend(told.filter(|told| !advice.contains(told)));
        }
    }
}

/// What to do about a part that keeps a node from starting, where it is known which.
pub(crate) fn advice(error: &NodeError) -> Option<&'static str> {
    let path = match error {
        NodeError::Organization(OrganizationError::OtherOrganization { .. }) => {
            return Some("Give the MSP id of the first start: --msp-id or QUIRE_MSP_ID.");
        }
        NodeError::Organization(OrganizationError::MspId(_))
        | NodeError::Open(_)
        | NodeError::Start(_)
        | NodeError::Migrate { .. } => return None,
        NodeError::Organization(_) => "organization",
        NodeError::Identity(_) | NodeError::NoIdentity(_) => "identities",
        NodeError::Tokens(_) => "tokens",
    };
    Part::of(Path::new(path)).map(|part| part.advice)
}

/// Whether an error is one channel's alone: it stays closed, and the others are served. What concerns
/// the disk, the embedded engine or the state database concerns all of them.
pub(crate) fn is_of_one_channel(error: &NodeError) -> bool {
    let NodeError::Open(open) = error else {
        return matches!(error, NodeError::Start(StartError::Config { .. }));
    };
    match open {
        OpenError::Corrupt { .. } | OpenError::Ahead { .. } | OpenError::IdStore { .. } => true,
        OpenError::Io { source, .. } => !is_of_the_machine(source),
        OpenError::Follow {
            source, on_couchdb, ..
        } => match source {
            ReadError::StateForeign(_)
            | ReadError::StateObstructed { .. }
            | ReadError::StateDocument { .. } => true,
            ReadError::Io { source, .. } => !is_of_the_machine(source),
            ReadError::Corrupt(_)
            | ReadError::DerivedDamaged { .. }
            | ReadError::Missing(_)
            | ReadError::KeyTooLong(_) => !on_couchdb,
            _ => false,
        },
        _ => false,
    }
}

/// Whether the machine lacks something, so that the next channel would fail too.
fn is_of_the_machine(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    /// Linux's numbers for too many open files, of the system and of the process.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    let files = error.raw_os_error();
    files.is_some_and(|code| TOO_MANY_FILES.contains(&code))
        || matches!(
            error.kind(),
            E::StorageFull | E::QuotaExceeded | E::ReadOnlyFilesystem | E::OutOfMemory
        )
}

#[cfg(test)]
mod tests;
