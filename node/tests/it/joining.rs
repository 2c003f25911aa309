//! Channels whose block 0 others made: joined by it, ordered from there on, and refused where this node could
//! not order what it would begin.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use prost::Message as _;
use quire_identity::config::update_envelope;
use quire_identity::{Msp, MspFolder, MspVersion};
use quire_wire::common::{Block, Envelope, Payload, metadata_slot};
use quire_wire::config::{
    Config, ConfigEnvelope, ConfigUpdateEnvelope, ConsensusType, RaftConsenter, RaftMetadata,
};
use quire_wire::hash::data_hash;
use quire_wire::tx_id::NONCE_BYTES;
use serde_json::json;

use crate::kit::{Client, Node, Request, quire, run};

const ORG1: [&str; 2] = ["--msp-id", "Org1MSP"];

/// What configtxgen makes a channel of; `{name}` and so on are filled in.
const PROFILE: &str = r#"
Organizations:
  - &App
    Name: {app}
    ID: {app}
    MSPDir: {app_msp}
    Policies:
      Readers: {Type: Signature, Rule: "OR('{app}.member')"}
      Writers: {Type: Signature, Rule: "OR('{app}.admin', '{app}.client')"}
      Admins: {Type: Signature, Rule: "OR('{app}.admin')"}
      Endorsement: {Type: Signature, Rule: "OR('{app}.peer')"}
  - &Order
    Name: {order}
    ID: {order}
    MSPDir: {order_msp}
    OrdererEndpoints: [{endpoints}]
    Policies:
      Readers: {Type: Signature, Rule: "OR('{order}.member')"}
      Writers: {Type: Signature, Rule: "OR('{order}.member')"}
      Admins: {Type: Signature, Rule: "OR('{order}.admin')"}
Profiles:
  One:
    Policies: &Policies
      Readers: {Type: ImplicitMeta, Rule: "ANY Readers"}
      Writers: {Type: ImplicitMeta, Rule: "ANY Writers"}
      Admins: {Type: ImplicitMeta, Rule: "MAJORITY Admins"}
    Capabilities: {V2_0: true}
    Orderer:
      OrdererType: solo
      BatchTimeout: 2s
      BatchSize: {MaxMessageCount: 10, AbsoluteMaxBytes: 99 MB, PreferredMaxBytes: 512 KB}
      Organizations: [*Order]
      Policies:
        <<: *Policies
        BlockValidation: {Type: ImplicitMeta, Rule: "ANY Writers"}
      Capabilities: {V2_0: true}
    Application:
      Organizations: [*App]
      Policies:
        <<: *Policies
        Endorsement: {Type: ImplicitMeta, Rule: "MAJORITY Endorsement"}
        LifecycleEndorsement: {Type: ImplicitMeta, Rule: "MAJORITY Endorsement"}
      Capabilities: {V2_5: true}
"#;

/// An organisation: its MSP id, and the folder of its MSP.
type Org<'a> = (&'a str, &'a Path);

/// Block 0 of a channel by our own configtxgen, in a file.
fn genesis(folder: &Path, channel: &str, app: Org<'_>, order: Org<'_>) -> PathBuf {
    genesis_at(folder, channel, app, order, &["orderer.example.com:7050"])
}

/// The same with orderers at these addresses.
pub(crate) fn genesis_at(
    folder: &Path,
    channel: &str,
    app: Org<'_>,
    order: Org<'_>,
    endpoints: &[&str],
) -> PathBuf {
    let endpoints = endpoints.iter().map(|at| format!("{at:?}"));
    let endpoints = endpoints.collect::<Vec<_>>().join(", ");
    let profile = PROFILE
        .replace("{endpoints}", &endpoints)
        .replace("{app}", app.0)
        .replace("{app_msp}", app.1.to_str().unwrap())
        .replace("{order}", order.0)
        .replace("{order_msp}", order.1.to_str().unwrap());
    std::fs::write(folder.join("configtx.yaml"), profile).unwrap();
    let file = folder.join(format!("{channel}.block"));
    let mut command = quire(&[]);
    command.args(["configtxgen", "-profile", "One", "-channelID", channel]);
    command.arg("-configPath").arg(folder);
    command.arg("-outputBlock").arg(&file);
    succeeded(&command.output().unwrap());
    file
}

