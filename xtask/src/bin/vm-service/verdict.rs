//! A connection that ends, and what the daemon tells of it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{metrics, systemd, wait};

const PATIENCE: Duration = Duration::from_secs(20);

/// Labels of [`reset`]'s closes.
pub(crate) const LABELS: [&str; 2] = [r#"cause="unread_data""#, r#"owner="vm-service""#];

/// Closes a connection with five bytes unread, which resets it. Gives its port.
pub(crate) fn reset() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let (mut server, _) = listener.accept()?;
    server.write_all(b"hello")?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.peek(&mut [0; 1]).context("waiting for what is not to be read")?;
    drop(client);
    server.set_read_timeout(Some(PATIENCE))?;
    // The reset is an error, and what is waited for.
    let _reset = server.read(&mut [0; 1]);
    Ok(port)
}

/// How many of them were counted.
pub(crate) fn counted() -> Result<f64> {
    metrics::sum("observer_tcp_closes_total", &LABELS)
}

pub(crate) fn told() -> Result<String> {
    let port = reset()?.to_string();
    let line = wait::until("the close is told by `observer closes`", || {
        let closes = systemd::output("observer", &["closes", "--port", &port, "--output", "json"])?;
        Ok(closes.lines().find(|line| line.contains(r#""cause":"unread_data""#)).map(str::to_owned))
    })?;
    let words = line.rsplit_once(r#""summary":""#).map_or(line.as_str(), |(_, words)| words);
    let counted =
        wait::until("the close is counted", || Ok(Some(counted()?).filter(|closes| *closes >= 1.0)))?;
    Ok(format!("observer closes: {}; metrics: {counted}", words.trim_end_matches(['"', '}'])))
}
