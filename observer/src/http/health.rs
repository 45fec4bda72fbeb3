//! The health of the draining loop: the loop beats, and the server sees for how long it has not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A longer time without a beat is unhealthy. The loop normally beats twenty times per second.
const SILENCE: Duration = Duration::from_secs(10);

/// The time of the last beat, shared by the loop and the server. It starts healthy.
#[derive(Debug, Clone)]
pub struct Health {
    begin: Instant,
    /// Time from `begin` to the last beat, ms.
    last: Arc<AtomicU64>,
}

impl Health {
    /// Starts with a beat.
    #[must_use]
    pub fn new() -> Self {
        Self { begin: Instant::now(), last: Arc::default() }
    }

    /// Records that the loop runs. Call it once per round.
    pub fn beat(&self) {
        let ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(ms, Ordering::Relaxed);
    }

    /// The time since the last beat, if it is too long.
    pub(super) fn silence(&self) -> Option<Duration> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        let silence = self.begin.elapsed().saturating_sub(last);
        (silence > SILENCE).then_some(silence)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stops_is_noticed() {
        let mut health = Health::new();
        assert_eq!(health.silence(), None);
        // As if it had started earlier.
        health.begin -= SILENCE + Duration::from_secs(1);
        assert!(health.silence().is_some());
        health.beat();
        assert_eq!(health.silence(), None);
    }
}
