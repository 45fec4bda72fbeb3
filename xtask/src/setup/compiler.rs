//! The compiler of the eBPF side: the possible sources, best first, and the toolchain [`TOOLCHAIN`].
//!
//! `observer/build.rs` calls [`TOOLCHAIN`], which is a link to one of rustup's toolchains or to the system's compiler.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::debian;
use crate::exec;

/// The toolchain's name. It is not a compiler's name, since the compiler differs from machine to machine.
pub(crate) const TOOLCHAIN: &str = "observer-ebpf";
/// Fetched where there is none: dated, because a newer nightly has an LLVM that distributions do not package yet,
/// and because installing plain `nightly` would update one that other projects use.
pub(crate) const NIGHTLY: &str = "nightly-2026-05-20";
/// The LLVM of [`NIGHTLY`].
pub(crate) const NIGHTLY_LLVM: u32 = 22;
const COMPONENTS: &str = "rust-src,clippy";
/// Debian's newest compiler, with the matching sources of its library.
pub(crate) const DEBIAN: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];
/// The sysroot of Debian's packages.
const SYSTEM: &str = "/usr";

/// A compiler that was found on this machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compiler {
    sysroot: PathBuf,
    /// Major and minor version.
    release: (u32, u32),
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
    /// Whether the library's sources, cargo and clippy are installed with it.
    complete: bool,
}

impl Compiler {
    /// None if there is no compiler, or if it does not run.
    fn find(sysroot: &Path) -> Option<Self> {
        let description = exec::capture(Command::new(sysroot.join("bin/rustc")).arg("-vV")).ok()?;
        let parts =
            ["lib/rustlib/src/rust/library/core", "bin/cargo", "bin/cargo-clippy", "bin/clippy-driver"];
        Some(Self {
            sysroot: sysroot.to_owned(),
            release: release(&description)?,
            llvm: llvm(&description)?,
            complete: parts.iter().all(|part| sysroot.join(part).exists()),
        })
    }

    /// Whether it is complete, and not older than the workspace's `rust-version`.
    fn usable(&self) -> bool {
        self.complete && Some(self.release) >= numbers(env!("CARGO_PKG_RUST_VERSION"))
    }

    pub(crate) fn link(&self) -> Result<()> {
        eprintln!(
            "setup: linking rustup toolchain {TOOLCHAIN} to {}, as the eBPF compiler",
            self.sysroot.display()
        );
        exec::capture(Command::new("rustup").args(["toolchain", "link", TOOLCHAIN]).arg(&self.sysroot))?;
        Ok(())
    }
}

/// The compilers on this machine, on which the choice depends.
pub(crate) struct Facts {
    linked: Option<Compiler>,
    /// All of rustup's nightlies, with their names.
    nightlies: Vec<(String, Compiler)>,
    system: Option<Compiler>,
}

impl Facts {
    pub(crate) fn read() -> Result<Self> {
        let list = exec::capture(Command::new("rustup").args(["toolchain", "list", "-v"]))
            .context("rustup is needed to call a second compiler; see https://rustup.rs to install it")?;
        let found =
            |(name, sysroot): (&str, &str)| Some((name.to_owned(), Compiler::find(Path::new(sysroot))?));
        let toolchains = toolchains(&list);
        Ok(Self {
            linked: toolchains
                .iter()
                .find(|(name, _)| *name == TOOLCHAIN)
                .copied()
                .and_then(found)
                .map(|t| t.1),
            nightlies: toolchains
                .into_iter()
                .filter(|(name, _)| name.starts_with("nightly"))
                .filter_map(found)
                .collect(),
            system: Compiler::find(Path::new(SYSTEM)),
        })
    }
}

/// A source of a compiler.
#[derive(Debug, PartialEq)]
pub(crate) enum Source {
    /// The toolchain [`TOOLCHAIN`] exists and is usable.
    Ready(Compiler),
    /// An installed compiler, which only needs the link.
    There(Compiler),
    Rustup,
    Debian,
}

