//! Where connections come in, as they are or by TLS, and how many there may be.
//!
//! Whoever reaches the port may open connections and say nothing. Each costs memory, and a probe of the kubelet that does not get
//! through ends the process. So there is a bound on both handshakes and connections, and beyond it the oldest is given up: a probe or
//! a scrape takes a moment, and is over before it is the oldest.

use super::tls::{Certificate, TlsError};
use axum::serve::Listener;
use futures::task::AtomicWaker;
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tracing::debug;

/// How long a caller may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many handshakes may be under way.
const HANDSHAKES: usize = 256;
/// How many connections may be open. Each scraper and each Alertmanager keeps one or two.
const CONNECTIONS: usize = 512;

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Whether a connection is to be given up.
#[derive(Debug, Default)]
struct Seat {
    given_up: AtomicBool,
    /// The one task that a connection has.
    waits: AtomicWaker,
}

impl Seat {
    fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
        self.waits.wake();
    }
}

/// A connection that ends when it is given up.
pub(super) struct Connection {
    stream: Stream,
    seat: Arc<Seat>,
}

impl Connection {
    /// The stream, unless it is given up: also for a caller who asks much and reads nothing.
    fn held(&mut self, context: &Context<'_>) -> io::Result<Pin<&mut Stream>> {
        self.seat.waits.register(context.waker());
        if self.seat.given_up.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().held(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().held(context)?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().held(context)?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().held(context)?.poll_shutdown(context)
    }
}

type Shaken = Option<(TlsStream<TcpStream>, SocketAddr)>;

/// Where connections come in.
pub(super) struct Door {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    handshakes: JoinSet<Shaken>,
    /// The oldest first, as are the connections.
    under_way: VecDeque<AbortHandle>,
    open: VecDeque<Weak<Seat>>,
}

impl Door {
    pub(super) fn new(tcp: TcpListener, certificate: Option<&Arc<Certificate>>) -> Result<Self, TlsError> {
        Ok(Self {
            tcp,
            tls: certificate.map(Certificate::acceptor).transpose()?,
            handshakes: JoinSet::new(),
            under_way: VecDeque::new(),
            open: VecDeque::new(),
        })
    }

    fn shake(&mut self, acceptor: &TlsAcceptor, stream: TcpStream, peer: SocketAddr) {
        if self.under_way.len() >= HANDSHAKES {
            self.under_way.retain(|one| !one.is_finished());
        }
        if self.under_way.len() >= HANDSHAKES
            && let Some(oldest) = self.under_way.pop_front()
        {
            oldest.abort();
        }
        let shaking = acceptor.accept(stream);
        self.under_way.push_back(self.handshakes.spawn(async move {
            match timeout(HANDSHAKE, shaking).await {
                Ok(Ok(stream)) => Some((stream, peer)),
                Ok(Err(error)) => {
                    debug!(%peer, %error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    debug!(%peer, "a TLS handshake took too long");
                    None
                }
            }
        }));
    }

    fn seat(&mut self, stream: Stream) -> Connection {
        if self.open.len() >= CONNECTIONS {
            self.open.retain(|one| one.strong_count() > 0);
        }
        if self.open.len() >= CONNECTIONS
            && let Some(oldest) = self.open.pop_front().and_then(|oldest| oldest.upgrade())
        {
            oldest.give_up();
        }
        let seat = Arc::new(Seat::default());
        self.open.push_back(Arc::downgrade(&seat));
        Connection { stream, seat }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let Some(acceptor) = self.tls.clone() else {
            let (stream, peer) = Listener::accept(&mut self.tcp).await;
            return (self.seat(Either::Left(stream)), peer);
        };
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some((stream, peer))) = done {
                        return (self.seat(Either::Right(stream)), peer);
                    }
                }
                (stream, peer) = Listener::accept(&mut self.tcp) => self.shake(&acceptor, stream, peer),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tokio::io::AsyncReadExt;

    async fn door(certificate: Option<&Arc<Certificate>>) -> Door {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Door::new(tcp, certificate).unwrap()
    }

    /// Whether the other side closed it.
    async fn is_closed(caller: &mut TcpStream) -> bool {
        caller.read(&mut [0; 1]).await.unwrap_or(0) == 0
    }

    fn is_open(caller: &TcpStream) -> bool {
        let nothing = caller.try_read(&mut [0; 1]);
        nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    #[tokio::test]
    async fn the_oldest_of_too_many_connections_is_given_up() {
        let mut door = door(None).await;
        let address = door.local_addr().unwrap();
        let (mut callers, mut taken) = (Vec::new(), Vec::new());
        for _ in 0..=CONNECTIONS {
            callers.push(TcpStream::connect(address).await.unwrap());
            let mut one = door.accept().await.0;
            taken.push(tokio::spawn(async move { one.read(&mut [0; 1]).await }));
        }
        assert_eq!(door.open.len(), CONNECTIONS);
        assert!(is_closed(&mut callers[0]).await);
        let told = taken.swap_remove(0).await.unwrap().unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::ConnectionAborted);
        assert!(callers[1..].iter().all(is_open));
        // One that ended by itself makes room, and nobody else has to.
        drop(callers.pop());
        // The last came into the place of the one that was given up.
        assert_eq!(taken.swap_remove(0).await.unwrap().unwrap(), 0);
        callers.push(TcpStream::connect(address).await.unwrap());
        let _one = door.accept().await;
        assert!(callers[1..].iter().all(is_open));
    }

    /// Whoever opens connections and says nothing keeps nobody out.
    #[tokio::test]
    async fn the_oldest_of_too_many_handshakes_is_given_up() {
        let folder = std::env::temp_dir().join(format!("flyball-handshakes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let certificate = Certificate::new(certificate, key).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let mut door = door(Some(&certificate)).await;
        let address = door.local_addr().unwrap();
        let acceptor = door.tls.clone().unwrap();
        let mut callers = Vec::new();
        for _ in 0..HANDSHAKES + 44 {
            callers.push(TcpStream::connect(address).await.unwrap());
            let (stream, peer) = door.tcp.accept().await.unwrap();
            door.shake(&acceptor, stream, peer);
        }
        assert_eq!(door.under_way.len(), HANDSHAKES);
        for _ in 0..44 {
            let given_up = door.handshakes.join_next().await.unwrap();
            assert!(given_up.unwrap_err().is_cancelled());
        }
        assert!(is_closed(&mut callers[43]).await);
        assert!(is_open(&callers[44]));
    }
}
