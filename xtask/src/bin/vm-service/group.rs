//! Who may ask the daemon, by the commands of docs/operations.md for `query.group`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};

use crate::{daemon, sandbox, service, systemd};

/// The names in docs/operations.md.
const GROUP: &str = "observer-users";
const MEMBER: &str = "alice";

const STRANGER: &str = "bob";

const SOCKET: &str = "/run/observer/query.sock";

pub(crate) fn socket() -> Result<String> {
    for user in [MEMBER, STRANGER] {
        systemd::output("useradd", &["--no-create-home", user])?;
    }
    ensure!(!is_told(&ask_as(MEMBER)?), "{MEMBER} may ask before anything was done for it");
    let old = daemon::pid()?;
    systemd::output("sh", &[service::GROUP])?;
    ensure!(daemon::pid()? != old, "the service was not restarted");
    let socket = fs::metadata(SOCKET).with_context(|| format!("cannot look at {SOCKET}"))?;
    let (uid, gid) = (sandbox::uid()?, gid(GROUP)?);
    let found = (socket.uid(), socket.gid(), socket.mode() & 0o7777);
    ensure!(found == (uid, gid, 0o660), "{SOCKET} has user, group and mode {found:?}");
    Ok(format!(
        "by the commands of docs/operations.md {SOCKET} has user {uid}, group {gid} ({GROUP}) and mode 660"
    ))
}

pub(crate) fn member() -> Result<String> {
    let asked = ask_as(MEMBER)?;
    ensure!(is_told(&asked), "{}: {}", asked.status, systemd::stderr(&asked));
    let told = String::from_utf8_lossy(&asked.stdout);
    let line = told.lines().find(|line| line.contains("daemon: ")).unwrap_or_default();
    Ok(format!("{MEMBER} is told by `observer status`: {line}"))
}

pub(crate) fn stranger() -> Result<String> {
    let asked = ask_as(STRANGER)?;
    let why = systemd::stderr(&asked);
    ensure!(!is_told(&asked), "{STRANGER} may ask");
    ensure!(
        asked.status.code() == Some(2)
            && why.contains(&format!("permission denied: {SOCKET}; use sudo or join group {GROUP}")),
        "{}: {why}",
        asked.status
    );
    Ok(format!("{STRANGER} is not: {why}"))
}

/// With the user's own groups and nothing of root's.
fn ask_as(user: &str) -> Result<Output> {
    systemd::attempt("setpriv", &["--reuid", user, "--regid", user, "--init-groups", "observer", "status"])
}

/// Whether it is well, which the exit status tells, is another question.
fn is_told(asked: &Output) -> bool {
    String::from_utf8_lossy(&asked.stdout).contains("daemon: observer ")
}

fn gid(group: &str) -> Result<u32> {
    let entry = systemd::output("getent", &["group", group])?;
    entry.split(':').nth(2).and_then(|gid| gid.parse().ok()).with_context(|| format!("no group in {entry}"))
}