/// All sources to try, best first.
///
/// Installed compilers come before those that must be downloaded. Among the installed ones, those that the project is
/// tested with come before other nightlies.
pub(crate) fn choose(facts: &Facts) -> Vec<Source> {
    let (tested, others): (Vec<_>, Vec<_>) =
        facts.nightlies.iter().partition(|(name, _)| name.starts_with(NIGHTLY));
    let there = tested.into_iter().map(|(_, compiler)| compiler);
    let there = there.chain(&facts.system).chain(others.into_iter().map(|(_, compiler)| compiler));
    let usable = |compiler: &&Compiler| compiler.usable();
    let ready = facts.linked.as_ref().filter(usable).cloned().map(Source::Ready);
    ready
        .into_iter()
        .chain(there.filter(usable).cloned().map(Source::There))
        .chain([Source::Rustup, Source::Debian])
        .collect()
}

impl Source {
    /// Major version of its LLVM, if it is known without a download.
    pub(crate) fn llvm(&self) -> Option<u32> {
        match self {
            Self::Ready(compiler) | Self::There(compiler) => Some(compiler.llvm),
            Self::Rustup => Some(NIGHTLY_LLVM),
            Self::Debian => None,
        }
    }

    pub(crate) fn fetch(&self) -> Result<Compiler> {
        let sysroot = match self {
            Self::Ready(compiler) | Self::There(compiler) => return Ok(compiler.clone()),
            Self::Rustup => {
                eprintln!(
                    "setup: installing {NIGHTLY} with rustup, since no installed compiler is suitable: about 700 MB on \
                     disk, a minute on a fast connection"
                );
                exec::capture(rustup().args(rustup_arguments()))?;
                let sysroot = exec::capture(
                    Command::new("rustup").args(["run", NIGHTLY, "rustc", "--print", "sysroot"]),
                )?;
                PathBuf::from(sysroot.trim())
            }
            Self::Debian => {
                debian::install(&DEBIAN, "the eBPF compiler and its sources", "about a minute")?;
                PathBuf::from(SYSTEM)
            }
        };
        match Compiler::find(&sysroot) {
            Some(compiler) if compiler.usable() => Ok(compiler),
            Some(compiler) => bail!("too old or incomplete: {compiler:?}"),
            None => bail!("no compiler runs in {}", sysroot.display()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(_) => write!(f, "the installed toolchain {TOOLCHAIN}"),
            Self::There(compiler) => write!(f, "the compiler in {}", compiler.sysroot.display()),
            Self::Rustup => write!(f, "{NIGHTLY} from rustup"),
            Self::Debian => write!(f, "Debian's compiler"),
        }
    }
}

/// rustup for a download. Where nothing answers, the next source should have its turn in half a minute, not in ten. The
/// time is that of a silence, not of a download.
pub(crate) fn rustup() -> Command {
    let mut rustup = Command::new("rustup");
    rustup.env("RUSTUP_DOWNLOAD_TIMEOUT", "15").env("RUSTUP_MAX_RETRIES", "1");
    rustup
}

fn rustup_arguments() -> [&'static str; 8] {
    ["toolchain", "install", NIGHTLY, "--profile", "minimal", "--component", COMPONENTS, "--no-self-update"]
}

/// The shell line that installs the compiler with rustup.
pub(crate) fn by_rustup() -> String {
    exec::line(Command::new("rustup").args(rustup_arguments()))
}

/// Name and sysroot in each line of `rustup toolchain list -v`. Words such as `(default)` can be between them.
fn toolchains(list: &str) -> Vec<(&str, &str)> {
    let pair = |line: &'_ str| Some((line.find(char::is_whitespace)?, line.find('/')?));
    list.lines().filter_map(|line| pair(line).map(|(name, path)| (&line[..name], &line[path..]))).collect()
}

fn release(description: &str) -> Option<(u32, u32)> {
    numbers(description.lines().find_map(|line| line.strip_prefix("release: "))?)
}

fn llvm(description: &str) -> Option<u32> {
    Some(numbers(description.lines().find_map(|line| line.strip_prefix("LLVM version: "))?)?.0)
}

/// Major and minor number of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
