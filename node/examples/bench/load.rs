//! Many requests of one kind from some clients, and how long each took.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::sleep_until;

use crate::application::{Caller, Signer};
use crate::client::Client;
use crate::{Failure, probes};

/// Longest run.
const LONGEST: Duration = Duration::from_secs(120);
/// The namespace of the documents.
const NAMESPACE: &str = "bench";
const STATE: &str = "/v1/channels/main/state/bench";
const EVALUATE: &str = "/v1/channels/main/evaluate";
const TRANSACTIONS: &str = "/v1/channels/main/transactions";

/// Functions of the chaincode that `examples/transfers` is: one reads a key and writes it, one reads a key.
const OPEN: &str = "OpenAccount";
const ACCOUNT: &str = "GetAccount";
/// The limit of a new account.
const LIMIT: &str = "100";

/// Requests a second of Fabric (main, v3.1 line; gateway, peer with a Go chaincode and orderer, TLS) on
/// another machine of two cores, its client on the same: clients, and documents submitted.
const FABRIC_SUBMITS: [(u64, f64); 4] = [(1, 5.0), (50, 200.0), (200, 630.0), (500, 956.0)];
/// The same, evaluations of a chaincode that reads a key.
const FABRIC_EVALUATES: [(u64, f64); 2] = [(1, 635.0), (200, 2_906.0)];
/// From so many clients on, Fabric's figures are bound by its processor and not by its batch timeout.
const FABRIC_BUSY: u64 = 200;

/// Documents of a run, which have names that no other run's have.
pub(crate) struct Documents {
    run: String,
    count: u64,
}

impl Documents {
    pub(crate) fn new(count: u64) -> Self {
        Self {
            run: format!("{:x}", probes::now_nanos()),
            count,
        }
    }

    fn key(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// One of them; consecutive numbers give keys that lie far apart.
    fn any_key(&self, number: u64) -> String {
        self.key(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.count)
    }
}

/// What every request of a load asks for.
#[derive(Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// To put a document under a new key with an idempotency key of its own. Answered when it is durable.
    Put(&'a Documents, &'a str),
    /// A document that was put, from state.
    Get(&'a Documents),
    /// The same, by a call of the chaincode that is not ordered.
    Evaluate(&'a Documents),
    /// A chaincode to open a new account, with an idempotency key of its own. Answered when it is durable.
    Open(&'a Documents, &'a str),
    /// The same chaincode for an account that was opened, by a call that is not ordered.
    Account(&'a Documents, &'a str),
}

impl Ask<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Put(..) => "submit",
            Self::Get(_) => "read a key",
            Self::Evaluate(_) => "evaluate",
            Self::Open(..) => "submit to the chaincode",
            Self::Account(..) => "evaluate by the chaincode",
        }
    }

    /// Fabric's requests a second, where that is known.
    fn fabric(self, clients: u64) -> Option<f64> {
        let known = match self {
            Self::Put(..) | Self::Open(..) => FABRIC_SUBMITS.as_slice(),
            Self::Get(_) | Self::Evaluate(_) | Self::Account(..) => FABRIC_EVALUATES.as_slice(),
        };
        let known = known.iter().find(|(of, _)| *of == clients);
        known.map(|(_, per_second)| *per_second)
    }

    async fn send(self, client: &mut Door, number: u64) -> Result<(), Failure> {
        let client = match client {
            Door::Http(client) => client,
            Door::Grpc(caller) => return self.call(caller, number).await,
        };
        match self {
            Self::Put(documents, text) => {
                let key = documents.key(number);
                client.put(&format!("{STATE}/{key}"), &key, text).await
            }
            Self::Get(documents) => {
                let path = format!("{STATE}/{}", documents.any_key(number));
                client.get(&path).await
            }
            Self::Evaluate(documents) => {
                let key = documents.any_key(number);
                let call = post(NAMESPACE, "get", &[&key]);
                client.post(EVALUATE, &call).await
            }
            Self::Open(documents, chaincode) => {
                let key = documents.key(number);
                let header = format!("idempotency-key: {key}\r\n");
                let call = post(chaincode, OPEN, &[&key, LIMIT]);
                client.send("POST", TRANSACTIONS, &header, &call).await
            }
            Self::Account(documents, chaincode) => {
                let call = post(chaincode, ACCOUNT, &[&documents.any_key(number)]);
                client.post(EVALUATE, &call).await
            }
        }
    }
}

/// The body of a call.
fn post(chaincode: &str, function: &str, args: &[&str]) -> String {
    json!({"chaincode": chaincode, "function": function, "args": args}).to_string()
}

impl Ask<'_> {
    async fn call(self, caller: &Caller, number: u64) -> Result<(), Failure> {
        match self {
            Self::Put(documents, text) => {
                let key = quoted(&documents.key(number));
                caller.submit(NAMESPACE, &["put", &key, text]).await
            }
            Self::Get(documents) | Self::Evaluate(documents) => {
                let key = quoted(&documents.any_key(number));
                caller.evaluate(NAMESPACE, &["get", &key]).await
            }
            Self::Open(documents, chaincode) => {
                let key = documents.key(number);
                caller.submit(chaincode, &[OPEN, &key, LIMIT]).await
            }
            Self::Account(documents, chaincode) => {
                let key = documents.any_key(number);
                caller.evaluate(chaincode, &[ACCOUNT, &key]).await
            }
        }
    }
}

fn quoted(key: &str) -> String {
    format!("\"{key}\"")
}

