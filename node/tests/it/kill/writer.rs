//! One client: writes to its own keys, repeats what was not answered, remembers what was.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::Situation;
use crate::kit::{Answer, Client, Random, Request};

pub(super) const NAMESPACE: &str = "kill-test";
const KEYS: u64 = 4;

/// An acknowledged transaction.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) request: Request,
    pub(super) status: u16,
    pub(super) transaction_id: String,
    pub(super) block: u64,
    pub(super) tx: u64,
    /// How often it was sent before an answer came.
    pub(super) unanswered: u64,
}

impl Acknowledged {
    pub(super) fn version(&self) -> String {
        format!("{}.{}", self.block, self.tx)
    }
}

/// What a key must hold, and which transactions wrote it, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// `None` after a delete.
    pub(super) value: Option<Value>,
    /// Positions in [`Writer::acknowledged`].
    pub(super) writes: Vec<usize>,
}

/// A client and everything that was acknowledged to it.
#[derive(Debug)]
pub(super) struct Writer {
    number: u64,
    random: Random,
    client: Option<(String, Client)>,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) keys: BTreeMap<String, Expected>,
}

/// A request with what it does to this client's keys.
struct Plan {
    request: Request,
    writes: Vec<(String, Option<Value>)>,
}

impl Writer {
    pub(super) fn new(number: u64, random: Random) -> Self {
        Self {
            number,
            random,
            client: None,
            acknowledged: Vec::new(),
            keys: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self, situation: &Situation) -> Self {
        while !*situation.finish.lock() {
            self.step(situation);
        }
        self
    }

    /// Makes one transaction, whatever happens to the node meanwhile.
    pub(super) fn step(&mut self, situation: &Situation) {
        let plan = self.plan();
        let mut unanswered = 0;
        let (answer, body) = loop {
            match self.attempt(situation, &plan.request) {
                Some(answer) if matches!(answer.status, 200 | 201) => {
                    let body = answer.json();
                    break (answer, body);
                }
                // Refused before ordering, or the outcome is not known yet: the key makes it safe.
                Some(answer) if matches!(answer.status, 429 | 503 | 504) => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Some(answer) => panic!(
                    "{:?} was answered {} {}",
                    plan.request,
                    answer.status,
                    answer.text()
                ),
                None => unanswered += 1,
            }
        };
        self.remember(plan, &answer, &body, unanswered);
        situation.acknowledged.fetch_add(1, Ordering::SeqCst);
    }

    fn attempt(&mut self, situation: &Situation, request: &Request) -> Option<Answer> {
        let address = situation.address();
        if !matches!(&self.client, Some((of, _)) if *of == address) {
            let client = Client::new(&address);
            self.client = Some((address, client));
        }
        let (_, client) = self.client.as_ref().unwrap();
        client.send(request).ok()
    }

    fn remember(&mut self, plan: Plan, answer: &Answer, body: &Value, unanswered: u64) {
        assert_eq!(body["status"], "VALID", "{body}");
        assert_eq!(body["code"], "VALID", "{body}");
        let acknowledged = Acknowledged {
            status: answer.status,
            transaction_id: body["transactionId"].as_str().unwrap().to_owned(),
            block: body["blockNumber"].as_u64().unwrap(),
            tx: body["txNumber"].as_u64().unwrap(),
            request: plan.request,
            unanswered,
        };
        if acknowledged.request.path.contains("/state/") && acknowledged.request.method != "DELETE"
        {
            let version = format!("\"{}\"", acknowledged.version());
            assert_eq!(answer.header("etag"), Some(version.as_str()), "{body}");
        }
        for (key, value) in plan.writes {
            let expected = self.keys.entry(key).or_default();
            expected.value = value;
            expected.writes.push(self.acknowledged.len());
        }
        self.acknowledged.push(acknowledged);
    }

    /// The next request. Its key is derived from client and position, so it never comes twice.
    fn plan(&mut self) -> Plan {
        let position = self.acknowledged.len();
        let document = json!({"client": self.number, "position": position});
        let key = format!("c{}/k{}", self.number, self.random.below(KEYS));
        let mut plan = match self.random.below(10) {
            0..=3 => put(key, document),
            4..=6 => self.operations(position, &key, document),
            7 => self.merge(position),
            8 => self.put_if_match(key, document),
            _ => self.delete(key, document),
        };
        let idempotency_key = format!("kill-{}-{position}", self.number);
        let headers = &mut plan.request.headers;
        headers.push(("Idempotency-Key", idempotency_key));
        plan
    }

    fn log_key(&self) -> String {
        format!("c{}/log", self.number)
    }

    /// The log as it is after a merge of `position` into it.
    fn merged_log(&self, position: usize) -> Value {
        let mut log = match self
            .keys
            .get(&self.log_key())
            .and_then(|log| log.value.clone())
        {
            Some(Value::Object(log)) => log,
            _ => Map::new(),
        };
        // Three members in turn, one of them cleared by null again.
        log.insert(format!("m{}", position % 3), json!(position));
        if position.is_multiple_of(5) {
            log.remove("m1");
        }
        Value::Object(log)
    }

    fn patch(position: usize) -> Value {
        let mut patch = Map::new();
        patch.insert(format!("m{}", position % 3), json!(position));
        if position.is_multiple_of(5) {
            patch.insert("m1".into(), Value::Null);
        }
        Value::Object(patch)
    }

    /// Two keys in one transaction; the log is created by the first one.
    fn operations(&self, position: usize, key: &str, document: Value) -> Plan {
        let log = self.log_key();
        let (op, value, after) = if self.keys.contains_key(&log) {
            ("merge", Self::patch(position), self.merged_log(position))
        } else {
            let first = json!({"m0": position});
            ("create", first.clone(), first)
        };
        let body = json!({"operations": [
            {"op": "put", "namespace": NAMESPACE, "key": key, "value": document},
            {"op": op, "namespace": NAMESPACE, "key": log, "value": value},
        ]});
        Plan {
            request: Request {
                method: "POST",
                path: "/v1/channels/main/transactions".into(),
                headers: vec![("Content-Type", "application/json".into())],
                body: body.to_string(),
            },
            writes: vec![(key.to_owned(), Some(document)), (log, Some(after))],
        }
    }

    fn merge(&self, position: usize) -> Plan {
        let log = self.log_key();
        if !self.keys.contains_key(&log) {
            return put(log, json!({"m0": position}));
        }
        let after = self.merged_log(position);
        let mut plan = put(log, Self::patch(position));
        plan.request.method = "PATCH";
        plan.request.headers = vec![("Content-Type", "application/merge-patch+json".into())];
        plan.writes[0].1 = Some(after);
        plan
    }

    fn put_if_match(&self, key: String, document: Value) -> Plan {
        let condition = match self.keys.get(&key) {
            Some(Expected {
                value: Some(_),
                writes,
            }) => {
                let last = &self.acknowledged[*writes.last().unwrap()];
                ("If-Match", format!("\"{}\"", last.version()))
            }
            _ => ("If-None-Match", "*".to_owned()),
        };
        let mut plan = put(key, document);
        plan.request.headers.push(condition);
        plan
    }

    fn delete(&self, key: String, document: Value) -> Plan {
        if !matches!(self.keys.get(&key), Some(Expected { value: Some(_), .. })) {
            return put(key, document);
        }
        let mut plan = put(key, document);
        plan.request.method = "DELETE";
        plan.request.headers.clear();
        plan.request.body.clear();
        plan.writes[0].1 = None;
        plan
    }
}

fn put(key: String, document: Value) -> Plan {
    Plan {
        request: Request {
            method: "PUT",
            path: state_path(&key),
            headers: vec![("Content-Type", "application/json".into())],
            body: document.to_string(),
        },
        writes: vec![(key, Some(document))],
    }
}

/// The path of a key of [`NAMESPACE`], its slash being part of the key.
pub(super) fn state_path(key: &str) -> String {
    let key = key.replace('/', "%2F");
    format!("/v1/channels/main/state/{NAMESPACE}/{key}")
}
