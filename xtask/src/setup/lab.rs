//! The emulator of the lab's virtual machines, as Debian has it. In: what is installed. Out: `qemu-system-x86_64`.

use std::path::Path;

use anyhow::Result;

use super::debian;

/// Installs what is missing.
pub(crate) fn provide() -> Result<()> {
    if Path::new("/usr/bin/qemu-system-x86_64").exists() {
        return Ok(());
    }
    debian::install(&["qemu-system-x86"], "which runs the lab's virtual machines", "under a minute")
}