pub(crate) fn succeeded(output: &Output) -> String {
    let told = told(output);
    assert!(output.status.success(), "{told}");
    told
}

pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn join(data: &Path, block: &Path) -> Output {
    let join = ["channel", "join", "--block", block.to_str().unwrap()];
    run(&[&join[..], &ORG1].concat(), data)
}

pub(crate) fn put(client: &Client, channel: &str, key: &str) {
    let request = Request {
        method: "PUT",
        path: format!("/v1/channels/{channel}/state/orders/{key}"),
        headers: vec![("content-type", "application/json".to_owned())],
        body: json!({"n": 1}).to_string(),
    };
    let answer = client.send(&request).unwrap();
    assert_eq!(answer.json()["code"], "VALID", "{}", answer.text());
}

/// The same block with another configuration, sound in itself.
fn changed(block: &Path, change: impl FnOnce(&mut Config)) -> Block {
    let mut block = Block::decode(&std::fs::read(block).unwrap()[..]).unwrap();
    let data = block.data.as_mut().unwrap();
    let mut envelope = Envelope::decode(data.data[0].clone()).unwrap();
    let mut payload = Payload::decode(envelope.payload.clone()).unwrap();
    let mut config = ConfigEnvelope::decode(payload.data.clone()).unwrap();
    change(config.config.as_mut().unwrap());
    payload.data = config.encode_to_vec().into();
    envelope.payload = payload.encode_to_vec().into();
    data.data = vec![envelope.encode_to_vec().into()];
    let hash = data_hash(&data.data).to_vec();
    block.header.as_mut().unwrap().data_hash = hash.into();
    block
}

/// Sets how the orderers of a configuration agree.
fn set_consensus(config: &mut Config, kind: &str, consenters: &[&str]) {
    let consenters = consenters.iter().map(|host| RaftConsenter {
        host: (*host).to_owned(),
        port: 7050,
    });
    let metadata = RaftMetadata {
        consenters: consenters.collect(),
    };
    let consensus = ConsensusType {
        r#type: kind.to_owned(),
        metadata: metadata.encode_to_vec().into(),
        state: 0,
    };
    let root = config.channel_group.as_mut().unwrap();
    let orderer = root.groups.get_mut("Orderer").unwrap();
    let value = orderer.values.get_mut("ConsensusType").unwrap();
    value.value = consensus.encode_to_vec().into();
}

#[test]
fn a_block_of_configtxgen_is_block_0_byte_for_byte_and_its_channel_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::start_with(&data, &ORG1);
    let msp = data.join("organization/msp");
    let block = genesis(folder.path(), "ours", ("Org1MSP", &msp), ("Org1MSP", &msp));
    let told = succeeded(&join(&data, &block));
    assert!(told.contains("channel ours joined"), "{told}");
    assert!(told.contains("Org1MSP: orders, endorses"), "{told}");
    put(&node.client(), "ours", "1");
    node.kill();
    let node = Node::start_with(&data, &ORG1);
    put(&node.client(), "ours", "2");
    let read = node.client().json("/v1/channels/ours/state/orders/1");
    assert_eq!(read, json!({"n": 1}));
    let again = succeeded(&join(&data, &block));
    assert!(again.contains("was joined already"), "{again}");
    let fetched = folder.path().join("fetched.block");
    let fetch = ["channel", "fetch", "oldest", fetched.to_str().unwrap()];
    succeeded(&run(&[&fetch[..], &["--channel", "ours"]].concat(), &data));
    let read = |path: &Path| Block::decode(&std::fs::read(path).unwrap()[..]).unwrap();
    let (given, kept) = (read(&block), read(&fetched));
    assert_eq!((&given.header, &given.data), (&kept.header, &kept.data));
    // The other slots are the peer's.
    for slot in [metadata_slot::SIGNATURES, metadata_slot::LAST_CONFIG] {
        let slot = |block: &Block| block.metadata.as_ref().unwrap().metadata[slot].clone();
        assert_eq!(slot(&given), slot(&kept));
    }
    let check = [&["check", "--signatures", "--revalidate"], &ORG1[..]].concat();
    succeeded(&run(&check, &data));
    drop(node);
    succeeded(&run(&check, &data));
}

