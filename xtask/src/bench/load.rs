//! The work of the benchmarks, in a process of its own. In: which work, how much of it, and a line on stdin to begin.
//! Out: `ready` when all is prepared, then one line with the nanoseconds that the work took.
//!
//! Only the loopback is used; whoever starts this has put it into a network namespace of the benchmark's own.

use std::io::{ErrorKind, Read as _, Result, Write as _, stdin};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use socket2::SockRef;

/// The work of one process.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Load {
    /// What to do
    #[arg(value_enum)]
    pub(crate) work: Work,
    /// How often, or MiB of a bulk transfer
    pub(crate) count: u64,
    /// Connections that are open and idle meanwhile
    #[arg(long, default_value_t = 0)]
    pub(crate) held: u64,
    /// Tells the processes of one work apart: each has loopback addresses of its own
    #[arg(long, default_value_t = 0)]
    pub(crate) number: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Connections one after the other, 5 bytes each way, closed by FIN
    Fin,
    /// The same, closed by RST
    Rst,
    /// As `fin`, a thousand a second
    Paced,
    /// One connection that carries MiBs
    Bulk,
    /// One connection, a byte there and a byte back
    PingPong,
    /// Connections that are opened first; the work is to close them all at once
    CloseAll,
    /// Writes into a connection that is over
    WriteError,
    /// Writes into a full queue
    Eagain,
    /// Connects to a port where nobody listens
    Refused,
}

/// The end of every wait on a socket.
const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGE: &[u8] = b"hello";

pub(crate) fn run(load: &Load) -> anyhow::Result<()> {
    let held = open(load.held, Ipv4Addr::new(127, 2, load.number, 1))?;
    let mut work = prepare(load)?;
    say("ready")?;
    stdin().read_line(&mut String::new())?;
    let started = Instant::now();
    work().with_context(|| format!("the work {:?} failed", load.work))?;
    let took = started.elapsed();
    say(&took.as_nanos().to_string())?;
    // Until whoever started this has seen enough: held connections end with this process.
    stdin().read_line(&mut String::new())?;
    drop(held);
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// All that need not be measured is done here.
fn prepare(load: &Load) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let Load { work, count, number, .. } = *load;
    Ok(match work {
        Work::Fin | Work::Rst => {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            Box::new(move || (0..count).try_for_each(|n| connection(&listener, n, number, work == Work::Rst)))
        }
        Work::Paced => {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            Box::new(move || {
                let started = Instant::now();
                for n in 0..count {
                    let due = started + Duration::from_millis(n);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    connection(&listener, n, number, false)?;
                }
                Ok(())
            })
        }
        Work::Bulk => {
            let (client, server) = pair(number)?;
            Box::new(move || bulk(&client, &server, count))
        }
        Work::PingPong => {
            let (client, server) = pair(number)?;
            Box::new(move || ping_pong(&client, &server, count))
        }
        Work::CloseAll => {
            let mut all = open(count, Ipv4Addr::new(127, 3, number, 1))?;
            Box::new(move || {
                let (clients, servers): (Vec<_>, Vec<_>) = all.drain(..).unzip();
                drop(clients);
                drop(servers);
                Ok(())
            })
        }
        Work::WriteError => {
            let (mut client, server) = pair(number)?;
            SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
            drop(server);
            // It fails with ECONNRESET once the reset is here; every write after that with EPIPE.
            while client.write(MESSAGE).is_ok() {}
            Box::new(move || {
                for _ in 0..count {
                    match client.write(MESSAGE) {
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                        Err(error) => return Err(error),
                        Ok(_) => return Err(std::io::Error::other("a write succeeded")),
                    }
                }
                Ok(())
            })
        }
        Work::Eagain => {
            let (mut client, server) = pair(number)?;
            client.set_nonblocking(true)?;
            let block = vec![0; 1 << 16];
            while client.write(&block).is_ok() {}
            Box::new(move || {
                let _kept = &server;
                for _ in 0..count {
                    // A queue that grows meanwhile takes a few.
                    if let Err(error) = (&client).write(MESSAGE)
                        && error.kind() != ErrorKind::WouldBlock
                    {
                        return Err(error);
                    }
                }
                Ok(())
            })
        }
        Work::Refused => {
            let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            Box::new(move || {
                for _ in 0..count {
                    match TcpStream::connect(closed) {
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                        Err(error) => return Err(error),
                        Ok(_) => return Err(std::io::Error::other("somebody listens there")),
                    }
                }
                Ok(())
            })
        }
    })
}

/// One whole connection. Addresses take turns, so that ports of ended connections need not be used again at once.
fn connection(listener: &TcpListener, n: u64, number: u8, by_reset: bool) -> Result<()> {
    let turn = u8::try_from(n % 8).unwrap_or(0);
    let to = SocketAddrV4::new(Ipv4Addr::new(127, 1, number, 1 + turn), listener.local_addr()?.port());
    let mut client = TcpStream::connect(to)?;
    let (mut server, _) = listener.accept()?;
    let mut buffer = [0; MESSAGE.len()];
    client.write_all(MESSAGE)?;
    server.read_exact(&mut buffer)?;
    server.write_all(MESSAGE)?;
    client.read_exact(&mut buffer)?;
    if by_reset {
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    }
    drop(client);
    // The end of the stream, or the reset.
    let _end = server.read(&mut buffer);
    Ok(())
}

fn bulk(mut client: &TcpStream, mut server: &TcpStream, mib: u64) -> Result<()> {
    std::thread::scope(|threads| {
        let writer = threads.spawn(move || -> Result<()> {
            let block = vec![0; 1 << 16];
            (0..mib * 16).try_for_each(|_| client.write_all(&block))
        });
        let mut block = vec![0; 1 << 16];
        let mut left = mib << 20;
        while left > 0 {
            left = left.saturating_sub(server.read(&mut block)? as u64);
        }
        writer.join().unwrap_or_else(|_| Err(std::io::Error::other("the writing thread failed")))
    })
}

fn ping_pong(mut client: &TcpStream, mut server: &TcpStream, count: u64) -> Result<()> {
    std::thread::scope(|threads| {
        let answers = threads.spawn(move || -> Result<()> {
            let mut byte = [0];
            for _ in 0..count {
                server.read_exact(&mut byte)?;
                server.write_all(&byte)?;
            }
            Ok(())
        });
        let mut byte = [0];
        for _ in 0..count {
            client.write_all(&byte)?;
            client.read_exact(&mut byte)?;
        }
        answers.join().unwrap_or_else(|_| Err(std::io::Error::other("the answering thread failed")))
    })
}

/// Both ends of a connection.
fn pair(number: u8) -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 1, number, 1), 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((client, server))
}

/// Both ends of many connections, to an address that leaves the ephemeral ports of others alone.
fn open(count: u64, at: Ipv4Addr) -> Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind((at, 0))?;
    let address = listener.local_addr()?;
    let connect = |_| Ok((TcpStream::connect(address)?, listener.accept()?.0));
    (0..count).map(connect).collect()
}
