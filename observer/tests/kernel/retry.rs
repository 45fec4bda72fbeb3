//! A second try, in the lab only. On a busy host an emulated processor may stand still for longer than any deadline
//! allows. The output names each test that was tried again. A test that fails twice has failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::Failed;
use serde_json::json;

use crate::shared;

/// Runs a test. In the lab, runs it once more if it failed or panicked.
pub(crate) fn retry_in_lab(name: &str, test: impl Fn() -> Result<(), Failed>) -> Result<(), Failed> {
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
