//! Waiting on a condition, and how long things may take here.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// An emulated processor does what a real one does in four to five times the time: 27,000 connections a second became
/// 6,000. Every limit that is a promise for real machines is scaled by this, and by nothing else.
pub(crate) const SLOWER: u32 = 5;

/// The end of every wait for what comes sooner or later.
const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks, which mostly start a program: too many of them would be what takes the time.
const INTERVAL: Duration = Duration::from_millis(200);

/// What `look` finds as soon as it finds something; what else it said is the error in the end.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = look();
        match found {
            Ok(Some(found)) => return Ok(found),
            _ if Instant::now() < end => sleep(INTERVAL),
            Ok(None) => bail!("{what}: not within {} s", DEADLINE.as_secs()),
            Err(error) => return Err(error.context(format!("{what}: not within {} s", DEADLINE.as_secs()))),
        }
    }
}
