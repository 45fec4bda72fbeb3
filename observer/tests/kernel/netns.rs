//! The network namespace of one test. Its counters count nothing else, and its number identifies the test's lines among
//! all that an observer reports.
//!
//! Only the threads of [`Netns::run`] enter it. It lives as long as the handle, its processes and their sockets.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

nix::ioctl_read_bad!(interface_flags, libc::SIOCGIFFLAGS, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_interface_flags, libc::SIOCSIFFLAGS, libc::ifreq);

pub(crate) struct Netns {
    /// None after [`Netns::let_go`].
    file: Mutex<Option<File>>,
    inode: u64,
}

/// The state of a socket, with its number in /proc/net/tcp. A minisocket of a FIN_WAIT2 orphan is shown there as
/// FIN_WAIT2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Established = 1,
    SynRecv = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
}

impl Netns {
    /// A new namespace with its loopback interface up.
    pub(crate) fn new() -> io::Result<Self> {
        // In a new thread: this one would stay in the namespace and take it to the next test.
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            loopback_up()?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().expect("the thread does not panic")?;
        let inode = file.metadata()?.ino();
        Ok(Self { file: Mutex::new(Some(file)), inode })
    }

    /// The number that the kernel and the observer use for it.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// Drops the handle: only the processes and sockets inside keep the namespace.
    pub(crate) fn let_go(&self) {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Runs `inside` in the namespace, in a thread of its own.
    pub(crate) fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let handle = |file: &Option<File>| file.as_ref().map(File::try_clone);
        let file = handle(&self.file.lock().unwrap_or_else(PoisonError::into_inner));
        let file = file.expect("a namespace that we hold").expect("another handle");
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(file, CloneFlags::CLONE_NEWNET).expect("entering a namespace of our own");
                inside()
            });
            thread.join().expect("the thread does not panic")
        })
    }

    /// Reads a file of /proc/net.
    pub(crate) fn proc_net(&self, name: &str) -> String {
        self.run(|| fs::read_to_string(format!("/proc/thread-self/net/{name}")))
            .unwrap_or_else(|error| panic!("reading /proc/net/{name}: {error}"))
    }

    /// Writes a setting below /proc/sys/net.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.run(|| fs::write(format!("/proc/sys/net/{name}"), value))
            .unwrap_or_else(|error| panic!("setting {name} to {value}: {error}"));
    }

    /// Writes a setting of the whole machine. Returns the value before.
    pub(crate) fn set_machine(name: &str, value: &str) -> String {
        let path = format!("/proc/sys/net/{name}");
        let before = fs::read_to_string(&path);
        fs::write(&path, value).unwrap_or_else(|error| panic!("setting {name} to {value}: {error}"));
        before.unwrap_or_else(|error| panic!("reading {name}: {error}"))
    }

    /// Whether the socket with these ends is in this state.
    pub(crate) fn has(&self, local: SocketAddr, remote: SocketAddr, state: State) -> bool {
        let table = self.proc_net(if local.is_ipv4() { "tcp" } else { "tcp6" });
        // sl local_address rem_address st …, an address being HEX:PORT. The ports are enough: all is loopback.
        table.lines().skip(1).any(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let mut is_port =
                |port: u16| fields.next().is_some_and(|address| address.ends_with(&format!(":{port:04X}")));
            let ends = is_port(local.port()) && is_port(remote.port());
            ends && fields.next() == Some(format!("{:02X}", state as u8).as_str())
        })
    }

    /// Number of sockets in ESTABLISHED, of both families.
    pub(crate) fn established(&self) -> usize {
        let tables = ["tcp", "tcp6"].map(|table| self.proc_net(table));
        let lines = tables.iter().flat_map(|table| table.lines().skip(1));
        let state = format!("{:02X}", State::Established as u8);
        // sl local_address rem_address st
        lines.filter(|line| line.split_ascii_whitespace().nth(3) == Some(&state)).count()
    }
}

fn loopback_up() -> io::Result<()> {
    bring_up("lo")
}

/// Brings up the interface of this name in the calling thread's namespace.
pub(crate) fn bring_up(name: &str) -> io::Result<()> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = request_for(name);
    // SAFETY: both calls get an ifreq with a name, and the first call fills in the member that is changed.
    unsafe {
        interface_flags(any.as_raw_fd(), &raw mut request)?;
        let up = libc::c_short::try_from(libc::IFF_UP).map_err(|_| Errno::EOVERFLOW)?;
        request.ifr_ifru.ifru_flags |= up;
        set_interface_flags(any.as_raw_fd(), &raw const request)?;
    }
    Ok(())
}

/// An `ifreq` with the name of this interface.
pub(crate) fn request_for(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request
}
