//! Tests HTTP/2 without TLS as bytes on a socket: what a connection may do, and for how long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use quire_gateway::{Backend, ClientInfo, Cors, Handshake, Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::kit::Node;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Longer than this would be for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// The types of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Statuses, as positions in HPACK's static table (RFC 7541, appendix A).
const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;

#[derive(Clone)]
struct Plain;

impl Handshake for Plain {
    type Stream = TcpStream;

    async fn shake(&self, tcp: TcpStream) -> io::Result<(TcpStream, ClientInfo)> {
        Ok((tcp, ClientInfo::default()))
    }
}

async fn serve(limits: Limits) -> TcpStream {
    let backend = Node::new() as Arc<dyn Backend>;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(backend, limits, Cors::default());
    tokio::spawn(server.run(listener, Plain));
    TcpStream::connect(address).await.unwrap()
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The next frame; a PING is answered. `None` at the end of the connection.
async fn next(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 9];
    if let Err(error) = stream.read_exact(&mut head).await {
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        return None;
    }
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let (kind, flags) = (head[3], head[4]);
    let is_frame = length <= 1 << 14 && kind <= CONTINUATION;
    assert!(is_frame, "no frame: {}", String::from_utf8_lossy(&head));
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.unwrap();
    if kind == PING && flags & ACK == 0 {
        let answer = [&[0, 0, 8, PING, ACK, 0, 0, 0, 0], &payload[..]].concat();
        stream.write_all(&answer).await.unwrap();
    }
    Some(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload,
    })
}

/// Asks for the version in a stream, and reads until it has come.
async fn get_version(stream: &mut TcpStream, id: u8) {
    let status = ask(stream, id, b"\x01\x09localhost").await;
    assert_eq!(status, OK);
}

/// Asks for the version in a stream, with further headers. Returns the first byte of the answer's headers,
/// which is its status.
async fn ask(stream: &mut TcpStream, id: u8, headers: &[u8]) -> u8 {
    // RFC 7541: GET, http, and the path as a literal.
    let block = [b"\x82\x86\x04\x08/version", headers].concat();
    let mut status = 0;
    let length = u8::try_from(block.len()).unwrap();
    let flags = END_STREAM | END_HEADERS;
    let head = [0, 0, length, HEADERS, flags, 0, 0, 0, id];
    stream
        .write_all(&[&head, &block[..]].concat())
        .await
        .unwrap();
    loop {
        let frame = next(stream).await.unwrap();
        if frame.kind == HEADERS {
            status = frame.payload[0];
        }
        if frame.stream == u32::from(id) && frame.flags & END_STREAM != 0 && frame.kind <= HEADERS {
            return status;
        }
    }
}

#[tokio::test]
async fn a_request_of_http2_names_one_host_in_either_place() {
    let mut stream = serve(Limits::default()).await;
    let begin = [PREFACE, SETTINGS].concat();
    stream.write_all(&begin).await.unwrap();
    // The authority is the first entry of the static table, and the host is its 38th.
    let rows: [(&[u8], u8); 7] = [
        (b"\x01\x09localhost", OK),
        (b"\x0f\x17\x09localhost", OK),
        (b"\x01\x09localhost\x0f\x17\x09LocalHost", OK),
        (b"", BAD_REQUEST),
        (b"\x0f\x17\x00", BAD_REQUEST),
        (b"\x01\x09localhost\x0f\x17\x09127.0.0.1", BAD_REQUEST),
        (b"\x0f\x17\x09localhost\x0f\x17\x09localhost", BAD_REQUEST),
    ];
    for (number, (headers, status)) in (0..).zip(rows) {
        let told = ask(&mut stream, 2 * number + 1, headers).await;
        assert_eq!(told, status, "{}", headers.escape_ascii());
    }
}