/// A stopped node with an organisation of its own, and block 0 of a channel that it could order.
struct Stopped {
    folder: tempfile::TempDir,
    data: PathBuf,
    block: PathBuf,
}

impl Stopped {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let create = [&["channel", "create", "main"], &ORG1[..]].concat();
        succeeded(&run(&create, &data));
        let msp = data.join("organization/msp");
        let ours = ("Org1MSP", &*msp);
        let block = genesis(folder.path(), "ours", ours, ours);
        Self {
            folder,
            data,
            block,
        }
    }

    fn refuses(&self, block: &Path, reason: &str) {
        let output = join(&self.data, block);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(reason), "{reason}: {told}");
    }

    fn refuses_changed(&self, change: impl FnOnce(&mut Block), reason: &str) {
        let mut block = Block::decode(&std::fs::read(&self.block).unwrap()[..]).unwrap();
        change(&mut block);
        let written = self.folder.path().join("changed.block");
        std::fs::write(&written, block.encode_to_vec()).unwrap();
        self.refuses(&written, reason);
    }

    fn refuses_configured(&self, change: impl FnOnce(&mut Config), reason: &str) {
        self.refuses_changed(|one| *one = changed(&self.block, change), reason);
    }
}

#[test]
fn a_block_that_is_not_the_first_or_not_sound_or_not_ours_to_order_is_refused_with_the_reason() {
    let node = Stopped::new();
    let folder = node.folder.path();
    let other = folder.join("other");
    let as_other = ["channel", "create", "main", "--msp-id", "OtherMSP"];
    succeeded(&run(&as_other, &other));
    let (ours, theirs) = (
        node.data.join("organization/msp"),
        other.join("organization/msp"),
    );
    let (ours, theirs) = (("Org1MSP", &*ours), ("OtherMSP", &*theirs));
    let elsewhere = genesis(folder, "elsewhere", ours, theirs);
    let reason = "of Org1MSP, may not sign blocks of the channel, which OtherMSP order";
    node.refuses(&elsewhere, reason);
    let taken = genesis(folder, "main", ours, ours);
    node.refuses(
        &taken,
        "there is another channel main: it has another block 0",
    );
    let upper = genesis(folder, "Upper", ours, ours);
    node.refuses(&upper, "\"Upper\" is not the name of a channel");
    node.refuses_changed(
        |block| block.header.as_mut().unwrap().number = 7,
        "it is block 7: a channel is joined by its block 0",
    );
    node.refuses_changed(
        |block| block.header.as_mut().unwrap().data_hash = vec![7; 32].into(),
        "its data hash is not the hash of what it holds",
    );
    node.refuses_changed(
        |block| block.data.as_mut().unwrap().data.clear(),
        "the block holds no configuration",
    );
    // A signature that is there must hold; configtxgen makes none.
    let theirs = folder.join("theirs.block");
    let fetch = ["channel", "fetch", "oldest", theirs.to_str().unwrap()];
    succeeded(&run(&fetch, &node.data));
    let signed = Block::decode(&std::fs::read(&theirs).unwrap()[..]).unwrap();
    node.refuses_changed(
        |block| block.metadata = signed.metadata,
        "a signature in the block does not hold",
    );
}

