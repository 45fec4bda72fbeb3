//! systemd, asked and told by its own commands.

use std::fs;
use std::process::{Command, Output};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

pub(crate) const UNIT: &str = "observer.service";

/// Where changes of the unit go that live as long as the machine.
const DROP_IN: &str = "/run/systemd/system/observer.service.d";

/// Stdout of a command that must succeed.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = attempt(program, args)?;
    if !output.status.success() {
        bail!("`{program} {}` failed ({}): {}", args.join(" "), output.status, stderr(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A command that may fail.
pub(crate) fn attempt(program: &str, args: &[&str]) -> Result<Output> {
    Command::new(program).args(args).output().with_context(|| format!("cannot start {program}"))
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

pub(crate) fn systemctl(verb: &str) -> Result<()> {
    output("systemctl", &[verb, UNIT]).map(drop)
}

/// Properties of the unit, as `systemctl show` has them, in the order asked for.
pub(crate) fn properties<const N: usize>(names: [&str; N]) -> Result<[String; N]> {
    let lines = output("systemctl", &["show", "--property", &names.join(","), UNIT])?;
    let value = |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if let Some(name) = names.iter().find(|name| value(name).is_none()) {
        bail!("the unit has no property {name}");
    }
    Ok(names.map(|name| value(name).unwrap_or_default().to_owned()))
}

pub(crate) fn property(name: &str) -> Result<String> {
    let [value] = properties([name])?;
    Ok(value)
}

pub(crate) fn number<N: FromStr>(property: &str) -> Result<N> {
    let value = self::property(property)?;
    value.parse().ok().with_context(|| format!("{property} is {value:?}"))
}

/// Adds lines to the unit.
pub(crate) fn add(lines: &str) -> Result<()> {
    fs::create_dir_all(DROP_IN).with_context(|| format!("cannot make {DROP_IN}"))?;
    fs::write(format!("{DROP_IN}/checks.conf"), lines).context("cannot change the unit")?;
    output("systemctl", &["daemon-reload"]).map(drop)
}
