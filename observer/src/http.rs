//! The HTTP server for scrapes: bounded in connections and in time, on a thread of its own.
//!
//! Comes in: requests. Goes out: what `pages` answers. Each connection serves one request; a deadline over the whole
//! of it then bounds a client that is slow to ask as well as one that is slow to read. The thread that drains the
//! kernel has no part in it: whatever a client asks for, and however often, no verdict waits for it.

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

/// Clients at a time; more wait to be accepted.
const CONNECTIONS: usize = 32;

/// Time for a TLS handshake, and for a request to arrive.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// Time for everything, from accept to the last byte of the answer.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);

/// Time for answers under way when serving stops.
const STOP_WAIT: Duration = Duration::from_millis(500);

/// Pause when a connection cannot be accepted, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Why nothing can be served.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody has the port.
    #[error(
        "cannot serve metrics on {address}: the port is taken, perhaps by another observer; \
         `ss -ltnp 'sport = :{port}'` tells by whom, --listen ADDR:PORT chooses another",
        port = address.port()
    )]
    Taken {
        /// What was asked for.
        address: SocketAddr,
    },
    /// Not an address of this host.
    #[error(
        "cannot serve metrics on {address}: this host has no such address; --listen ADDR:PORT chooses another"
    )]
    NotOurs {
        /// What was asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot serve metrics on {address}; --listen ADDR:PORT chooses another address")]
    Other {
        /// What was asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Takes the port. Clients may connect from now on, and wait.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    let bound = std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        _ => BindError::Other { address, source },
    })
}

/// What is served, and to whom.
pub struct Served {
    /// Metrics.
    pub registry: Registry,
    /// What `/-/healthy` says.
    pub health: Health,
    /// Protection.
    pub web: Web,
}

/// A server in its thread. Dropping it lets it end; [`Self::stop`] also waits for that.
pub struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves from now on.
    pub fn start(listener: std::net::TcpListener, served: Served) -> io::Result<Self> {
        // One thread beside it, for passwords.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("observer-http".to_owned()).spawn(move || {
            // Only its end says something.
            runtime.block_on(serve(listener, served, async { drop(stopped.await) }));
            // A password may still be compared; nobody waits for it.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    /// Frees the port, and gives answers under way a moment to get out.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the thread that serves metrics had panicked");
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
                log::warn!("accepting a scrape: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let rest = async { while open.join_next().await.is_some() {} };
    if timeout(STOP_WAIT, rest).await.is_err() {
        log::debug!("clients were cut off when serving stopped");
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
    // A client that goes away or dawdles harms nobody but itself.
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
