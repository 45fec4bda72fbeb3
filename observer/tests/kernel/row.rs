//! A row: one scenario, which runs as a test on each address family.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{PoisonError, RwLock};

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::counters::Counters;
use crate::lab::{Family, Lab};
use crate::{hidden_events, retry, shared};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Runs the scenario. Returns by how much the kernel's counters must have moved.
    pub(crate) run: fn(&Lab) -> Counters,
}

/// Tests that may run at the same time hold it for reading. A lone test holds it for writing.
static TURN: RwLock<()> = RwLock::new(());

impl Row {
    pub(crate) fn trials(&self) -> [Trial; 2] {
        [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)].map(|(name, family)| {
            let run = self.run;
            let test = format!("{}::{name}", self.name);
            Trial::test(test.clone(), move || {
                let _beside = TURN.read().unwrap_or_else(PoisonError::into_inner);
                retry::retry_in_lab(&test, || hidden_events::retry_if_hidden(|| trial(&test, run, family)))
            })
        })
    }

    /// For a row that changes the whole machine for a moment. It runs only in the lab's virtual machines, and no other
    /// test runs at the same time.
    pub(crate) fn lone_trials(&self) -> Vec<Trial> {
        let families =
            [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)].into_iter().filter(|_| shared::wanted());
        let trials = families.map(|(name, family)| {
            let run = self.run;
            let test = format!("{}::{name}", self.name);
            Trial::test(test.clone(), move || {
                let _alone = TURN.write().unwrap_or_else(PoisonError::into_inner);
                retry::retry_in_lab(&test, || trial(&test, run, family))
            })
        });
        trials.collect()
    }

    /// For a row in which the address family makes no difference.
    pub(crate) fn ipv4_trial(&self) -> Trial {
        let Self { name, run } = *self;
        Trial::test(name, move || {
            let _beside = TURN.read().unwrap_or_else(PoisonError::into_inner);
            retry::retry_in_lab(name, || hidden_events::retry_if_hidden(|| trial(name, run, Family::Ipv4)))
        })
    }
}

fn trial(name: &str, run: fn(&Lab) -> Counters, family: Family) -> Result<(), Failed> {
    let lab = Lab::new(family);
    NAME.set(Some(name.to_owned()));
    // The panic is caught here, because the lab can dump what explains the failure.
    PANIC.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| lab.finish(run(&lab))));
    NAME.set(None);
    if let Some(evidence) = lab.evidence().filter(|_| outcome.is_ok() && shared::wanted()) {
        // The runner prints its outcomes as JSON, too; the lab reads both.
        println!("{}", json!({"type": "evidence", "name": name, "evidence": evidence}));
    }
    outcome.map_err(|_| Failed::from(format!("{}\n{}", PANIC.take().unwrap_or_default(), lab.dump())))
}

/// Runs a test that is not a row. A panic becomes a failure that names its place.
pub(crate) fn caught(test: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    PANIC.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(test));
    outcome.unwrap_or_else(|_| Err(PANIC.take().unwrap_or_default().into()))
}

/// Name of the row that runs in this thread. None in a test that is not a row.
pub(crate) fn name() -> Option<String> {
    NAME.with_borrow(Clone::clone)
}

thread_local! {
    static NAME: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Where and why the test in this thread panicked.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Records the place of a panic for the test's message. The runner alone would print only the reason.
pub(crate) fn note_panics() {
    let usual = take_hook();
    set_hook(Box::new(move |panic| {
        PANIC.set(Some(panic.to_string()));
        // By default nothing is printed: the lines of tests that run at the same time would mix.
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted == "full") {
            usual(panic);
        }
    }));
}
