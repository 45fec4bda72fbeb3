//! The checks. In: the checkout. Out: each check's name and duration, and at the first that fails the command that
//! repeats it.

mod checkers;
mod structure;
mod unit;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{exec, setup};

/// What is checked, and how.
type Step = (&'static str, fn() -> Result<()>);

/// The quick ones first.
const STEPS: &[Step] = &[
    ("formatting", || cargo(&["fmt", "--all", "--check"])),
    ("manifests", manifests),
    ("structure", structure::run),
    ("spelling", checkers::spelling),
    ("TOML files", checkers::toml),
    ("systemd unit", unit::run),
    ("dependencies", checkers::dependencies),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
    // `--all-targets` leaves out what plain `cargo test` does.
    ("clippy, kernel tests", || {
        cargo(&["clippy", "-p", "observer", "--test", "kernel", "--locked", "--", "-D", "warnings"])
    }),
    ("clippy, eBPF side", clippy_ebpf),
    ("documentation", documentation),
];

/// The task's arguments.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Run only the checks whose name contains this word
    #[arg(value_name = "WORD")]
    only: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let only = options.only.as_deref().unwrap_or_default();
    let steps: Vec<_> = STEPS.iter().filter(|(name, _)| name.contains(only)).collect();
    let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
    ensure!(!steps.is_empty(), "no check has {only:?} in its name; the checks are: {}", names.join("; "));
    setup::run()?;
    for (name, check) in steps {
        eprintln!("lint: {name}");
        let start = Instant::now();
        check().with_context(|| format!("lint: {name}"))?;
        eprintln!("lint: {name}: done in {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn cargo(args: &[&str]) -> Result<()> {
    exec::run(&mut exec::in_root("cargo", args))
}

/// The kernel side is invisible to the host's clippy: it is linted for its own target, by the compiler it is built
/// with and with the configuration that aya-build sets.
fn clippy_ebpf() -> Result<()> {
    let target_dir = exec::target_dir().join("ebpf-clippy");
    let mut command = exec::in_root("rustup", ["run", "observer-ebpf", "cargo", "clippy", "--locked"]);
    command.args(["-p", "observer-ebpf", "--lib", "--bins"]);
    command.args(["--target", ebpf_target(), "-Z", "build-std=core", "--target-dir"]).arg(target_dir);
    command.args(["--", "-D", "warnings"]);
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("RUSTFLAGS", format!("--cfg bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    // Would win over RUSTFLAGS, and over the toolchain.
    for variable in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(variable);
    }
    exec::run(&mut command)
}

fn ebpf_target() -> &'static str {
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}

/// With the private items, because the readers of these pages are the ones who change them.
fn documentation() -> Result<()> {
    let mut command: Command =
        exec::in_root("cargo", ["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"]);
    exec::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// A member that does not say so is left out of the workspace's lints, and nothing else would tell.
fn manifests() -> Result<()> {
    let read = |path: &str| {
        std::fs::read_to_string(exec::root().join(path)).with_context(|| format!("cannot read {path}"))
    };
    let members = members(&read("Cargo.toml")?);
    ensure!(!members.is_empty(), "no members found in Cargo.toml");
    for member in members {
        let manifest = format!("{member}/Cargo.toml");
        if !inherits_lints(&read(&manifest)?) {
            bail!("{manifest} lacks `workspace = true` under `[lints]`");
        }
    }
    Ok(())
}

/// The members that the workspace's manifest lists; none if it is no manifest.
fn members(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = toml::from_str(manifest).unwrap_or_default();
    let list = manifest.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
    list.into_iter().flatten().filter_map(|member| member.as_str().map(str::to_owned)).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let manifest: toml::Table = toml::from_str(manifest).unwrap_or_default();
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
    inherits == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_on_one_line_and_on_several() {
        assert_eq!(members("[workspace]\nmembers = [\"a\", \"b/c\"]\n"), ["a", "b/c"]);
        assert_eq!(members("[workspace]\nmembers = [\n    \"a\",\n]\ndefault-members = [\"x\"]\n"), ["a"]);
        assert!(members("[workspace]\ndefault-members = [\"x\"]\n").is_empty());
    }

    #[test]
    fn only_the_lints_section_counts() {
        assert!(inherits_lints("[package]\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\n[dependencies]\nworkspace = true\n"));
        assert!(!inherits_lints("[dependencies.anyhow]\nworkspace = true\n"));
    }
}
