//! Snapshots at intervals, for a caller that must not wait: one thread per snapshot, and one snapshot at a time.

use std::{
    panic::resume_unwind,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::SnapshotError;

/// Pause after a snapshot. Most scrapes are 15 s apart or more, so each gets new numbers. A leak takes minutes, so it
/// would show at longer intervals too.
const INTERVAL: Duration = Duration::from_secs(10);

/// The pause is at least this many times as long as the snapshot took. The snapshots therefore use 2 % of a CPU at
/// most, however many sockets and descriptors the host has.
const PAUSE_FACTOR: u32 = 50;

/// Runs the snapshots. `T` is the result of one.
pub struct SnapshotThread<T> {
    due: Instant,
    running: Option<JoinHandle<Finished<T>>>,
}

struct Finished<T> {
    result: Result<T, SnapshotError>,
    took: Duration,
}

impl<T: Send + 'static> SnapshotThread<T> {
    /// The first snapshot is due at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { due: now, running: None }
    }

    /// Returns the result of a snapshot that has finished since the last call. Starts the next one if it is due:
    /// `prepare` collects what it needs from the caller and returns the work for the thread. Never waits.
    pub fn poll<W>(&mut self, now: Instant, prepare: impl FnOnce() -> W) -> Option<Result<T, SnapshotError>>
    where
        W: FnOnce() -> Result<T, SnapshotError> + Send + 'static,
    {
        if let Some(ready) = self.running.take_if(|thread| thread.is_finished()) {
            let Finished { result, took } = ready.join().unwrap_or_else(|panic| resume_unwind(panic));
            self.due = now + INTERVAL.max(took.saturating_mul(PAUSE_FACTOR));
            return Some(result);
        }
        if self.running.is_some() || now < self.due {
            return None;
        }
        let work = prepare();
        let timed = move || {
            let begin = Instant::now();
            let result = work();
            Finished { result, took: begin.elapsed() }
        };
        match thread::Builder::new().name("half-closed".to_owned()).spawn(timed) {
            Ok(thread) => {
                self.running = Some(thread);
                None
            }
            Err(error) => {
                self.due = now + INTERVAL;
                Some(Err(SnapshotError::Thread(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Starts a snapshot that finishes when the sender is dropped. None if no snapshot is due.
    fn start(snapshots: &mut SnapshotThread<u32>, now: Instant, result: u32) -> Option<Sender<()>> {
        let (end, ended) = channel();
        let mut started = None;
        let finished = snapshots.poll(now, || {
            started = Some(end);
            move || {
                ended.recv().ok();
                Ok(result)
            }
        });
        assert!(finished.is_none());
        started
    }

    /// Waits for the running snapshot.
    fn result(snapshots: &mut SnapshotThread<u32>, now: Instant) -> u32 {
        loop {
            let result = snapshots
                .poll(now, || -> fn() -> Result<u32, SnapshotError> { panic!("two snapshots at a time") });
            match result {
                Some(result) => return result.unwrap(),
                None => thread::yield_now(),
            }
        }
    }

    #[test]
    fn one_snapshot_runs_at_a_time_with_a_pause_after_it() {
        let begin = Instant::now();
        let mut snapshots = SnapshotThread::new(begin);
        let end = start(&mut snapshots, begin, 1).expect("the first snapshot is due at once");
        // However long the first one takes.
        let late = begin + INTERVAL * 100;
        assert!(start(&mut snapshots, late, 2).is_none());
        drop(end);
        assert_eq!(result(&mut snapshots, late), 1);
        assert!(start(&mut snapshots, late + INTERVAL / 2, 3).is_none());
        // The first snapshot may have taken so long that a longer pause follows.
        drop(start(&mut snapshots, late + INTERVAL * 1000, 4).expect("the next snapshot is due"));
        assert_eq!(result(&mut snapshots, late + INTERVAL * 1000), 4);
    }

    #[test]
    fn a_longer_pause_follows_a_slow_snapshot() {
        let begin = Instant::now();
        let mut snapshots = SnapshotThread::<u32>::new(begin);
        snapshots.running = Some(thread::spawn(|| Finished { result: Ok(1), took: Duration::from_secs(2) }));
        assert_eq!(result(&mut snapshots, begin), 1);
        assert!(start(&mut snapshots, begin + Duration::from_secs(99), 2).is_none());
        assert!(start(&mut snapshots, begin + Duration::from_secs(100), 2).is_some());
    }
}
