//! What the lab and the init of its virtual machines must agree on: included by both programs.

/// The port of QEMU's `isa-debug-exit` device.
pub(crate) const EXIT_PORT: u16 = 0xf4;

/// What init writes to [`EXIT_PORT`] when the tests have ended, however they ended.
pub(crate) const DONE: u8 = 0x10;

/// Where the tests' executable lies.
pub(crate) const TESTS: &str = "/bin/kernel-tests";

/// Where the observer lies.
pub(crate) const OBSERVER: &str = "/bin/observer";

/// Where the kernel's modules lie, named so that their alphabetical order is the order to load them in.
pub(crate) const MODULES: &str = "/modules";
