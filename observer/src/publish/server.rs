//! The HTTP server for scrapes: bounded in connections and in time, on the thread that drains the kernel.
//!
//! Comes in: requests. Goes out: what `pages` answers. Each connection serves one request; a deadline over the whole
//! of it then bounds a client that is slow to ask as well as one that is slow to read.

mod pages;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Registry;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Clients at a time; more wait to be accepted.
const CONNECTIONS: usize = 32;

/// Time for a request to arrive.
const HEADER_WAIT: Duration = Duration::from_secs(5);

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

/// Takes the port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        _ => BindError::Other { address, source },
    })
}

/// Serves until `stop`, then gives answers under way a moment to get out.
pub async fn serve(listener: TcpListener, registry: Registry, stop: impl Future<Output = ()>) {
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
                open.spawn(connection(stream, registry.clone()));
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

async fn connection(stream: TcpStream, registry: Registry) {
    let service = service_fn(|request| {
        let answer = pages::answer(&request, &registry);
        async { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away or dawdles harms nobody but itself.
    match timeout(CONNECTION_LIFE, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("a scrape failed: {error}"),
        Err(_late) => log::debug!("a scrape took too long"),
    }
}