#[test]
fn a_configuration_that_this_node_could_not_order_or_govern_is_refused_with_the_reason() {
    let node = Stopped::new();
    node.refuses_configured(
        |config| set_consensus(config, "etcdraft", &["a", "b"]),
        "the channel names 2 orderers, a:7050, b:7050",
    );
    node.refuses_configured(
        |config| set_consensus(config, "BFT", &[]),
        "ordered by \"BFT\"",
    );
    node.refuses_configured(
        |config| {
            let root = config.channel_group.as_mut().unwrap();
            root.policies.remove("Writers").unwrap();
        },
        "/Channel/Writers would be missing",
    );
    node.refuses_configured(
        |config| {
            let root = config.channel_group.as_mut().unwrap();
            root.groups.remove("Application").unwrap();
        },
        "the configuration has no application group",
    );
    node.refuses_configured(
        |config| {
            let root = config.channel_group.as_mut().unwrap();
            let application = root.groups.get_mut("Application").unwrap();
            let value = application.values.get_mut("Capabilities").unwrap();
            let text = String::from_utf8(value.value.to_vec()).unwrap();
            value.value = text.replace("V2_5", "V9_9").into();
        },
        "the application capability \"V9_9\" is required, and not known here",
    );
    let one = changed(&node.block, |config| {
        set_consensus(config, "etcdraft", &["a"]);
    });
    let written = node.folder.path().join("one.block");
    std::fs::write(&written, one.encode_to_vec()).unwrap();
    succeeded(&join(&node.data, &written));
    node.refuses(&node.block, "there is another channel ours");
}

/// Organisations as cryptogen makes them.
pub(crate) struct Crypto(pub(crate) tempfile::TempDir);

impl Crypto {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let description = folder.path().join("crypto-config.yaml");
        let org = |name: &str| {
            format!(
                "  - {{Name: {name}, Domain: {name}.example.com, EnableNodeOUs: true, \
                 Template: {{Count: 2, SANS: [127.0.0.1]}}, Users: {{Count: 2}}}}\n"
            )
        };
        let text = ["PeerOrgs:\n".to_owned(), org("org1"), org("org2")].concat();
        std::fs::write(&description, text).unwrap();
        let mut command = quire(&[]);
        command.args(["cryptogen", "generate", "--config"]);
        command.arg(&description);
        command.arg("--output").arg(folder.path().join("crypto"));
        succeeded(&command.output().unwrap());
        Self(folder)
    }

    pub(crate) fn org(&self, name: &str) -> PathBuf {
        let organizations = self.0.path().join("crypto/peerOrganizations");
        organizations.join(format!("{name}.example.com"))
    }

    /// The MSP folder of a peer or a user of an organisation.
    pub(crate) fn msp(&self, name: &str, who: &str) -> String {
        let (kind, who) = if who.starts_with("peer") {
            ("peers", format!("{who}.{name}.example.com"))
        } else {
            ("users", format!("{who}@{name}.example.com"))
        };
        let folder = self.org(name).join(kind).join(who).join("msp");
        folder.to_str().unwrap().to_owned()
    }

    /// The flags of a node that is given its organisation.
    fn flags(&self) -> Vec<String> {
        let (peer, user) = (self.msp("org1", "peer0"), self.msp("org1", "User1"));
        let flags = ["--msp-id", "Org1MSP", "--msp", &peer, "--client-msp", &user];
        flags.map(str::to_owned).into()
    }
}

pub(crate) fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn a_node_that_is_given_its_organisation_joins_writes_and_goes_on_without_being_given_it_again() {
    let crypto = Crypto::new();
    let folder = crypto.0.path();
    let data = folder.join("data");
    let msp = crypto.org("org1").join("msp");
    let org = ("Org1MSP", &*msp);
    let block = genesis(folder, "ours", org, org);
    let flags = crypto.flags();
    let file = block.to_str().unwrap();
    let join = [&["channel", "join", "--block", file], &words(&flags)[..]].concat();
    let told = succeeded(&run(&join, &data));
    assert!(told.contains("Org1MSP: orders, endorses"), "{told}");
    let node = Node::start_with(&data, &words(&flags));
    // The first start makes no channel of its own beside the one that was joined.
    let channels = node.client().json("/v1/channels");
    assert_eq!(
        channels["channels"].as_array().unwrap().len(),
        1,
        "{channels}"
    );
    put(&node.client(), "ours", "1");
    node.kill();
    let node = Node::start_with(&data, &ORG1);
    let read = node.client().json("/v1/channels/ours/state/orders/1");
    assert_eq!(read, json!({"n": 1}));
    put(&node.client(), "ours", "2");
    let check = [&["check", "--signatures", "--revalidate"], &ORG1[..]].concat();
    succeeded(&run(&check, &data));
    drop(node);
    succeeded(&run(&check, &data));
    assert!(!data.join("organization/ca").exists());
}

