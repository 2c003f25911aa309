//! How fast is a submit over HTTP, a read, or a page of a query? Sends requests to a running node, and beside
//! it does on the bare machine what a submit cannot do without, so that figures can be compared between machines.
//!
//! ```sh
//! cargo run --release -p quire -- --data /tmp/bench --listen 127.0.0.1:7081 &
//! cargo run --release -p quire --example bench -- --url 127.0.0.1:7081 --pid $!
//! ```
//!
//! One JSON object a line: the machine's probes, then submits in closed loops of 1, 50, 200 and 500 clients
//! (each sends its next request when it has its answer), then in an open loop at half the best rate:
//! requests are due on a schedule, and their time counts from when they were due, sent late or not. Then the
//! documents are read, by `GET` and by `evaluate`, in closed loops of 1 and 200 clients. An answer other
//! than 2xx ends the run. The node answers a submit when its block is synced to disk.
//!
//! Beside a loop stands what Fabric did on another machine, and where its processor was what bounded it,
//! also the ratio to that scaled by what the probes of this machine's processor are of that one's.
//!
//! With `--grpc 127.0.0.1:7051` all of it goes by Fabric's Gateway: each submit is endorsed, signed, ordered and asked
//! for, in three calls.
//!
//! With `--chaincode transfers` the chaincode of that name, which is `examples/transfers` or does the same, opens accounts
//! and tells of them, in place of the built-in one.
//!
//! With `--deliver 1,50` so many readers get all blocks by Fabric's Deliver service behind the loops, as fast as they can,
//! beside the block files themselves, which are read in `--data`.
//!
//! With `--find 100000` there are none of these loops: so many documents are written, an index is made, and 16 clients
//! ask for pages of 10 and of 500 of them, beside what CouchDB did with as many elsewhere, or does here
//! where `QUIRE_TEST_COUCHDB_URL` names one.

mod application;
mod client;
mod deliver;
mod find;
mod load;
mod probes;

use clap::Parser;
use serde_json::json;

use application::Signer;
use deliver::Deliver;
use find::Find;
use load::{Ask, Documents, Load};

/// Reads of a loop for one submit.
const READS: u64 = 4;

#[derive(Parser)]
struct Arguments {
    /// The node.
    #[arg(long, default_value = "127.0.0.1:7080")]
    url: String,
    /// Fabric's Gateway of the node, by which everything is submitted and read then.
    #[arg(long)]
    grpc: Option<String>,
    /// The MSP folder of whoever signs there.
    #[arg(
        long,
        requires = "grpc",
        default_value = "/tmp/bench/identities/client/msp"
    )]
    msp: std::path::PathBuf,
    /// The organisation of that.
    #[arg(long, default_value = "QuireMSP")]
    msp_id: String,
    /// Calls a chaincode that does what `examples/transfers` does, in place of the built-in one.
    #[arg(long)]
    chaincode: Option<String>,
    /// Clients of each closed loop of submits.
    #[arg(long, value_delimiter = ',', default_value = "1,50,200,500")]
    clients: Vec<u64>,
    /// Clients of each closed loop of reads; none where no number is given.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "1,200")]
    readers: Vec<u64>,
    /// Documents that one client sends in a closed loop; all of them together send at most 20 times
    /// as many. Four times as many are read.
    #[arg(long, default_value_t = 1000)]
    requests: u64,
    /// Requests a second of open loops, in place of half the best rate of the closed ones.
    #[arg(long, value_delimiter = ',')]
    rate: Vec<f64>,
    /// Seconds of each open loop, and of pages of one size.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Bytes of each document's payload member.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Gets all blocks by Fabric's Deliver service, with so many readers at a time.
    #[arg(long, value_delimiter = ',', requires = "grpc")]
    deliver: Vec<u64>,
    /// The node's data directory.
    #[arg(long, default_value = "/tmp/bench")]
    data: std::path::PathBuf,
    /// Asks for pages of so many documents instead of submitting.
    #[arg(long)]
    find: Option<u64>,
    /// A CouchDB that is asked the same pages beside the node: `http://user:password@host:port`.
    /// Without it the figures of another machine stand beside ours.
    #[arg(long, env = "QUIRE_TEST_COUCHDB_URL", hide_env_values = true)]
    couchdb: Option<String>,
    /// The node's process, to tell how much processor time it takes.
    #[arg(long)]
    pid: Option<u32>,
    /// Where to append and sync for the probes: the node's file system.
    #[arg(long, default_value = ".")]
    dir: std::path::PathBuf,
    /// Leaves the probes out, because the machine does something else already: nothing is scaled by them then.
    #[arg(long)]
    no_probes: bool,
}

