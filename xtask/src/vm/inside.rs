//! Functions for the programs that run in a virtual machine of the lab. Each of these programs includes this file.

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
        // Kernels with compressed modules can decompress them (since 5.17).
        let packed = module.extension().is_some_and(|extension| extension != "ko");
        // 4 is MODULE_INIT_COMPRESSED_FILE, for which nix has no name.
        let flags = if packed { ModuleInitFlags::from_bits_retain(4) } else { ModuleInitFlags::empty() };
        if let Err(error) = finit_module(&file, c"", flags) {
            bail!("cannot load {}: {error}", module.display());
        }
    }
    Ok(())
}

/// Ends the machine at once, through QEMU's `isa-debug-exit` device. Returns only if the device is missing.
#[cfg(target_arch = "x86_64")]
pub(crate) fn leave() {
    // SAFETY: the port belongs to QEMU's device, since this program runs only in the lab's machines.
    unsafe {
        if libc::ioperm(guest::EXIT_PORT.into(), 1, 1) == 0 {
            std::arch::asm!("out dx, al", in("dx") guest::EXIT_PORT, in("al") guest::DONE);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn leave() {}
