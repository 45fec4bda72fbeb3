//! Constants that the lab and the programs in its virtual machines share. Each of these programs includes this file.

/// The port of QEMU's `isa-debug-exit` device.
pub(crate) const EXIT_PORT: u16 = 0xf4;

/// Value that init writes to [`EXIT_PORT`] when the tests have ended, passed or failed.
pub(crate) const DONE: u8 = 0x10;

/// Path of the tests' executable.
pub(crate) const TESTS: &str = "/bin/kernel-tests";

/// Path of the observer.
pub(crate) const OBSERVER: &str = "/bin/observer";

/// Folder of the kernel's modules. They are loaded in the alphabetical order of their names.
pub(crate) const MODULES: &str = "/modules";
