//! How another machine becomes a node of the organisation: certificates for its keys, and where the channels begin.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_ca::signing_request::SigningRequest;
use quire_gateway::Backend as _;
use quire_gateway::joining::{AdmitNodeError, GrantedAdmission, WantedAdmission};
use quire_identity::organization::{ADMINISTRATOR, OWN_IDENTITIES};
use quire_identity::{CreateIdentityError, Role};
use quire_wire::Message as _;
use quire_wire::hash::sha256;
use x509_parser::pem::Pem;

use super::Node;
use super::ordering::Ordering;
use crate::clock;
use crate::invitations::{
    Certificates, Guest, Invite, InviteError, Invited, NotAdmitted, certificate_name,
    certificate_names, nodes_with,
};

/// Most bytes of the blocks in one answer.
const MAX_BLOCK_BYTES: usize = 32 << 20;

/// A key that a certificate is wanted for.
struct Wanted {
    /// Which of the node's own identities it is.
    name: &'static str,
    role: Role,
    point: Vec<u8>,
}

impl Node {
    /// Invites another node, where one could join.
    pub(crate) fn invite(&self, request: Invite) -> Result<Invited, InviteError> {
        self.lets_join().map_err(InviteError::NotHere)?;
        for name in certificate_names(&request.name) {
            if !self.is_free_for_a_node(&name) {
                return Err(InviteError::Taken(name));
            }
        }
        let mut invited = self.invitations.invite(request, clock::now())?;
        invited.is_remembered = self.authority.is_some();
        let Invited { name, seconds, .. } = &invited;
        tracing::info!(name, seconds, "another node is invited to join");
        Ok(invited)
    }

    /// Whether nobody is known by a name, as far as this node can say: without a served CA nobody remembers which nodes
    /// were given certificates.
    fn is_free_for_a_node(&self, name: &str) -> bool {
        let authority = self.authority.as_ref();
        let is_free =
            |node: &str| authority.is_none_or(|authority| authority.is_free_for_a_node(node));
        name != ADMINISTRATOR
            && nodes_with(name).all(is_free)
            && matches!(self.organization.identity(name), Ok(None))
    }

    pub(super) fn knows_invitation(&self, token: &str) -> bool {
        self.invitations.knows(token, clock::now())
    }

    /// Answers a node that joins.
    pub(super) fn admit_node(
        &self,
        token: &str,
        wanted: &WantedAdmission,
    ) -> Result<GrantedAdmission, AdmitNodeError> {
        let (ordering, kafka_brokers) = self.lets_join().map_err(AdmitNodeError::NotHere)?;
        let keys = read(&wanted.requests)?;
        let hash = sha256(keys.iter().map(|key| &key.point[..]));
        let hash = (!keys.is_empty()).then_some(hash);
        let invitation = self.invitations.take(token, clock::now())?;
        let guest = &invitation.guest;
        // First: who names a channel that is not there gets no certificates.
        let channels = self.first_blocks(guest, &wanted.channels)?;
        let certificates = invitation.give(hash, || self.certify(guest, &keys))?;
        let organization = self.organization.msp_config().encode_to_vec();
        Ok(GrantedAdmission {
            msp_id: self.organization.msp_id().to_owned(),
            organization: STANDARD.encode(organization),
            certificates,
            ordering: ordering.to_owned(),
            kafka_brokers,
            channels,
        })
    }

    /// Makes certificates for the keys of a node, and remembers them.
    fn certify(&self, guest: &Guest, keys: &[Wanted]) -> Result<Certificates, AdmitNodeError> {
        let certificates = keys.iter().map(|key| {
            let name = certificate_name(&guest.name, key.name);
            let certified = self
                .organization
                .certify(&name, key.role, &key.point, clock::now());
            Ok((key.name.to_owned(), certified?))
        });
        let certificates: Result<Certificates, CreateIdentityError> = certificates.collect();
        let certificates = certificates.map_err(|error| AdmitNodeError::Failed(Box::new(error)))?;
        self.remember(&guest.name, &certificates)?;
        for certificate in certificates.values() {
            tell_given(&guest.name, certificate);
        }
        Ok(certificates)
    }

