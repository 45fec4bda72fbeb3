//! Set-up of the eBPF tools: a compiler and a bpf-linker.
//!
//! The compiler is a rustup toolchain named [`compiler::TOOLCHAIN`] that can build `core` for the BPF target and lint
//! it. The LLVM of bpf-linker must be able to read the compiler's output. Installed tools are preferred. Every change
//! is announced with its reason, and the task is silent if nothing is missing.

pub(crate) mod checkers;
mod compiler;
pub(crate) mod counting;
pub(crate) mod debian;
pub(crate) mod lab;
mod linker;
pub(crate) mod miri;
mod peers;
pub(crate) mod servers;

use anyhow::{Result, bail};

use self::compiler::{Facts, Source};

/// Installs everything that any task needs, except the tools that only the benchmarks use.
pub(crate) fn everything() -> Result<()> {
    run()?;
    servers::provide()?;
    lab::provide()?;
    checkers::provide()?;
    Ok(())
}

/// Installs the tools that the benchmarks compare with. No other task needs them.
pub(crate) fn peers() -> Result<()> {
    run()?;
    peers::provide()
}

/// Tries the sources of a compiler in order, and takes the first one for which a linker can be installed too.
pub(crate) fn run() -> Result<()> {
    // If no linker could be installed for one LLVM, compilers with that LLVM or a newer one are skipped.
    let mut no_linker_from = u32::MAX;
    for source in compiler::choose(&Facts::read()?) {
        if source.llvm().is_some_and(|llvm| llvm >= no_linker_from) {
            continue;
        }
        let result = source.fetch().and_then(|compiler| {
            linker::provide(compiler.llvm).inspect_err(|_| no_linker_from = compiler.llvm)?;
            if !matches!(source, Source::Ready(_)) {
                compiler.link()?;
            }
            Ok(())
        });
        match result {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("setup: {source}: {error:#}"),
        }
    }
    bail!(
        "cannot install an eBPF compiler and its linker (the lines above say why). Install them by hand: `{}`, or \
         Debian's packages {}; then `{}`, with the LLVM of that compiler; then run `cargo xtask setup` again",
        compiler::by_rustup(),
        compiler::DEBIAN.join(" "),
        linker::by_cargo(compiler::NIGHTLY_LLVM),
    )
}
