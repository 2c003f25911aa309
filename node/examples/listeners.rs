//! What listeners cost: opens many event streams on a node, writes to it, and prints what memory and
//! processor time the node took for it.
//!
//! ```text
//! cargo run --release -p quire --example listeners -- ADDRESS PID [LISTENERS] [BLOCKS]
//! ```
//!
//! `ADDRESS` is `127.0.0.1:7080`, `PID` the node's process, whose `/proc` entry is read: Linux only.

use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use ureq::Agent;

/// Clock ticks a second, of `/proc/PID/stat`: the same on every Linux.
const TICKS: f64 = 100.0;
/// How long a listener may wait for an event.
const PATIENCE: Duration = Duration::from_secs(60);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a process has, and has used.
#[derive(Clone, Copy, Debug)]
struct Cost {
    resident_kib: u64,
    processor_seconds: f64,
}

impl Cost {
    fn of(pid: &str) -> Outcome<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.split_whitespace().next());
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may have spaces; user and system time are 14 and 15.
        let (_, rest) = stat.rsplit_once(')').ok_or("no name in stat")?;
        let mut ticks = 0.0;
        for field in rest.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<f64>()?;
        }
        Ok(Self {
            resident_kib: resident.ok_or("no VmRSS")?.parse()?,
            processor_seconds: ticks / TICKS,
        })
    }

    fn print(self, what: &str, before: Self) {
        let kib = self.resident_kib.saturating_sub(before.resident_kib);
        let seconds = self.processor_seconds - before.processor_seconds;
        println!(
            "{what:<28} {:>8} KiB resident, {kib:>6} more; {seconds:>6.2} s of processor",
            self.resident_kib
        );
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("ADDRESS PID [LISTENERS] [BLOCKS]")?;
    let pid = arguments.next().ok_or("the node's process id is missing")?;
    let count: usize = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let blocks: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;

    let idle = Cost::of(&pid)?;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        listeners.push(Listener::open(&address)?);
    }
    let opened = Cost::of(&pid)?;
    opened.print(&format!("{count} listeners"), idle);

    std::thread::sleep(Duration::from_secs(5));
    Cost::of(&pid)?.print("the same, 5 s of quiet", opened);

    // The same is done without an audience below: the difference is what telling costs.
    let quiet = Cost::of(&pid)?;
    let began = Instant::now();
    let reading = std::thread::spawn(move || read_all(listeners, blocks));
    write(&address, blocks)?;
    let read = reading.join().map_err(|_| "a reader failed")??;
    let told = Cost::of(&pid)?;
    told.print(&format!("{blocks} blocks to all of them"), quiet);
    println!("{} events in {:.2} s", read, began.elapsed().as_secs_f64());

    let silent = Cost::of(&pid)?;
    write(&address, blocks)?;
    Cost::of(&pid)?.print(&format!("{blocks} blocks to nobody"), silent);
    Ok(())
}

/// Writes documents one after the other: each is a block.
fn write(address: &str, blocks: usize) -> Outcome<()> {
    let agent = Agent::new_with_defaults();
    for number in 0..blocks {
        let url = format!("http://{address}/v1/channels/main/state/listeners/{number}");
        let body = json!({"number": number}).to_string();
        agent
            .put(&url)
            .header("Content-Type", "application/json")
            .send(body.as_bytes())?;
    }
    Ok(())
}

/// Reads from every listener until it has seen so many events.
fn read_all(listeners: Vec<Listener>, events: usize) -> Result<usize, String> {
    let mut read = 0;
    for mut listener in listeners {
        while listener.seen < events {
            listener.read().map_err(|error| error.to_string())?;
        }
        read += listener.seen;
    }
    Ok(read)
}

/// An event stream, and how many events it has seen.
struct Listener {
    stream: TcpStream,
    tail: Vec<u8>,
    seen: usize,
}

impl Listener {
    fn open(address: &str) -> Outcome<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET /v1/channels/main/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        if &status != b"HTTP/1.1 200" {
            return Err(String::from_utf8_lossy(&status).into_owned().into());
        }
        Ok(Self {
            stream,
            tail: Vec::new(),
            seen: 0,
        })
    }

    fn read(&mut self) -> Outcome<()> {
        const EVENT: &[u8] = b"event: block";
        let mut buffer = [0; 8_192];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err("the node hung up".into());
        }
        self.tail.extend(buffer.iter().take(count));
        let found = self.tail.windows(EVENT.len()).filter(|at| *at == EVENT);
        self.seen += found.count();
        // An event's name may be cut in two.
        let keep = self.tail.len().saturating_sub(EVENT.len() - 1);
        self.tail.drain(..keep);
        Ok(())
    }
}
