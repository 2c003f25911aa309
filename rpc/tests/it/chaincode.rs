//! The door at which chaincodes dial.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http::uri::PathAndQuery;
use quire_chaincode::shim::{Limits, Stream};
use quire_rpc::chaincode::{Accept, DoorLimits, serve};
use quire_wire::Message as _;
use quire_wire::peer::ChaincodeId;
use quire_wire::shim::{ChaincodeMessage, MessageType};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// Longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes in whoever gives the name `good`.
#[derive(Debug)]
struct Door(DoorLimits);

impl Accept for Door {
    fn accept(&self, _: Option<&[u8]>) -> Stream {
        Stream::new(Limits::default(), |name| match name {
            "good" => Ok(()),
            _ => Err(quire_chaincode::shim::ShimError::OtherName {
                expected: "good".to_owned(),
                found: name.to_owned(),
            }),
        })
    }

    fn limits(&self) -> DoorLimits {
        self.0
    }
}

/// Opens a door; its address.
async fn open(unregistered: usize, registration: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let door = Door(DoorLimits {
        message_bytes: 1 << 20,
        unregistered,
        registration,
    });
    tokio::spawn(serve(
        listener,
        None,
        Arc::new(door),
        std::future::pending(),
    ));
    address
}

/// A process that has dialled.
struct Process {
    send: UnboundedSender<ChaincodeMessage>,
    incoming: Streaming<ChaincodeMessage>,
}

impl Process {
    async fn dial(address: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let channel = Endpoint::new(format!("http://{address}"))?
            .connect()
            .await?;
        let mut grpc = Grpc::new(channel);
        grpc.ready().await?;
        let (send, messages) = unbounded_channel();
        let outgoing = stream::unfold(messages, |mut messages| async {
            Some((messages.recv().await?, messages))
        });
        let path = PathAndQuery::from_static("/protos.ChaincodeSupport/Register");
        let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
        let answer = grpc.streaming(Request::new(outgoing), path, codec).await?;
        let incoming = answer.into_inner();
        Ok(Self { send, incoming })
    }

    fn register(&self, name: &str) {
        let id = ChaincodeId {
            name: name.to_owned(),
            ..ChaincodeId::default()
        };
        let message = ChaincodeMessage {
            r#type: MessageType::Register.into(),
            payload: id.encode_to_vec().into(),
            ..ChaincodeMessage::default()
        };
        self.send.send(message).unwrap();
    }

    async fn next(&mut self) -> Result<Option<ChaincodeMessage>, Status> {
        timeout(PATIENCE, self.incoming.message()).await.unwrap()
    }

    async fn hears(&mut self, kind: MessageType) {
        assert_eq!(self.next().await.unwrap().unwrap().r#type, i32::from(kind));
    }
}

#[tokio::test]
async fn a_stream_on_which_nobody_registers_in_time_ends_and_says_why() {
    let address = open(8, Duration::from_millis(300)).await;
    let mut registered = Process::dial(&address).await.unwrap();
    registered.register("good");
    registered.hears(MessageType::Registered).await;
    registered.hears(MessageType::Ready).await;

    let mut silent = Process::dial(&address).await.unwrap();
    let status = silent.next().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(
        status.message(),
        "its process did not register within 300ms"
    );
    // One that has not even opened a stream is hung up on.
    let mut idle = TcpStream::connect(&address).await.unwrap();
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, idle.read_to_end(&mut rest));
    read.await.unwrap().unwrap();

    // Longer than that is no time limit for who has registered.
    assert!(
        timeout(Duration::from_millis(300), registered.incoming.message())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_process_is_told_why_it_may_not_register() {
    let address = open(8, PATIENCE).await;
    let mut process = Process::dial(&address).await.unwrap();
    process.register("bad");
    let status = process.next().await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("\"bad\""), "{status}");
}

#[tokio::test]
async fn connections_on_which_nobody_registers_are_bounded_in_number() {
    let address = open(2, PATIENCE * 10).await;
    let connect = || TcpStream::connect(&address);
    let held = [connect().await.unwrap(), connect().await.unwrap()];
    let mut refused = connect().await.unwrap();
    let read = timeout(PATIENCE, refused.read_u8()).await.unwrap();
    assert!(read.is_err(), "{read:?}");

    // Registered ones do not count among them, and those that go give their places back.
    drop(held);
    let mut processes = Vec::new();
    while processes.len() < 4 {
        let Ok(mut process) = Process::dial(&address).await else {
            continue;
        };
        process.register("good");
        process.hears(MessageType::Registered).await;
        processes.push(process);
    }
}
