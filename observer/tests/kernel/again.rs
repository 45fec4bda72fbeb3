//! A second try, in the lab only: an emulated machine on a busy host may keep a processor from a test for longer than
//! any deadline allows. What was tried again is told, and what fails twice has failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::Failed;
use serde_json::json;

use crate::shared;

/// Runs a test; once more when it failed, or panicked, in the lab.
pub(crate) fn once_more(name: &str, test: impl Fn() -> Result<(), Failed>) -> Result<(), Failed> {
    if !shared::wanted() {
        return test();
    }
    let said = match catch_unwind(AssertUnwindSafe(&test)) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failed)) => failed.message().unwrap_or_default().to_owned(),
        Err(panic) => {
            let owned = panic.downcast_ref::<String>().map(String::as_str);
            owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
        }
    };
    println!("{}", json!({"type": "again", "name": name, "said": said}));
    test()
}
