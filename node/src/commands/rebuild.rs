//! `quire rebuild`: index, state and history made again from the blocks.

use std::process::ExitCode;
use std::sync::Arc;

use quire_disk::OsDisk;
use quire_ledger::{Follower, Ledgers, OpenError, Progress, Purpose, Status};

use crate::cli::RebuildArguments;
use crate::commands::{FAILED, advice, refuse_no_channel};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &RebuildArguments) -> ExitCode {
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    match rebuild(arguments, &mut progress) {
        Ok(0) => refuse_no_channel(&arguments.data),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error, advice(&error));
            ExitCode::from(FAILED)
        }
    }
}

/// Rebuilds the channels; how many there were.
fn rebuild(
    arguments: &RebuildArguments,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<usize, OpenError> {
    let asked = [arguments.index, arguments.state, arguments.history];
    let all = !asked.contains(&true);
    let followers = Follower::ALL.into_iter().zip(asked);
    let followers: Vec<Follower> = followers
        .filter_map(|(follower, asked)| (asked || all).then_some(follower))
        .collect();
    let engine = arguments.couchdb.engine(arguments.engine)?;
    let ledgers = Ledgers::open_with(Arc::new(OsDisk), &arguments.data, Purpose::Use, &engine)?;
    if let Some(aside) = ledgers.set_aside() {
        println!(
            "the embedded engine did not open: moved to {}",
            aside.display()
        );
    }
    let names: Vec<String> = if let Some(name) = &arguments.channel {
        vec![name.clone()]
    } else {
        let records = ledgers.list()?.into_iter();
        let active = records.filter(|record| record.status == Status::Active);
        active.map(|record| record.name).collect()
    };
    let rebuilt: Vec<_> = followers.iter().map(|follower| follower.name()).collect();
    let mut first = Ok(names.len());
    for name in names {
        match ledgers.rebuild(&name, &followers, progress) {
            Ok((_, report)) => {
                let (rebuilt, height) = (rebuilt.join(", "), report.height);
                println!("channel {name}: {rebuilt} made again from {height} blocks");
            }
            // One that cannot be rebuilt keeps no other from it.
            Err(error) if first.is_ok() => first = Err(error),
            Err(error) => print_error(&error, advice(&error)),
        }
    }
    ledgers.settle();
    first
}
