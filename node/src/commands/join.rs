//! `quire join`: from nothing to a node of an organisation that another node invites.

mod answer;
mod ask;

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use quire_disk::{FileError, OsDisk, make_dir, read_file};
use quire_gateway::joining::GrantedAdmission;
use quire_identity::organization::OWN_IDENTITIES;
use quire_identity::sealed::{MAX_SEALED_BYTES, UnsealError};
use quire_identity::{
    Admission, JoinOrganizationError, Joiner, MoveIdentityError, MovedIdentities, Organization,
    OrganizationError,
};
use quire_ledger::{DataLock, OpenError};
use quire_peer::join::Joined;
use quire_wire::msp::FabricMspConfig;

use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::channel::{print_joined, stopped};
use crate::commands::identity::{PassphraseArguments, PassphraseError};
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::{PathError, may_be_joined};
use crate::exit::failed;
use crate::node::{JoinError, NodeError};
use crate::settings::Settings;
use answer::WrongAnswer;
use ask::{AskArguments, AskError};

/// Make this machine a node of an organisation: its keys are made here, its certificates by the CA of the node at URL,
/// and each channel begins with the block that it has there. `quire run` fetches the rest.
#[derive(Clone, Debug, Args)]
pub(crate) struct JoinArguments {
    #[command(flatten)]
    ask: AskArguments,
    /// A channel to join; may be repeated. Without it, all that the invitation is for.
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    /// Identities that `quire identity export` has sealed at another node of the organisation: whoever signs there for
    /// callers without a token does here too, so that their keys name the same transactions.
    #[arg(long, value_name = "FILE")]
    identities: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    #[command(flatten)]
    data: DataArguments,
}

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Lock(#[from] OpenError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error("--passphrase-file makes no sense without --identities")]
    PassphraseAlone,
    #[error("--msp makes no sense here: the organisation comes from the node that invites")]
    Given,
    #[error("{} was not opened", path.display())]
    Sealed { path: PathBuf, source: UnsealError },
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the answer of the node at {url} cannot be read: it may be of another version")]
    Answer {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the answer of the node at {url} is not one to join by; nothing of it was kept")]
    Wrong { url: String, source: WrongAnswer },
    #[error("the node at {0} has no channel yet: join when it has one")]
    NoChannel(String),
    #[error("the organisation was not joined")]
    Organization(#[from] JoinOrganizationError),
    #[error(transparent)]
    Moved(#[from] MoveIdentityError),
    #[error("{} belongs to another organisation than {found}", path.display())]
    OtherOrganization { path: PathBuf, found: String },
    #[error("channel {channel} was not joined")]
    Channel { channel: String, source: JoinError },
    #[error("the organisation in {} cannot be opened", path.display())]
    Open {
        path: PathBuf,
        source: OrganizationError,
    },
}

impl CommandError {
    fn advice(&self) -> Option<String> {
        match self {
            Self::Path(error) => Some(error.advice()),
            Self::Lock(error) => advice::of_open(error).map(str::to_owned),
            Self::Ask(error) => error.advice().map(str::to_owned),
            Self::Channel {
                source: JoinError::Node(error),
                ..
            } => match error {
                NodeError::Tokens(_) => {
                    Some("Make a token first: `quire token create`.".to_owned())
                }
                error => error.open().and_then(advice::of_open).map(str::to_owned),
            },
            _ => None,
        }
    }
}

impl Verb for JoinArguments {
    /// What is there of a node that was interrupted is none of the usual places.
    fn needs(&self) -> Needs<'_> {
        Needs::Nothing
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        match self.join() {
            Ok((granted, caller)) => {
                self.tell_next(&granted, caller.as_deref());
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, error.advice().as_deref()),
        }
    }
}

impl JoinArguments {
    fn join(&self) -> Result<(GrantedAdmission, Option<String>), CommandError> {
        let data = &self.data.data;
        may_be_joined(data)?;
        if self.data.given.msp.is_some() || self.data.given.client_msp.is_some() {
            return Err(CommandError::Given);
        }
        // Before anything is made, and anybody asked.
        let inviting = self.ask.check()?;
        let moved = self.moved()?;
        let disk = quire_disk::os();
        let is_member = Organization::missing(disk.as_ref(), data)?.is_empty();
        let (joiner, lock) = if is_member && !Joiner::has_begun(disk.as_ref(), data)? {
            (None, None)
        } else {
            make_dir(disk.as_ref(), data)?;
            let lock = DataLock::take(data)?;
            (Some(Joiner::begin(&disk, data)?), Some(lock))
        };
        let requests = joiner.as_ref().map(Joiner::requests).transpose()?;
        let granted = inviting.ask(&requests.unwrap_or_default(), &self.channels)?;
        // A node without a channel would make one of its own.
        if granted.channels.is_empty() {
            return Err(CommandError::NoChannel(self.ask.url().to_owned()));
        }
        let config = answer::checked(&granted, &self.channels, &self.data.msp_id);
        let config = config.map_err(|source| CommandError::Wrong {
            url: self.ask.url().to_owned(),
            source,
        })?;
        let mut callers = moved;
        match &joiner {
            Some(joiner) => {
                let client = callers.as_mut().map(take_client);
                let admission = Admission {
                    organization: config,
                    certificates: granted.certificates.clone(),
                };
                joiner.join(data, &admission, client.as_ref())?;
                println!("joined {} as a node of its own", granted.msp_id);
            }
            None => self.check_same(&granted.msp_id, &config)?,
        }
        // Whoever opens the ledgers takes it for itself.
        drop(lock);
        self.join_channels(&granted)?;
        // Whoever is interrupted before begins here again.
        joiner.map_or(Ok(()), Joiner::end)?;
        // Last: with identities of callers, nothing opens before there is a token.
        if let Some(callers) = &callers {
            let _lock = DataLock::take(data)?;
            self.organization(&granted.msp_id)?
                .take_identities(callers)?;
        }
        let is_own = |name: &str| OWN_IDENTITIES.iter().any(|(own, _)| *own == name);
        let mut callers = callers.into_iter().flat_map(|moved| moved.identities);
        let caller = callers.find(|one| !is_own(&one.name));
        Ok((granted, caller.map(|one| one.name)))
    }

    /// The identities that come from another node.
    fn moved(&self) -> Result<Option<MovedIdentities>, CommandError> {
        let Some(path) = &self.identities else {
            if self.passphrase.is_in_a_file() {
                return Err(CommandError::PassphraseAlone);
            }
            return Ok(None);
        };
        let sealed = read_file(&OsDisk, path, MAX_SEALED_BYTES)?;
        let unsealed = MovedIdentities::unseal(&sealed, &self.passphrase.tell()?);
        let path = path.clone();
        let moved = unsealed.map_err(|source| CommandError::Sealed { path, source })?;
        Ok(Some(moved))
    }

    fn unreadable(&self, source: impl std::error::Error + Send + Sync + 'static) -> CommandError {
        CommandError::Answer {
            url: self.ask.url().to_owned(),
            source: Box::new(source),
        }
    }

    /// The organisation that is there.
    fn organization(&self, msp_id: &str) -> Result<Organization, CommandError> {
        let path = self.data.data.clone();
        let opened = Organization::open_existing(&quire_disk::os(), &path, msp_id);
        opened.map_err(|source| CommandError::Open { path, source })
    }

    /// Makes sure that a node that is a member already joins channels of its own organisation.
    fn check_same(&self, msp_id: &str, config: &FabricMspConfig) -> Result<(), CommandError> {
        let organization = self.organization(msp_id)?;
        if organization.msp_config().root_certs != config.root_certs {
            let (path, found) = (self.data.data.clone(), msp_id.to_owned());
            return Err(CommandError::OtherOrganization { path, found });
        }
        Ok(())
    }

    /// Begins each channel by its first block; one that was begun already stays as it is.
    fn join_channels(&self, granted: &GrantedAdmission) -> Result<(), CommandError> {
        let elsewhere = granted.ordering == "remote";
        let data = DataArguments {
            msp_id: granted.msp_id.clone(),
            ..self.data.clone()
        };
        for (channel, block) in &granted.channels {
            let block = STANDARD.decode(block);
            let block = Bytes::from(block.map_err(|error| self.unreadable(error))?);
            let failed = |source| CommandError::Channel {
                channel: channel.clone(),
                source,
            };
            let joined = join_channel(block, &data, elsewhere).map_err(failed)?;
            if joined.channel != *channel {
                let source = JoinError::OtherChain(channel.clone());
                return Err(failed(source));
            }
            print_joined(&joined);
        }
        Ok(())
    }

    /// Prints how the node is started. One that has identities of callers must have tokens first.
    fn tell_next(&self, granted: &GrantedAdmission, caller: Option<&str>) {
        let data = self.data.data.display();
        if let Some(caller) = caller {
            println!("Make a token for each caller:");
            let msp_id = &granted.msp_id;
            println!(
                "  quire token create --identity {caller} --role writer --data {data} --msp-id {msp_id}"
            );
        }
        let GrantedAdmission {
            msp_id, ordering, ..
        } = granted;
        let brokers = granted.kafka_brokers.as_ref();
        let brokers = brokers.map(|brokers| format!(" --kafka-brokers {brokers}"));
        let brokers = brokers.unwrap_or_default();
        let line =
            format!("quire run --data {data} --msp-id {msp_id} --ordering {ordering}{brokers}");
        println!("Start it:\n  {line}");
    }
}

/// Takes whoever signs for callers without a token out of identities that move: a node has one from its first moment.
fn take_client(moved: &mut MovedIdentities) -> MovedIdentities {
    let all = std::mem::take(&mut moved.identities);
    let (client, others) = all.into_iter().partition(|one| one.name == "client");
    moved.identities = others;
    MovedIdentities {
        msp_id: moved.msp_id.clone(),
        identities: client,
    }
}

fn join_channel(block: Bytes, data: &DataArguments, elsewhere: bool) -> Result<Joined, JoinError> {
    let node = stopped::open(data)?;
    let joined = node.join_while_stopped(block, (elsewhere, false));
    node.stop();
    joined
}
