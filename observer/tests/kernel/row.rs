//! A row: one scenario, run as a test on each address family.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{PoisonError, RwLock};

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::counters::Counters;
use crate::lab::{Family, Lab};
use crate::{again, shared, witness};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Does it, and returns by how much the kernel's counters must have moved.
    pub(crate) run: fn(&Lab) -> Counters,
}

/// Held for reading by tests that run beside each other.
static TURN: RwLock<()> = RwLock::new(());

impl Row {
    pub(crate) fn trials(&self) -> [Trial; 2] {
        [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)].map(|(name, family)| {
            let run = self.run;
            let test = format!("{}::{name}", self.name);
            Trial::test(test.clone(), move || {
                let _beside = TURN.read().unwrap_or_else(PoisonError::into_inner);
                again::once_more(&test, || witness::sees_all(|| trial(&test, run, family)))
            })
        })
    }

    /// For what changes the whole machine for a moment: only in the lab, whose machines are nobody's, and with no other
    /// test beside it.
    pub(crate) fn lone_trials(&self) -> Vec<Trial> {
        let families =
            [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)].into_iter().filter(|_| shared::wanted());
        let trials = families.map(|(name, family)| {
            let run = self.run;
            let test = format!("{}::{name}", self.name);
            Trial::test(test.clone(), move || {
                let _alone = TURN.write().unwrap_or_else(PoisonError::into_inner);
                again::once_more(&test, || trial(&test, run, family))
            })
        });
        trials.collect()
    }

    /// Where the family makes no difference.
    pub(crate) fn ipv4_trial(&self) -> Trial {
        let Self { name, run } = *self;
        Trial::test(name, move || {
            let _beside = TURN.read().unwrap_or_else(PoisonError::into_inner);
            again::once_more(name, || witness::sees_all(|| trial(name, run, Family::Ipv4)))
        })
    }
}

fn trial(name: &str, run: fn(&Lab) -> Counters, family: Family) -> Result<(), Failed> {
    let lab = Lab::new(family);
    NAME.set(Some(name.to_owned()));
    // Caught here and not only by the runner, since the lab knows what explains the failure.
    PANIC.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| lab.finish(run(&lab))));
    NAME.set(None);
    if let Some(evidence) = lab.evidence().filter(|_| outcome.is_ok() && shared::wanted()) {
        // Between the outcomes that the runner tells as JSON.
        println!("{}", json!({"type": "evidence", "name": name, "evidence": evidence}));
    }
    outcome.map_err(|_| Failed::from(format!("{}\n{}", PANIC.take().unwrap_or_default(), lab.dump())))
}

/// A test of another kind, of which a panic is a failure with its place.
pub(crate) fn caught(test: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    PANIC.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(test));
    outcome.unwrap_or_else(|_| Err(PANIC.take().unwrap_or_default().into()))
}

/// The row that runs in this thread.
pub(crate) fn name() -> Option<String> {
    NAME.with_borrow(Clone::clone)
}

thread_local! {
    static NAME: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Where and why the test in this thread panicked.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the place of a panic for the message of the test, where the runner would only know the reason.
pub(crate) fn note_panics() {
    let usual = take_hook();
    set_hook(Box::new(move |panic| {
        PANIC.set(Some(panic.to_string()));
        // Otherwise the lines of tests that run at the same time would mix.
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted == "full") {
            usual(panic);
        }
    }));
}
