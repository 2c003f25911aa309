//! Which command comes next after a finding of `quire check`.

use std::path::{Path, PathBuf};

use quire_ledger::check::{Finding, Kind, Report};

use super::parts::{Part, SUBJECT};

/// Where a check looked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// At a data directory, whose state is on CouchDB or not.
    Data { data: &'a Path, on_couchdb: bool },
    /// At a folder of block files made by a Fabric peer, which no command repairs.
    BlockFiles(&'a Path),
}

/// Adds the next command to each finding of a report.
pub(crate) fn name_next(report: &mut Report, place: Place<'_>) {
    let subject = report.subject.clone();
    for finding in &mut report.findings {
        finding.next = Some(match place {
            Place::BlockFiles(dir) => format!(
                "take {} from another peer's copy, then `quire check --blockfiles {}`",
                finding.file.as_deref().unwrap_or(dir).display(),
                dir.display()
            ),
            Place::Data { data, on_couchdb } => after(finding, &subject, data, on_couchdb),
        });
    }
}

/// The next command after a finding about a channel, or about the directory itself.
fn after(finding: &Finding, subject: &str, data: &Path, on_couchdb: bool) -> String {
    let at = format!("--data {}", data.display());
    let path = finding.file.as_deref();
    let path = path.and_then(|file| file.strip_prefix(data).ok());
    let of_channel = |command: &str| format!("`quire {command} --channel {subject} {at}`");
    match finding.kind {
        Kind::Follower if path.is_some_and(is_block_file) => lost(subject, &at),
        Kind::Follower => {
            let engine = if on_couchdb {
                " --engine couchdb --couchdb-url URL"
            } else {
                ""
            };
            let channel = if subject == SUBJECT {
                String::new()
            } else {
                format!(" --channel {subject}")
            };
            format!("`quire rebuild{engine}{channel} {at}`")
        }
        Kind::Record | Kind::PreviousHash | Kind::DataHash => lost(subject, &at),
        Kind::Envelope | Kind::Codes | Kind::CommitHash => of_channel("check --revalidate"),
        Kind::Signature | Kind::Verdict => match finding.block {
            Some(block) => of_channel(&format!("blocks --json --from {block} --to {block}")),
            None => of_channel("blocks --json"),
        },
        Kind::Config => of_channel("channel fetch config -"),
        Kind::File => after_file(finding, path, data),
    }
}

/// After blocks that are damaged or not there.
fn lost(channel: &str, at: &str) -> String {
    format!(
        "`quire repair --from COPY --channel {channel} {at}`, where COPY is the channel's folder in a copy; \
         `quire truncate-tail --dry-run --channel {channel} {at}` tells what accepting the loss would cost"
    )
}

/// After a file or folder that is missing, or not what it must be.
fn after_file(finding: &Finding, path: Option<&Path>, data: &Path) -> String {
    let at = format!("--data {}", data.display());
    let file = finding.file.clone().unwrap_or_else(|| data.to_owned());
    let file = file.display();
    let names: Vec<_> = path.into_iter().flat_map(Path::components).collect();
    let first = names.first().map(|name| name.as_os_str());
    match first.and_then(|name| name.to_str()) {
        Some("tokens") => {
            format!(
                "restore {file} from a copy, or `quire token create --identity NAME --role ROLE {at}`"
            )
        }
        Some("migrations") => format!("mend {file}, then `quire migrate --dry-run {at}`"),
        Some("channels") if path.is_some_and(|path| names.len() == 2 && !is_block_file(path)) => {
            format!(
                "restore the channel's record in id-store from a copy; or move {file} away, and `quire \
                 channel import --blockfiles FOLDER --channel NAME {at}`"
            )
        }
        Some("lock") => format!("remove {file}, then `quire check {at}`"),
        _ => format!("restore {file} from a copy, then `quire check {at}`"),
    }
}

fn is_block_file(path: &Path) -> bool {
    let blocks = Part::of(&PathBuf::from("channels/any/blockfile_000000"));
    Part::of(path).map(|part| part.path) == blocks.map(|part| part.path)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    /// The commands in a text, each with its placeholders filled in.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let quoted = text.split('`').skip(1).step_by(2);
        let words = quoted.map(|command| {
            let words = command.split_whitespace().map(|word| match word {
                "ROLE" => "reader".to_owned(),
                "URL" => "http://couch:5984".to_owned(),
                other => other.to_owned(),
            });
            words.collect()
        });
        words.collect()
    }

    #[test]
    fn every_finding_is_followed_by_a_command_that_exists() {
        let data = Path::new("/srv/quire");
        let kinds = [
            Kind::Record,
            Kind::PreviousHash,
            Kind::DataHash,
            Kind::Envelope,
            Kind::Codes,
            Kind::CommitHash,
            Kind::Follower,
            Kind::Signature,
            Kind::Verdict,
            Kind::Config,
            Kind::File,
        ];
        let files = [
            None,
            Some("channels/main/blockfile_000001"),
            Some("channels/main/indexes.json"),
            Some("channels/lost"),
            Some("tokens/tokens.json"),
            Some("ca/registry"),
            Some("migrations/0001-a.json"),
            Some("id-store/main.json"),
            Some("lock"),
        ];
        for kind in kinds {
            for file in files {
                let findings = [None, Some(12)].map(|block| Finding {
                    block,
                    file: file.map(|file| data.join(file)),
                    ..Finding::new(kind, "this".to_owned(), "that".to_owned())
                });
                let mut report = Report {
                    subject: "main".to_owned(),
                    findings: findings.to_vec(),
                    ..Report::default()
                };
                for on_couchdb in [false, true] {
                    name_next(&mut report, Place::Data { data, on_couchdb });
                    for finding in &report.findings {
                        let next = finding.next.as_deref().unwrap();
                        let commands = commands(next);
                        assert!(!commands.is_empty(), "{next}");
                        for command in commands {
                            let parsed = Cli::try_parse_from(&command);
                            assert!(parsed.is_ok(), "{command:?}: {}", parsed.unwrap_err());
                            assert!(command.contains(&"/srv/quire".to_owned()), "{next}");
                        }
                    }
                }
            }
        }
        let damaged = Finding::new(Kind::Record, String::new(), String::new());
        let next = after(&damaged, "main", data, false);
        assert!(next.contains("repair --from COPY"), "{next}");
        assert!(next.contains("truncate-tail --dry-run"), "{next}");
    }
}
