//! Waiting, always on a condition and with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// The longest time that an expected event may take, also on a busy emulated machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The factor by which measured times may be longer on a slow machine: `OBSERVER_TEST_SLOWER`, or 1.
pub(crate) fn slower() -> f64 {
    let times = std::env::var("OBSERVER_TEST_SLOWER").ok();
    times.map_or(1.0, |times| times.parse().expect("OBSERVER_TEST_SLOWER is a number"))
}

/// The time between two checks of a condition.
const INTERVAL: Duration = Duration::from_millis(1);

/// Calls `check` until it returns a value or the deadline has passed, at least once.
pub(crate) fn eventually<T>(deadline: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        match check() {
            Some(answer) => return Some(answer),
            None if Instant::now() >= end => return None,
            None => thread::sleep(INTERVAL),
        }
    }
}

/// Sleeps where the passing of time is the scenario itself: an idle connection, a slow reply.
pub(crate) fn let_pass(time: Duration) {
    thread::sleep(time);
}
