//! `quire identity list`: what comes to an end, and what that means.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::arguments::DataArguments;
use crate::clock;
use crate::commands::verb::{Needs, Verb};
use crate::endings::{Ending, Endings};
use crate::exit::{FAILED, failed};
use crate::settings::Settings;

/// List identities, CAs, TLS certificates and tokens with the dates of their ends, and what these mean.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    data: DataArguments,
    /// The server's certificate, as for `run`.
    #[arg(long, value_name = "FILE", env = "QUIRE_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The server's certificate for osnadmin, as for `run`.
    #[arg(long, value_name = "FILE", env = "QUIRE_PARTICIPATION_TLS_CERT")]
    participation_tls_cert: Option<PathBuf>,
    /// The certificate that is shown to orderers, as for `run`.
    #[arg(long, value_name = "FILE", env = "QUIRE_ORDERER_TLS_CERT")]
    orderer_tls_cert: Option<PathBuf>,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

impl Verb for ListArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let flags = [
            ("--tls-cert", &self.tls_cert),
            ("--participation-tls-cert", &self.participation_tls_cert),
            ("--orderer-tls-cert", &self.orderer_tls_cert),
        ];
        let tls = flags
            .into_iter()
            .filter_map(|(flag, path)| Some((flag, path.clone()?)));
        let found = Endings::read(&self.data.data, &tls.collect::<Vec<_>>());
        if self.json {
            match serde_json::to_string_pretty(&found.all) {
                Ok(text) => println!("{text}"),
                Err(error) => return failed(&error, None),
            }
        } else {
            print(&found.all);
        }
        for unread in &found.unread {
            eprintln!("quire: {unread}");
        }
        if found.unread.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        }
    }
}

fn print(all: &[Ending]) {
    let now = clock::now();
    for ending in all {
        let Ending {
            kind, name, ends, ..
        } = ending;
        let when = ends.as_deref().unwrap_or("no end");
        let days = match ending.days(now) {
            Some(days) if days < 0 => "ended".to_owned(),
            Some(days) => format!("{days} days"),
            None => String::new(),
        };
        println!("{}\t{name}\t{when}\t{days}", kind.name());
    }
    let mut kinds: Vec<_> = all.iter().map(|ending| ending.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        println!("{}: {}", kind.name(), kind.meaning());
    }
}
