//! The process that makes the random connections.
//!
//! It is this executable, started with [`WORD`], a seed, a number of connections, and the connections begun per second.
//! It writes the expected reports of each connection as a line of JSON. It fails if a system call has an unexpected
//! result.

use std::ffi::CString;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::actor::child::set_sigpipe;
use crate::actor::sockets::on_socket;
use crate::actor::{Action, Disposition};
use crate::lab::CLOSED_PORT;
use crate::random::behaviours::{ALL, Behaviour};
use crate::random::rng::Rng;
use crate::random::side::{Expected, Side};
use crate::wait::let_pass;

/// The driver's first argument, and its process name.
pub(crate) const WORD: &str = "driver";

/// Threads, and so connections at the same time.
const THREADS: usize = 200;

/// One connection's behaviour, and the expected reports.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) connection: u64,
    pub(crate) behaviour: String,
    pub(crate) expected: Vec<Expected>,
}

/// Makes this many connections, and begins `rate` of them per second.
pub(crate) fn run(seed: u64, connections: u64, rate: u64) -> ExitCode {
    prctl::set_name(&CString::new(WORD).expect("a name")).expect("setting the process name");
    // Rust ignores SIGPIPE; the tests expect reports with SIGPIPE handled.
    set_sigpipe(Disposition::Handled);
    let next = &AtomicU64::new(0);
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("asking for our CPUs");
    let start = Instant::now();
    let cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).cycle();
    thread::scope(|scope| {
        for cpu in cpus.take(THREADS) {
            scope.spawn(move || {
                stay_on(cpu);
                let place = Place::new();
                loop {
                    let connection = next.fetch_add(1, Ordering::Relaxed);
                    if connection >= connections {
                        break;
                    }
                    let its_time = start + Duration::from_micros(connection * 1_000_000 / rate);
                    let_pass(its_time.saturating_duration_since(Instant::now()));
                    let done = one(&place, seed, connection);
                    let line = format!("{}\n", serde_json::json!(done));
                    io::stdout().lock().write_all(line.as_bytes()).expect("writing the expected reports");
                }
            });
        }
    });
    ExitCode::SUCCESS
}

fn one(place: &Place, seed: u64, connection: u64) -> Done {
    let mut rng = Rng::new(seed, connection);
    let behaviour = pick(&mut rng);
    let expected = (behaviour.action)(place, &mut rng);
    Done { connection, behaviour: behaviour.name.to_owned(), expected }
}

fn pick(rng: &mut Rng) -> &'static Behaviour {
    let mut left = rng.below(ALL.iter().map(|behaviour| behaviour.weight).sum());
    let chosen = ALL.iter().find(|behaviour| {
        let chosen = left < behaviour.weight;
        left = left.saturating_sub(behaviour.weight);
        chosen
    });
    chosen.expect("a number below the sum of the weights")
}

fn stay_on(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu).expect("the number of a CPU");
    sched_setaffinity(Pid::from_raw(0), &only).expect("staying on one CPU");
}

/// The listener of one thread, to which it makes its connections.
pub(crate) struct Place {
    listener: Socket,
    address: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let (listener, address) = listen();
        Self { listener, address }
    }

    /// A connection with its ends in random order. It has carried some messages, which are read and acknowledged.
    pub(crate) fn pair(&self, rng: &mut Rng) -> (Side, Side) {
        let client = connect(self.address);
        let (server, _) = self.listener.accept().expect("accepting");
        let client = Side::new(client, self.address.port(), "local");
        let server = Side::new(server, client.local, "remote");
        let (a, b) = if rng.coin() { (client, server) } else { (server, client) };
        for _ in 0..rng.below(4) {
            let (from, to) = if rng.coin() { (&a, &b) } else { (&b, &a) };
            let bytes = rng.bytes();
            from.send(bytes);
            to.receive(bytes);
        }
        for (from, to) in [(&a, &b), (&b, &a)] {
            to.acknowledge();
            from.await_acked();
        }
        (a, b)
    }

    /// The client's end of a connection attempt that gets no answer until [`Place::answer_again`].
    pub(crate) fn connecting(&self) -> Side {
        on_socket(&self.listener, Action::Silence(true)).expect("silencing the listener");
        let socket = stream();
        socket.set_nonblocking(true).expect("making a socket non-blocking");
        let error = socket.connect(&self.address.into()).expect_err("no answer yet");
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS), "connecting: {error}");
        Side::new(socket, self.address.port(), "local")
    }

    /// Lets the listener answer again. Call it only after the attempt has ended: the SYN is retransmitted after a
    /// second.
    pub(crate) fn answer_again(&self) {
        on_socket(&self.listener, Action::Silence(false)).expect("hearing again");
    }
}

/// A connection that is not accepted. Returns its listener and the client's end.
pub(crate) fn unaccepted() -> (Socket, Side) {
    let (listener, address) = listen();
    let client = connect(address);
    (listener, Side::new(client, address.port(), "local"))
}

/// The client's end of a refused attempt. It is bound, because an unbound socket loses its port.
pub(crate) fn attempt_refused() -> Side {
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, CLOSED_PORT));
    let socket = stream();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("binding");
    let error = socket.connect(&closed.into()).expect_err("a port without a listener");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED), "connecting: {error}");
    Side::new(socket, CLOSED_PORT, "local")
}

fn stream() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("making a socket")
}

fn listen() -> (Socket, SocketAddr) {
    let listener = stream();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("binding");
    listener.listen(8).expect("listening");
    let address = listener.local_addr().expect("its own address").as_socket().expect("of IP");
    (listener, address)
}

fn connect(address: SocketAddr) -> Socket {
    let socket = stream();
    socket.connect(&address.into()).expect("connecting");
    socket
}
