//! The programs that build and run the lab's virtual machines, from Debian's packages.

use super::debian;

/// Path of each program, and its package.
const PROGRAMS: [(&str, &str); 3] = [
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/usr/bin/cpio", "cpio"),
];

/// Installs missing programs.
pub(crate) fn provide() -> anyhow::Result<()> {
    debian::install_missing(&PROGRAMS, "for the lab's virtual machines", "under a minute")
}