impl Arguments {
    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What a submit asks for.
    fn submit<'a>(&'a self, documents: &'a Documents, text: &'a str) -> Ask<'a> {
        match &self.chaincode {
            None => Ask::Put(documents, text),
            Some(chaincode) => Ask::Open(documents, chaincode),
        }
    }

    /// What readers ask for.
    fn reads<'a>(&'a self, documents: &'a Documents) -> Vec<Ask<'a>> {
        match &self.chaincode {
            None => vec![Ask::Get(documents), Ask::Evaluate(documents)],
            Some(chaincode) => vec![Ask::Account(documents, chaincode)],
        }
    }

    async fn deliver(&self, signer: Option<&Signer>) -> Result<(), Failure> {
        if self.deliver.is_empty() {
            return Ok(());
        }
        let Some((address, signer)) = self.grpc.as_deref().zip(signer) else {
            return Ok(());
        };
        let deliver = Deliver {
            address,
            signer,
            readers: &self.deliver,
            data: &self.data,
            seconds: self.seconds,
            pid: self.pid,
        };
        deliver.run().await
    }

    /// How many documents so many clients send in a closed loop.
    fn requests_of(&self, clients: u64) -> u64 {
        self.requests.saturating_mul(clients.clamp(1, 20))
    }

    fn load<'a>(
        &'a self,
        signer: Option<&'a Signer>,
        ask: Ask<'a>,
        clients: u64,
        requests: u64,
        rate: Option<f64>,
    ) -> Load<'a> {
        Load {
            address: self.address(),
            grpc: self.grpc.as_deref().zip(signer),
            ask,
            clients,
            requests,
            rate,
            pid: self.pid,
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let processor = if arguments.no_probes {
        None
    } else {
        let (lines, processor) = probes::run(&arguments.dir)?;
        for line in lines {
            println!("{line}");
        }
        Some(processor)
    };
    if let Some(documents) = arguments.find {
        let find = Find {
            address: arguments.address(),
            couchdb: arguments.couchdb.as_deref(),
            documents,
            seconds: arguments.seconds,
            pid: arguments.pid,
        };
        return find.run().await;
    }
    let signer = match arguments.grpc {
        Some(_) => Some(Signer::read(&arguments.msp, &arguments.msp_id)?),
        None => None,
    };
    let signer = signer.as_ref();
    let text = json!({ "payload": "x".repeat(arguments.bytes) }).to_string();
    let mut best = 0.0_f64;
    let mut written = None;
    for &clients in &arguments.clients {
        let count = arguments.requests_of(clients);
        let documents = Documents::new(count);
        let ask = arguments.submit(&documents, &text);
        best = best.max(
            arguments
                .load(signer, ask, clients, count, None)
                .run(processor)
                .await?,
        );
        written = Some(documents);
    }
    let rates = if arguments.rate.is_empty() {
        vec![best / 2.0]
    } else {
        arguments.rate.clone()
    };
    for rate in rates {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of requests"
        )]
        let count = (rate * arguments.seconds) as u64;
        let documents = Documents::new(count);
        let ask = arguments.submit(&documents, &text);
        let load = arguments.load(signer, ask, 500, count, Some(rate));
        load.run(processor).await?;
    }
    if let Some(documents) = written {
        for ask in arguments.reads(&documents) {
            for &clients in &arguments.readers {
                let count = arguments.requests_of(clients).saturating_mul(READS);
                let load = arguments.load(signer, ask, clients, count, None);
                load.run(processor).await?;
            }
        }
    }
    arguments.deliver(signer).await
}
