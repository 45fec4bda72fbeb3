//! What the observer has in the kernel, seen from outside.

use std::fs;

use anyhow::{Context as _, Result};

use crate::wait;

/// BPF programs, by the symbols that the kernel gives them, without systemd's own (`sd_devices` and the like).
pub(crate) fn programs() -> Result<usize> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("cannot read the kernel's symbols")?;
    Ok(symbols.lines().filter(|line| line.contains("\t[bpf]") && is_ours(line)).count())
}

/// `bpf_prog_TAG_NAME`. There are images of trampolines too, which have no such name.
fn is_ours(symbol: &str) -> bool {
    let program = symbol.split_once("bpf_prog_").and_then(|(_, rest)| rest.split_once('_'));
    program.is_some_and(|(_, name)| !name.starts_with("sd_"))
}

/// The kernel takes programs away some time after their last user has gone. Then nothing may be pinned either.
pub(crate) fn is_clean() -> Result<()> {
    wait::until("no BPF program left in the kernel", || Ok((programs()? == 0).then_some(())))?;
    let pinned = fs::read_dir("/sys/fs/bpf").context("cannot list bpffs")?.count();
    anyhow::ensure!(pinned == 0, "{pinned} objects stay in /sys/fs/bpf");
    Ok(())
}
