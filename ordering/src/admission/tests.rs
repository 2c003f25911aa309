use std::sync::Arc;
use std::time::Duration;

use quire_identity::config::genesis_group;
use quire_identity::{Bundle, Organization, Role};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Header, Payload, SignatureHeader};
use quire_wire::config::{Config, ConfigGroup};
use quire_wire::transaction::seal;
use quire_wire::tx_id::tx_id;

use super::*;

const CHANNEL: &str = "main";
const LIMITS: BatchSize = BatchSize {
    max_message_count: 10,
    absolute_max_bytes: 4000,
    preferred_max_bytes: 2000,
};
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

struct Network {
    _dir: tempfile::TempDir,
    root: ConfigGroup,
    client: Arc<SigningIdentity>,
    peer: Arc<SigningIdentity>,
    stranger: Arc<SigningIdentity>,
}

impl Network {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let organization = |name: &str| {
            let made = Organization::open_or_create(
                &quire_disk::os(),
                &dir.path().join(name),
                name,
                now(),
            );
            made.unwrap()
        };
        let (ours, theirs) = (organization("OursMSP"), organization("TheirsMSP"));
        let identity = |organization: &Organization, name: &str, role| {
            organization.create_identity(name, role, now()).unwrap()
        };
        Self {
            root: genesis_group(&[ours.msp_config()], LIMITS, "2s"),
            client: identity(&ours, "someone", Role::Client),
            peer: identity(&ours, "somepeer", Role::Peer),
            stranger: identity(&theirs, "stranger", Role::Client),
            _dir: dir,
        }
    }

    fn admission(&self, writers: &str) -> Admission {
        let config = Config {
            sequence: 3,
            channel_group: Some(self.root.clone()),
        };
        let bundle = Bundle::new(CHANNEL, config).unwrap();
        let writers = bundle.policy(writers);
        Admission::new(CHANNEL.into(), 3, LIMITS, bundle.msps().clone(), writers)
    }
}

/// What an envelope says about itself.
struct Said<'a> {
    kind: i32,
    channel: &'a str,
    tx_id: &'a str,
    creator: &'a SigningIdentity,
    data: Bytes,
}

impl<'a> Said<'a> {
    fn by(creator: &'a SigningIdentity) -> Self {
        Self {
            kind: header_type::ENDORSER_TRANSACTION,
            channel: CHANNEL,
            tx_id: "",
            creator,
            data: "data".into(),
        }
    }

    fn payload(&self) -> Bytes {
        let channel_header = ChannelHeader {
            r#type: self.kind,
            channel_id: self.channel.to_owned(),
            tx_id: self.tx_id.to_owned(),
            ..ChannelHeader::default()
        };
        let signature_header = SignatureHeader {
            creator: self.creator.serialized().clone(),
            nonce: "nonce".into(),
        };
        let payload = Payload {
            header: Some(Header {
                channel_header: channel_header.encode_to_vec().into(),
                signature_header: signature_header.encode_to_vec().into(),
            }),
            data: self.data.clone(),
        };
        payload.encode_to_vec().into()
    }

    fn sealed(&self) -> Bytes {
        let payload = self.payload();
        let signature = self.creator.sign(&payload);
        seal(payload, signature)
    }
}

#[test]
fn an_envelope_of_a_writer_is_let_in() {
    let network = Network::new();
    let admission = network.admission("/Channel/Writers");
    let envelope = Said::by(&network.client).sealed();
    let opened = admission.admit(&envelope, now()).unwrap();
    assert_eq!(opened.signature_header.creator, network.client.serialized());
    assert_eq!(admission.admit_again(&envelope), Ok(()));
    assert_eq!(admission.sequence(), 3);
}

#[test]
fn every_filter_of_broadcast_refuses_what_it_is_there_for() {
    let network = Network::new();
    let admission = network.admission("/Channel/Writers");
    let refused = |envelope: &Bytes| admission.admit(envelope, now()).unwrap_err();

    let malformed = Refused::Malformed(Code::INVALID_OTHER_REASON);
    assert_eq!(refused(&Bytes::from_static(b"\xff")), malformed);
    assert_eq!(refused(&seal(Bytes::new(), "sig".into())), Refused::Empty);
    assert_eq!(refused(&Bytes::new()), Refused::Empty);
    let no_header = seal(b"\x12\x01d".as_slice().into(), "sig".into());
    let malformed = Refused::Malformed(Code::BAD_COMMON_HEADER);
    assert_eq!(refused(&no_header), malformed);

    let mut said = Said::by(&network.client);
    said.channel = "other";
    let other = Refused::OtherChannel("other".to_owned());
    assert_eq!(refused(&said.sealed()), other);

    let another = tx_id(b"another nonce", network.client.serialized());
    let mut said = Said::by(&network.client);
    said.tx_id = &another;
    assert_eq!(refused(&said.sealed()), Refused::TxId(another.clone()));
    let own = tx_id(b"nonce", network.client.serialized());
    said.tx_id = &own;
    assert!(admission.admit(&said.sealed(), now()).is_ok());

    for kind in [header_type::CONFIG, header_type::ORDERER_TRANSACTION] {
        let mut said = Said::by(&network.client);
        said.kind = kind;
        assert_eq!(refused(&said.sealed()), Refused::Kind(kind));
    }

    let stranger = refused(&Said::by(&network.stranger).sealed());
    assert!(
        matches!(&stranger, Refused::Creator(IdentityError::UnknownMsp(id)) if id == "TheirsMSP"),
        "{stranger:?}"
    );

    let payload = Said::by(&network.client).payload();
    let of_another = network.peer.sign(&payload);
    let mismatch = Refused::Signature(SignatureError::Mismatch);
    assert_eq!(refused(&seal(payload.clone(), of_another)), mismatch);
    let malformed = Refused::Signature(SignatureError::Malformed);
    assert_eq!(refused(&seal(payload, Bytes::new())), malformed);
}

