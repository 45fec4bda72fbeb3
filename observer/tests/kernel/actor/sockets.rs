//! The sockets of an actor, by name, and the system calls on them.

use std::collections::HashMap;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, TcpKeepalive, Type};

use crate::actor::{Action, Condition, How, SocketOption, descriptor, files, uring};
use crate::wait::{DEADLINE, eventually};

nix::ioctl_read_bad!(readable, libc::FIONREAD, libc::c_int);
nix::ioctl_read_bad!(queued, libc::TIOCOUTQ, libc::c_int);
nix::ioctl_read_bad!(unsent, 0x894B /* SIOCOUTQNSD, linux/sockios.h */, libc::c_int);

/// Most bytes per send or receive call.
const CHUNK: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Sockets {
    named: HashMap<String, Socket>,
    mptcp: bool,
}

impl Sockets {
    pub(crate) fn execute(&mut self, name: String, action: Action) -> Result<u64, Errno> {
        self.try_execute(name, action)
            .map_err(|error| Errno::try_from(error).expect("an error with an errno"))
    }

    fn try_execute(&mut self, name: String, action: Action) -> io::Result<u64> {
        match action {
            Action::Mptcp => {
                self.mptcp = true;
                Ok(0)
            }
            Action::Open { ipv6 } => {
                let any = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
                self.open(name, SocketAddr::new(any, 0))?;
                Ok(0)
            }
            Action::Listen(address) => {
                let listener = self.open(name, (address, 0).into())?;
                listener.bind(&SocketAddr::new(address, 0).into())?;
                listener.listen(128)?;
                port(listener)
            }
            Action::ListenTogether(address) => {
                let listener = self.open(name, address)?;
                listener.set_reuse_port(true)?;
                listener.bind(&address.into())?;
                listener.listen(128)?;
                port(listener)
            }
            Action::Accept { listener } => {
                let (socket, _) = self.get(&listener).accept()?;
                self.named.insert(name, socket);
                Ok(0)
            }
            Action::Connect(address) => {
                let socket = self.open(name, address)?;
                socket.connect(&address.into())?;
                port(socket)
            }
            Action::StartConnect(address) => {
                let socket = self.open(name, address)?;
                socket.set_nonblocking(true)?;
                match socket.connect(&address.into()) {
                    Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                    _ => port(socket),
                }
            }
            Action::Close => close(self.take(&name)).map(|()| 0),
            Action::CloseThenSend => close_then_send(self.take(&name)),
            Action::UringClose { in_worker } => uring::close(self.take(&name), in_worker),
            Action::TakeDescriptor => {
                self.named.insert(name, descriptor::take()?.into());
                Ok(0)
            }
            action => on_socket(self.get(&name), action),
        }
    }

    fn open(&mut self, name: String, address: SocketAddr) -> io::Result<&Socket> {
        let protocol = if self.mptcp { Protocol::MPTCP } else { Protocol::TCP };
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(protocol))?;
        Ok(self.named.entry(name).insert_entry(socket).into_mut())
    }

    fn get(&self, name: &str) -> &Socket {
        self.named.get(name).expect("a socket of this name")
    }

    fn take(&mut self, name: &str) -> OwnedFd {
        self.named.remove(name).expect("a socket of this name").into()
    }
}

