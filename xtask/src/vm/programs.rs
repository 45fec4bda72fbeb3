//! Building the programs that run in a machine. Cargo's messages give their paths.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::initramfs::Programs;
use crate::exec;

/// Built with optimizations. On an emulated machine, an unoptimized observer reads the kernel's types more slowly than
/// the tests wait.
const TESTS: [&str; 8] = ["test", "--locked", "--release", "-p", "observer", "--test", "kernel", "--no-run"];
const OBSERVER: [&str; 5] = ["build", "--locked", "--release", "-p", "observer"];
const CHECKS: [&str; 6] = ["build", "--locked", "-p", "xtask", "--bin", "vm-service"];
const INIT: [&str; 6] = ["build", "--locked", "-p", "xtask", "--bin", "vm-init"];

pub(crate) fn build() -> Result<Programs> {
    let tests = executables(&TESTS)?;
    let init = executables(&INIT)?;
    Ok(Programs {
        init: named(&init, "vm-init")?,
        tests: named(&tests, "kernel")?,
        observer: named(&tests, "observer")?,
    })
}

/// The programs for the machine with systemd.
pub(crate) struct Service {
    pub(crate) observer: PathBuf,
    pub(crate) checks: PathBuf,
}

pub(crate) fn service() -> Result<Service> {
    let observer = named(&executables(&OBSERVER)?, "observer")?;
    let checks = named(&executables(&CHECKS)?, "vm-service")?;
    Ok(Service { observer, checks })
}

/// Name and path of each executable of this cargo command, even if it was built before.
fn executables(args: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = exec::in_root("cargo", args);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = cargo.output().with_context(|| format!("cannot start `{}`", exec::line(&cargo)))?;
    ensure!(output.status.success(), "`{}` failed ({})", exec::line(&cargo), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect())
}

fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    Some((message["target"]["name"].as_str()?.to_owned(), message["executable"].as_str()?.into()))
}

fn named(executables: &[(String, PathBuf)], name: &str) -> Result<PathBuf> {
    let found = executables.iter().find(|(its, _)| its == name);
    Ok(found.with_context(|| format!("cargo built no executable {name}"))?.1.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_by_name() {
        let message =
            r#"{"reason":"compiler-artifact","target":{"name":"kernel"},"executable":"/t/kernel-1"}"#;
        assert_eq!(executable(message), Some(("kernel".to_owned(), "/t/kernel-1".into())));
        let library = r#"{"reason":"compiler-artifact","target":{"name":"observer"},"executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
