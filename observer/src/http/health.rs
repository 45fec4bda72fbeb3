//! Whether the observer is at work: its loop says that it lives, and whoever asks is told for how long it has not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Longer than the loop ever takes: it beats twenty times a second.
const SILENCE: Duration = Duration::from_secs(10);

/// A beat that is shared by the loop and the server. It is alive when made.
#[derive(Debug, Clone)]
pub struct Health {
    begin: Instant,
    /// Milliseconds from `begin` to the last beat.
    last: Arc<AtomicU64>,
}

impl Health {
    /// The first beat.
    #[must_use]
    pub fn new() -> Self {
        Self { begin: Instant::now(), last: Arc::default() }
    }

    /// The loop has come round.
    pub fn beat(&self) {
        let ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(ms, Ordering::Relaxed);
    }

    /// For how long there was no beat, where that is too long.
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
    fn a_loop_that_stands_still_is_noticed() {
        let mut health = Health::new();
        assert_eq!(health.silence(), None);
        // As if it had been made earlier.
        health.begin -= SILENCE + Duration::from_secs(1);
        assert!(health.silence().is_some());
        health.beat();
        assert_eq!(health.silence(), None);
    }
}