/// Executes an action on an open socket, which stays open.
pub(crate) fn on_socket(socket: &Socket, action: Action) -> io::Result<u64> {
    match action {
        Action::Send { bytes, flags } => socket.send_with_flags(&vec![b'x'; bytes], flags).map(count),
        Action::Sendfile { from, bytes, by_position } => files::sendfile(socket, from, bytes, by_position),
        Action::Splice { bytes } => files::splice(socket, bytes),
        Action::SendFromNowhere => files::send_from_nowhere(socket),
        Action::UringSend { in_worker } => uring::send(socket, in_worker),
        Action::ConnectOpened(address) => {
            socket.connect(&address.into())?;
            port(socket)
        }
        Action::PassDescriptor => descriptor::pass(socket).map(|()| 0),
        Action::Fill => fill(socket),
        Action::Queued => read_int(socket, queued),
        Action::NextSequence => next_sequence(socket),
        Action::Unsent => read_int(socket, unsent),
        Action::Unread => read_int(socket, readable),
        Action::Receive(bytes) => receive(socket, bytes),
        Action::Await(condition) => {
            let met = eventually(DEADLINE, || match holds(socket, condition) {
                Ok(false) => None,
                other => Some(other),
            });
            met.unwrap_or_else(|| Err(Errno::ETIME.into())).map(|_| 0)
        }
        other => configure(socket, &other).map(|()| 0),
    }
}

fn configure(socket: &Socket, action: &Action) -> io::Result<()> {
    match *action {
        Action::Shutdown(How::Read) => socket.shutdown(Shutdown::Read),
        Action::Shutdown(How::Write) => socket.shutdown(Shutdown::Write),
        Action::Shutdown(How::Both) => socket.shutdown(Shutdown::Both),
        Action::Linger(seconds) => socket.set_linger(seconds.map(Duration::from_secs)),
        // BPF_RET | BPF_K 0: the filter drops every packet.
        Action::Silence(true) => socket.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]),
        Action::Silence(false) => socket.detach_filter(),
        // SAFETY: zeroes are an address of family AF_UNSPEC, and the length is that of a sockaddr.
        Action::Disconnect => socket.connect(&unsafe {
            let storage = SockAddrStorage::zeroed();
            SockAddr::new(storage, length_of::<libc::sockaddr>())
        }),
        Action::Set(SocketOption::NonBlocking) => socket.set_nonblocking(true),
        Action::Set(SocketOption::Keepalive { idle, interval, count }) => socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(Duration::from_secs(idle))
                .with_interval(Duration::from_secs(interval))
                .with_retries(count),
        ),
        Action::Set(SocketOption::UserTimeout(ms)) => {
            socket.set_tcp_user_timeout(Some(Duration::from_millis(ms)))
        }
        Action::Set(SocketOption::Linger2(seconds)) => set_tcp_option(socket, libc::TCP_LINGER2, seconds),
        Action::Set(SocketOption::Repair) => set_tcp_option(socket, libc::TCP_REPAIR, 1),
        Action::Set(SocketOption::FastOpenConnect) => {
            set_tcp_option(socket, libc::TCP_FASTOPEN_NO_COOKIE, 1)?;
            set_tcp_option(socket, libc::TCP_FASTOPEN_CONNECT, 1)
        }
        Action::Set(SocketOption::Cork) => set_tcp_option(socket, libc::TCP_CORK, 1),
        Action::Set(SocketOption::SendBuffer(bytes)) => socket.set_send_buffer_size(bytes),
        Action::Set(SocketOption::PassIcmpErrors) => {
            if socket.domain()? == Domain::IPV6 {
                set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
            } else {
                set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
            }
        }
        ref other => unreachable!("{other:?} does not configure a socket"),
    }
}

fn set_tcp_option(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, option, value)
}

fn set_option(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the value is an int that outlives the call, and the length is that of an int.
    let set = unsafe {
        let (pointer, length) = ((&raw const value).cast(), length_of::<libc::c_int>());
        libc::setsockopt(socket.as_raw_fd(), level, option, pointer, length)
    };
    Errno::result(set).map(drop).map_err(io::Error::from)
}

