//! The thread that keeps the history and answers requests, so that neither delays the kernel's records.
//!
//! In: connections, and messages of the draining thread ([`HistorySender`]). Out: answers. The number of connections,
//! the size of a request and the time of each step are bounded.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::UCred},
    sync::mpsc,
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

use super::{
    Request,
    answer::{self, Reply},
    fins::{FinsRequest, HistoryReader},
    follow::{Follower, Followers},
    sender::HistorySender,
    socket::QuerySocket,
    state::{Message, SharedState},
};
use crate::history::HistoryLimits;

/// Maximum clients at a time, followers included. More wait to be accepted.
const CONNECTIONS: usize = 32;

/// Maximum size of a request, bytes.
const REQUEST_SIZE: u64 = 16 << 10;

/// Time for a request to arrive.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// Time for a client to read the next part of an answer.
const CLIENT_WAIT: Duration = Duration::from_secs(10);

/// Reports in one part of an answer. Writing a part takes a fraction of a millisecond; then others get their turn.
const PART: usize = 64;

/// Messages that may wait for this thread.
const QUEUE: usize = 8;

/// Pause when a connection cannot be accepted, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Starts the thread. It ends when the sender is dropped, and removes the socket's file then.
///
/// # Errors
/// The runtime or the thread cannot be created.
pub fn serve_in_thread(
    socket: QuerySocket,
    limits: HistoryLimits,
) -> anyhow::Result<(HistorySender, JoinHandle<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (queue, messages) = mpsc::channel(QUEUE);
    let server = QueryServer {
        state: SharedState::new(limits),
        followers: Followers::new(),
        fins_request: Arc::default(),
        gid: socket.gid,
    };
    let reader = HistoryReader { state: server.state.clone() };
    let sender = HistorySender::new(queue, reader, Arc::clone(&server.fins_request));
    let thread = std::thread::Builder::new().name("queries".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(server.run(&socket, messages)) {
            log::error!("cannot answer queries: {error:#}");
        }
    });
    Ok((sender, thread.context("starting the thread that answers queries")?))
}

/// All that each connection needs.
#[derive(Clone)]
struct QueryServer {
    state: SharedState,
    followers: Followers,
    fins_request: Arc<FinsRequest>,
    /// The group that may ask, besides root and the daemon's own user.
    gid: u32,
}

impl QueryServer {
    async fn run(self, socket: &QuerySocket, mut messages: mpsc::Receiver<Message>) -> anyhow::Result<()> {
        let listener = socket.listener.try_clone().and_then(UnixListener::from_std)?;
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => {
                        self.apply(message);
                        continue;
                    }
                    None => return Ok(()),
                },
                Some(_ended) = connections.join_next() => continue,
                accepted = listener.accept(), if connections.len() < CONNECTIONS => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let server = self.clone();
                    connections.spawn(async move {
                        if let Err(error) = server.connection(stream).await {
                            // A client that leaves or is slow harms only itself.
                            log::debug!("a query failed: {error}");
                        }
                    });
                }
                Err(error) => {
                    log::warn!("cannot accept a query: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn apply(&self, message: Message) {
        let mut state = self.state.lock();
        match message {
            Message::Reports(reports) => {
                for report in reports {
                    self.followers.publish(&report);
                    state.history.note(report);
                }
            }
            Message::Status(status) => state.set_status(*status),
            Message::HistoryLimits(limits) => state.history.set_limits(limits),
            Message::Fins(fins) => {
                state.fins = fins;
                self.fins_request.answer();
            }
        }
    }

    async fn connection(&self, mut stream: UnixStream) -> io::Result<()> {
        match self.read(&mut stream).await? {
            Ok(request) => self.reply(&mut stream, request).await,
            Err(refusal) => write(&mut stream, &answer::error(&refusal)).await,
        }
    }

    /// The client's request, or the reason why it gets no answer.
    async fn read(&self, stream: &mut UnixStream) -> io::Result<Result<Request, String>> {
        let peer = stream.peer_cred()?;
        let (uid, pid) = (peer.uid(), peer.pid().unwrap_or_default());
        if !may_ask(&peer, self.gid) {
            log::debug!("query refused: uid {uid}, pid {pid}");
            return Ok(Err(format!(
                "permission denied for user {uid}: only root and group {} may ask",
                self.gid
            )));
        }
        let mut line = Vec::new();
        let mut reader = BufReader::new(stream).take(REQUEST_SIZE + 1);
        match timeout(REQUEST_WAIT, reader.read_until(b'\n', &mut line)).await {
            Ok(read) => read?,
            Err(_late) => return Ok(Err(format!("no request came within {} s", REQUEST_WAIT.as_secs()))),
        };
        if line.len() as u64 > REQUEST_SIZE {
            return Ok(Err(format!("a request has at most {REQUEST_SIZE} bytes")));
        }
        log::debug!("query of uid {uid}, pid {pid}: {}", String::from_utf8_lossy(&line).trim_end());
        Ok(Request::parse(&line).map_err(|error| error.to_string()))
    }

    async fn reply(&self, stream: &mut UnixStream, request: Request) -> io::Result<()> {
        if request == Request::Fins {
            self.fins_request.ask().await;
        }
        // Before the answer, so that no report is missed between the two.
        let reports = self.followers.subscribe();
        let reply = answer::answer(&mut self.state.lock(), request);
        match reply {
            Reply::One(lines) => write(stream, &lines).await,
            Reply::Many { kind, records, end, follow } => {
                for part in records.chunks(PART) {
                    let lines = answer::report_lines(&mut self.state.lock(), part);
                    write(stream, &lines).await?;
                    yield_now().await;
                }
                match follow {
                    None => write(stream, &end).await,
                    Some(wanted) => {
                        drop(records);
                        self.follow(stream, Follower { reports, kind, wanted: *wanted }).await
                    }
                }
            }
        }
    }

    /// Writes new reports until the client leaves.
    async fn follow(&self, stream: &mut UnixStream, mut follower: Follower) -> io::Result<()> {
        loop {
            let line = tokio::select! {
                () = closed(stream) => return Ok(()),
                line = follower.next(&self.state) => line,
            };
            let Some(line) = line else { return Ok(()) };
            write(stream, &line).await?;
        }
    }
}

/// Returns when the client has closed. A follower sends nothing after its request, so anything else is ignored.
async fn closed(stream: &UnixStream) {
    let mut ignored = [0; 64];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

async fn write(stream: &mut UnixStream, text: &str) -> io::Result<()> {
    match timeout(CLIENT_WAIT, stream.write_all(text.as_bytes())).await {
        Ok(written) => written,
        Err(_late) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")),
    }
}

/// The mode of the socket's file grants the same. This check still holds if the mode has been changed.
fn may_ask(peer: &UCred, gid: u32) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid() == 0 || peer.uid() == own || peer.gid() == gid {
        return true;
    }
    let status = |pid| procfs::process::Process::new(pid).and_then(|process| process.status()).ok();
    peer.pid().and_then(status).is_some_and(|status| status.groups.contains(&gid))
}
