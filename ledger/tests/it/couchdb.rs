//! State on a server that answers slowly, answers wrongly, or is gone.
//!
//! These tests guard against every way in which a half-written batch on another machine becomes a wrong
//! answer, and an unavailable machine becomes a loss.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quire_ledger::{
    CommitError, Committed, IndexRequest, Ledgers, Meter, OpenError, Purpose, Query, RangeEnd,
    ReadError, Reader, Simulator, StateEngine, VersionedValue,
};
use serde_json::{Value, json};

use crate::kit::chain::{self, Act};
use crate::kit::couchdb::{CouchDb, at_port, channel_name};
use crate::kit::pouchdb::PouchDb;
use crate::kit::proxy::{Fault, Proxy};
use crate::kit::rng::Rng;
use crate::kit::{Documents, copy_dir, open, os_disk};

/// A server behind a proxy.
struct Server {
    proxy: Proxy,
    engine: StateEngine,
    channel: String,
    _pouchdb: Option<PouchDb>,
}

impl Server {
    /// `pouchdb-server`, and also CouchDB if one is named.
    fn all() -> Vec<Self> {
        let pouchdb = PouchDb::start();
        let proxy = Proxy::start(&format!("127.0.0.1:{}", pouchdb.port()));
        let mut all = vec![Self {
            engine: at_port(proxy.port()),
            proxy,
            channel: "main".to_owned(),
            _pouchdb: Some(pouchdb),
        }];
        if let Some(named) = CouchDb::named() {
            let proxy = Proxy::start(&named.authority);
            all.push(Self {
                engine: named.engine(&format!("127.0.0.1:{}", proxy.port())),
                proxy,
                channel: channel_name(),
                _pouchdb: None,
            });
        }
        all
    }

    fn documents(&self) -> Documents {
        Documents::on(self.engine.clone(), &self.channel)
    }
}

