//! A check of a data directory: each channel, and every part beside them.

use std::collections::BTreeSet;
use std::path::Path;

use quire_ca::Registry;
use quire_ca::error::OpenRegistryError;
use quire_disk::OsDisk;
use quire_identity::organization::is_identity_name;
use quire_identity::{Organization, Tokens};
use quire_ledger::check::{CheckError, Finding, Kind, Report};
use quire_ledger::{ChannelRecord, Ledgers, OpenError, Status, chain_of};

use super::finding::{
    finding, of_backup, of_file, of_identity, of_migrations, of_organization, of_registry,
    of_tokens,
};
use super::must_exist;
use super::next::{Place, name_next};
use super::parts::{Part, SUBJECT};
use crate::advice;
use crate::backup;
use crate::migrations;

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
            let advice = advice::of_open(error).map(str::to_owned);
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
    match is_ca_sound(data) {
        Ok(()) => {}
        Err(error) => found.push(of_registry(&error)),
    }
    found.extend(backup::differences(&OsDisk, data).iter().map(of_backup));
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

/// Reads the registry of the CA, where there is one.
fn is_ca_sound(data: &Path) -> Result<(), OpenRegistryError> {
    if Registry::exists(&OsDisk, data)? {
        Registry::read(&OsDisk, data)?;
    }
    Ok(())
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