/// The way by which a client reaches the node.
enum Door {
    Http(Client),
    /// Fabric's Gateway.
    Grpc(Caller),
}

/// Requests to be sent by some clients.
pub(crate) struct Load<'a> {
    pub(crate) address: &'a str,
    /// The address of Fabric's Gateway, and who signs, where the clients use that.
    pub(crate) grpc: Option<(&'a str, &'a Signer)>,
    pub(crate) ask: Ask<'a>,
    pub(crate) clients: u64,
    pub(crate) requests: u64,
    /// Requests a second, where they are due on a schedule.
    pub(crate) rate: Option<f64>,
    /// The node's process.
    pub(crate) pid: Option<u32>,
}

impl Load<'_> {
    /// Sends everything, and prints the figures; how many a second were answered. `scale` is the share
    /// of the speed of Fabric's processor that this one has, where it is known.
    pub(crate) async fn run(&self, scale: Option<f64>) -> Result<f64, Failure> {
        let processor = Processor::begin(self.pid);
        // Connected before the clock starts.
        let connected = self.connect().await?;
        let begun = Instant::now();
        let next = Cell::new(0);
        let clients = connected.into_iter();
        let took = try_join_all(clients.map(|client| self.send(client, begun, &next))).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let took = took.concat();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let rate = took.len() as f64 / seconds;
        let what = match self.grpc {
            None => self.ask.name().to_owned(),
            Some(_) => format!("{} by the Gateway", self.ask.name()),
        };
        let name = match self.rate {
            None => format!("{what}, closed loop, {} clients", self.clients),
            Some(rate) => format!("{what}, open loop, {rate:.0} a second"),
        };
        let mut line = figures(&name, took, rate, &processor);
        if let (Some(line), None) = (line.as_object_mut(), self.rate) {
            let fabric = self.ask.fabric(self.clients);
            line.insert("fabricPerSecond".to_owned(), fabric.into());
            let times = |fabric: f64| (rate / fabric * 10.0).round() / 10.0;
            line.insert("timesFabric".to_owned(), fabric.map(times).into());
            let scaled = fabric.filter(|_| self.clients >= FABRIC_BUSY).zip(scale);
            let scaled = scaled.map(|(fabric, scale)| times(fabric * scale));
            line.insert("timesFabricScaled".to_owned(), scaled.into());
        }
        println!("{line}");
        Ok(rate)
    }

    async fn connect(&self) -> Result<Vec<Door>, Failure> {
        if let Some((address, signer)) = self.grpc {
            let callers = Caller::connect(address, signer, self.clients).await?;
            return Ok(callers.into_iter().map(Door::Grpc).collect());
        }
        let connected = (0..self.clients).map(|_| Client::connect(self.address));
        let connected = try_join_all(connected).await?;
        Ok(connected.into_iter().map(Door::Http).collect())
    }

    /// One client's part.
    async fn send(
        &self,
        mut client: Door,
        begun: Instant,
        next: &Cell<u64>,
    ) -> Result<Vec<Duration>, Failure> {
        let mut took = Vec::new();
        loop {
            let number = next.replace(next.get() + 1);
            if number >= self.requests || begun.elapsed() > LONGEST {
                return Ok(took);
            }
            let due = match self.rate {
                None => Instant::now(),
                Some(rate) => {
                    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
                    let due = begun + Duration::from_secs_f64(number as f64 / rate);
                    // Up to a millisecond late, which counts as waiting.
                    sleep_until(due.into()).await;
                    due
                }
            };
            self.ask.send(&mut client, number).await?;
            took.push(due.elapsed());
        }
    }
}

/// Processor time of the server and of this process.
pub(crate) struct Processor {
    server: Option<u32>,
    before: [Option<f64>; 2],
}

impl Processor {
    pub(crate) fn begin(server: Option<u32>) -> Self {
        let before = Self::now(server);
        Self { server, before }
    }

    fn now(server: Option<u32>) -> [Option<f64>; 2] {
        let own = std::process::id();
        [server, Some(own)].map(|pid| pid.and_then(probes::process_seconds))
    }

    /// Microseconds since the beginning for each of `requests`, of the server and of this process.
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    pub(crate) fn micros(&self, requests: usize) -> [Option<f64>; 2] {
        let [server, own] = Self::now(self.server);
        let [server_before, own_before] = self.before;
        let since = |before: Option<f64>, now: Option<f64>| {
            Some(((now? - before?) * 1e6 / requests as f64).round())
        };
        [since(server_before, server), since(own_before, own)]
    }
}

/// A line of output: how long requests took, and what of the processors.
pub(crate) fn figures(
    name: &str,
    mut took: Vec<Duration>,
    rate: f64,
    processor: &Processor,
) -> Value {
    let [node, client] = processor.micros(took.len());
    took.sort_unstable();
    let at = |share: f64| {
        let last = took.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a position in a list of a few thousand"
        )]
        let position = (share * last as f64) as usize;
        let milliseconds = took.get(position).map_or(0.0, Duration::as_secs_f64) * 1000.0;
        (milliseconds * 100.0).round() / 100.0
    };
    json!({
        "name": name,
        "count": took.len(),
        "perSecond": rate.round(),
        "p50Ms": at(0.5),
        "p95Ms": at(0.95),
        "p99Ms": at(0.99),
        "maxMs": at(1.0),
        "nodeMicros": node,
        "clientMicros": client,
        "commit": probes::commit(),
        "machine": probes::machine(),
    })
}
