//! `quire check`: is everything what it was when it was written?

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::{Disk, OsDisk};
use quire_ledger::check::{CheckError, Depth, Finding, Report, check_blockfiles, check_channel};
use quire_ledger::{Ledgers, OpenError, Progress};

use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::{PathError, must_have_block_files};
use crate::data_directory::{self, Place, SUBJECT, name_next};
use crate::exit::{
    DAMAGED, FAILED, failed, print_other_answer, refuse_no_channel, refuse_no_ledger, refuse_path,
};
use crate::settings::Settings;
use crate::terminal::{ProgressDisplay, print_error};

/// Judge a data directory, or block files made by a Fabric peer. Changes nothing. Exits with 0
/// when sound, 1 when damage is found, 2 when it could not look.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Check only this channel.
    #[arg(long, value_name = "NAME", conflicts_with = "blockfiles")]
    pub(crate) channel: Option<String>,
    /// Check this folder of `blockfile_NNNNNN` made by a Fabric peer instead of a data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) blockfiles: Option<PathBuf>,
    /// Check every signature too, by the organisations and policies of the channel's own
    /// configurations.
    #[arg(long)]
    pub(crate) signatures: bool,
    /// Judge every transaction again too, and compare the verdicts with those stored.
    #[arg(long)]
    pub(crate) revalidate: bool,
    /// Print the reports as one JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Verb for CheckArguments {
    fn needs(&self) -> Needs<'_> {
        if self.blockfiles.is_some() {
            return Needs::Nothing;
        }
        Needs::Remains(&self.data.data)
    }

    fn refuse(&self, error: &PathError) -> ExitCode {
        refuse_no_ledger(error)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        if let Some(dir) = &self.blockfiles
            && let Err(error) = must_have_block_files(dir)
        {
            return refuse_path(&error);
        }
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let depth = Depth {
            signatures: self.signatures,
            verdicts: self.revalidate,
        };
        let reports = match &self.blockfiles {
            Some(dir) => {
                let scratch = std::env::temp_dir();
                let report = check_blockfiles(&disk, dir, &scratch, depth, &mut progress);
                report.map(|mut report| {
                    name_next(&mut report, Place::BlockFiles(dir));
                    vec![report]
                })
            }
            None => check_data(
                disk,
                &self.data,
                self.channel.as_deref(),
                depth,
                &mut progress,
            ),
        };
        match reports {
            Ok(reports) => tell(&reports, self),
            Err(CheckError::Open(OpenError::InUse(_))) => {
                let request = admin::Check {
                    channel: self.channel.clone(),
                    depth,
                };
                let data = &self.data.data;
                match client::ask(data, "POST", "/check", &request, &mut progress) {
                    Ok(Message::Reports(reports)) => tell(&reports, self),
                    other => print_other_answer(other),
                }
            }
            Err(error) => {
                let advice = if let CheckError::Open(open) = &error {
                    advice::of_open(open)
                } else {
                    None
                };
                failed(&error, advice)
            }
        }
    }
}

/// Prints the reports; 0 where all are sound, everything was looked at, and there was something.
fn tell(reports: &[Report], arguments: &CheckArguments) -> ExitCode {
    match (&arguments.blockfiles, reports) {
        (None, reports) if reports.iter().all(is_of_no_channel) => {
            return refuse_no_channel(&arguments.data.data);
        }
        (Some(dir), [report]) if report.is_sound() && report.blocks == 0 => {
            return refuse_path(&PathError::NoBlock(dir.clone()));
        }
        _ => {}
    }
    print(reports, arguments.json);
    if !reports.iter().all(Report::is_sound) {
        return ExitCode::from(DAMAGED);
    }
    if reports.iter().any(|report| !report.unseen.is_empty()) {
        return ExitCode::from(FAILED);
    }
    ExitCode::SUCCESS
}

/// Whether there is nothing wrong, and no channel that it could be.
fn is_of_no_channel(report: &Report) -> bool {
    report.subject == SUBJECT && report.is_sound() && report.unseen.is_empty()
}

fn check_data(
    disk: Arc<dyn Disk>,
    data: &DataArguments,
    channel: Option<&str>,
    depth: Depth,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Report>, CheckError> {
    let engine = data.state.engine().map_err(OpenError::from)?;
    let (ledgers, damage) = Ledgers::look(disk, &data.data, &engine)?;
    let mut check = |name: &str| check_channel(&ledgers, name, depth, progress);
    data_directory::check(
        &data.data,
        &data.msp_id,
        &ledgers,
        &damage,
        channel,
        &mut check,
    )
}

pub(crate) fn print(reports: &[Report], json: bool) {
    if json {
        match serde_json::to_string_pretty(reports) {
            Ok(text) => println!("{text}"),
            Err(error) => print_error(&error, None),
        }
        return;
    }
    for report in reports {
        print_report(report);
    }
}

fn print_report(report: &Report) {
    let Report {
        subject,
        blocks,
        transactions,
        signatures,
        verdicts,
        findings,
        more,
        unseen,
        notes,
        advice,
    } = report;
    let verdict = match findings.len() as u64 + more {
        0 => "sound".to_owned(),
        1 => "DAMAGED, 1 finding".to_owned(),
        count => format!("DAMAGED, {count} findings"),
    };
    let counted = |count: &Option<u64>, what| {
        count.map_or(String::new(), |count| format!(", {count} {what}"))
    };
    if subject == SUBJECT {
        println!("{subject}: {verdict}");
    } else {
        println!(
            "{subject}: {blocks} blocks, {transactions} transactions{}{}: {verdict}",
            counted(signatures, "signatures hold"),
            counted(verdicts, "verdicts given again"),
        );
    }
    for finding in findings {
        print_finding(finding);
    }
    if *more > 0 {
        println!("  and {more} more findings, which are not listed");
    }
    for unseen in unseen {
        println!("  not looked at: {unseen}");
    }
    for note in notes {
        println!("  note: {note}");
    }
    for advice in advice {
        println!("  what to do: {advice}");
    }
}

fn print_finding(finding: &Finding) {
    let Finding {
        kind,
        block,
        file,
        offset,
        transaction,
        transaction_id,
        expected,
        found,
        next,
    } = finding;
    let block = block
        .map(|block| format!("block {block}, "))
        .unwrap_or_default();
    let file = file.as_ref().map(|file| format!("{}, ", file.display()));
    let offset = offset.map(|offset| format!("byte {offset}, "));
    let transaction = transaction.map(|number| match transaction_id {
        Some(id) => format!("transaction {number} ({id}), "),
        None => format!("transaction {number}, "),
    });
    println!(
        "  {block}{}{}{}{kind:?}: expected {expected}, found {found}",
        file.unwrap_or_default(),
        offset.unwrap_or_default(),
        transaction.unwrap_or_default()
    );
    if let Some(next) = next {
        println!("    next: {next}");
    }
}