    /// Puts what a node was given into the CA's registry, where there is one, so that it can be revoked.
    fn remember(&self, name: &str, certificates: &Certificates) -> Result<(), AdmitNodeError> {
        let Some(authority) = self.authority.as_ref() else {
            return Ok(());
        };
        let certificates: Vec<&str> = certificates.values().map(String::as_str).collect();
        let remembered = authority.admit(name, &certificates);
        remembered.map_err(|refusal| AdmitNodeError::Failed(Box::new(refusal)))
    }

    /// How channels are ordered that another node can have too; or why there is none.
    fn lets_join(&self) -> Result<(&'static str, Option<String>), String> {
        if self.organization.ca().is_none() {
            return Err(
                "the organisation was made elsewhere, and so was its CA: join at the node that has the CA, or give the \
                 new node its own `--msp`"
                    .to_owned(),
            );
        }
        match &self.ordering {
            Ordering::Embedded => Err(
                "this node orders its channels by itself, so no other node can have them: start it with --ordering \
                 kafka, or let orderers elsewhere order"
                    .to_owned(),
            ),
            Ordering::Kafka(cluster) => Ok(("kafka", Some(cluster.brokers().to_owned()))),
            Ordering::Remote(_) => Ok(("remote", None)),
        }
    }

    /// Block 0 of the channels that are named, or of all that somebody may join.
    fn first_blocks(
        &self,
        guest: &Guest,
        asked: &[String],
    ) -> Result<BTreeMap<String, String>, AdmitNodeError> {
        let reaches = |name: &String| guest.channels.is_empty() || guest.channels.contains(name);
        if let Some(other) = asked.iter().find(|name| !reaches(name)) {
            return Err(AdmitNodeError::NotForChannel(other.clone()));
        }
        let mut names = asked.to_vec();
        if names.is_empty() {
            names = self.channels();
            names.retain(reaches);
        }
        let mut blocks = BTreeMap::new();
        let mut bytes = 0_usize;
        for name in names {
            let channel = self.channel(&name);
            let channel = channel.ok_or_else(|| AdmitNodeError::NoChannel(name.clone()))?;
            let block = channel.reader.block(0);
            let block = block.map_err(|error| AdmitNodeError::Failed(Box::new(error)))?;
            let block = block.ok_or_else(|| {
                AdmitNodeError::NotHere(format!("channel {name} begins with a later block here"))
            })?;
            let block = block.to_message().encode_to_vec();
            bytes = bytes.saturating_add(block.len());
            if bytes > MAX_BLOCK_BYTES {
                return Err(AdmitNodeError::TooLarge(MAX_BLOCK_BYTES));
            }
            blocks.insert(name, STANDARD.encode(block));
        }
        Ok(blocks)
    }
}

impl From<NotAdmitted> for AdmitNodeError {
    fn from(refused: NotAdmitted) -> Self {
        match refused {
            NotAdmitted::Unknown => Self::NotInvited,
            NotAdmitted::Used => Self::Used,
        }
    }
}

/// Puts a certificate into the log, by what a revocation needs to know of it.
fn tell_given(name: &str, certificate: &str) {
    let block = Pem::iter_from_buffer(certificate.as_bytes()).next();
    let block = block.and_then(Result::ok);
    let Some(certificate) = block.as_ref().and_then(|block| block.parse_x509().ok()) else {
        return;
    };
    let serial = hex::encode(certificate.raw_serial());
    let subject = certificate.subject().to_string();
    tracing::info!(
        name,
        serial,
        subject,
        "another node of the organisation was given a certificate"
    );
}

/// The keys of signing requests, each of which its key signed: all of a node's identities, or none.
fn read(requests: &BTreeMap<String, String>) -> Result<Vec<Wanted>, AdmitNodeError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted = Vec::new();
    for (name, role) in OWN_IDENTITIES {
        let request = requests.get(name);
        let missing = || AdmitNodeError::Invalid(format!("there is no request for {name}"));
        let request = SigningRequest::from_pem(request.ok_or_else(missing)?);
        let request = request.map_err(|refusal| {
            AdmitNodeError::Invalid(format!("the request for {name}: {refusal}"))
        })?;
        wanted.push(Wanted {
            name,
            role,
            point: request.key_bits,
        });
    }
    if requests.len() > wanted.len() {
        return Err(AdmitNodeError::Invalid(
            "there are requests for others than node, orderer and client".to_owned(),
        ));
    }
    Ok(wanted)
}