#[test]
fn identities_of_a_given_organisation_are_imported_and_none_is_made() {
    let crypto = Crypto::new();
    let folder = crypto.0.path();
    let data = folder.join("data");
    let msp = crypto.org("org1").join("msp");
    let org = ("Org1MSP", &*msp);
    let block = genesis(folder, "ours", org, org);
    let node = Node::start_with(&data, &words(&crypto.flags()));
    succeeded(&join(&data, &block));
    let with = |arguments: &[&str]| run(&[arguments, &ORG1[..]].concat(), &data);
    let set = ["channel", "config", "set", "batch-size.max-messages", "7"];
    let set = [&set[..], &["--channel", "ours"]].concat();
    let refused = |output: &Output, reason: &str| {
        let told = told(output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(reason), "{told}");
    };
    refused(&with(&set), "brought in with `quire identity import`");
    let admin = crypto.msp("org1", "Admin");
    let import = ["identity", "import", "org-admin", &admin];
    let told = succeeded(&with(&import));
    assert!(told.contains("with the role admin"), "{told}");
    let told = succeeded(&with(&set));
    assert!(told.contains("is in force from block 1"), "{told}");
    let token = ["token", "create", "--identity", "alice", "--role", "writer"];
    refused(&with(&token), "this node cannot make \"alice\"");
    let alice = crypto.msp("org1", "User2");
    let of_others = crypto.msp("org2", "User1");
    let import = |folder: &str| with(&["identity", "import", "alice", folder]);
    refused(&import(&of_others), "is none of the organisation");
    succeeded(&import(&alice));
    succeeded(&import(&alice));
    refused(&import(&admin), "there is an identity \"alice\" already");
    succeeded(&with(&token));
    drop(node);
    // The same with the node stopped.
    let import = ["identity", "import", "bob", &crypto.msp("org1", "User1")];
    succeeded(&with(&import));
    succeeded(&with(&["check"]));
    let listen = [
        "run",
        "--listen",
        "127.0.0.1:0",
        "--ca-listen",
        "127.0.0.1:0",
    ];
    refused(&with(&listen), "its CA's key is not here");
    let made = folder.join("made");
    succeeded(&run(&["channel", "create", "main"], &made));
    let import = ["identity", "import", "bob", &crypto.msp("org1", "User1")];
    refused(&run(&import, &made), "makes its identities itself");
}

#[test]
fn another_organisation_than_the_first_is_refused_at_a_start() {
    let crypto = Crypto::new();
    let data = crypto.0.path().join("data");
    let (peer, user) = (crypto.msp("org1", "peer0"), crypto.msp("org1", "User1"));
    let create = |data: &Path, msp_id: &str, msp: &str, client: &str| {
        let flags = ["--msp-id", msp_id, "--msp", msp, "--client-msp", client];
        run(&[&["channel", "create", "main"], &flags[..]].concat(), data)
    };
    let refused = |output: Output, reason: &str| {
        let told = told(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(reason), "{told}");
    };
    let nothing = crypto.0.path().join("nothing");
    let nowhere = crypto.0.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    refused(create(&nothing, "Org1MSP", nowhere, &user), "nowhere");
    let theirs = crypto.msp("org2", "User1");
    let none = "is none of the organisation";
    refused(create(&nothing, "Org1MSP", &peer, &theirs), none);
    assert!(!nothing.join("organization").exists());
    succeeded(&create(&data, "Org1MSP", &peer, &user));
    let other_peer = crypto.msp("org1", "peer1");
    let not_the_one = "is not the one that was given for";
    refused(create(&data, "Org1MSP", &other_peer, &user), not_the_one);
    let other_user = crypto.msp("org1", "User2");
    refused(create(&data, "Org1MSP", &peer, &other_user), not_the_one);
    let of_others = (crypto.msp("org2", "peer0"), crypto.msp("org2", "User1"));
    let other = "is not the organisation that was given";
    refused(create(&data, "Org1MSP", &of_others.0, &of_others.1), other);
    refused(
        create(&data, "Org2MSP", &peer, &user),
        "belongs to the organisation",
    );
    let run_other = ["run", "--listen", "127.0.0.1:0", "--msp", &other_peer];
    refused(run(&[&run_other[..], &ORG1].concat(), &data), not_the_one);
    let made = crypto.0.path().join("made");
    succeeded(&run(
        &[&["channel", "create", "main"], &ORG1[..]].concat(),
        &made,
    ));
    let made_here = "is an organisation that was made here";
    refused(create(&made, "Org1MSP", &peer, &user), made_here);
}