/// Reads the sequence number in repair mode. Leaves that mode without a window probe (`include/uapi/linux/tcp.h`).
fn next_sequence(socket: &Socket) -> io::Result<u64> {
    const SEND_QUEUE: libc::c_int = 2;
    const OFF_WITHOUT_PROBE: libc::c_int = -1;
    set_tcp_option(socket, libc::TCP_REPAIR, 1)?;
    set_tcp_option(socket, libc::TCP_REPAIR_QUEUE, SEND_QUEUE)?;
    let mut sequence = 0u32;
    let mut length = length_of::<u32>();
    // SAFETY: the length is that of the value, and both outlive the call.
    let got = unsafe {
        let (pointer, length) = ((&raw mut sequence).cast(), &raw mut length);
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, pointer, length)
    };
    Errno::result(got)?;
    set_tcp_option(socket, libc::TCP_REPAIR, OFF_WITHOUT_PROBE)?;
    Ok(sequence.into())
}

/// Sends until the socket takes no more although nothing is in flight. The peer's window is then closed, and the unsent
/// rest no longer changes.
fn fill(socket: &Socket) -> io::Result<u64> {
    let chunk = vec![b'x'; CHUNK];
    let mut total = 0;
    let end = eventually(DEADLINE, || match socket.send_with_flags(&chunk, libc::MSG_DONTWAIT) {
        Ok(sent) => {
            total += count(sent);
            None
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            (read_int(socket, queued).ok()? == read_int(socket, unsent).ok()?).then_some(Ok(()))
        }
        Err(error) => Some(Err(error)),
    });
    end.unwrap_or_else(|| Err(Errno::ETIME.into())).map(|()| total)
}

fn receive(socket: &Socket, bytes: u64) -> io::Result<u64> {
    let mut buffer = vec![MaybeUninit::uninit(); CHUNK];
    let mut total = 0;
    while total < bytes {
        let room = usize::try_from(bytes - total).map_or(CHUNK, |left| left.min(CHUNK));
        match socket.recv(&mut buffer[..room])? {
            0 => break,
            got => total += count(got),
        }
    }
    Ok(total)
}

fn holds(socket: &Socket, condition: Condition) -> io::Result<bool> {
    match condition {
        Condition::Readable(bytes) => Ok(read_int(socket, readable)? >= bytes),
        Condition::Acked => Ok(read_int(socket, queued)? == 0),
        Condition::PeerFin => polled(socket, libc::POLLRDHUP),
        Condition::Error => polled(socket, libc::POLLERR),
        Condition::Gone => polled(socket, libc::POLLERR | libc::POLLHUP),
    }
}

/// libc instead of nix, whose flags lack POLLRDHUP.
fn polled(socket: &Socket, events: libc::c_short) -> io::Result<bool> {
    let mut fd = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    // SAFETY: one pollfd that outlives the call.
    Errno::result(unsafe { libc::poll(&raw mut fd, 1, 0) })?;
    Ok(fd.revents & events != 0)
}

type IntIoctl = unsafe fn(libc::c_int, *mut libc::c_int) -> nix::Result<libc::c_int>;

fn read_int(socket: &Socket, ioctl: IntIoctl) -> io::Result<u64> {
    let mut answer = 0;
    // SAFETY: each of the three ioctls writes one int.
    unsafe { ioctl(socket.as_raw_fd(), &raw mut answer) }?;
    Ok(u64::from(answer.unsigned_abs()))
}

/// Unlike a drop of the socket, this returns the result of close(2).
fn close(socket: OwnedFd) -> io::Result<()> {
    nix::unistd::close(socket).map_err(io::Error::from)
}

/// The actor has no other thread that could open a descriptor with this number meanwhile.
fn close_then_send(socket: OwnedFd) -> io::Result<u64> {
    let number = socket.as_raw_fd();
    close(socket)?;
    // SAFETY: one byte of a static; the kernel refuses the closed descriptor.
    let sent = unsafe { libc::send(number, b"x".as_ptr().cast(), 1, 0) };
    Errno::result(sent).map(|sent| count(sent.unsigned_abs())).map_err(io::Error::from)
}

fn port(socket: &Socket) -> io::Result<u64> {
    Ok(socket.local_addr()?.as_socket().map_or(0, |address| u64::from(address.port())))
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a count that fits")
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("a length that fits")
}
