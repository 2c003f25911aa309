//! `quire org invite`: a token by which another machine becomes a node of the organisation, of a running node.

use std::process::ExitCode;

use clap::Args;

use crate::admin::Message;
use crate::admin::client::{self, AskError};
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::{failed, print_other_answer};
use crate::invitations::{Invite, MAX_SECONDS};
use crate::settings::Settings;

/// Print a token by which `quire join` makes another machine a node of this organisation. It is good once, for an hour,
/// while this node runs. Whoever has it gets certificates that the whole network trusts: hand it over as a password.
#[derive(Clone, Debug, Args)]
pub(crate) struct InviteArguments {
    /// What certificates call the new node; no other node and no identity has that name. Where the node serves no CA, names
    /// of nodes that joined before are not known: give each once.
    name: String,
    /// A channel whose first block it is told; may be repeated. Without it, all. The certificates are good for every channel
    /// of the organisation.
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    /// How many seconds it is good for; without it, an hour.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    seconds: Option<u64>,
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for InviteArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let request = Invite {
            name: self.name.clone(),
            channels: self.channels.clone(),
            seconds: self.seconds,
        };
        let data = &self.data.data;
        match client::ask(data, "POST", "/invitations", &request, &mut |_| {}) {
            Ok(Message::Invited(invited)) => {
                let channels = match &invited.channels[..] {
                    [] => "all channels".to_owned(),
                    channels => channels.join(","),
                };
                let (name, seconds) = (&invited.name, invited.seconds);
                eprintln!(
                    "{name}\t{channels}\tgood once, for {seconds} seconds, while this node runs"
                );
                if !invited.is_remembered {
                    eprintln!(
                        "This node serves no CA: the certificates that it gives cannot be revoked by name. The log has their \
                         serial numbers."
                    );
                }
                eprintln!(
                    "The token is shown this once, for `quire join URL` on the other machine:"
                );
                println!("{}", invited.token);
                ExitCode::SUCCESS
            }
            Err(error @ AskError::Connect(..)) => failed(
                &error,
                Some("Invitations are a running node's: start it with `quire run`."),
            ),
            other => print_other_answer(other),
        }
    }
}
