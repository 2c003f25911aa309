//! `_lifecycle`, the chaincode by which all others come to a channel.

use std::sync::Arc;

use bytes::Bytes;
use quire_ledger::Simulator;

use super::config::ChannelConfig;
use super::error::LifecycleError;
use super::function::{Channel, Function};
use super::host::Host;
use super::packages::Packages;
use super::simulated::SimulatedState;
use super::state::{NAMESPACE, State};
use crate::{
    Answer, Call, Chaincode, ChaincodeError, Invocation, Proposed, Simulated, Transaction, Weight,
};

/// What transactions name as the version of a chaincode of Fabric's own.
pub const VERSION: &str = "syscc";
/// Fabric's statuses of a call that came to nothing.
const NOT_FOUND: i32 = 404;
const FAILED: i32 = 500;

/// `_lifecycle`.
#[derive(Debug)]
pub struct Lifecycle {
    /// MSP id of the node's organisation.
    organization: String,
    host: Arc<dyn Host>,
    packages: Arc<dyn Packages>,
}

impl Lifecycle {
    /// `_lifecycle` of a node of this organisation.
    #[must_use]
    pub fn new(organization: String, host: Arc<dyn Host>, packages: Arc<dyn Packages>) -> Self {
        Self {
            organization,
            host,
            packages,
        }
    }

    /// Answers a call: a function and one message for it. Without a state, which is for calls outside of a
    /// channel, it has to do with packages only.
    ///
    /// # Errors
    /// With Fabric's status and text.
    pub fn answer(
        &self,
        call: &Call,
        transaction: &Transaction,
        state: Option<&mut dyn State>,
    ) -> Result<Answer, ChaincodeError> {
        if call.function.is_empty() && call.args.is_empty() {
            let text = "lifecycle scc must be invoked with arguments";
            return Err(refused(FAILED, text.to_owned()));
        }
        let [argument] = &call.args[..] else {
            return Err(refused(
                FAILED,
                format!(
                    "lifecycle scc operations require exactly two arguments but received {}",
                    call.args.len() + 1
                ),
            ));
        };
        let name = &*transaction.channel;
        let mut channel = match state {
            Some(state) => Some((state, self.config(name)?)),
            None => None,
        };
        let resource = format!("{NAMESPACE}/{}", call.function);
        let access = self.host.check_access(&resource, transaction);
        access.map_err(|why| {
            let text = format!("Failed to authorize invocation due to failed ACL check: {why}");
            refused(FAILED, text)
        })?;
        let channel = channel.as_mut();
        let function = Function {
            name: &call.function,
            argument: argument.clone(),
            organization: &self.organization,
            host: &*self.host,
            packages: &*self.packages,
            channel: channel.map(|(state, (config, organizations))| Channel {
                name,
                config: &**config,
                state: &mut **state,
                organizations: organizations.clone(),
            }),
        };
        match function.run() {
            Ok(result) => Ok(Answer::of(result)),
            Err(LifecycleError::Read(error)) => Err(error.into()),
            Err(error @ LifecycleError::NotDefined(_)) => {
                Err(refused(NOT_FOUND, error.to_string()))
            }
            Err(error) => Err(refused(
                FAILED,
                format!(
                    "failed to invoke backing implementation of '{}': {error}",
                    call.function
                ),
            )),
        }
    }

    /// A channel's configuration, and the organisations whose approvals count.
    fn config(
        &self,
        channel: &str,
    ) -> Result<(Arc<dyn ChannelConfig>, Vec<String>), ChaincodeError> {
        let config = self.host.config(channel).ok_or_else(|| {
            let text = format!("could not get channelconfig for channel '{channel}'");
            refused(FAILED, text)
        })?;
        let organizations = config.application_organizations().ok_or_else(|| {
            let text = format!("could not get application config for channel '{channel}'");
            refused(FAILED, text)
        })?;
        if !config.has_lifecycle() {
            return Err(refused(
                FAILED,
                format!(
                    "cannot use new lifecycle for channel '{channel}' as it does not have the required \
                 capabilities enabled"
                ),
            ));
        }
        Ok((config, organizations))
    }
}

impl Chaincode for Lifecycle {
    fn invoke(
        &self,
        call: &Call,
        proposed: &dyn Proposed,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let mut state = SimulatedState(&mut simulator);
        let answer = self.answer(call, &proposed.transaction(), Some(&mut state));
        Invocation::Done(Simulated { simulator, answer })
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn weight(&self, _: &Call) -> Weight {
        Weight::Keys
    }
}

/// A no with Fabric's status and text.
fn refused(status: i32, message: String) -> ChaincodeError {
    ChaincodeError::Refused {
        status,
        message,
        payload: Bytes::new(),
    }
}

#[cfg(test)]
#[path = "chaincode/tests.rs"]
mod tests;
