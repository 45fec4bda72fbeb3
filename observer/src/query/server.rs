//! The thread that keeps the history and answers questions, so that neither holds up the kernel's records.
//!
//! Comes in: [`Note`]s from the draining thread, through a queue that never makes it wait, and connections. Goes out:
//! answers. Bounded in connections, in the size of a question, and in time.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::UCred},
    sync::{broadcast, mpsc},
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

use super::{
    Request,
    answer::{self, Reply},
    fins::{Remembered, Wish},
    socket::QuerySocket,
    status::{DaemonStatus, Losses},
};
use crate::{
    half_closed::Fins,
    history::{
        History, HistoryLimits, Selection,
        pack::{PackedReport, ReportKind},
    },
    owner::Cgroups,
    report::Report,
    source::clock::{ClockOffset, monotonic_ns},
};

/// Who is answered at a time, followers included; more wait to be accepted.
const CONNECTIONS: usize = 32;

/// Bytes of a question.
const QUESTION: u64 = 16 << 10;

/// Time for a question to arrive.
const QUESTION_WAIT: Duration = Duration::from_secs(5);

/// Time for a reader to take the next part of an answer.
const READER_WAIT: Duration = Duration::from_secs(10);

/// Records of one part of an answer: others get their turn after a fraction of a millisecond.
const PART: usize = 64;

/// Records that a follower may be behind.
const FOLLOWER_LAG: usize = 4096;

/// Notes that wait for the thread.
const QUEUE: usize = 8;

/// Reports that wait for room in the queue, while the thread is busy: some 20 MB, a second of a storm.
const BACKLOG: usize = 65_536;

/// Between two gatherings of FINs for those who ask.
const FINS_INTERVAL: Duration = Duration::from_millis(250);

/// Pause when a connection cannot be accepted, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What the draining thread tells.
#[derive(Debug)]
pub enum Note {
    /// What was reported in one batch.
    Records(Vec<PackedReport>),
    /// How it is.
    Status(Box<DaemonStatus>),
    /// How much is to be remembered from now on.
    HistoryLimits(HistoryLimits),
    /// When the FINs of what is half-closed were seen.
    Fins(Arc<Fins>),
}

/// The draining thread's end: gathers, and hands over without ever waiting.
pub struct HistorySender {
    notes: mpsc::Sender<Note>,
    backlog: Vec<PackedReport>,
    not_taken: u64,
    /// Not yet handed over.
    limits: Option<HistoryLimits>,
    gone: bool,
    remembered: Remembered,
    wish: Arc<Wish>,
    /// When FINs were told last.
    fins_told: Option<Instant>,
}

impl HistorySender {
    /// Keeps a report for the history.
    pub fn report(&mut self, report: &Report) {
        if matches!(report, Report::StrayReset(_) | Report::LingerExpired(_)) {
            // History has no place for them.
        } else if self.backlog.len() >= BACKLOG {
            self.not_taken += 1;
        } else {
            self.backlog.extend(PackedReport::of(report));
        }
    }

    /// Changes how much is remembered.
    pub fn limit(&mut self, limits: HistoryLimits) {
        self.limits = Some(limits);
    }

    /// Hands over what was gathered; what does not fit waits for the next time.
    pub fn flush(&mut self) {
        if let Some(limits) = self.limits
            && let Ok(place) = self.notes.try_reserve()
        {
            place.send(Note::HistoryLimits(limits));
            self.limits = None;
        }
        if self.backlog.is_empty() {
            return;
        }
        match self.notes.try_reserve() {
            Ok(place) => place.send(Note::Records(std::mem::take(&mut self.backlog))),
            Err(mpsc::error::TrySendError::Full(())) => {}
            Err(mpsc::error::TrySendError::Closed(())) => {
                self.not_taken += u64::try_from(self.backlog.len()).unwrap_or(u64::MAX);
                self.backlog.clear();
                if !std::mem::replace(&mut self.gone, true) {
                    log::error!("the thread that answers queries has ended; everything else goes on");
                }
            }
        }
    }

