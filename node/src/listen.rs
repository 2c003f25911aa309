//! The port: connections, with their handshakes done.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quire_gateway::Peer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::tls::{Stream, Tls};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most handshakes under way; then connections wait in the kernel's queue.
const MAX_HANDSHAKES: usize = 1024;
/// How long to wait when the system has no more file handles.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections. A slow handshake is in nobody else's way.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
    handshakes: JoinSet<io::Result<(Stream, Peer)>>,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr, tls: Option<Tls>) -> io::Result<Self> {
        Ok(Self {
            tcp: TcpListener::bind(address).await?,
            tls,
            handshakes: JoinSet::new(),
        })
    }

    async fn connection(&mut self) -> io::Result<Option<(Stream, Peer)>> {
        let may_take = self.handshakes.len() < MAX_HANDSHAKES;
        tokio::select! {
            taken = self.tcp.accept(), if may_take => {
                let (tcp, _) = taken?;
                self.take(tcp)
            }
            Some(done) = self.handshakes.join_next() => {
                done.map_err(io::Error::other)?.map(Some)
            }
        }
    }

    /// A plain connection is ready; another one is as soon as its handshake is done.
    fn take(&mut self, tcp: TcpStream) -> io::Result<Option<(Stream, Peer)>> {
        // An answer is one small write: waiting to fill a packet would only delay it.
        tcp.set_nodelay(true)?;
        let Some(tls) = self.tls.clone() else {
            return Ok(Some((Stream::Plain(tcp), Peer::default())));
        };
        self.handshakes.spawn(async move {
            let done = timeout(HANDSHAKE, tls.accept(tcp)).await;
            done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        });
        Ok(None)
    }
}

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Stream, Peer) {
        loop {
            match self.connection().await {
                Ok(Some(connection)) => return connection,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection did not come about");
                    // EMFILE and ENFILE: others have to end first.
                    if matches!(error.raw_os_error(), Some(23 | 24)) {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer::default())
    }
}

impl Listener {
    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
