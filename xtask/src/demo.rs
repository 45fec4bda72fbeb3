//! The demonstration: a few closes on the loopback interface, for which the observer prints its verdicts.
//!
//! Each close is announced on stderr, and every wait has a limit. With `run --demo` the demonstration is a separate
//! process that reads the observer's messages. The observer thus stays in the foreground, gets Ctrl-C, and gives the
//! exit code.

use std::io::{BufRead as _, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use socket2::SockRef;

/// Time between two closes. It separates their verdicts on the terminal.
const PAUSE: Duration = Duration::from_millis(300);
/// Limit of every wait on a socket.
const PATIENCE: Duration = Duration::from_secs(2);

/// The description for the terminal, and the function that causes the close.
type Close = (&'static str, fn() -> Result<()>);

const CLOSES: [Close; 6] = [
    ("an orderly close: each side reads to the end and closes", orderly),
    ("the peer closes, and our side stays open for another second", half_closed),
    ("a close with 16 bytes unread, which resets the connection", unread_data),
    ("a close with SO_LINGER {on, 0}, which resets the connection", linger_zero),
    ("two writes after the peer has closed: the first succeeds, the second fails", write_after_peer_close),
    ("a connect to a port where nothing listens", refused),
];

/// Starts the demonstration in a process of its own. Returns the pipe for the observer's messages.
///
/// The process copies the messages to stderr, and begins when the observer says that it is ready.
pub(crate) fn follow() -> anyhow::Result<Stdio> {
    let (messages, observer) = std::io::pipe().context("cannot make a pipe for the observer's messages")?;
    let xtask = std::env::current_exe().context("cannot find this program for the demonstration")?;
    let mut demo = Command::new(xtask);
    demo.args(["demo", "--after-ready"]).stdin(messages);
    // In its own process group it does not get Ctrl-C. It ends when the observer closes the pipe, after it has shown
    // the last messages.
    demo.process_group(0);
    // Nothing waits for it: the observer replaces this process and outlives it.
    demo.spawn().context("cannot start the demonstration")?;
    Ok(observer.into())
}

pub(crate) fn run(after_ready: bool) -> anyhow::Result<()> {
    if !after_ready {
        return provoke_all();
    }
    let mut started = false;
    for message in std::io::stdin().lock().lines() {
        let message = message.context("cannot read the observer's messages")?;
        eprintln!("{message}");
        if !started && says_ready(&message) {
            started = true;
            // A thread of its own, since reading must not stop while the observer writes messages. It is not joined: if
            // the observer ends first, the rest of the demonstration has no use.
            std::thread::spawn(|| match provoke_all() {
                Ok(()) => eprintln!(
                    "demo: done; the observer keeps running, with metrics at http://127.0.0.1:9817/metrics, until Ctrl-C"
                ),
                Err(error) => eprintln!("demo: {error:#}; the observer keeps running, until Ctrl-C"),
            });
        }
    }
    Ok(())
}

fn says_ready(message: &str) -> bool {
    message.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ready")
}

fn provoke_all() -> anyhow::Result<()> {
    for (number, (what, provoke)) in (1..).zip(CLOSES) {
        sleep(PAUSE);
        eprintln!("demo: {number}/{}: {what}", CLOSES.len());
        provoke().with_context(|| format!("could not cause {what}"))?;
    }
    sleep(PAUSE);
    Ok(())
}

fn orderly() -> Result<()> {
    let (mut client, mut server) = pair()?;
    client.write_all(b"hello")?;
    client.shutdown(Shutdown::Write)?;
    server.read_to_end(&mut Vec::new())?;
    drop(server);
    client.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn half_closed() -> Result<()> {
    let (mut client, server) = pair()?;
    drop(server);
    client.read_to_end(&mut Vec::new())?;
    sleep(Duration::from_secs(1));
    Ok(())
}

fn unread_data() -> Result<()> {
    let (client, mut server) = pair()?;
    server.write_all(&[0; 16])?;
    // Waits until the data is in the receive queue.
    client.peek(&mut [0; 1])?;
    drop(client);
    wait_for_reset(server)
}

fn linger_zero() -> Result<()> {
    let (client, server) = pair()?;
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    drop(client);
    wait_for_reset(server)
}

fn write_after_peer_close() -> Result<()> {
    let (mut client, server) = pair()?;
    drop(server);
    client.read_to_end(&mut Vec::new())?;
    client.write_all(b"too late")?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match client.write_all(b"later still") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
            // The reset that answers the first write has not arrived yet.
            Ok(()) => sleep(Duration::from_millis(1)),
        }
    }
    Err(Error::new(ErrorKind::TimedOut, "no write failed"))
}

fn refused() -> Result<()> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::other("a process listens on that port")),
    }
}

/// Both sockets of a connection: client and server.
fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let (server, _) = listener.accept()?;
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((client, server))
}

fn wait_for_reset(mut socket: TcpStream) -> Result<()> {
    match socket.read(&mut [0; 1]) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::other("the peer closed without a reset")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_can_be_provoked() {
        for (what, provoke) in CLOSES {
            provoke().unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }

    #[test]
    fn ready_is_a_word() {
        assert!(says_ready("observer: ready, metrics on 127.0.0.1:9817"));
        assert!(!says_ready("the address is already in use"));
    }
}
