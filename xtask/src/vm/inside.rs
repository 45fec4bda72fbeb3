//! What programs do that run in a virtual machine of the lab: included by each of them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::libc;

use crate::guest;

pub(crate) fn load_modules() -> Result<()> {
    let entries = fs::read_dir(guest::MODULES).context("cannot list the modules")?;
    let mut modules: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()
        .context("cannot list the modules")?;
    modules.sort();
    for module in modules {
        let file = File::open(&module).with_context(|| format!("cannot open {}", module.display()))?;
        // The kernels whose modules are packed can unpack them (since 5.17).
        let packed = module.extension().is_some_and(|extension| extension != "ko");
        // MODULE_INIT_COMPRESSED_FILE, which nix has no name for.
        let flags = if packed { ModuleInitFlags::from_bits_retain(4) } else { ModuleInitFlags::empty() };
        if let Err(error) = finit_module(&file, c"", flags) {
            bail!("cannot load {}: {error}", module.display());
        }
    }
    Ok(())
}

/// Ends the machine at once. Comes back only where that device is missing.
#[cfg(target_arch = "x86_64")]
pub(crate) fn leave() {
    // SAFETY: ioperm(2) and one byte to a port that is QEMU's device, since nothing else runs this program.
    unsafe {
        if libc::ioperm(guest::EXIT_PORT.into(), 1, 1) == 0 {
            std::arch::asm!("out dx, al", in("dx") guest::EXIT_PORT, in("al") guest::DONE);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn leave() {}
