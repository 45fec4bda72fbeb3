//! Who the daemon is, and what it may do: as docs/operations.md has it.

use anyhow::{Context as _, Result, ensure};

use crate::{daemon, systemd};

/// systemd.exec(5), `DynamicUser=`.
const DYNAMIC: std::ops::RangeInclusive<u32> = 61184..=65519;

/// Bits of the capabilities, by capability.h.
const DAC_READ_SEARCH: u64 = 1 << 2;
const SYS_PTRACE: u64 = 1 << 19;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// What is kept after the start (on kernels from 5.19 on), and what can never be more than that.
const KEPT: u64 = SYS_PTRACE | DAC_READ_SEARCH;
const BOUND: u64 = KEPT | PERFMON | BPF;

/// What `systemd-analyze security` may find at most, as docs/operations.md has it.
const EXPOSURE: f64 = 2.3;

pub(crate) fn user() -> Result<String> {
    let uids = daemon::field(daemon::pid()?, "Uid")?;
    let mut all = uids.split_whitespace().map(str::parse::<u32>);
    ensure!(all.all(|uid| uid.is_ok_and(|uid| DYNAMIC.contains(&uid))), "not a dynamic user: {uids}");
    let name = systemd::property("User")?;
    Ok(format!("User={name}, uids {}", uids.replace('\t', " ")))
}

/// The uid of the service.
pub(crate) fn uid() -> Result<u32> {
    let uids = daemon::field(daemon::pid()?, "Uid")?;
    uids.split_whitespace().next().and_then(|uid| uid.parse().ok()).context("there is no uid")
}

pub(crate) fn capabilities() -> Result<String> {
    let pid = daemon::pid()?;
    let sets = [("CapEff", KEPT), ("CapPrm", KEPT), ("CapInh", 0), ("CapAmb", 0), ("CapBnd", BOUND)];
    let mut told = Vec::new();
    for (set, expected) in sets {
        let held = daemon::field_of_all_threads(pid, set)?;
        ensure!(u64::from_str_radix(&held, 16) == Ok(expected), "{set} is {held} instead of {expected:016x}");
        told.push(format!("{set} {expected:x}"));
    }
    Ok(format!("in all threads {}", told.join(", ")))
}

pub(crate) fn seccomp() -> Result<String> {
    let pid = daemon::pid()?;
    let field = |name| daemon::field_of_all_threads(pid, name);
    let (privileges, mode, filters) = (field("NoNewPrivs")?, field("Seccomp")?, field("Seccomp_filters")?);
    // 2 is a filter.
    ensure!((privileges.as_str(), mode.as_str()) == ("1", "2"), "NoNewPrivs {privileges}, Seccomp {mode}");
    Ok(format!("in all threads NoNewPrivs {privileges}, Seccomp {mode}, {filters} filters"))
}

pub(crate) fn exposure() -> Result<String> {
    let table = systemd::output("systemd-analyze", &["security", "--no-pager", systemd::UNIT])?;
    let line = table.lines().find(|line| line.contains("Overall exposure level"));
    let line = line.context("systemd-analyze security gives no level")?;
    let level =
        line.split_once(".service: ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
    let level = level.with_context(|| format!("no level in {line}"))?;
    ensure!(level <= EXPOSURE, "the exposure is {level}, more than {EXPOSURE}");
    Ok(format!("systemd-analyze security finds {level}"))
}
