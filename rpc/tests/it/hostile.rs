//! Requests that nobody means well with: each is answered, and the node goes on.

use std::pin::pin;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::iter;
use quire_rpc::deliver::Service;
use quire_testkit::rng::Rng;
use quire_wire::common::header_type;
use quire_wire::deliver::{
    Nothing, Position, Response, SeekInfo, SeekPosition, SeekSpecified, seek_behavior,
};

use crate::kit::Node;

const SERVICES: [Service; 4] = [
    Service::Blocks,
    Service::Filtered,
    Service::WithPrivateData,
    Service::Orderer,
];

/// Every kind of place, with odd numbers.
fn places() -> Vec<Option<SeekPosition>> {
    let numbers = [0, 1, 2, 3, u64::MAX - 1, u64::MAX, 1 << 63];
    let specified = numbers.map(|number| Position::Specified(SeekSpecified { number }));
    let nothing = Nothing {};
    let others = [
        Position::Newest(nothing),
        Position::Oldest(nothing),
        Position::NextCommit(nothing),
    ];
    let places = specified.into_iter().chain(others).map(|position| {
        Some(SeekPosition {
            position: Some(position),
        })
    });
    places
        .chain([None, Some(SeekPosition::default())])
        .collect()
}

/// The last status that a request gets; the blocks before it are counted.
async fn status(node: &Node, service: Service, request: Bytes) -> (usize, i32) {
    let deliver = node.deliver();
    let mut answers = pin!(deliver.serve(service, None, iter([Ok(request)])));
    let mut blocks = 0;
    while let Some(answer) = answers.next().await {
        match answer.unwrap().response.unwrap() {
            Response::Status(status) => {
                if status != 200 {
                    assert!(answers.next().await.is_none());
                }
                return (blocks, status);
            }
            _ => blocks += 1,
        }
    }
    panic!("no status");
}

#[tokio::test]
async fn every_seek_that_does_not_wait_ends_with_a_status() {
    let node = Node::new();
    node.create("main");
    let mut seen = std::collections::BTreeSet::new();
    for start in places() {
        for stop in places() {
            for (service, content_type) in SERVICES.iter().zip([0, 0, 1, 7]) {
                let info = SeekInfo {
                    start,
                    stop,
                    behavior: seek_behavior::FAIL_IF_NOT_READY,
                    error_response: i32::MIN,
                    content_type,
                };
                let (blocks, status) = status(&node, *service, node.seek("main", &info)).await;
                assert!(blocks <= 1, "{info:?}");
                seen.insert(status);
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [200, 400, 404]);
}

#[tokio::test]
async fn damaged_requests_end_with_a_status_or_as_no_message() {
    let node = Node::new();
    node.create("main");
    let newest = Some(SeekPosition {
        position: Some(Position::Newest(Nothing {})),
    });
    let info = SeekInfo {
        start: newest,
        stop: newest,
        behavior: seek_behavior::FAIL_IF_NOT_READY,
        ..SeekInfo::default()
    };
    let sound = node.seek("main", &info);
    let mut rng = Rng::new(11);
    for n in 0..2_000 {
        let mut damaged = sound.to_vec();
        match n % 3 {
            0 => damaged.truncate(rng.below(damaged.len())),
            1 => {
                let place = rng.below(damaged.len());
                damaged[place] ^= 1 << rng.below(8);
            }
            _ => {
                let place = rng.below(damaged.len());
                damaged.splice(place..place, [0xff; 11]);
            }
        }
        let deliver = node.deliver();
        let service = SERVICES[n % 4];
        let requests = iter([Ok(Bytes::from(damaged))]);
        let answers: Vec<_> = deliver.serve(service, None, requests).collect().await;
        assert!(matches!(answers.len(), 1 | 2), "{answers:?}");
    }
}

#[tokio::test]
async fn a_flood_of_seeks_is_answered_in_turn_and_a_block_is_read_when_it_is_asked_for() {
    let node = Node::new();
    node.create("main");
    let oldest = Some(SeekPosition {
        position: Some(Position::Oldest(Nothing {})),
    });
    let info = SeekInfo {
        start: oldest,
        stop: oldest,
        ..SeekInfo::default()
    };
    let request = node.seek("main", &info);
    let requests = iter(std::iter::repeat_n(Ok(request), 500));
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&taken);
    let counting = requests.inspect(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let deliver = node.deliver();
    let mut answers = pin!(deliver.serve(Service::Blocks, None, counting));
    for n in 1..=500 {
        assert!(matches!(
            answers.next().await.unwrap().unwrap().response,
            Some(Response::Block(_))
        ));
        // No request is taken before the one before it was answered.
        assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), n);
        assert!(matches!(
            answers.next().await.unwrap().unwrap().response,
            Some(Response::Status(200))
        ));
    }
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_block_for_which_there_is_no_memory_is_not_sent() {
    let node = Node::new();
    node.create("main");
    let oldest = Some(SeekPosition {
        position: Some(Position::Oldest(Nothing {})),
    });
    let info = SeekInfo {
        start: oldest,
        stop: oldest,
        ..SeekInfo::default()
    };
    node.leave_room(1_000);
    let answered = status(&node, Service::Blocks, node.seek("main", &info)).await;
    assert_eq!(answered, (0, 503));
    let answered = status(&node, Service::Filtered, node.seek("main", &info)).await;
    assert_eq!(answered, (1, 200));
}

#[tokio::test]
async fn damaged_envelopes_for_the_order_are_refused() {
    let node = Node::new();
    node.create("main");
    let sound = node.envelope(header_type::MESSAGE, "main", vec![1; 50]);
    let mut rng = Rng::new(12);
    let mut refused = 0;
    for _ in 0..1_000 {
        let mut damaged = sound.to_vec();
        let place = rng.below(damaged.len());
        damaged[place] ^= 1 << rng.below(8);
        let requests = iter([Ok(Bytes::from(damaged))]);
        let answers: Vec<_> = node.broadcast().serve(requests).collect().await;
        let [answer] = &answers[..] else {
            panic!("{answers:?}");
        };
        match answer {
            Ok(answer) => refused += usize::from(answer.status != 200),
            Err(_) => refused += 1,
        }
    }
    // Some changes are of fields that nobody reads.
    assert!(refused > 900, "{refused}");
    let oversized = node.envelope(header_type::MESSAGE, "main", vec![0; 200 << 20]);
    let answers: Vec<_> = node
        .broadcast()
        .serve(iter([Ok(oversized)]))
        .collect()
        .await;
    assert_eq!(answers[0].as_ref().unwrap().status, 400);
}
