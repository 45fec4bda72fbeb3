//! Reading /proc: CPU time and memory of a process, and its BPF programs and maps.

use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The sum over all BPF programs of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Programs {
    /// Number of programs.
    pub(crate) count: usize,
    /// Their run time while the kernel's accounting was on, ns.
    pub(crate) run_ns: u64,
    /// Number of runs while the kernel's accounting was on.
    pub(crate) runs: u64,
    /// Memory of the process's maps, bytes.
    pub(crate) map_bytes: u64,
}

/// Memory of a process without its BPF maps, KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

/// CPU time of a process, in seconds. The kernel reports it in ticks of 10 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

/// Reads the programs and maps of a process. Each one counts once, even if it has several descriptors.
pub(crate) fn programs(pid: u32) -> Result<Programs> {
    let (mut programs, mut maps) = (HashMap::new(), HashMap::new());
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).context("listing a process's descriptors")?;
    for entry in entries.flatten() {
        // The descriptor may have been closed meanwhile.
        let Ok(info) = fs::read_to_string(entry.path()) else { continue };
        let number = |name: &str| number(&info, name);
        if let Some(id) = number("prog_id:").filter(|_| number("run_cnt:").is_some()) {
            programs.insert(id, (number("run_time_ns:").unwrap_or(0), number("run_cnt:").unwrap_or(0)));
        } else if let Some(id) = number("map_id:").filter(|_| number("map_type:").is_some()) {
            maps.insert(id, number("memlock:").unwrap_or(0));
        }
    }
    Ok(Programs {
        count: programs.len(),
        run_ns: programs.values().map(|(ns, _)| ns).sum(),
        runs: programs.values().map(|(_, runs)| runs).sum(),
        map_bytes: maps.values().sum(),
    })
}

pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let read = |file: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).context("reading a process's memory")
    };
    let status = read("status")?;
    // The ring buffer is mapped into the process, its data even twice (kernel/bpf/ringbuf.c). It is already counted as
    // a map.
    let mut mapped = 0;
    let mut is_map = false;
    for line in read("smaps")?.lines() {
        let first = line.split_whitespace().next().unwrap_or("");
        if first == "Rss:" && is_map {
            mapped += number(line, "Rss:").unwrap_or(0);
        } else if !first.ends_with(':') {
            is_map = line.ends_with("anon_inode:bpf-map");
        }
    }
    let kib = |name| number(&status, name).unwrap_or(0).saturating_sub(mapped);
    Ok(Memory { resident: kib("VmRSS:"), peak: kib("VmHWM:") })
}

/// Resets the peak of the process's memory.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting a process's peak of memory")
}

pub(crate) fn cpu(pid: u32) -> Result<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("reading a process's CPU time")?;
    // The name, in parentheses, may contain any character.
    let fields: Vec<_> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let seconds =
        |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    Ok(Cpu { user: seconds(11), system: seconds(12) })
}

/// Waits until the process is idle, for at most five seconds.
pub(crate) fn await_rest(pid: u32) -> Result<()> {
    let started = Instant::now();
    let (mut last, mut since) = (cpu(pid)?, started);
    while since.elapsed() < Duration::from_millis(500) && started.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(50));
        let now = cpu(pid)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described() {
        let me = std::process::id();
        assert!(memory(me).unwrap().resident > 100);
        assert!(cpu(me).is_ok());
        assert_eq!(programs(me).unwrap().count, 0);
    }
}
