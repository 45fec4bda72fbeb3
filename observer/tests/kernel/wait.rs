//! Waiting: always on a condition, always with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything that must happen may take, on a busy emulated machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What every time that a test measured may be longer than where machines are quick: `OBSERVER_TEST_SLOWER`, or 1.
pub(crate) fn slower() -> f64 {
    let times = std::env::var("OBSERVER_TEST_SLOWER").ok();
    times.map_or(1.0, |times| times.parse().expect("OBSERVER_TEST_SLOWER is a number"))
}

/// Between two looks at a condition that nothing announces.
const INTERVAL: Duration = Duration::from_millis(1);

/// Asks `check` until it answers, or until the deadline has passed; it is asked at least once.
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

/// Lets time pass where the passing of time is the scenario itself (an idle connection, a slow reply).
pub(crate) fn let_pass(time: Duration) {
    thread::sleep(time);
}