/// A node that serves osnadmin, and who asks it.
struct Served {
    crypto: Crypto,
    data: PathBuf,
    node: Node,
    address: String,
}

impl Served {
    fn start() -> Self {
        let crypto = Crypto::new();
        let data = crypto.0.path().join("data");
        let org = crypto.org("org1");
        let tls = org.join("peers/peer0.org1.example.com/tls");
        let authority = org.join("tlsca/tlsca.org1.example.com-cert.pem");
        let paths = [tls.join("server.crt"), tls.join("server.key"), authority];
        let [certificate, key, authority] = paths.map(|path| path.to_str().unwrap().to_owned());
        let mut flags = crypto.flags();
        for (flag, value) in [
            ("listen", "127.0.0.1:0"),
            ("client-ca", &authority),
            ("tls-cert", &certificate),
            ("tls-key", &key),
        ] {
            flags.push(format!("--participation-{flag}"));
            flags.push(value.to_owned());
        }
        let node = Node::start_with(&data, &words(&flags));
        let address = loop {
            let log = node.log();
            let told = log.split("osnadmin is served on https://").nth(1);
            if let Some((address, _)) = told.and_then(|rest| rest.split_once('\n')) {
                break address.to_owned();
            }
            std::thread::yield_now();
        };
        Self {
            crypto,
            data,
            node,
            address,
        }
    }

    /// What our own osnadmin says, as the administrator of an organisation.
    fn osnadmin(&self, org: &str, arguments: &[&str]) -> Output {
        let tlsca = "tlsca/tlsca.org1.example.com-cert.pem";
        let tls = self
            .crypto
            .org(org)
            .join(format!("users/Admin@{org}.example.com/tls"));
        let mut command = quire(&[]);
        command.args(["osnadmin", "channel"]).args(arguments);
        command.args(["--orderer-address", &self.address]);
        command
            .arg("--ca-file")
            .arg(self.crypto.org("org1").join(tlsca));
        command.arg("--client-cert").arg(tls.join("client.crt"));
        command.arg("--client-key").arg(tls.join("client.key"));
        command.output().unwrap()
    }

    /// An update of the channel in an envelope that an administrator signed, in a file.
    fn signed_update(&self, folder: &Path) -> PathBuf {
        let admin = self.crypto.msp("org1", "Admin");
        let with = |arguments: &[&str]| {
            succeeded(&run(&[arguments, &ORG1[..]].concat(), &self.data));
        };
        with(&["identity", "import", "org-admin", &admin]);
        let file = folder.join("update.pb");
        let set = ["channel", "config", "set", "batch-size.max-messages", "7"];
        let to = ["--channel", "ours", "--output", file.to_str().unwrap()];
        with(&[&set[..], &to].concat());
        let envelope = Envelope::decode(&std::fs::read(&file).unwrap()[..]).unwrap();
        let payload = Payload::decode(envelope.payload).unwrap();
        let update = ConfigUpdateEnvelope::decode(payload.data).unwrap();
        let read = MspFolder::read(Path::new(&admin), "Org1MSP").unwrap();
        let msp = Msp::from_config(&read.config, MspVersion::V3_0).unwrap();
        let now = std::fs::metadata(&file).unwrap().modified().unwrap();
        let admin = read.signer(&msp, now).unwrap();
        let signed = update_envelope("ours", &update, &admin, &[7; NONCE_BYTES], now);
        std::fs::write(&file, signed).unwrap();
        file
    }

    fn asks(&self, arguments: &[&str], status: u16, content: &str) {
        let told = succeeded(&self.osnadmin("org1", arguments));
        assert!(told.starts_with(&format!("Status: {status}\n")), "{told}");
        assert!(told.contains(content), "{content}: {told}");
    }
}

