//! `quire check`: is everything what it was when it was written?

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use quire_ledger::check::{CheckError, Finding, Report, check_blockfiles, check_channel};
use quire_ledger::disk::{Disk, OsDisk};
use quire_ledger::{Ledgers, OpenError, Progress, Purpose};

use crate::cli::CheckArguments;
use crate::commands::{DAMAGED, FAILED, advice};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &CheckArguments) -> ExitCode {
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let reports = match &arguments.blockfiles {
        Some(dir) => {
            check_blockfiles(&disk, dir, &std::env::temp_dir(), &mut progress).map(|one| vec![one])
        }
        None => check_data(
            disk,
            &arguments.data.data,
            arguments.channel.as_deref(),
            &mut progress,
        ),
    };
    match reports {
        Ok(reports) => {
            print(&reports, arguments.json);
            let sound = reports.iter().all(Report::is_sound);
            if sound {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(DAMAGED)
            }
        }
        Err(error) => {
            let advice = if let CheckError::Open(open) = &error {
                advice(open)
            } else {
                None
            };
            print_error(&error, advice);
            ExitCode::from(FAILED)
        }
    }
}

fn check_data(
    disk: Arc<dyn Disk>,
    dir: &Path,
    channel: Option<&str>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Report>, CheckError> {
    // Looking must not make what it looks for.
    let listed = disk.list(&dir.join("id-store"));
    listed.map_err(|source| OpenError::Io {
        path: dir.to_owned(),
        source,
    })?;
    let ledgers = Ledgers::open(disk, dir, Purpose::Inspect)?;
    let names: Vec<String> = match channel {
        Some(name) => vec![name.to_owned()],
        None => ledgers
            .list()?
            .into_iter()
            .map(|record| record.name)
            .collect(),
    };
    names
        .iter()
        .map(|name| check_channel(&ledgers, name, progress))
        .collect()
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
        let Report {
            subject,
            blocks,
            transactions,
            findings,
            notes,
        } = report;
        let verdict = match findings.len() {
            0 => "sound".to_owned(),
            1 => "DAMAGED, 1 finding".to_owned(),
            count => format!("DAMAGED, {count} findings"),
        };
        println!("{subject}: {blocks} blocks, {transactions} transactions: {verdict}");
        for Finding {
            kind,
            block,
            file,
            offset,
            expected,
            found,
        } in findings
        {
            let block = block
                .map(|block| format!("block {block}, "))
                .unwrap_or_default();
            let file = file.as_ref().map(|file| format!("{}, ", file.display()));
            let offset = offset.map(|offset| format!("byte {offset}, "));
            println!(
                "  {block}{}{}{kind:?}: expected {expected}, found {found}",
                file.unwrap_or_default(),
                offset.unwrap_or_default()
            );
        }
        for note in notes {
            println!("  note: {note}");
        }
    }
}