/// The limit counts payload and signature, but not the frame around them.
#[test]
fn only_the_absolute_size_refuses_an_envelope() {
    let network = Network::new();
    let admission = network.admission("/Channel/Writers");
    let here = |size| admission.admit_made_here(&network.client, size, now());
    for size_bytes in [0, 2000, 2001, 4000] {
        assert_eq!(here(size_bytes), Ok(()), "{size_bytes}");
    }
    let refused = here(4001).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the transaction has 4001 bytes, the channel allows 4000"
    );

    let mut said = Said::by(&network.client);
    said.data = vec![b'd'; 4000].into();
    let refused = admission.admit(&said.sealed(), now()).unwrap_err();
    assert!(matches!(refused, Refused::TooLarge(_)), "{refused:?}");
    let again = admission.admit_again(&said.sealed()).unwrap_err();
    assert!(matches!(again, Refused::TooLarge(_)), "{again:?}");
}

#[test]
fn what_stands_around_payload_and_signature_counts_where_it_is_more_than_their_frame() {
    let network = Network::new();
    let admission = network.admission("/Channel/Writers");
    let sealed = Said::by(&network.client).sealed();
    admission.admit(&sealed, now()).unwrap();
    // An unknown field 15 has 5,000 bytes.
    let padded = [&sealed[..], &[0x7a, 0x88, 0x27], &[0; 5000]].concat();
    let refused = admission.admit(&padded.into(), now()).unwrap_err();
    assert!(matches!(refused, Refused::TooLarge(_)), "{refused:?}");
}

#[test]
fn who_is_none_of_the_writers_is_refused_whoever_made_the_envelope() {
    let network = Network::new();
    let admission = network.admission("/Channel/Application/Writers");
    let not_a_writer = Refused::NotAWriter("somepeer".to_owned());
    let envelope = Said::by(&network.peer).sealed();
    assert_eq!(admission.admit(&envelope, now()).unwrap_err(), not_a_writer);
    assert_eq!(admission.admit_again(&envelope), Err(not_a_writer.clone()));
    for _ in 0..2 {
        let here = |creator: &SigningIdentity| admission.admit_made_here(creator, 9, now());
        assert_eq!(here(&network.peer), Err(not_a_writer.clone()));
        assert_eq!(here(&network.client), Ok(()));
        let stranger = here(&network.stranger).unwrap_err();
        assert!(matches!(stranger, Refused::Creator(_)), "{stranger:?}");
    }
    // Only identities that may write are remembered.
    assert_eq!(admission.members.read().len(), 1);
}

#[test]
fn nobody_writes_where_the_configuration_does_not_say_who_may() {
    let network = Network::new();
    let admission = network.admission("/Channel/Nobody");
    let missing = PolicyError::Missing("/Channel/Nobody".to_owned());
    let missing = Refused::Policy(missing);
    let envelope = Said::by(&network.client).sealed();
    assert_eq!(admission.admit(&envelope, now()).unwrap_err(), missing);
    let here = admission.admit_made_here(&network.client, 9, now());
    assert_eq!(here, Err(missing));
}

#[test]
fn a_creator_whose_certificate_has_expired_is_refused_also_one_that_was_let_in_before() {
    let network = Network::new();
    let admission = network.admission("/Channel/Writers");
    let envelope = Said::by(&network.client).sealed();
    let expired = Refused::Expired("someone".to_owned());
    for (years, refused) in [(29, None), (31, Some(&expired)), (0, None)] {
        let then = now() + years * YEAR;
        let admitted = admission.admit(&envelope, then).map(drop);
        assert_eq!(admitted.err().as_ref(), refused, "after {years} years");
        let here = admission.admit_made_here(&network.client, 9, then);
        assert_eq!(here.err().as_ref(), refused, "after {years} years");
    }
}
