//! Running other programs. In: a [`Command`]. Out: its success, or an error with the line that repeats it in a shell.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The repository. Cargo says where it runs xtask from, which may have been built in another checkout with the same
/// target directory.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map(PathBuf::from).unwrap_or(manifest)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command in the repository's root, whatever directory the task was started from.
pub(crate) fn in_root<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

pub(crate) fn is_root() -> bool {
    // /proc/self belongs to the effective user of the process.
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// `program` with root's rights: by sudo unless this is root already.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// Runs a command on this terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command that is no concern of the reader's and gives what it writes to stdout. The error holds one line
/// of what it wrote to stderr.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        // Backtraces of a tool's own errors would bury the line that tells.
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}", line(command), telling(&messages).unwrap_or("it gave no reason"));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no text", line(command)))
}

/// The line of a tool's messages that tells what went wrong: the first error, or else the last line.
fn telling(messages: &str) -> Option<&str> {
    let mut lines = messages.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .clone()
        .find(|line| line.starts_with("error") || line.starts_with("E:"))
        .or_else(|| lines.next_back())
}

/// The command as one would type it in the repository's root.
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
    fn the_first_error_tells() {
        assert_eq!(telling("info: syncing\nerror: no such host\n  0: a\n"), Some("error: no such host"));
        assert_eq!(
            telling("Reading\nE: Unable to locate package x\n"),
            Some("E: Unable to locate package x")
        );
        assert_eq!(telling("one\ntwo\n\n"), Some("two"));
        assert_eq!(telling(""), None);
    }

    #[test]
    fn a_failure_names_the_command_and_the_reason() {
        let error = capture(Command::new("sh").args(["-c", "echo 'error: why' >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), r"`sh -c 'echo '\''error: why'\'' >&2; exit 3'` failed: error: why");
    }
}
