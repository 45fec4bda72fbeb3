//! A description of the machine and of the software's versions. It contains nothing that identifies the machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::exec;

pub(crate) struct Machine {
    /// Date in UTC, as YYYY-MM-DD.
    date: String,
    cpu: String,
    cpus: usize,
    is_virtual: bool,
    memory_gib: u64,
    kernel: String,
    versions: Vec<String>,
    /// Load averages over 1, 5 and 15 minutes when the benchmark began.
    load: String,
}

pub(crate) fn describe(observer: &Path) -> Result<Machine> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let cpuinfo = read("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
    };
    let meminfo = read("/proc/meminfo")?;
    let kib = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let line = |command: &mut Command| {
        exec::capture(command).map(|text| text.lines().next().unwrap_or("").to_owned())
    };
    let mut versions = vec![line(Command::new(observer).arg("--version"))?];
    versions.extend(line(Command::new("bpftrace").arg("--version")).ok());
    let package = ["-W", "-f", "libbpf-tools ${Version}", "libbpf-tools"];
    versions.extend(line(Command::new("dpkg-query").args(package)).ok());
    Ok(Machine {
        date: line(Command::new("date").args(["-u", "+%F"]))?,
        cpu: field("model name"),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        is_virtual: field("flags").split(' ').any(|flag| flag == "hypervisor"),
        memory_gib: kib.div_ceil(1 << 20),
        // The rest of a release may identify the builder.
        kernel: read("/proc/sys/kernel/osrelease")?.split('-').next().unwrap_or("").trim().to_owned(),
        versions,
        load: read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "),
    })
}

impl Machine {
    /// Name of the directory for its results.
    pub(crate) fn directory(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let words: String = format!("{}-{}-cpus", self.cpu, self.cpus).chars().map(plain).collect();
        let words: Vec<_> = words.split('-').filter(|word| !word.is_empty()).collect();
        format!("{}-{}", self.date, words.join("-"))
    }

    pub(crate) fn text(&self) -> String {
        let Self { date, cpu, cpus, memory_gib, kernel, load, .. } = self;
        let kind = if self.is_virtual { "virtual machine" } else { "machine" };
        format!(
            "{date}: {kind}, {cpu}, {cpus} CPUs, {memory_gib} GiB, Linux {kernel}; load at the start {load}.\n{}.",
            self.versions.join(", ")
        )
    }
}
