//! Reads the kernel's counters of every network namespace, on a thread of its own.
//!
//! Any process shows its own namespace's counters in /proc/PID/net, and nobody has to enter it.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread,
    time::Instant,
};

use procfs::process::Process;

use super::{LIMIT, Pace, counters::Counters, ledger::Reading};
use crate::source::clock::monotonic_ns;

/// Samples that wait to be taken over.
const QUEUE: usize = 4;

/// Processes by which a namespace is recognized: numbers of namespaces are reused, these processes' are not.
const WITNESSES: usize = 3;

/// A process: its id, and when it began in ticks since the start of the machine.
pub(super) type Witness = (i32, u64);

/// One namespace in a sample.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) netns: u32,
    /// Some of the processes in it.
    pub(super) witnesses: Vec<Witness>,
    pub(super) reading: Reading,
}

/// All namespaces at about the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) seen: Vec<Seen>,
    /// Namespaces beyond [`LIMIT`], or whose counters could not be read.
    pub(super) left_out: usize,
    /// Processes that do not let us know where they are.
    pub(super) hidden: usize,
}

/// The thread; it ends when this is dropped.
pub(super) struct Sampler {
    pub(super) samples: Receiver<io::Result<Sample>>,
    _stop: SyncSender<()>,
}

impl Sampler {
    /// Samples again and again.
    pub(super) fn start(pace: Pace) -> io::Result<Self> {
        let (sender, samples) = sync_channel(QUEUE);
        let (stop, stopped) = sync_channel::<()>(0);
        let work = move || {
            loop {
                let begin = Instant::now();
                let sample = Sample::take();
                let rest = pace.interval.max(begin.elapsed().saturating_mul(pace.rest));
                match sender.try_send(sample) {
                    // One that nobody takes over is of no use: the next will say the same.
                    Ok(()) | Err(TrySendError::Full(_)) => {}
                    Err(TrySendError::Disconnected(_)) => return,
                }
                if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
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
        // In the order in which they are found, which is by process id: the witnesses are the same every time.
        let mut places: HashMap<u32, Vec<i32>> = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(entry) = entry else { continue };
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match namespace_of(pid) {
                Ok(netns) => {
                    let pids = places.entry(netns).or_default();
                    if pids.len() < WITNESSES {
                        pids.push(pid);
                    }
                }
                Err(error) => {
                    sample.hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
                }
            }
        }
        for (netns, pids) in places {
            let seen = if sample.seen.len() < LIMIT { look(netns, &pids) } else { None };
            match seen {
                Some(seen) => sample.seen.push(seen),
                None => sample.left_out += 1,
            }
        }
        Ok(sample)
    }
}

/// None when no process shows the counters, or all have ended meanwhile.
fn look(netns: u32, pids: &[i32]) -> Option<Seen> {
    let reading = pids.iter().find_map(|pid| {
        let start_ns = monotonic_ns();
        let file = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).ok();
        let counters = Counters::parse(&file("snmp")?, &file("netstat")?)?;
        let end_ns = monotonic_ns();
        // The process may have ended, or gone elsewhere.
        (namespace_of(*pid).ok()? == netns).then_some(Reading { start_ns, end_ns, counters })
    })?;
    let witness = |pid: &i32| {
        let began = Process::new(*pid).and_then(|process| process.stat()).ok()?.starttime;
        (namespace_of(*pid).ok()? == netns).then_some((*pid, began))
    };
    Some(Seen { netns, witnesses: pids.iter().filter_map(witness).collect(), reading })
}

fn namespace_of(pid: i32) -> io::Result<u32> {
    let number = fs::metadata(format!("/proc/{pid}/ns/net"))?.ino();
    // Numbers of namespaces are 32 bits wide (`struct ns_common`).
    u32::try_from(number).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn our_own_namespace_is_seen_with_its_counters() {
        let sampler = Sampler::start(Pace::often(Duration::from_millis(1))).unwrap();
        let own = namespace_of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let mut last = 0;
        for _ in 0..2 {
            let sample = sampler.samples.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
            let seen = sample.seen.iter().find(|seen| seen.netns == own).unwrap();
            assert!(!seen.witnesses.is_empty());
            assert!(seen.reading.start_ns > last && seen.reading.end_ns >= seen.reading.start_ns);
            last = seen.reading.end_ns;
        }
    }
}
