//! The caller of a request, and its rights.

use std::sync::Arc;

use axum::http::Extensions;
use axum::http::request::Parts;
use quire_chaincode::system::Subject;
use quire_chaincode::{Call, Reach};
use quire_identity::{AccessRole, SigningIdentity, Token};

use crate::problem::{Problem, ProblemKind};
use crate::server::client_info::ClientCertificate;

/// The caller of a request, and its rights.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The identity that creates the caller's transactions.
    pub identity: Arc<SigningIdentity>,
    /// The credential; `None` if none is required, and then everything is allowed.
    pub token: Option<Arc<Token>>,
    /// The certificate that it showed instead of a token's secret.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Caller {
    /// The caller of a request, as [`enter`](super::enter) found out.
    pub(crate) fn of(extensions: &Extensions) -> Result<&Self, Problem> {
        let caller = extensions.get::<Self>();
        caller.ok_or_else(|| Problem::internal("a request came by without its caller"))
    }

    /// The identity of a request's caller.
    pub(crate) fn identity(parts: &Parts) -> Result<Arc<SigningIdentity>, Problem> {
        Ok(Arc::clone(&Self::of(&parts.extensions)?.identity))
    }

    /// Whether the channel is one of the caller's.
    pub(crate) fn reaches(&self, channel: &str) -> bool {
        self.token
            .as_ref()
            .is_none_or(|token| token.reaches(channel))
    }

    /// The channels that the caller may have told of.
    pub(crate) fn reach(&self) -> Reach {
        let token = self.token.as_ref();
        token.map_or_else(Reach::default, |token| Reach::of(&token.channels))
    }

    /// Makes sure that the channel is one of the caller's, even if it does not exist.
    pub(crate) fn check_channel(&self, channel: &str) -> Result<(), Problem> {
        if self.reaches(channel) {
            return Ok(());
        }
        let detail = format!("The token is not for channel {channel}.");
        Err(Problem::new(ProblemKind::Forbidden, detail))
    }

    /// Makes sure that a call tells of the caller's channels only: system chaincodes may tell of others than the
    /// one that they are called in.
    pub(crate) fn check_call(&self, call: &Call) -> Result<(), Problem> {
        match Subject::of(call) {
            Subject::Channel(channel) => self.check_channel(&channel),
            Subject::Node if self.is_limited() => {
                let detail = "The token is not for all channels of the node.";
                Err(Problem::new(ProblemKind::Forbidden, detail))
            }
            Subject::Here | Subject::Node => Ok(()),
        }
    }

    /// Makes sure that the caller may have the node run code or dial where it says. What runs so may do all that
    /// the node may, so neither a token for some channels suffices, nor that none is needed.
    pub(crate) fn check_installs(&self) -> Result<(), Problem> {
        let detail = match &self.token {
            Some(token) if token.channels.is_empty() => return Ok(()),
            Some(_) => {
                "The token is not for all channels of the node: it deploys what is installed, and no more."
            }
            None => {
                "Nobody installs over HTTP while no token is required: use `quire chaincode deploy`, or make a token."
            }
        };
        Err(Problem::new(ProblemKind::Forbidden, detail))
    }

    /// Makes sure that the caller's token, if it has one, is for all channels of the node.
    pub(crate) fn check_all_channels(&self) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !token.channels.is_empty() => {
                let detail = "The token is not for all channels of the node.";
                Err(Problem::new(ProblemKind::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn role(&self) -> AccessRole {
        self.token
            .as_ref()
            .map_or(AccessRole::Admin, |token| token.role)
    }

    pub(super) fn is_limited(&self) -> bool {
        self.token
            .as_ref()
            .is_some_and(|token| !token.channels.is_empty())
    }
}
