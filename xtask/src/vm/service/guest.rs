//! What the lab and the checks of the service, which run in its machine, must agree on: included by both programs.

/// The checkout as a user has it after the build, as far as the commands of docs/operations.md need it.
pub(crate) const CHECKOUT: &str = "/checkout";

/// A script in [`CHECKOUT`]: the commands of docs/operations.md that install the service.
pub(crate) const INSTALL: &str = "install";

/// Another: that page's commands that let the members of a group ask the daemon.
pub(crate) const GROUP: &str = "group";

/// A word of the kernel's command line, without which the checks refuse to run: they change the system they run on.
pub(crate) const WORD: &str = "observer_service_checks";

/// What a line of the checks begins with. Then comes one of the next two, or [`DONE`] with the number of checks.
pub(crate) const LINE: &str = "service-check";
/// Followed by the check's name, a colon and the evidence.
pub(crate) const OK: &str = "ok";
/// Followed by the check's name, a colon and what is wrong.
pub(crate) const FAILED: &str = "FAILED";
/// The last line.
pub(crate) const DONE: &str = "done";
