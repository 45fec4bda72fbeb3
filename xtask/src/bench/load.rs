//! The load of the benchmarks, in a process of its own.
//!
//! The process writes `ready` when everything is prepared. A line on stdin starts the work. Then the process writes the
//! duration of the work, in nanoseconds. It uses only the loopback interface, in a network namespace of the benchmark.

use std::io::{ErrorKind, Read as _, Result, Write as _, stdin};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use socket2::SockRef;

/// The work of one process.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Load {
    /// The kind of work
    #[arg(value_enum)]
    pub(crate) work: Work,
    /// Number of repetitions, or MiB of a bulk transfer
    pub(crate) count: u64,
    /// Number of idle connections to keep open during the work
    #[arg(long, default_value_t = 0)]
    pub(crate) held: u64,
    /// Number of this process: each process of one work has its own loopback addresses
    #[arg(long, default_value_t = 0)]
    pub(crate) number: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Connections one after the other, with 5 bytes each way, closed by FIN
    Fin,
    /// Like `fin`, but closed by RST
    Rst,
    /// Like `fin`, with a thousand connections per second
    Paced,
    /// One connection that transfers many MiB
    Bulk,
    /// One connection: one byte to the peer and one byte back, repeated
    PingPong,
    /// Close many open connections at once
    CloseAll,
    /// Writes to a connection that has ended
    WriteError,
    /// Writes to a full send buffer
    Eagain,
    /// Connects to a port where no process listens
    Refused,
}

/// Limit of every wait on a socket.
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
    // Waits for the parent process, since the held connections end with this process.
    stdin().read_line(&mut String::new())?;
    drop(held);
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Prepares everything that must not be measured, and returns the work.
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
            // A write fails with ECONNRESET once the reset has arrived, and every later one with EPIPE.
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
                    // A few writes may succeed, since the kernel enlarges the buffer.
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
                        Ok(_) => return Err(std::io::Error::other("a process listens on that port")),
                    }
                }
                Ok(())
            })
        }
    })
}

/// Opens, uses and closes one connection. It rotates the addresses, so that ports are not reused at once.
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
    // Waits for the end of the stream, or for the reset.
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

/// Both sockets of a connection: client and server.
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

/// Both sockets of many connections. They use an address of their own, so that they take no ephemeral ports from
/// others.
fn open(count: u64, at: Ipv4Addr) -> Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind((at, 0))?;
    let address = listener.local_addr()?;
    let connect = |_| Ok((TcpStream::connect(address)?, listener.accept()?.0));
    (0..count).map(connect).collect()
}
