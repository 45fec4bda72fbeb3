//! A thread that reads the kernel's counters of every network namespace.
//!
//! /proc/PID/net shows the counters of the process's namespace, so the thread does not have to enter it.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread,
    time::Instant,
};

use procfs::process::Process;

use super::{MAX_NAMESPACES, Pace, counters::Counters, ledger::Reading};
use crate::source::clock::monotonic_ns;

/// Most samples that wait for the receiver.
const QUEUE: usize = 4;

/// Processes per namespace that identify it. The kernel reuses a namespace's number, but not a process's identity.
const IDENTIFYING_PROCESSES: usize = 3;

/// The id of a process, and its start in clock ticks since boot. Together they are never reused.
pub(super) type ProcessIdentity = (i32, u64);

/// One namespace in a sample.
#[derive(Debug, Clone)]
pub(super) struct NamespaceSample {
    pub(super) netns: u32,
    /// Some of the processes in it.
    pub(super) processes: Vec<ProcessIdentity>,
    pub(super) reading: Reading,
}

/// The counters of all namespaces, read within a short time.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) namespaces: Vec<NamespaceSample>,
    /// Namespaces beyond [`MAX_NAMESPACES`], or whose counters could not be read.
    pub(super) left_out: usize,
    /// Processes whose namespace this process must not read.
    pub(super) hidden: usize,
}

/// The thread. It ends when this is dropped.
pub(super) struct Sampler {
    pub(super) samples: Receiver<io::Result<Sample>>,
    _stop: SyncSender<()>,
}

impl Sampler {
    /// Starts the thread.
    pub(super) fn start(pace: Pace) -> io::Result<Self> {
        let (sender, samples) = sync_channel(QUEUE);
        let (stop, stopped) = sync_channel::<()>(0);
        let work = move || {
            loop {
                let begin = Instant::now();
                let sample = Sample::take();
                let pause = pace.interval.max(begin.elapsed().saturating_mul(pace.pause_factor));
                match sender.try_send(sample) {
                    // A sample for which there is no room can be dropped: the next has the same counters and more.
                    Ok(()) | Err(TrySendError::Full(_)) => {}
                    Err(TrySendError::Disconnected(_)) => return,
                }
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        thread::Builder::new().name("audit".to_owned()).spawn(work)?;
        Ok(Self { samples, _stop: stop })
    }
}

impl Sample {
    fn take() -> io::Result<Self> {
        let mut sample = Self::default();
        // /proc lists processes by id, so each sample picks the same ones of a namespace.
        let mut namespaces: HashMap<u32, Vec<i32>> = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(entry) = entry else { continue };
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match namespace_of(pid) {
                Ok(netns) => {
                    let pids = namespaces.entry(netns).or_default();
                    if pids.len() < IDENTIFYING_PROCESSES {
                        pids.push(pid);
                    }
                }
                Err(error) => {
                    sample.hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
                }
            }
        }
        for (netns, pids) in namespaces {
            let has_room = sample.namespaces.len() < MAX_NAMESPACES;
            match if has_room { read(netns, &pids) } else { None } {
                Some(namespace) => sample.namespaces.push(namespace),
                None => sample.left_out += 1,
            }
        }
        Ok(sample)
    }
}

/// Reads the counters of a namespace by one of its processes. None if no process shows them, or all have ended.
fn read(netns: u32, pids: &[i32]) -> Option<NamespaceSample> {
    let reading = pids.iter().find_map(|pid| {
        let start_ns = monotonic_ns();
        let file = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).ok();
        let counters = Counters::parse(&file("snmp")?, &file("netstat")?)?;
        let end_ns = monotonic_ns();
        // The process may have ended or left the namespace.
        (namespace_of(*pid).ok()? == netns).then_some(Reading { start_ns, end_ns, counters })
    })?;
    let identity = |pid: &i32| {
        let start = Process::new(*pid).and_then(|process| process.stat()).ok()?.starttime;
        (namespace_of(*pid).ok()? == netns).then_some((*pid, start))
    };
    Some(NamespaceSample { netns, processes: pids.iter().filter_map(identity).collect(), reading })
}

fn namespace_of(pid: i32) -> io::Result<u32> {
    let number = fs::metadata(format!("/proc/{pid}/ns/net"))?.ino();
    // A namespace's number has 32 bits (`struct ns_common`).
    u32::try_from(number).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn samples_have_the_counters_of_our_own_namespace() {
        let sampler = Sampler::start(Pace::often(Duration::from_millis(1))).unwrap();
        let own = namespace_of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let mut last = 0;
        for _ in 0..2 {
            let sample = sampler.samples.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
            let sample = sample.namespaces.into_iter().find(|sample| sample.netns == own).unwrap();
            assert!(!sample.processes.is_empty());
            assert!(sample.reading.start_ns > last && sample.reading.end_ns >= sample.reading.start_ns);
            last = sample.reading.end_ns;
        }
    }
}
