//! Proposals for no channel: what concerns the node alone, such as the packages that are installed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::lifecycle::{self, ChannelConfig, Lifecycle, VERSION};
use quire_chaincode::system::{self, CSCC, Cscc, QSCC, Qscc};
use quire_chaincode::{Proposed as _, Reach, Transaction};
use quire_identity::{Msp, Msps};
use quire_ledger::{LIFECYCLE, Reader};
use quire_wire::lifecycle::ReferencedChaincode;
use quire_wire::peer::{ChaincodeId, ProposalResponse, Response};

use crate::access::{check_own, creator};
use crate::callees::Channels;
use crate::chaincode_host::ChaincodeHost;
use crate::clock::Clock;
use crate::processes::Processes;
use crate::proposed::{Asked, Creator};
use crate::refused::NotEndorsed;
use crate::unpacked::{ProposalError, UnpackedProposal};

/// Fabric's status of a failure.
const FAILED: i32 = 500;

/// Answers proposals for no channel, of members of the node's organisation.
#[derive(Debug)]
pub struct LocalPeer {
    msps: Msps,
    lifecycle: Lifecycle,
    cscc: Cscc,
    qscc: Qscc,
    clock: Arc<dyn Clock>,
}

impl LocalPeer {
    /// Of a node whose organisation is this.
    #[must_use]
    pub fn new(msp: &Arc<Msp>, host: &ChaincodeHost, clock: Arc<dyn Clock>) -> Self {
        let organization = msp.id().to_owned();
        let msps: Msps = std::iter::once(Arc::clone(msp)).collect();
        let local = Arc::new(Local {
            msps: msps.clone(),
            organization: organization.clone(),
            channels: Arc::clone(&host.channels),
            processes: Arc::clone(&host.processes),
        });
        let packages = Arc::clone(&host.packages);
        Self {
            msps,
            lifecycle: Lifecycle::new(organization, Arc::clone(&local) as _, packages),
            cscc: Cscc::new(Arc::clone(&local) as _),
            qscc: Qscc::new(local),
            clock,
        }
    }

    /// Answers a proposal, if it is sound by Fabric's rules. Nothing is endorsed. Blocks as long as the call works,
    /// which may be to write a package to the disk.
    ///
    /// # Errors
    /// The proposal was not looked at; see [`ProposalError`].
    pub fn propose(&self, proposal: &UnpackedProposal) -> Result<ProposalResponse, ProposalError> {
        proposal.check_headers("", &self.msps, self.clock.now())?;
        let (call, bytes) = (proposal.call(), &proposal.bytes);
        let asked = Asked {
            channel: "",
            tx_id: proposal.tx_id(),
            bytes,
            reach: Reach::default(),
            creator: Creator::Elsewhere(proposal),
        };
        let transaction = asked.transaction();
        let answer = match &*call.chaincode {
            LIFECYCLE => self.lifecycle.answer(call, &transaction, None),
            CSCC => self.cscc.answer(&transaction),
            QSCC => self.qscc.answer(&transaction),
            other => {
                return Ok(failed(format!(
                    "make sure the chaincode {other} has been successfully defined on channel  and try again: could \
                     not get channel config for channel ''"
                )));
            }
        };
        Ok(match answer {
            Ok(answer) => ProposalResponse {
                response: Some(Response {
                    status: answer.status,
                    message: answer.message,
                    payload: answer.payload,
                }),
                ..ProposalResponse::default()
            },
            Err(error) => {
                let chaincode_id = ChaincodeId {
                    name: call.chaincode.clone(),
                    version: VERSION.to_owned(),
                    ..ChaincodeId::default()
                };
                NotEndorsed::by_chaincode(error, bytes, chaincode_id, Bytes::new).into()
            }
        })
    }
}

fn failed(message: String) -> ProposalResponse {
    ProposalResponse {
        response: Some(Response {
            status: FAILED,
            message,
            ..Response::default()
        }),
        ..ProposalResponse::default()
    }
}

/// What the system chaincodes ask where there is no channel.
#[derive(Debug)]
struct Local {
    msps: Msps,
    /// MSP id of the node's organisation.
    organization: String,
    channels: Arc<dyn Channels>,
    processes: Arc<dyn Processes>,
}

impl Local {
    fn check(&self, resource: &str, transaction: &Transaction) -> Result<(), String> {
        let who = self.msps.validate(&creator(&transaction.proposal));
        let who = who.map_err(|error| error.to_string())?;
        check_own(&self.organization, resource, &who).map_err(|error| error.to_string())
    }
}

impl lifecycle::Host for Local {
    fn config(&self, _: &str) -> Option<Arc<dyn ChannelConfig>> {
        None
    }

    fn check_access(&self, resource: &str, transaction: &Transaction) -> Result<(), String> {
        self.check(resource, transaction)
    }

    fn references(&self, package_id: &str) -> BTreeMap<String, Vec<ReferencedChaincode>> {
        self.processes.references(package_id)
    }
}

impl system::Host for Local {
    fn channels(&self) -> Vec<String> {
        self.channels.names()
    }

    fn reader(&self, channel: &str) -> Option<Reader> {
        self.channels.reader(channel)
    }

    fn check_access(
        &self,
        resource: &str,
        channel: &str,
        transaction: &Transaction,
    ) -> Result<(), String> {
        if channel.is_empty() {
            return self.check(resource, transaction);
        }
        self.channels
            .check_access(channel, resource, &transaction.proposal)
    }
}
