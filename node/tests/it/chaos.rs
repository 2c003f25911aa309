//! Idempotency under everything at once: clients that lose patience, connections that drop, a node
//! that is killed, and keys that everybody wants.
//!
//! Every key is repeated until its outcome is final. Then
//!
//! * a hot document has exactly the members, and its history exactly the entries, of the keys
//!   answered VALID, for each key merged a member of its own;
//! * a counter stands exactly at the number of keys answered VALID, for each key raised the version
//!   it had read by one.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::kit::{Answer, Client, Node, Random, Request, Whereabouts, check};

const REQUESTS: u64 = 10_000;
const CLIENTS: u64 = 24;
const HOT: usize = 4;
const KILLS: u64 = 8;

/// What became of a client's keys.
#[derive(Debug, Default)]
struct Tally {
    /// Members of the hot documents, by document.
    merged: [BTreeSet<String>; HOT],
    raised: [u64; HOT],
    /// Final and invalid, by MVCC or by a version that did not hold.
    lost: u64,
    sent: u64,
    timeouts: u64,
    drops: u64,
    /// Final answers, to be asked for again.
    answers: Vec<(Request, u16, Vec<u8>)>,
}

struct Chaotic {
    number: u64,
    random: Random,
    whereabouts: Whereabouts,
    patient: Option<(String, Client)>,
    tally: Tally,
}

fn document(kind: &str, number: usize) -> String {
    format!("/v1/channels/main/state/{kind}/{number}")
}

/// Tells the test of a client's panic: one that is through before the others is none.
struct TellPanic(Arc<AtomicBool>);

impl Drop for TellPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

impl Chaotic {
    fn run(mut self, done: &AtomicU64) -> Tally {
        for turn in 0..REQUESTS / CLIENTS + u64::from(self.number < REQUESTS % CLIENTS) {
            let hot = self.random.index(HOT);
            let key = format!("chaos-{}-{turn}", self.number);
            if self.random.below(2) == 0 {
                self.merge(hot, key);
            } else {
                self.raise(hot, key);
            }
            done.fetch_add(1, Ordering::SeqCst);
        }
        self.tally
    }

    fn merge(&mut self, hot: usize, key: String) {
        let request = Request {
            method: "PATCH",
            path: document("hot", hot),
            headers: vec![
                ("Content-Type", "application/merge-patch+json".into()),
                ("Idempotency-Key", key.clone()),
            ],
            body: json!({&key: 1}).to_string(),
        };
        if self.until_final(&request) {
            self.tally.merged[hot].insert(key);
        }
    }

    fn raise(&mut self, hot: usize, key: String) {
        let path = document("counters", hot);
        let read = Request {
            method: "GET",
            path: path.clone(),
            headers: Vec::new(),
            body: String::new(),
        };
        let (count, version) = loop {
            if let Some(answer) = self.send(&read, true)
                && answer.status == 200
            {
                let version = answer.header("etag").unwrap().to_owned();
                break (answer.json().as_u64().unwrap(), version);
            }
        };
        let request = Request {
            method: "PUT",
            path,
            headers: vec![
                ("Content-Type", "application/json".into()),
                ("Idempotency-Key", key),
                ("If-Match", version),
            ],
            body: (count + 1).to_string(),
        };
        if self.until_final(&request) {
            self.tally.raised[hot] += 1;
        }
    }

    /// Repeats a request until its key is final; gives whether it is valid.
    fn until_final(&mut self, request: &Request) -> bool {
        loop {
            let patient = self.random.below(4) > 0;
            let Some(answer) = self.send(request, patient) else {
                continue;
            };
            match answer.status {
                200 | 201 => {
                    assert_eq!(answer.json()["status"], "VALID");
                    self.keep(request, &answer);
                    return true;
                }
                409 | 412 => {
                    self.tally.lost += 1;
                    let problem = answer.json();
                    // A version that did not hold before ordering is not remembered.
                    if problem["blockNumber"].is_u64() {
                        self.keep(request, &answer);
                    }
                    return false;
                }
                503 | 504 => std::thread::sleep(Duration::from_millis(2)),
                _ => panic!("{request:?}: {} {}", answer.status, answer.text()),
            }
        }
    }

    fn keep(&mut self, request: &Request, answer: &Answer) {
        let body = without_request_id(answer);
        let kept = (request.clone(), answer.status, body);
        self.tally.answers.push(kept);
    }

    /// Sends once: patiently, with hardly any patience, or hanging up right after.
    fn send(&mut self, request: &Request, patient: bool) -> Option<Answer> {
        let address = self.whereabouts.address();
        self.tally.sent += 1;
        if !patient && self.random.below(2) == 0 {
            self.tally.drops += 1;
            hang_up(&address, request, self.random.below(3_000));
            return None;
        }
        if !patient {
            let millis = 1 + self.random.below(30);
            let client = Client::with_timeout(&address, Duration::from_millis(millis));
            let answer = client.send(request).ok();
            self.tally.timeouts += u64::from(answer.is_none());
            return answer;
        }
        if !matches!(&self.patient, Some((of, _)) if *of == address) {
            self.patient = Some((address.clone(), Client::new(&address)));
        }
        let (_, client) = self.patient.as_ref().unwrap();
        client.send(request).ok()
    }
}

