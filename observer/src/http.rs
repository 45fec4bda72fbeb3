//! The HTTP server for metrics and health, on a thread of its own.
//!
//! In: requests. Out: the answers of `pages`. The number of connections is bounded. Each connection serves one request,
//! and has one deadline from accept to the last byte, so a slow client cannot hold it. The draining thread takes no
//! part: no verdict waits for a client.

mod accept;
mod health;
mod openmetrics;
mod pages;
mod web;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use hyper::{header::AUTHORIZATION, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Registry;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::web::Protection;
pub use self::{
    health::Health,
    web::{Web, WebError},
};

/// Maximum clients at a time. More wait to be accepted.
const CONNECTIONS: usize = 32;

/// Time for a TLS handshake, and for a request to arrive.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// Time from accept to the last byte of the answer.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);

/// Time for unfinished answers when the server stops.
const STOP_WAIT: Duration = Duration::from_millis(500);

/// Pause when a connection cannot be accepted, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Why the server cannot listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process listens there.
    #[error(
        "cannot serve metrics on {address}: the port is in use, perhaps by another observer; \
         `ss -ltnp 'sport = :{port}'` shows the process; choose another address with --listen ADDR:PORT",
        port = address.port()
    )]
    Taken {
        /// The address of the settings.
        address: SocketAddr,
    },
    /// Not an address of this host.
    #[error(
        "cannot serve metrics on {address}: this host has no such address; choose another with --listen ADDR:PORT"
    )]
    NotOurs {
        /// The address of the settings.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot serve metrics on {address}; choose another address with --listen ADDR:PORT")]
    Other {
        /// The address of the settings.
        address: SocketAddr,
        /// The kernel's error.
        source: io::Error,
    },
}

/// Listens at the address. From now on clients can connect, and wait for [`Server::start`].
///
/// # Errors
/// The port is in use, the address is not of this host, or the kernel refuses.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    let bound = std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        _ => BindError::Other { address, source },
    })
}

/// The sources of all answers.
pub struct Served {
    /// Metrics.
    pub registry: Registry,
    /// The answer of `/-/healthy`.
    pub health: Health,
    /// TLS, passwords and headers.
    pub web: Web,
}

/// A running server. Dropping it ends its thread; [`Self::stop`] also waits for the end.
pub struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts to serve.
    ///
    /// # Errors
    /// The runtime or the thread cannot be created.
    pub fn start(listener: std::net::TcpListener, served: Served) -> io::Result<Self> {
        // One more thread, which compares passwords.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("observer-http".to_owned()).spawn(move || {
            // The channel carries nothing: that it closes is the message.
            runtime.block_on(serve(listener, served, async { drop(stopped.await) }));
            // A password may still be compared. There is no need to wait for the result.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops listening, and waits half a second at most for unfinished answers.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the thread that serves metrics has panicked");
        }
    }
}

async fn serve(listener: TcpListener, served: Served, stop: impl Future<Output = ()>) {
    let Served { registry, health, mut web } = served;
    let mut stop = std::pin::pin!(stop);
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_ended) = open.join_next() => continue,
            accepted = listener.accept(), if open.len() < CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                open.spawn(connection(stream, registry.clone(), health.clone(), web.current()));
            }
            Err(error) => {
                log::warn!("cannot accept a scrape: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let unfinished = async { while open.join_next().await.is_some() {} };
    if timeout(STOP_WAIT, unfinished).await.is_err() {
        log::debug!("some answers were cut off when the server stopped");
    }
}

async fn connection(stream: TcpStream, registry: Registry, health: Health, protection: Protection) {
    let serving = async {
        match protection.tls.clone() {
            None => request(stream, &registry, &health, &protection).await?,
            Some(tls) => {
                let stream = timeout(REQUEST_WAIT, tls.accept(stream)).await??;
                request(stream, &registry, &health, &protection).await?;
            }
        }
        anyhow::Ok(())
    };
    // A client that leaves or is slow harms only itself.
    match timeout(CONNECTION_LIFE, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("a scrape failed: {error:#}"),
        Err(_late) => log::debug!("a scrape took too long"),
    }
}

async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    registry: &Registry,
    health: &Health,
    protection: &Protection,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request| async move {
        let authorization = request.headers().get(AUTHORIZATION);
        let admitted = Arc::clone(&protection.users).admit(authorization).await;
        let mut answer =
            if admitted { pages::answer(&request, registry, health) } else { pages::unauthorized() };
        answer.headers_mut().extend(protection.headers.as_ref().clone());
        Ok::<_, Infallible>(answer)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WAIT)
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await
}
