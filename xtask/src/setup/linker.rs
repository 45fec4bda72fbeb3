//! Installing bpf-linker. Its LLVM must not be older than the compiler's. An installed LLVM is preferred to a new one.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::debian;
use crate::exec;

/// The version that the project is tested with. Older ones are not used.
const VERSION: (u32, u32, u32) = (0, 13, 0);
/// Major LLVM versions that it can be built with: its cargo features.
const LLVM: RangeInclusive<u32> = 21..=23;

/// A bpf-linker that was found on this machine.
struct Linker {
    path: PathBuf,
    version: (u32, u32, u32),
    /// Major version of the LLVM library that it loads. None if LLVM is linked into the program.
    llvm: Option<u32>,
}

impl Linker {
    /// The bpf-linker that a build calls: the first in PATH, or the one in cargo's directory, which rustup adds to
    /// PATH.
    fn find() -> Option<Self> {
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path)
            .chain(cargo_home.map(|home| home.join("bin")))
            .map(|directory| directory.join("bpf-linker"))
            .find(|file| file.is_file())?;
        // A linker that does not run, since its LLVM is missing, counts as not installed.
        let version = version(&exec::capture(Command::new(&path).arg("--version")).ok()?)?;
        let llvm = std::fs::read(&path).ok().and_then(|program| linked_llvm(&program));
        Some(Self { path, version, llvm })
    }

    fn suits(&self, wanted: u32) -> bool {
        self.version >= VERSION && self.llvm.is_none_or(|llvm| llvm >= wanted)
    }
}

/// The action that provides a linker.
#[derive(Debug, PartialEq)]
enum Step {
    Nothing,
    Build { llvm: u32 },
    InstallAndBuild { llvm: u32 },
}

fn step(linker: Option<&Linker>, installed: &[u32], wanted: u32) -> Result<Step> {
    if linker.is_some_and(|linker| linker.suits(wanted)) {
        return Ok(Step::Nothing);
    }
    if wanted > *LLVM.end() {
        let (newest, version) = (LLVM.end(), dotted(VERSION));
        bail!("its LLVM {wanted} is too new: bpf-linker {version} can be built with LLVM up to {newest}");
    }
    let fit = installed.iter().filter(|llvm| **llvm >= wanted && LLVM.contains(llvm)).min();
    Ok(fit.map_or(Step::InstallAndBuild { llvm: wanted.max(*LLVM.start()) }, |llvm| Step::Build {
        llvm: *llvm,
    }))
}

/// Ensures that a bpf-linker for a compiler with LLVM `wanted` is installed.
pub(crate) fn provide(wanted: u32) -> Result<()> {
    let llvm = match step(Linker::find().as_ref(), &installed(Path::new("/usr/lib")), wanted)? {
        Step::Nothing => return Ok(()),
        Step::Build { llvm } => llvm,
        Step::InstallAndBuild { llvm } => {
            let packages = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
            let packages = packages.each_ref().map(String::as_str);
            debian::install(&packages, "to build bpf-linker", "about a minute")?;
            llvm
        }
    };
    eprintln!("setup: building bpf-linker {} to link the eBPF object: one to three minutes", dotted(VERSION));
    exec::run(&mut install(llvm))?;
    match Linker::find() {
        Some(linker) if linker.suits(wanted) => Ok(()),
        Some(linker) => bail!("{} is first in PATH and too old: remove it", linker.path.display()),
        None => bail!("bpf-linker was built but is not in PATH: add cargo's bin directory to it"),
    }
}

fn install(llvm: u32) -> Command {
    let mut command = Command::new("cargo");
    command.args(["install", "bpf-linker", "--version", &dotted(VERSION), "--locked", "--quiet"]);
    command.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
    command.env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"));
    // Outside of the workspace, whose settings and target directory must not apply here.
    command.current_dir("/").env_remove("CARGO_TARGET_DIR");
    command
}

/// The shell line that installs the linker.
pub(crate) fn by_cargo(llvm: u32) -> String {
    exec::line(&install(llvm))
}

/// LLVM versions under `lib` that have everything for a build, in the layout of Debian's `-dev` packages.
fn installed(lib: &Path) -> Vec<u32> {
    LLVM.filter(|llvm| {
        let prefix = lib.join(format!("llvm-{llvm}"));
        let shared = ["lib/libLLVM.so".to_owned(), format!("lib/libLLVM-{llvm}.so")];
        shared.iter().any(|file| prefix.join(file).exists())
            && ["bin/llvm-config", "lib/libPolly.a"].iter().all(|file| prefix.join(file).exists())
    })
    .collect()
}

/// The version in `bpf-linker 0.13.0`.
fn version(output: &str) -> Option<(u32, u32, u32)> {
    let mut parts = output.split_whitespace().nth(1)?.split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// Major version in the name of the LLVM library that a program loads, such as `libLLVM.so.22.1` or `libLLVM-17.so.1`.
fn linked_llvm(program: &[u8]) -> Option<u32> {
    let after = |name: &[u8]| {
        program.windows(name.len()).position(|w| w == name).map(|at| &program[at + name.len()..])
    };
    [b"\0libLLVM.so.".as_slice(), b"\0libLLVM-"].into_iter().filter_map(after).find_map(|rest| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    })
}

fn dotted((major, minor, patch): (u32, u32, u32)) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linker(version: (u32, u32, u32), llvm: Option<u32>) -> Linker {
        Linker { path: "bpf-linker".into(), version, llvm }
    }

    #[test]
    fn what_is_there_is_taken() {
        for llvm in [Some(22), Some(23), None] {
            assert_eq!(step(Some(&linker(VERSION, llvm)), &[], 22).unwrap(), Step::Nothing);
        }
    }

    #[test]
    fn an_old_linker_or_an_old_llvm_is_built_anew() {
        for old in [linker((0, 9, 15), None), linker(VERSION, Some(21))] {
            assert_eq!(step(Some(&old), &[21, 22], 22).unwrap(), Step::Build { llvm: 22 });
        }
    }

    #[test]
    fn an_llvm_that_is_there_comes_before_one_to_install() {
        assert_eq!(step(None, &[23], 22).unwrap(), Step::Build { llvm: 23 });
        assert_eq!(step(None, &[21], 22).unwrap(), Step::InstallAndBuild { llvm: 22 });
        assert_eq!(step(None, &[], 20).unwrap(), Step::InstallAndBuild { llvm: 21 });
    }

    #[test]
    fn a_compiler_newer_than_every_linker_is_refused() {
        assert!(step(None, &[23], 24).unwrap_err().to_string().contains("LLVM 24"));
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("bpf-linker 0.13.0\n"), Some((0, 13, 0)));
        assert_eq!(version("bpf-linker"), None);
        assert_eq!(linked_llvm(b"\x7fELF\0libc.so.6\0libLLVM.so.22.1\0"), Some(22));
        assert_eq!(linked_llvm(b"\x7fELF\0libLLVM-17.so.1\0"), Some(17));
        assert_eq!(linked_llvm(b"\x7fELF no such library, libLLVM in a message"), None);
    }
}