type Block = Vec<(&'static str, String, Option<Vec<u8>>)>;

/// Changes of one block: some documents are new, some changed, some deleted, in two namespaces.
fn block(rng: &mut Rng, round: usize) -> Block {
    let change = |n: usize| {
        let namespace = if n.is_multiple_of(3) { "other" } else { "ns" };
        let value = format!("{{\"v\":{},\"round\":{round}.0}}", n % 5);
        (namespace, format!("k{n:02}"), Some(value.into_bytes()))
    };
    let mut block: Block = Vec::new();
    for _ in 0..12 {
        let (namespace, key, value) = change(rng.below(30));
        let value = value.filter(|_| rng.below(4) > 0);
        block.retain(|(known, other, _)| (*known, other) != (namespace, &key));
        block.push((namespace, key, value));
    }
    block
}

fn write(documents: &mut Documents, block: &Block) -> Result<(), CommitError> {
    let changes = block.iter();
    documents
        .try_write(changes.map(|(namespace, key, value)| (*namespace, key.as_str(), value.clone())))
}

fn make_index(reader: &Reader) {
    let request = json!({"index": {"fields": ["v"]}, "ddoc": "v", "name": "v"});
    let request = IndexRequest::parse(request.to_string().as_bytes()).unwrap();
    let wait = Duration::from_secs(30);
    reader.create_index("ns", &request, wait).unwrap();
}

/// The rows, and what an index finds.
type Answers = (Vec<(String, VersionedValue)>, Vec<String>);

fn answers(reader: &Reader) -> Answers {
    let snapshot = reader.snapshot();
    let mut rows = Vec::new();
    for namespace in ["ns", "other"] {
        rows.extend(
            snapshot
                .range(namespace, "", RangeEnd::Unbounded, 1000)
                .unwrap(),
        );
    }
    let request = json!({"selector": {"v": {"$gte": 0}}, "sort": ["v"], "limit": 1000});
    let query = Query::parse(request.to_string().as_bytes()).unwrap();
    let found = snapshot
        .find("ns", &query, 8 << 20, &mut Meter::default())
        .unwrap();
    assert_eq!(
        snapshot.explain("ns", &query).unwrap()["index"]["name"],
        "v"
    );
    let ids = found.documents.iter().map(|text| {
        let document: Value = serde_json::from_str(text).unwrap();
        document["_id"].as_str().unwrap().to_owned()
    });
    (rows, ids.collect())
}

/// Random blocks, and a channel on the embedded engine that has them.
fn model(seed: u64, blocks: usize) -> (Vec<Block>, Documents) {
    let mut rng = Rng::new(seed);
    let blocks: Vec<Block> = (0..blocks).map(|round| block(&mut rng, round)).collect();
    let mut documents = Documents::new();
    write(&mut documents, &blocks[0]).unwrap();
    make_index(&documents.reader());
    for block in &blocks[1..] {
        write(&mut documents, block).unwrap();
    }
    (blocks, documents)
}

#[test]
fn a_server_that_fails_now_and_then_is_no_trouble() {
    let (blocks, model) = model(1, 25);
    for server in Server::all() {
        let mut documents = server.documents();
        write(&mut documents, &blocks[0]).unwrap();
        make_index(&documents.reader());
        let mut rng = Rng::new(2);
        let mut in_a_row = 0;
        server.proxy.set(move |_| {
            let fault = match rng.below(12) {
                0 => Fault::Status(500),
                1 => Fault::Status(503),
                2 => Fault::Refused,
                3 => Fault::AnswerLost,
                4 => Fault::AnswerCut,
                5 => Fault::Overtaken,
                _ => Fault::None,
            };
            in_a_row = if fault == Fault::None {
                0
            } else {
                in_a_row + 1
            };
            if in_a_row > 2 { Fault::None } else { fault }
        });
        for block in &blocks[1..] {
            match write(&mut documents, block) {
                Ok(()) => (),
                // A call whose answer is cut after its head is not repeated automatically.
                Err(CommitError::Waiting(_)) => while documents.ledger().resume().is_err() {},
                Err(error) => panic!("{error:?}"),
            }
        }
        server.proxy.set(|_| Fault::None);
        assert_eq!(answers(&documents.reader()), answers(&model.reader()));
        documents.reopen();
        assert_eq!(answers(&documents.reader()), answers(&model.reader()));
    }
}

/// Applies a block while the server goes away after `after` writes of documents. Returns whether it went
/// away.
fn interrupted(server: &Server, documents: &mut Documents, block: &Block, after: usize) -> bool {
    let writes = Arc::new(AtomicUsize::new(0));
    server.proxy.set(move |head| {
        let is_write = head.method == "POST" && head.path.ends_with("/_bulk_docs");
        if writes.fetch_add(usize::from(is_write), Ordering::SeqCst) < after {
            Fault::None
        } else {
            Fault::Refused
        }
    });
    let written = write(documents, block);
    server.proxy.set(|_| Fault::None);
    match written {
        Ok(()) => false,
        Err(CommitError::Waiting(error)) => {
            assert!(error.is_unavailable());
            true
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn an_end_in_the_middle_of_a_batch_heals_with_the_next_start() {
    let (blocks, _) = model(3, 40);
    for server in Server::all() {
        let mut model = Documents::new();
        let mut documents = server.documents();
        for documents in [&mut model, &mut documents] {
            write(documents, &blocks[0]).unwrap();
            make_index(&documents.reader());
        }
        let mut interruptions = 0;
        for (round, block) in blocks[1..].iter().enumerate() {
            // The server goes away after no, one or both namespaces, and after the savepoint.
            let before = answers(&documents.reader());
            if interrupted(&server, &mut documents, block, round % 5) {
                interruptions += 1;
                assert_eq!(
                    answers(&documents.reader()),
                    before,
                    "nobody sees half of it"
                );
                if round % 2 == 0 {
                    // As after a kill, what was in memory is gone.
                    documents.reopen();
                } else {
                    documents.ledger().resume().unwrap();
                }
            }
            write(&mut model, block).unwrap();
            assert_eq!(
                answers(&documents.reader()),
                answers(&model.reader()),
                "round {round}"
            );
        }
        assert!(interruptions > 15);
    }
}

#[test]
fn an_end_in_the_middle_of_healing_heals_too() {
    let (blocks, _) = model(4, 16);
    for server in Server::all() {
        let mut model = Documents::new();
        let mut documents = server.documents();
        for documents in [&mut model, &mut documents] {
            write(documents, &blocks[0]).unwrap();
            make_index(&documents.reader());
        }
        let mut interruptions = 0;
        // Each block is interrupted, and so is the start after it, usually at another place.
        for (round, block) in blocks[1..].iter().enumerate() {
            assert!(interrupted(&server, &mut documents, block, 1));
            write(&mut model, block).unwrap();
            documents.close();
            let writes = AtomicUsize::new(0);
            server.proxy.set(move |head| {
                let is_write = head.path.ends_with("/_bulk_docs");
                let before = writes.fetch_add(usize::from(is_write), Ordering::SeqCst);
                if before + usize::from(is_write) <= round % 2 {
                    Fault::None
                } else {
                    Fault::Refused
                }
            });
            let ledgers =
                Ledgers::open_with(os_disk(), documents.dir(), Purpose::Use, &server.engine);
            let ledgers = ledgers.unwrap();
            let opened = ledgers.ledger(&server.channel, &mut |_| {});
            match opened {
                Err(OpenError::Follow { source, .. }) => {
                    assert!(source.is_unavailable());
                    interruptions += 1;
                }
                Err(error) => panic!("{error:?}"),
                Ok(opened) => drop(opened),
            }
            drop(ledgers);
            server.proxy.set(|_| Fault::None);
            documents.reopen();
            assert_eq!(
                answers(&documents.reader()),
                answers(&model.reader()),
                "round {round}"
            );
        }
        assert!(interruptions > 5, "{interruptions}");
    }
}

#[test]
fn a_half_written_batch_that_is_replayed_in_parts_comes_to_the_same() {
    // Replay takes 4 MiB at a time: these four blocks were one batch, and become several.
    let padding = || format!("{{\"v\":9,\"padding\":\"{}\"}}", "x".repeat(3 << 20));
    let act = |n: usize| Act::new(format!("batch {n}")).put("pad", padding());
    let value = |v: usize| format!("{{\"v\":{v}}}");
    let blocks = vec![
        vec![
            act(0)
                .put("k00", value(3))
                .delete("k01")
                .metadata("k40", "lost"),
        ],
        vec![act(1).put("k02", value(1)).put("k41", value(2))],
        vec![
            act(2)
                .put("k40", value(4))
                .delete("k41")
                .put("k01", value(0)),
        ],
        vec![
            act(3)
                .put("k02", value(4))
                .delete("k00")
                .put("k42", value(0)),
        ],
    ];
    for server in Server::all() {
        let mut model = Documents::new();
        let mut documents = server.documents();
        let first: Block = (0..4)
            .map(|n| ("ns", format!("k0{n}"), Some(value(n).into_bytes())))
            .collect();
        for documents in [&mut model, &mut documents] {
            write(documents, &first).unwrap();
            make_index(&documents.reader());
        }
        chain::commit(model.ledger(), "main", &blocks).unwrap();
        let writes = AtomicUsize::new(0);
        server.proxy.set(move |head| {
            let is_write = head.path.ends_with("/_bulk_docs");
            if writes.fetch_add(usize::from(is_write), Ordering::SeqCst) < 1 {
                Fault::None
            } else {
                Fault::Refused
            }
        });
        let committed = chain::commit(documents.ledger(), &server.channel, &blocks);
        assert!(matches!(committed, Err(CommitError::Waiting(_))));
        server.proxy.set(|_| Fault::None);
        documents.reopen();
        // Padding is not worth printing.
        assert!(answers(&documents.reader()) == answers(&model.reader()));
    }
}

#[test]
fn blocks_on_their_way_when_the_server_goes_away_come_one_after_the_other_when_it_is_back() {
    let act = |n: u64| Act::new(format!("{n}")).put("k", n.to_string());
    let blocks: Vec<Vec<Act>> = (0..4).map(|n| vec![act(n)]).collect();
    for server in Server::all() {
        let mut model = Documents::new();
        chain::commit(model.ledger(), "main", &blocks).unwrap();
        make_index(&model.reader());
        let mut documents = server.documents();
        let ledger = documents.ledger();
        // The namespace exists before anything is refused.
        chain::commit(ledger, &server.channel, &blocks[..1]).unwrap();
        make_index(&ledger.reader());
        let ordered = chain::children(&server.channel, ledger.tip(), &blocks[1..]);
        server.proxy.set(|head| {
            let is_write = head.method == "POST" && head.path.ends_with("/_bulk_docs");
            if is_write {
                Fault::Refused
            } else {
                Fault::None
            }
        });
        let mut ordered = ordered.into_iter().map(|block| vec![block]);
        let mut next = || ordered.next().unwrap();
        assert!(ledger.begin(next()).unwrap().is_empty());
        // From here on the first block is being followed, in vain, while the second is written.
        assert!(ledger.begin(next()).unwrap().is_empty());
        let third = next();
        let refused = ledger.begin(third.clone());
        assert!(matches!(refused, Err(CommitError::Judge(_))), "{refused:?}");
        for _ in 0..2 {
            let waits = ledger.finish();
            assert!(matches!(waits, Err(CommitError::Waiting(_))), "{waits:?}");
            let waits = ledger.resume();
            assert!(matches!(waits, Err(CommitError::Waiting(_))), "{waits:?}");
            let refused = ledger.commit(third.clone());
            assert!(matches!(refused, Err(CommitError::Judge(_))), "{refused:?}");
        }
        assert_eq!(ledger.tip().0, 2);
        server.proxy.set(|_| Fault::None);
        let numbers = |committed: Vec<Committed>| -> Vec<u64> {
            committed.iter().map(|block| block.block.number).collect()
        };
        // No block is left on its way that somebody would wait for.
        assert_eq!(numbers(ledger.resume().unwrap()), [2, 3]);
        assert_eq!(numbers(ledger.commit(third).unwrap()), [4]);
        assert_eq!(answers(&documents.reader()), answers(&model.reader()));
    }
}

#[test]
fn a_server_that_restarts_loses_nothing() {
    let (blocks, model) = model(5, 10);
    let mut pouchdb = PouchDb::start();
    let mut documents = Documents::on(at_port(pouchdb.port()), "main");
    write(&mut documents, &blocks[0]).unwrap();
    make_index(&documents.reader());
    for block in &blocks[1..] {
        let before = documents.reader().snapshot();
        pouchdb.stop();
        let unread = before.get("ns", "k00").unwrap_err();
        assert!(unread.is_unavailable(), "{unread:?}");
        match write(&mut documents, block) {
            Err(CommitError::Waiting(error) | CommitError::Judge(error)) => {
                assert!(error.is_unavailable());
            }
            other => panic!("{other:?}"),
        }
        // No other block is taken in meanwhile.
        assert!(write(&mut documents, block).is_err());
        pouchdb.start_again();
        documents.ledger().resume().unwrap();
    }
    assert_eq!(answers(&documents.reader()), answers(&model.reader()));
}

#[test]
fn the_engine_can_be_swapped_and_answers_stay() {
    let (blocks, _) = model(6, 20);
    let pouchdb = PouchDb::start();
    let couchdb = at_port(pouchdb.port());
    let mut model = Documents::new();
    let mut documents = Documents::new();
    for documents in [&mut model, &mut documents] {
        write(documents, &blocks[0]).unwrap();
        make_index(&documents.reader());
    }
    for (round, block) in blocks[1..].iter().enumerate() {
        for documents in [&mut model, &mut documents] {
            write(documents, block).unwrap();
        }
        if round % 3 == 1 {
            let before = answers(&documents.reader());
            let engine = if round % 2 == 0 {
                StateEngine::Fjall
            } else {
                couchdb.clone()
            };
            documents.reopen_on(engine);
            wait_for_index(&documents.reader());
            assert_eq!(answers(&documents.reader()), before);
        }
        assert_eq!(answers(&documents.reader()), answers(&model.reader()));
    }
}

fn wait_for_index(reader: &Reader) {
    let is_ready = || {
        let mut indexes = reader.indexes("ns").into_iter();
        indexes.all(|index| index.state == quire_ledger::IndexState::Ready)
    };
    while !is_ready() {
        std::thread::yield_now();
    }
}

#[test]
fn state_of_another_chain_is_refused_and_not_touched() {
    let (blocks, _) = model(7, 3);
    let pouchdb = PouchDb::start();
    let couchdb = at_port(pouchdb.port());
    let mut theirs = Documents::on(couchdb.clone(), "main");
    write(&mut theirs, &blocks[0]).unwrap();
    make_index(&theirs.reader());
    let before = answers(&theirs.reader());

    // This is a channel with the same name in another data directory, new or not.
    let dir = tempfile::tempdir().unwrap();
    let ledgers = Ledgers::open_with(os_disk(), dir.path(), Purpose::Use, &couchdb).unwrap();
    let genesis = chain::genesis("other");
    let options = quire_ledger::CreateOptions::default();
    assert!(ledgers.create("main", genesis.clone(), options).is_err());
    drop(ledgers);
    let ledgers = Ledgers::open(os_disk(), dir.path(), Purpose::Use).unwrap();
    drop(ledgers.create("main", genesis, options).unwrap());
    drop(ledgers);
    let ledgers = Ledgers::open_with(os_disk(), dir.path(), Purpose::Use, &couchdb).unwrap();
    assert!(ledgers.ledger("main", &mut |_| {}).is_err());
    drop(ledgers);

    assert_eq!(answers(&theirs.reader()), before);
    theirs.reopen();
    assert_eq!(answers(&theirs.reader()), before);
}

#[test]
fn state_of_a_chain_with_the_same_beginning_is_refused_and_not_touched() {
    let (blocks, _) = model(7, 3);
    let pouchdb = PouchDb::start();
    let couchdb = at_port(pouchdb.port());
    let mut theirs = Documents::on(couchdb.clone(), "main");
    write(&mut theirs, &blocks[0]).unwrap();
    theirs.close();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(theirs.dir(), copy.path());
    theirs.reopen();
    make_index(&theirs.reader());
    write(&mut theirs, &blocks[1]).unwrap();
    let before = answers(&theirs.reader());

    // The copy gets other blocks, up to the same height and beyond it.
    for nonce in ["one", "two"] {
        let ledgers = open(copy.path());
        let (mut ledger, _) = ledgers.ledger("main", &mut |_| {}).unwrap();
        let act = Act::new(nonce).put("k", "1");
        chain::commit(&mut ledger, "main", &[vec![act]]).unwrap();
        drop((ledger, ledgers));
        let ledgers = Ledgers::open_with(os_disk(), copy.path(), Purpose::Use, &couchdb).unwrap();
        let refused = ledgers.ledger("main", &mut |_| {}).unwrap_err();
        let is_named = |reason: &String| reason.contains("another chain of channel main");
        assert!(
            matches!(
                &refused,
                OpenError::Follow { source: ReadError::StateForeign(reason), .. } if is_named(reason)
            ),
            "{refused:?}"
        );
    }

    assert_eq!(answers(&theirs.reader()), before);
    theirs.reopen();
    assert_eq!(answers(&theirs.reader()), before);
}

/// Sends a request to a server directly, and returns the body of the answer.
fn ask(port: u16, method: &str, path: &str, body: &str) -> Value {
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(
        server,
        "{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let start = body.find('{').unwrap();
    let end = body.rfind('}').unwrap();
    serde_json::from_str(&body[start..=end]).unwrap()
}

#[test]
fn a_commit_that_meets_a_document_of_somebody_elses_waits_until_it_is_gone() {
    let pouchdb = PouchDb::start();
    let mut documents = Documents::on(at_port(pouchdb.port()), "main");
    let put = |key: &str| -> Block { vec![("ns", key.to_owned(), Some(b"{\"v\":1}".to_vec()))] };
    write(&mut documents, &put("k1")).unwrap();
    let theirs = ask(pouchdb.port(), "PUT", "/main_ns/k2", "{\"a\":1}");
    let waits = write(&mut documents, &put("k2"));
    let Err(CommitError::Waiting(error)) = waits else {
        panic!("{waits:?}");
    };
    assert!(error.to_string().contains("\"k2\""), "{error}");
    assert!(documents.ledger().resume().is_err());
    let rev = theirs["rev"].as_str().unwrap();
    ask(
        pouchdb.port(),
        "DELETE",
        &format!("/main_ns/k2?rev={rev}"),
        "",
    );
    documents.ledger().resume().unwrap();
    let read = documents.reader().snapshot().get("ns", "k2").unwrap();
    assert_eq!(read.unwrap().version.block, 2);
}

#[test]
fn keys_that_are_expected_are_one_question_and_leave_no_trace_in_the_read_set() {
    for server in Server::all() {
        let mut documents = server.documents();
        let mut model = Documents::new();
        let block: Block = (0..1500)
            .map(|n| {
                let namespace = if n % 3 == 0 { "other" } else { "ns" };
                (namespace, format!("k{n:04}"), Some(b"{\"v\":1}".to_vec()))
            })
            .collect();
        for documents in [&mut model, &mut documents] {
            write(documents, &block).unwrap();
        }
        let calls = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&calls);
        server.proxy.set(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
            Fault::None
        });
        let sets = [&model, &documents].map(|documents| {
            let mut simulator = Simulator::new(documents.reader().snapshot());
            let names = (0..1600).map(|n| {
                let namespace = if n % 3 == 0 { "other" } else { "ns" };
                (namespace.to_owned(), format!("k{n:04}"))
            });
            let names: Vec<(String, String)> = names.collect();
            simulator.expect(names.clone()).unwrap();
            for (n, (namespace, key)) in names.iter().enumerate() {
                // Some keys are looked at, some are read, and some were expected in vain.
                let found = match n % 4 {
                    0 => simulator.peek(namespace, key).unwrap(),
                    1 | 2 => simulator.get(namespace, key).unwrap(),
                    _ => continue,
                };
                assert_eq!(found.is_some(), n < 1500, "{key}");
                if n % 4 == 2 {
                    simulator.put(namespace, key, "{}".into());
                }
            }
            simulator.into_read_write_set()
        });
        assert_eq!(sets[0], sets[1]);
        // There are 1,000 keys in a call, and two namespaces.
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn reads_that_come_together_go_together_and_each_has_its_own_answer() {
    for server in Server::all() {
        let mut documents = server.documents();
        let value = |n: usize| Some(format!("{{\"v\":{n}}}").into_bytes());
        let block: Block = (0..400)
            .map(|n| ("ns", format!("k{n:03}"), value(n)))
            .collect();
        write(&mut documents, &block).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&calls);
        // The server is slow, so that the others come meanwhile.
        server.proxy.set(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            Fault::None
        });
        let reader = documents.reader();
        std::thread::scope(|scope| {
            for n in 0..64 {
                let snapshot = reader.snapshot();
                scope.spawn(move || {
                    for round in 0..8 {
                        let n = n * 8 + round;
                        let read = snapshot.get("ns", &format!("k{n:03}")).unwrap();
                        let read = read.map(|found| found.value.to_vec());
                        assert_eq!(read, if n < 400 { value(n) } else { None });
                    }
                });
            }
        });
        let made = calls.load(Ordering::SeqCst);
        assert!(made < 200, "{made} calls for 512 reads");
    }
}

/// The documents have fourteen megabytes; an answer with several documents is read up to eight.
#[test]
fn large_documents_are_asked_for_a_few_at_a_time_by_key_and_by_index() {
    for server in Server::all() {
        let mut documents = server.documents();
        for n in 0..24 {
            let value = json!({"v": n, "text": "x".repeat(600_000)}).to_string();
            let block = vec![("ns", format!("k{n:02}"), Some(value.into_bytes()))];
            write(&mut documents, &block).unwrap();
        }
        let reader = documents.reader();
        make_index(&reader);
        for (sort, questions) in [(json!([]), 4), (json!(["v"]), 5)] {
            let calls = Arc::new(AtomicUsize::new(0));
            let told = Arc::clone(&calls);
            server.proxy.set(move |head| {
                let is_question =
                    head.path.contains("/_all_docs") || head.path.contains("/_bulk_get");
                told.fetch_add(usize::from(is_question), Ordering::SeqCst);
                Fault::None
            });
            let query = json!({"selector": {"_id": {"$gte": "k"}, "v": {"$lt": 24}}, "sort": sort,
                "fields": ["v"], "limit": 1000});
            let query = Query::parse(query.to_string().as_bytes()).unwrap();
            let snapshot = reader.snapshot();
            let found = snapshot.find("ns", &query, 8 << 20, &mut Meter::default());
            let expected: Vec<_> = (0..24).map(|n| format!("{{\"v\":{n}}}")).collect();
            assert_eq!(found.unwrap().documents, expected, "{sort}");
            let made = calls.load(Ordering::SeqCst);
            assert!(made >= questions, "{made} questions, {sort}");
        }
    }
}
