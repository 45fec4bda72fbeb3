//! A second try, in the lab only: an emulated machine on a busy host may keep a processor from a test for longer than
//! any deadline allows. What was tried again is told, and what fails twice has failed.

use libtest_mimic::Failed;
use serde_json::json;

use crate::shared;

/// Runs a test; once more when it failed in the lab.
pub(crate) fn once_more(name: &str, test: impl Fn() -> Result<(), Failed>) -> Result<(), Failed> {
    match test() {
        Err(failed) if shared::wanted() => {
            let said = failed.message().unwrap_or_default();
            println!("{}", json!({"type": "again", "name": name, "said": said}));
            test()
        }
        outcome => outcome,
    }
}
