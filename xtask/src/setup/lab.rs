//! What makes and runs the lab's virtual machines, as Debian has it. In: what is installed. Out: an emulator, and the
//! programs that make a Debian for it.

use super::debian;

/// Program and package.
const PROGRAMS: [(&str, &str); 3] = [
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/usr/bin/cpio", "cpio"),
];

/// Installs what is missing.
pub(crate) fn provide() -> anyhow::Result<()> {
    debian::install_missing(&PROGRAMS, "for the lab's virtual machines", "under a minute")
}
