//! The demonstration. In: nothing but the loopback. Out: a handful of closes, each announced on stderr, for which the
//! observer prints its verdicts. Bounded: every wait has an end.
//!
//! Beside a starting observer it is a process of its own that reads the observer's messages, so that the observer
//! stays the one in the foreground, with the terminal's Ctrl-C and the exit code.

use std::io::{BufRead as _, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use socket2::SockRef;

/// Long enough to read one verdict before the next comes.
const PAUSE: Duration = Duration::from_millis(300);
/// The end of every wait on a socket.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is done, in the words for the terminal, and how.
type Close = (&'static str, fn() -> Result<()>);

const CLOSES: [Close; 6] = [
    ("an orderly close: each side reads to the end and closes", orderly),
    ("a peer that closes while we keep our side open for a second", half_closed),
    ("a close with 16 bytes unread, which resets the connection", unread_data),
    ("a close with SO_LINGER {on, 0}, which resets the connection", linger_zero),
    ("two writes to a peer that is gone: the first succeeds, the second fails", write_after_peer_close),
    ("a connect to a port where nothing listens", refused),
];

/// Starts the demonstration as a process that passes on what is written to the pipe it returns, and that begins
/// when the observer says there that it is ready.
pub(crate) fn follow() -> anyhow::Result<Stdio> {
    let (messages, observer) = std::io::pipe().context("cannot make a pipe for the observer's messages")?;
    let xtask = std::env::current_exe().context("cannot find this program for the demonstration")?;
    let mut demo = Command::new(xtask);
    demo.args(["demo", "--after-ready"]).stdin(messages);
    // Out of Ctrl-C's reach: it ends with the observer, when the pipe does, and shows its last messages.
    demo.process_group(0);
    // Not waited for: the observer that takes this process's place outlives it.
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
            // Beside the reading, which must not stop while the observer has something to say. Not joined: where the
            // observer ends first, the rest of the demonstration is of no use.
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
        provoke().with_context(|| format!("could not provoke {what}"))?;
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
    // Until it is there it would not be unread.
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
            // The reset that answers the first write is not here yet.
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
        Ok(_) => Err(Error::other("somebody listens there")),
    }
}

/// Both ends of a connection.
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
