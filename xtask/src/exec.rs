//! Running other programs. An error contains the shell line that repeats the command.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The root of the repository.
///
/// Cargo's environment names it. The path at compile time may be wrong: another checkout may share the target
/// directory.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map(PathBuf::from).unwrap_or(manifest)
}

/// Cargo's target directory.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command that runs in the repository's root, whatever directory the task was started from.
pub(crate) fn in_root<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

pub(crate) fn is_root() -> bool {
    // The owner of /proc/self is the effective user of the process.
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// `program` as root: with sudo, unless this process already runs as root.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// Runs a command, with its output on this terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command without showing its output, and returns its stdout. An error contains one line of its stderr.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        // A backtrace would hide the line that contains the cause.
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}", line(command), cause(&messages).unwrap_or("it gave no reason"));
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of `{}` is no text", line(command)))
}

/// The line of a tool's messages that names the cause of a failure: the first error, or else the last line.
fn cause(messages: &str) -> Option<&str> {
    let mut lines = messages.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .clone()
        .find(|line| line.starts_with("error") || line.starts_with("E:"))
        .or_else(|| lines.next_back())
}

/// The command as a line for a shell in the repository's root.
pub(crate) fn line(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.display(), quoted(&value?.to_string_lossy())))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    environment.chain(words.map(|word| quoted(&word.to_string_lossy()))).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("cargo");
        command.args(["test", "it's", ""]).env("RUSTFLAGS", r#"--cfg a="b""#).env_remove("RUSTC");
        assert_eq!(line(&command), r#"RUSTFLAGS='--cfg a="b"' cargo test 'it'\''s' ''"#);
    }

    #[test]
    fn the_first_error_is_the_cause() {
        assert_eq!(cause("info: syncing\nerror: no such host\n  0: a\n"), Some("error: no such host"));
        assert_eq!(cause("Reading\nE: Unable to locate package x\n"), Some("E: Unable to locate package x"));
        assert_eq!(cause("one\ntwo\n\n"), Some("two"));
        assert_eq!(cause(""), None);
    }

    #[test]
    fn a_failure_names_the_command_and_the_reason() {
        let error = capture(Command::new("sh").args(["-c", "echo 'error: why' >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), r"`sh -c 'echo '\''error: why'\'' >&2; exit 3'` failed: error: why");
    }
}