    /// A way to the history, never to be used by the draining thread itself.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        self.remembered.clone()
    }

    /// Whether somebody asks which connections are half-closed. Gathering them takes a pass through all stories, and
    /// questions may come one after the other.
    pub fn wants_fins(&mut self) -> bool {
        self.fins_told.is_none_or(|at| at.elapsed() >= FINS_INTERVAL) && self.wish.take()
    }

    /// Tells which connections are half-closed; that it was not told once does not matter.
    pub fn fins(&mut self, fins: Arc<Fins>) {
        self.fins_told = Some(Instant::now());
        if let Ok(place) = self.notes.try_reserve() {
            place.send(Note::Fins(fins));
        }
    }

    /// Hands over how the draining thread is. A full queue drops it: the next one comes within a second.
    pub fn status(&mut self, mut status: Box<DaemonStatus>) {
        status.not_taken = self.not_taken;
        if let Ok(place) = self.notes.try_reserve() {
            place.send(Note::Status(status));
        }
    }
}

/// Starts the thread. It ends when the feeder is dropped.
pub fn serve_in_thread(
    socket: QuerySocket,
    limits: HistoryLimits,
) -> anyhow::Result<(HistorySender, JoinHandle<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (notes, taken) = mpsc::channel(QUEUE);
    let state = ServerState {
        history: History::new(limits, Cgroups::new()),
        // Until the first comes.
        status: DaemonStatus { ns: monotonic_ns(), started_ns: monotonic_ns(), ..DaemonStatus::default() },
        losses: Losses::default(),
        fins: Arc::default(),
        clock: ClockOffset::now(),
    };
    let state = Arc::new(Mutex::new(state));
    let remembered = Remembered { state: Arc::clone(&state) };
    let wish = Arc::new(Wish::default());
    let granted = Arc::clone(&wish);
    let thread = std::thread::Builder::new().name("queries".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(&socket, state, taken, granted)) {
            log::error!("queries cannot be answered: {error:#}");
        }
    });
    let thread = thread.context("starting the thread that answers queries")?;
    let feeder = HistorySender {
        notes,
        backlog: Vec::new(),
        not_taken: 0,
        limits: None,
        gone: false,
        remembered,
        wish,
        fins_told: None,
    };
    Ok((feeder, thread))
}

/// What questions are answered from.
pub(super) struct ServerState {
    pub(super) history: History,
    pub(super) status: DaemonStatus,
    pub(super) losses: Losses,
    pub(super) fins: Arc<Fins>,
    pub(super) clock: ClockOffset,
}

/// Nearly all of it happens on one thread, and no lock is held across an await. The only other thread is the one that
/// looks at half-closed sockets: it holds the lock for one pass through the newest closes, every ten seconds.
#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<ServerState>>,
    news: broadcast::Sender<PackedReport>,
    wish: Arc<Wish>,
    gid: u32,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, note: Note) {
        let mut state = self.state();
        match note {
            Note::Records(records) => {
                for record in records {
                    if self.news.receiver_count() > 0 {
                        // An error only says that nobody listens any more.
                        drop(self.news.send(record.clone()));
                    }
                    state.history.note(record);
                }
            }
            Note::Status(status) => {
                state.history.expire(status.ns);
                state.clock = state.clock.refreshed();
                state.losses.note(&status);
                state.status = *status;
            }
            Note::HistoryLimits(limits) => state.history.set_limits(limits),
            Note::Fins(fins) => {
                state.fins = fins;
                self.wish.grant();
            }
        }
    }
}