/// Writes a request and is gone, perhaps before all of it is written.
fn hang_up(address: &str, request: &Request, after_micros: u64) {
    let headers: String = request
        .headers
        .iter()
        .fold(String::new(), |all, (name, value)| {
            all + name + ": " + value + "\r\n"
        });
    let text = format!(
        "{} {} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n{headers}\r\n{}",
        request.method,
        request.path,
        request.body.len(),
        request.body
    );
    if let Ok(mut stream) = TcpStream::connect(address) {
        let cut = if after_micros.is_multiple_of(5) {
            text.len() - 1
        } else {
            text.len()
        };
        drop(stream.write_all(&text.as_bytes()[..cut]));
        std::thread::sleep(Duration::from_micros(after_micros));
    }
}

fn without_request_id(answer: &Answer) -> Vec<u8> {
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("requestId");
    body.to_string().into_bytes()
}

fn put(client: &Client, path: String, body: &str) {
    let request = Request {
        method: "PUT",
        path,
        headers: vec![("Content-Type", "application/json".into())],
        body: body.to_owned(),
    };
    assert_eq!(client.send(&request).unwrap().status, 201);
}

#[test]
fn keys_answered_valid_took_effect_once_and_no_others_did() {
    let mut random = Random::from_environment();
    let began = Instant::now();
    let data = TempDir::new().unwrap();
    let whereabouts = Whereabouts::default();
    let mut node = Node::start(data.path());
    for hot in 0..HOT {
        put(&node.client(), document("hot", hot), "{}");
        put(&node.client(), document("counters", hot), "0");
    }
    whereabouts.up(node.address());
    let done = Arc::new(AtomicU64::new(0));
    let has_failed = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Chaotic {
                number,
                random: random.split(number),
                whereabouts: whereabouts.clone(),
                patient: None,
                tally: Tally::default(),
            };
            let done = Arc::clone(&done);
            let tell_panic = TellPanic(Arc::clone(&has_failed));
            std::thread::spawn(move || {
                let _tell_panic = tell_panic;
                client.run(&done)
            })
        })
        .collect();
    for kill in 1..=KILLS {
        let target = REQUESTS * kill / (KILLS + 1) + random.below(200);
        while done.load(Ordering::SeqCst) < target {
            let has_failed = has_failed.load(Ordering::SeqCst);
            assert!(!has_failed, "a client failed, see above:\n{}", node.log());
            std::thread::sleep(Duration::from_micros(200));
        }
        whereabouts.down();
        node.kill();
        node = Node::start(data.path());
        whereabouts.up(node.address());
    }
    let tallies: Vec<Tally> = clients
        .into_iter()
        .map(|client| client.join().expect("a client failed, see above"))
        .collect();
    judge(&node.client(), &tallies);
    println!("in {:.1} s", began.elapsed().as_secs_f64());
    assert!(node.stop().success());
    assert!(check(data.path()).status.success());
}

fn judge(client: &Client, tallies: &[Tally]) {
    let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum::<u64>();
    let merged = sum(|tally| tally.merged.iter().map(|keys| keys.len() as u64).sum());
    let raised = sum(|tally| tally.raised.iter().sum());
    let lost = sum(|tally| tally.lost);
    println!(
        "{REQUESTS} keys: {merged} merges and {raised} raises valid, {lost} lost; \
         sent {} times, {} given up, {} hung up on, {KILLS} kills",
        sum(|tally| tally.sent),
        sum(|tally| tally.timeouts),
        sum(|tally| tally.drops),
    );
    assert_eq!(merged + raised + lost, REQUESTS);
    for hot in 0..HOT {
        let valid: BTreeSet<&String> = tallies
            .iter()
            .flat_map(|tally| &tally.merged[hot])
            .collect();
        let path = document("hot", hot);
        let members = client.json(&path);
        let members: BTreeSet<&String> = members.as_object().unwrap().keys().collect();
        assert!(members == valid, "members of {path}");
        assert_eq!(entries(client, &path), valid.len() as u64 + 1, "{path}");
        let raised: u64 = tallies.iter().map(|tally| tally.raised[hot]).sum();
        let path = document("counters", hot);
        assert_eq!(client.json(&path), raised, "{path}");
        assert_eq!(entries(client, &path), raised + 1, "{path}");
    }
    for tally in tallies {
        for (request, status, body) in tally.answers.iter().step_by(25) {
            let again = client.send(request).unwrap();
            assert_eq!(again.status, *status, "{request:?}");
            assert_eq!(without_request_id(&again), *body, "{request:?}");
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
        }
    }
}

/// How many entries the history of a key has.
fn entries(client: &Client, path: &str) -> u64 {
    let base = path.replacen("/state/", "/history/", 1);
    let mut count = 0;
    let mut bookmark = String::new();
    loop {
        let page: Value = client.json(&format!("{base}?limit=1000{bookmark}"));
        count += page["entries"].as_array().unwrap().len() as u64;
        match page["bookmark"].as_str() {
            Some(next) => bookmark = format!("&bookmark={next}"),
            None => return count,
        }
    }
}
