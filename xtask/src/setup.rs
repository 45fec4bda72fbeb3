//! Set-up of the eBPF side's tools. In: what this machine has. Out: a rustup toolchain named [`compiler::TOOLCHAIN`]
//! that can build `core` for the BPF target and lint it, and a bpf-linker whose LLVM reads what that compiler
//! writes. Takes what is there first, says what it changes and why, and says nothing where nothing is missing.

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

/// All that any task needs, so that those which follow find nothing missing.
pub(crate) fn everything() -> Result<()> {
    run()?;
    servers::provide()?;
    lab::provide()?;
    checkers::provide()?;
    Ok(())
}

/// What the benchmarks compare with; nothing else needs it.
pub(crate) fn peers() -> Result<()> {
    run()?;
    peers::provide()
}

/// Tries the sources of a compiler in their order: the first for which a linker can be had too is taken.
pub(crate) fn run() -> Result<()> {
    // A compiler with the LLVM of one for which no linker was to be had needs no second try.
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
        "no eBPF compiler with a linker for it (the lines above say why). By hand: `{}`, or Debian's packages {}; \
         `{}`, with the LLVM of that compiler; then `cargo xtask setup` again",
        compiler::by_rustup(),
        compiler::DEBIAN.join(" "),
        linker::by_cargo(compiler::NIGHTLY_LLVM),
    )
}
