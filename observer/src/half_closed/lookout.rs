//! Looks again and again, for whoever must not wait: each look is in a thread of its own, and there is one at a time.

use std::{
    panic::resume_unwind,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::SnapshotError;

/// From the end of a look to the next. Scrapes usually are 15 s apart or more: each shall find something new, while
/// a leak, which is a matter of minutes, would be found by rarer looks too.
const INTERVAL: Duration = Duration::from_secs(10);

/// A look that took long is followed by so many times its length without one: 2 % of a CPU at most, however many
/// sockets and descriptors the host has.
const REST: u32 = 50;

/// Where looks come from. `T` is what one finds.
pub struct Lookout<T> {
    due: Instant,
    under_way: Option<JoinHandle<Look<T>>>,
}

struct Look<T> {
    found: Result<T, SnapshotError>,
    took: Duration,
}

impl<T: Send + 'static> Lookout<T> {
    /// One whose first look is due at once.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { due: now, under_way: None }
    }

    /// Returns what a look found that is over since the last call, and begins one when it is due. `prepare` gathers
    /// what that one needs of the caller. Never waits.
    pub fn poll<L>(&mut self, now: Instant, prepare: impl FnOnce() -> L) -> Option<Result<T, SnapshotError>>
    where
        L: FnOnce() -> Result<T, SnapshotError> + Send + 'static,
    {
        if let Some(over) = self.under_way.take_if(|look| look.is_finished()) {
            let Look { found, took } = over.join().unwrap_or_else(|panic| resume_unwind(panic));
            self.due = now + INTERVAL.max(took.saturating_mul(REST));
            return Some(found);
        }
        if self.under_way.is_some() || now < self.due {
            return None;
        }
        let look = prepare();
        let look = move || {
            let begin = Instant::now();
            let found = look();
            Look { found, took: begin.elapsed() }
        };
        match thread::Builder::new().name("half-closed".to_owned()).spawn(look) {
            Ok(under_way) => {
                self.under_way = Some(under_way);
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

    /// A look that ends when it is told to.
    fn held(lookout: &mut Lookout<u32>, now: Instant, finds: u32) -> Option<Sender<()>> {
        let (end, ended) = channel();
        let mut begun = None;
        let found = lookout.poll(now, || {
            begun = Some(end);
            move || {
                ended.recv().ok();
                Ok(finds)
            }
        });
        assert!(found.is_none());
        begun
    }

    fn found(lookout: &mut Lookout<u32>, now: Instant) -> u32 {
        loop {
            let found =
                lookout.poll(now, || -> fn() -> Result<u32, SnapshotError> { panic!("two looks at a time") });
            match found {
                Some(found) => return found.unwrap(),
                None => thread::yield_now(),
            }
        }
    }

    #[test]
    fn looks_neither_pile_up_nor_crowd() {
        let start = Instant::now();
        let mut lookout = Lookout::new(start);
        let end = held(&mut lookout, start, 1).expect("the first look is due at once");
        // However long it takes.
        let late = start + INTERVAL * 100;
        assert!(held(&mut lookout, late, 2).is_none());
        drop(end);
        assert_eq!(found(&mut lookout, late), 1);
        assert!(held(&mut lookout, late + INTERVAL / 2, 3).is_none());
        // A look of this test may take so long that it is to be followed by a longer rest.
        drop(held(&mut lookout, late + INTERVAL * 1000, 4).expect("the next look is due"));
        assert_eq!(found(&mut lookout, late + INTERVAL * 1000), 4);
    }

    #[test]
    fn a_look_that_took_long_is_followed_by_a_longer_rest() {
        let start = Instant::now();
        let mut lookout = Lookout::<u32>::new(start);
        let over = thread::spawn(|| Look { found: Ok(1), took: Duration::from_secs(2) });
        lookout.under_way = Some(over);
        assert_eq!(found(&mut lookout, start), 1);
        assert!(held(&mut lookout, start + Duration::from_secs(99), 2).is_none());
        assert!(held(&mut lookout, start + Duration::from_secs(100), 2).is_some());
    }
}
