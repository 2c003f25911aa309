//! A proxy before a server of CouchDB's protocol, which fails requests as networks and servers do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is passed on, and so is the answer.
    None,
    /// The connection ends without an answer; the server never gets the request.
    Refused,
    /// The server never gets the request, and the answer is this status.
    Status(u16),
    /// The server does it, but its answer is lost.
    AnswerLost,
    /// The server does it, but only half of the answer arrives.
    AnswerCut,
    /// Somebody else first changes a document that will be written.
    Overtaken,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
}

type Policy = Box<dyn FnMut(&Head) -> Fault + Send>;

/// A running proxy.
pub(crate) struct Proxy {
    port: u16,
    policy: Arc<Mutex<Policy>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy that passes everything on to `upstream`.
    pub(crate) fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let policy: Arc<Mutex<Policy>> = Arc::new(Mutex::new(Box::new(|_| Fault::None)));
        let stop = Arc::new(AtomicBool::new(false));
        let (upstream, policy_there, stop_there) =
            (upstream.to_owned(), Arc::clone(&policy), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop_there.load(Ordering::SeqCst) {
                    return;
                }
                let (upstream, policy) = (upstream.clone(), Arc::clone(&policy_there));
                std::thread::spawn(move || {
                    // Broken connections are the purpose of this.
                    drop(serve(client?, &upstream, &policy));
                    std::io::Result::Ok(())
                });
            }
        });
        Self {
            port,
            policy,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets `policy` decide the fault of each request from now on.
    pub(crate) fn set(&self, policy: impl FnMut(&Head) -> Fault + Send + 'static) {
        *self.policy.lock().unwrap() = Box::new(policy);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Reads a whole request: its head and its body.
fn read_request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            let mut body = bytes.split_off(end + 4);
            while body.len() < length.unwrap_or(0) {
                let read = client.read(&mut buffer)?;
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                body.extend_from_slice(&buffer[..read]);
            }
            return Ok((head, body));
        }
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// Sends a request whose connection ends with the answer, and returns the answer as it came.
fn forward(upstream: &str, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    let hop = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("connection")
            && !name.eq_ignore_ascii_case("accept-encoding")
            && !name.eq_ignore_ascii_case("content-length")
    };
    let kept: Vec<&str> = head.lines().filter(hop).collect();
    let head = format!(
        "{}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        kept.join("\r\n"),
        body.len()
    );
    server.write_all(head.as_bytes())?;
    server.write_all(body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

fn serve(mut client: TcpStream, upstream: &str, policy: &Mutex<Policy>) -> std::io::Result<()> {
    let (head, body) = read_request(&mut client)?;
    let mut words = head.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let request = Head {
        method: word(),
        path: word(),
    };
    let fault = (policy.lock().unwrap())(&request);
    let answer = match fault {
        Fault::Refused => return client.shutdown(Shutdown::Both),
        Fault::Status(status) => format!(
            "HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: 17\r\n\r\n{{\"error\":\"fault\"}}"
        )
        .into_bytes(),
        Fault::None => forward(upstream, &head, &body)?,
        Fault::AnswerLost => {
            forward(upstream, &head, &body)?;
            return client.shutdown(Shutdown::Both);
        }
        Fault::AnswerCut => {
            let answer = forward(upstream, &head, &body)?;
            answer[..answer.len() / 2].to_vec()
        }
        Fault::Overtaken => {
            overtake(upstream, &head, &body)?;
            forward(upstream, &head, &body)?
        }
    };
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Both)
}

/// Changes the existing documents of a `_bulk_docs`, so that their revisions are new.
fn overtake(upstream: &str, head: &str, body: &[u8]) -> std::io::Result<()> {
    let Ok(serde_json::Value::Object(mut request)) = serde_json::from_slice(body) else {
        return Ok(());
    };
    let Some(documents) = request.get_mut("docs").and_then(|docs| docs.as_array_mut()) else {
        return Ok(());
    };
    documents.retain(|document| document.get("_rev").is_some());
    for document in documents {
        if let Some(members) = document.as_object_mut() {
            members.remove("_deleted");
            members.insert("meddled".into(), true.into());
        }
    }
    let body = serde_json::Value::Object(request).to_string();
    forward(upstream, head, body.as_bytes()).map(|_| ())
}