#[test]
fn osnadmin_lists_joins_and_fetches_and_is_told_what_is_not_offered() {
    let served = Served::start();
    let folder = served.crypto.0.path();
    let msp = served.crypto.org("org1").join("msp");
    let org = ("Org1MSP", &*msp);
    let other = served.crypto.org("org2").join("msp");
    served.asks(&["list"], 200, "\"systemChannel\": null");
    served.asks(&["list", "-c", "ours"], 404, "channel does not exist");
    let elsewhere = genesis(folder, "elsewhere", org, ("Org2MSP", &other));
    let block = elsewhere.to_str().unwrap();
    let join = ["join", "-c", "elsewhere", "-b", block];
    served.asks(&join, 400, "cannot join: ");
    let block = genesis(folder, "ours", org, org);
    let join = ["join", "-c", "ours", "-b", block.to_str().unwrap()];
    served.asks(&join, 201, "\"url\": \"/participation/v1/channels/ours\"");
    put(&served.node.client(), "ours", "1");
    served.asks(&join, 405, "cannot join: channel already exists");
    served.asks(&["list"], 200, "\"name\": \"ours\"");
    let info = ["list", "-c", "ours"];
    served.asks(&info, 200, "\"consensusRelation\": \"other\"");
    served.asks(&info, 200, "\"status\": \"active\"");
    served.asks(&info, 200, "\"height\": 2");
    let update = served.signed_update(folder);
    let update = ["update", "-c", "ours", "-e", update.to_str().unwrap()];
    served.asks(&update, 201, "\"height\": 3");
    served.asks(&update, 400, "cannot update: ");
    served.asks(
        &["remove", "-c", "ours"],
        405,
        "this node removes no channel",
    );
    served.asks(&["remove", "-c", "nobody"], 404, "channel does not exist");
    let fetched = folder.join("fetched.block");
    let file = fetched.to_str().unwrap();
    for (number, of_channel) in [("oldest", 0), ("config", 2), ("1", 1), ("newest", 2)] {
        served.asks(&["fetch", "-c", "ours", "-b", number, "-f", file], 200, "");
        let fetched = Block::decode(&std::fs::read(&fetched).unwrap()[..]).unwrap();
        assert_eq!(fetched.header.unwrap().number, of_channel, "{number}");
    }
    served.asks(
        &["fetch", "-c", "ours", "-b", "9", "-f", file],
        404,
        "no such block",
    );
    succeeded(&run(&[&["check"], &ORG1[..]].concat(), &served.data));
}

#[test]
fn nobody_without_a_certificate_of_the_named_authority_gets_to_administer_channels() {
    let served = Served::start();
    let refused = served.osnadmin("org2", &["list"]);
    let told = told(&refused);
    assert!(
        !refused.status.success() && !told.contains("Status:"),
        "{told}"
    );
    // With no certificate at all the handshake does not come to its end.
    let tlsca = "tlsca/tlsca.org1.example.com-cert.pem";
    let anonymous = Command::new("curl")
        .args(["--silent", "--show-error", "--cacert"])
        .arg(served.crypto.org("org1").join(tlsca))
        .arg(format!(
            "https://{}/participation/v1/channels",
            served.address
        ))
        .output()
        .unwrap();
    let shown = self::told(&anonymous);
    assert!(!anonymous.status.success(), "{shown}");
    assert!(!shown.contains("systemChannel"), "{shown}");
    let plain = Client::new(&served.address);
    let request = Request::get("/participation/v1/channels".to_owned());
    let answer = plain.send(&request).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    let api = served.node.client().send(&request).unwrap();
    assert_eq!(api.status, 404, "it is not among the API: {}", api.text());
    // Never without TLS, and never without somebody whose certificates count.
    let listen = ["run", "--participation-listen", "127.0.0.1:0"];
    let client_ca = ["--participation-client-ca", "ca.pem"];
    let nowhere = served.crypto.0.path().join("nowhere");
    for (flags, reason) in [
        (&[][..], "--participation-client-ca"),
        (&client_ca[..], "served by mutual TLS alone"),
    ] {
        let output = run(&[&listen[..], flags].concat(), &nowhere);
        let told = self::told(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(reason), "{told}");
    }
}