#[tokio::test]
async fn a_preface_that_does_not_come_to_its_end_is_a_head_that_does_not() {
    for begin in [&b"P"[..], b"PRI * HTTP/2", &PREFACE[..23]] {
        let limits = Limits {
            head_timeout: Duration::from_millis(100),
            ..Limits::default()
        };
        let mut stream = serve(limits).await;
        stream.write_all(begin).await.unwrap();
        let mut answer = String::new();
        let read = timeout(FOR_EVER, stream.read_to_string(&mut answer)).await;
        read.expect("an end").unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_of_http2_outlives_the_time_for_a_head() {
    // The split of the bytes into packets does not matter.
    for cut in [0, PREFACE.len(), PREFACE.len() + SETTINGS.len()] {
        let limits = Limits {
            head_timeout: Duration::from_millis(200),
            ..Limits::default()
        };
        let mut stream = serve(limits).await;
        stream.set_nodelay(true).unwrap();
        let begin = [PREFACE, SETTINGS].concat();
        stream.write_all(&begin[..cut]).await.unwrap();
        if cut > 0 {
            // These are the server's settings: it has read the preface.
            next(&mut stream).await.expect("settings");
        }
        stream.write_all(&begin[cut..]).await.unwrap();
        get_version(&mut stream, 1).await;
        // The server asks every 200 ms whether anybody is there.
        let mut pings = 0;
        while pings < 2 {
            let frame = next(&mut stream).await.expect("an open connection");
            pings += u32::from(frame.kind == PING && frame.flags & ACK == 0);
        }
        get_version(&mut stream, 3).await;
    }
}

#[tokio::test]
async fn a_connection_of_http2_without_a_stream_is_told_to_go() {
    for requests in [0, 2] {
        let limits = Limits {
            idle_timeout: Duration::from_millis(200),
            ..Limits::default()
        };
        let mut stream = serve(limits).await;
        let begin = [PREFACE, SETTINGS].concat();
        stream.write_all(&begin).await.unwrap();
        for request in 0..requests {
            get_version(&mut stream, 2 * request + 1).await;
        }
        let ended = timeout(FOR_EVER, async {
            let mut last = None;
            while let Some(frame) = next(&mut stream).await {
                last = Some(frame.kind);
            }
            last
        });
        assert_eq!(ended.await.expect("an end"), Some(GOAWAY));
    }
}

#[tokio::test]
async fn a_stream_is_not_reset_behind_an_early_answer_while_its_body_comes() {
    const DATA: u8 = 0;
    const RST_STREAM: u8 = 3;
    let mut stream = serve(Limits::default()).await;
    let begin = [PREFACE, SETTINGS].concat();
    stream.write_all(&begin).await.unwrap();
    // RFC 7541: POST, http, a path without a resource, the authority.
    let block = b"\x83\x86\x04\x08/nowhere\x01\x09localhost";
    let length = u8::try_from(block.len()).unwrap();
    let head = [0, 0, length, HEADERS, END_HEADERS, 0, 0, 0, 1];
    let piece = [&[0, 64, 0, DATA, 0, 0, 0, 0, 1][..], &[b' '; 16 << 10]].concat();
    let begin = [&head[..], block, &piece].concat();
    stream.write_all(&begin).await.unwrap();
    let mut is_answered = false;
    while !is_answered {
        let frame = next(&mut stream).await.unwrap();
        assert_ne!(frame.kind, RST_STREAM);
        is_answered = frame.stream == 1 && frame.kind <= HEADERS && frame.flags & END_STREAM != 0;
    }
    // The rest comes. The answer to a ping after it comes after the answer to the rest.
    let rest = [&piece[..9], &[b' '; 16 << 10][..]].concat();
    stream.write_all(&rest).await.unwrap();
    let end = [0, 0, 0, DATA, END_STREAM, 0, 0, 0, 1];
    let ping = [0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    stream.write_all(&[&end[..], &ping].concat()).await.unwrap();
    loop {
        let frame = next(&mut stream).await.unwrap();
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == PING && frame.flags & ACK != 0 {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_an_answer_is_cut_off_though_it_is_there() {
    // The window is empty or a single byte: the answer waits here, or at the connection.
    for window in [0, 1] {
        let limits = Limits {
            stall_timeout: Duration::from_millis(200),
            ..Limits::default()
        };
        let mut stream = serve(limits).await;
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, window];
        let block = b"\x82\x86\x04\x08/version\x01\x09localhost";
        let length = u8::try_from(block.len()).unwrap();
        let head = [0, 0, length, HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 1];
        let begin = [PREFACE, &settings, &head, block].concat();
        stream.write_all(&begin).await.unwrap();
        let ended = timeout(FOR_EVER, async {
            // Every ping is answered: the connection is well.
            while next(&mut stream).await.is_some() {}
        });
        ended.await.expect("an end");
    }
}