async fn serve(
    socket: &QuerySocket,
    state: Arc<Mutex<ServerState>>,
    mut notes: mpsc::Receiver<Note>,
    wish: Arc<Wish>,
) -> anyhow::Result<()> {
    let listener = socket.listener.try_clone().and_then(UnixListener::from_std)?;
    let (news, _) = broadcast::channel(FOLLOWER_LAG);
    let shared = Shared { state, news, wish, gid: socket.gid };
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            note = notes.recv() => match note {
                Some(note) => {
                    shared.take(note);
                    continue;
                }
                None => return Ok(()),
            },
            Some(_ended) = open.join_next() => continue,
            accepted = listener.accept(), if open.len() < CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let shared = shared.clone();
                open.spawn(async move {
                    if let Err(error) = connection(stream, &shared).await {
                        // A client that goes away or dawdles harms nobody but itself.
                        log::debug!("a query failed: {error}");
                    }
                });
            }
            Err(error) => {
                log::warn!("accepting a query: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let (uid, pid) = (peer.uid(), peer.pid().unwrap_or_default());
    if !may_ask(&peer, shared.gid) {
        log::debug!("query refused: uid {uid}, pid {pid}");
        let text = format!("user {uid} may not ask this observer: be root or in the group {}", shared.gid);
        return write(&mut stream, &answer::error(&text)).await;
    }
    let mut question = Vec::new();
    let mut reader = BufReader::new(&mut stream).take(QUESTION + 1);
    match timeout(QUESTION_WAIT, reader.read_until(b'\n', &mut question)).await {
        Ok(read) => read?,
        Err(_late) => {
            let text = format!("no question came within {} s", QUESTION_WAIT.as_secs());
            return write(&mut stream, &answer::error(&text)).await;
        }
    };
    if question.len() as u64 > QUESTION {
        return write(&mut stream, &answer::error(&format!("a question has at most {QUESTION} bytes"))).await;
    }
    log::debug!("query of uid {uid}, pid {pid}: {}", String::from_utf8_lossy(&question).trim_end());
    let ask = match Request::parse(&question) {
        Ok(ask) => ask,
        Err(error) => return write(&mut stream, &answer::error(&error.to_string())).await,
    };
    if ask == Request::Fins {
        shared.wish.make().await;
    }
    // Before the answer, so that nothing is missed between the two.
    let news = shared.news.subscribe();
    let found = answer::answer(&mut shared.state(), ask);
    match found {
        Reply::One(found) => {
            let told = usize::from(found.is_some());
            let line = found.map_or_else(String::new, |line| line + "\n");
            write(&mut stream, &(line + &answer::end(told, false))).await
        }
        Reply::Many { kind, records, more, follow } => {
            for part in records.chunks(PART) {
                write(&mut stream, &lines(shared, part)).await?;
                yield_now().await;
            }
            match follow {
                None => write(&mut stream, &answer::end(records.len(), more)).await,
                Some(wanted) => {
                    drop(records);
                    tail(&mut stream, shared, news, kind, &wanted).await
                }
            }
        }
    }
}

/// Goes on until the reader goes.
async fn tail(
    stream: &mut UnixStream,
    shared: &Shared,
    mut news: broadcast::Receiver<PackedReport>,
    kind: ReportKind,
    wanted: &Selection,
) -> io::Result<()> {
    loop {
        let text = tokio::select! {
            // A follower says nothing more, so this is its end.
            () = gone(stream) => return Ok(()),
            next = news.recv() => match next {
                Ok(record) => {
                    let fits = record.kind == kind
                        && record.is_wanted(wanted, &mut shared.state().history.cgroups);
                    if fits { lines(shared, std::slice::from_ref(&record)) } else { continue }
                }
                Err(broadcast::error::RecvError::Lagged(count)) => answer::missed(count),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
        };
        write(stream, &text).await?;
    }
}

/// Until the other side has closed.
async fn gone(stream: &UnixStream) {
    let mut rest = [0; 64];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn lines(shared: &Shared, records: &[PackedReport]) -> String {
    let mut state = shared.state();
    records.iter().filter_map(|record| answer::record_line(&mut state, record)).collect()
}

async fn write(stream: &mut UnixStream, text: &str) -> io::Result<()> {
    match timeout(READER_WAIT, stream.write_all(text.as_bytes())).await {
        Ok(written) => written,
        Err(_late) => Err(io::Error::new(io::ErrorKind::TimedOut, "the reader does not read")),
    }
}

/// The file's mode says it already; this holds also where somebody has changed it.
fn may_ask(peer: &UCred, gid: u32) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid() == 0 || peer.uid() == own || peer.gid() == gid {
        return true;
    }
    let status = |pid| procfs::process::Process::new(pid).and_then(|process| process.status()).ok();
    peer.pid().and_then(status).is_some_and(|status| status.groups.contains(&gid))
}
