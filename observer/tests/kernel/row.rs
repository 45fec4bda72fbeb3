//! A row: one scenario, run as a test on each address family.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::{Failed, Trial};

use crate::counters::Counters;
use crate::lab::{Family, Lab};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Does it, and returns by how much the kernel's counters must have moved.
    pub(crate) run: fn(&Lab) -> Counters,
}

impl Row {
    pub(crate) fn trials(&self, ignored: bool) -> [Trial; 2] {
        [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)].map(|(name, family)| {
            let run = self.run;
            Trial::test(format!("{}::{name}", self.name), move || trial(run, family))
                .with_ignored_flag(ignored)
        })
    }
}

fn trial(run: fn(&Lab) -> Counters, family: Family) -> Result<(), Failed> {
    let lab = Lab::new(family);
    // Caught here and not only by the runner, since the lab knows what explains the failure.
    let outcome = catch_unwind(AssertUnwindSafe(|| lab.finish(run(&lab))));
    outcome.map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
        Failed::from(format!("{said}\n{}", lab.dump()))
    })
}
