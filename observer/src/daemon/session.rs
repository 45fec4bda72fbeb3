//! A session: hooks are attached, and their records are drained on a timer until a signal ends it.

use std::{ops::ControlFlow, time::Duration};

use anyhow::{Context as _, bail};
use caps::{CapSet, Capability};
use observer_ebpf::abi::record::Header;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    attach::{self, answer::Mechanism, load::Attached, plan::Plan},
    config,
    event::{Body, Event, SockId},
    owner::Owners,
    pipeline::Pipeline,
    report::Report,
    source::{clock::monotonic_ns, ring},
    story::table::{Unowned, WantedOwner},
};

/// Maximum records per batch. Timers and signals get their turn between batches.
const BATCH: usize = 4096;

/// A process is searched for this long before its connection's verdict is due, ns.
const OWNER_LEAD_NS: u64 = 10_000_000;

/// A command's part of a session.
pub(crate) trait Watcher {
    /// Takes one event of the kernel, before the pipeline does.
    fn event(&mut self, event: &Event) -> anyhow::Result<()>;
    /// Takes one event that user space adds: the process that holds a socket, or a mark of lost records. A recording
    /// needs it too.
    fn added(&mut self, _event: &Event) -> anyhow::Result<()> {
        Ok(())
    }
    /// Takes one report.
    fn report(&mut self, report: &Report);
    /// Ends a batch: flushes, and reads counters. An error ends the session.
    fn batch(&mut self, session: &Session) -> anyhow::Result<()>;
    /// Changes the session's settings, after each batch.
    fn settings(&mut self, _session: &mut Session) {}
    /// Whether the session can end now.
    fn is_done(&self) -> bool {
        false
    }
}

/// The attached hooks, and all stages that their events pass.
pub(crate) struct Session {
    pub(crate) attached: Attached,
    pub(crate) plan: Plan,
    pub(crate) release: String,
    pub(crate) pipeline: Pipeline,
    owners: Owners,
    /// Records that could not be decoded.
    undecodable: u64,
    ring_bytes: u32,
    drain_interval: Duration,
    /// Time of the last event that was processed; `CLOCK_MONOTONIC`, ns.
    seen_ns: u64,
    /// An event that is younger than the last reading of the loss counters, and so waits for the next batch.
    held: Option<Event>,
    /// Time of the last reading of the loss counters; `CLOCK_MONOTONIC`, ns.
    losses_read_ns: u64,
    /// Losses at that time.
    losses_read: u64,
    /// All reports that were due by this time are out; `CLOCK_MONOTONIC`, ns.
    pub(crate) passed_ns: u64,
}

impl Session {
    /// Finds out what the kernel offers, plans, loads and attaches.
    ///
    /// # Errors
    /// A missing capability, or a kernel that lacks the needed hooks.
    pub(crate) fn start(settings: &config::KernelSettings) -> anyhow::Result<Self> {
        require_root()?;
        keep_memory_together();
        let attach::Attachment { facts, plan, attached } =
            attach::attach(&settings.preferences(), settings.load())?;
        return_memory();
        Ok(Self {
            attached,
            plan,
            release: facts.release,
            pipeline: Pipeline::new(settings.limits()),
            owners: Owners::default(),
            undecodable: 0,
            ring_bytes: settings.ring_size,
            drain_interval: settings.drain_interval,
            seen_ns: 0,
            held: None,
            losses_read_ns: monotonic_ns(),
            losses_read: 0,
            passed_ns: 0,
        })
    }

    /// Applies the settings that can change while hooks are attached.
    pub(crate) fn change(&mut self, settings: &config::KernelSettings) {
        self.pipeline.set_limits(settings.limits());
        self.drain_interval = settings.drain_interval;
    }

    /// Number of attached hooks.
    pub(crate) fn hooks(&self) -> usize {
        self.plan.hooks.iter().filter(|hook| hook.mechanism.is_some()).count()
    }

    /// The best mechanism that any hook uses.
    pub(crate) fn mechanism(&self) -> &'static str {
        let used =
            |mechanism: &&Mechanism| self.plan.hooks.iter().any(|hook| hook.mechanism == Some(**mechanism));
        Mechanism::ALL.iter().find(used).map_or("none", |best| best.word())
    }

    /// Drains until SIGINT, SIGTERM or [`Watcher::is_done`]. After a signal, also drains what is left, and reports all
    /// connections that have ended.
    pub(crate) async fn watch(&mut self, watcher: &mut impl Watcher) -> anyhow::Result<()> {
        let mut logger = self.attached.logger().context("reading the BPF program's own log")?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut tick = ticks(self.drain_interval);
        let mut behind = false;
        loop {
            let next = async {
                // In a flood the next batch is already there. Other tasks of this thread still get their turn.
                if behind {
                    tokio::task::yield_now().await;
                } else {
                    tick.tick().await;
                }
            };
            tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = next => {}
            }
            behind = self.drain(watcher)?;
            logger.flush();
            watcher.settings(self);
            if tick.period() != self.drain_interval {
                tick = ticks(self.drain_interval);
            }
            if watcher.is_done() {
                return Ok(());
            }
        }
        // Drain what was there when the signal came, but no more than the ring can hold: a flood must not delay the
        // end.
        let signal_ns = monotonic_ns();
        let mut batches =
            usize::try_from(self.ring_bytes).unwrap_or(usize::MAX) / size_of::<Header>() / BATCH + 1;
        while batches > 0 && self.drain(watcher)? && self.seen_ns < signal_ns {
            batches -= 1;
        }
        self.find_owners(u64::MAX - OWNER_LEAD_NS, watcher)?;
        self.pipeline.finish(&mut |report| watcher.report(report));
        watcher.batch(self)
    }

    /// Searches the processes of connections that are about to be reported and have none.
    fn find_owners(&mut self, now: u64, watcher: &mut impl Watcher) -> anyhow::Result<()> {
        // More connections are due by the end of the batch.
        find_owners(&mut self.owners, &mut self.pipeline, now + OWNER_LEAD_NS, watcher)
    }

    /// Drains one batch. True if more records are waiting.
    ///
    /// Only records that are older than the reading of the loss counters are processed. So no verdict is given before
    /// the mark of the records that it lost.
    fn drain(&mut self, watcher: &mut impl Watcher) -> anyhow::Result<bool> {
        let now = monotonic_ns();
        self.mark_losses(now, watcher)?;
        let Attached { ring, names, .. } = &mut self.attached;
        let (pipeline, undecodable, owners) = (&mut self.pipeline, &mut self.undecodable, &mut self.owners);
        let (seen_ns, held) = (&mut self.seen_ns, &mut self.held);
        let mut process = |event: &Event| -> anyhow::Result<()> {
            *seen_ns = event.ns;
            // Stories become due by the time of this event.
            find_owners(owners, pipeline, event.ns, watcher)?;
            watcher.event(event)?;
            pipeline.apply(event, &mut |report| watcher.report(report));
            Ok(())
        };
        if let Some(event) = held.take() {
            process(&event)?;
        }
        let mut failed = Ok(());
        let taken = ring::drain(ring, names, BATCH, &mut |event| match event {
            Ok(event) if event.ns > now => {
                *held = Some(event);
                ControlFlow::Break(())
            }
            Ok(event) => {
                failed = process(&event);
                if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
            Err(error) => {
                *undecodable += 1;
                log::warn!("a record was dropped: {error}");
                ControlFlow::Continue(())
            }
        });
        failed?;
        let behind = taken == BATCH;
        if !behind {
            // Only without waiting records: one of them may complete a story that is due. Owners come first, since a
            // story may be due at once.
            self.find_owners(now, watcher)?;
            self.pipeline.expire(now, &mut |report| watcher.report(report));
        }
        self.passed_ns = if behind { self.seen_ns } else { now };
        watcher.batch(self)?;
        Ok(behind)
    }

    /// Marks the connections that were open when records were lost since the last reading of the loss counters.
    fn mark_losses(&mut self, now: u64, watcher: &mut impl Watcher) -> anyhow::Result<()> {
        let lost = self.attached.lost().iter().sum::<u64>() + self.attached.left_out() + self.undecodable;
        if lost > self.losses_read {
            let (since_ns, count) = (self.losses_read_ns, lost - self.losses_read);
            let body = Body::RecordsLost { since_ns, until_ns: now, count };
            let mark = Event { ns: now, sock: SockId(0), task: None, body };
            watcher.added(&mark)?;
            self.pipeline.mark(&mark);
            self.losses_read = lost;
        }
        self.losses_read_ns = now;
        Ok(())
    }

    /// Losses since the start, in the order of [`LOST_REASONS`].
    pub(crate) fn lost(&self) -> Vec<(&'static str, u64)> {
        let table = self.pipeline.lost();
        let ours = [
            self.attached.left_out(),
            self.undecodable,
            table.stories,
            table.openings,
            table.early_errors,
            table.unseen_ends,
        ];
        LOST_REASONS.into_iter().zip(self.attached.lost().into_iter().chain(ours)).collect()
    }
}

/// A timer that skips missed ticks: the next batch takes everything that has gathered.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// All reasons for losses: those of the kernel side, then those of user space.
pub(crate) const LOST_REASONS: [&str; 9] = {
    let [ring_full, read_fault, mark_refused] = observer_ebpf::abi::counter::NAMES;
    [
        ring_full,
        read_fault,
        mark_refused,
        "program_busy",
        "undecodable",
        "story_table_full",
        "opening_table_full",
        "write_error_table_full",
        "end_not_seen",
    ]
};

/// Searches the processes of connections that are due by `until_ns` (`CLOCK_MONOTONIC`) and have none.
fn find_owners(
    owners: &mut Owners,
    pipeline: &mut Pipeline,
    until_ns: u64,
    watcher: &mut impl Watcher,
) -> anyhow::Result<()> {
    let unowned: Vec<_> = pipeline.unowned(until_ns).collect();
    for Unowned { sock, ns, wanted, ended_ns } in unowned {
        let task = match wanted {
            WantedOwner::Holder(inode) => owners.find(inode, ended_ns),
            WantedOwner::Listener(endpoints) => owners.listener(&endpoints, ended_ns),
        };
        let body = if task.is_some() { Body::Owner } else { Body::NoOwner { scanned_ns: monotonic_ns() } };
        let event = Event { ns, sock, task, body };
        watcher.added(&event)?;
        pipeline.apply(&event, &mut |report| watcher.report(report));
    }
    Ok(())
}

/// Makes all threads allocate from one arena, since [`return_memory`] cannot return memory of other arenas. Only two
/// threads allocate during the start, and mostly one afterwards.
fn keep_memory_together() {
    #[cfg(target_env = "gnu")]
    // SAFETY: this sets a parameter of the allocator. If it fails (0), some memory is not returned.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns the memory that reading the kernel's types took: about 15 MB, which glibc would otherwise keep.
fn return_memory() {
    // Other C libraries return freed memory by themselves.
    #[cfg(target_env = "gnu")]
    // SAFETY: this touches only free memory of the allocator.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Checks the capabilities first, since the kernel's own answer would be a bare EPERM.
pub(crate) fn require_root() -> anyhow::Result<()> {
    let has = |right| caps::has_cap(None, CapSet::Effective, right).context("reading our own capabilities");
    if has(Capability::CAP_SYS_ADMIN)? || has(Capability::CAP_BPF)? && has(Capability::CAP_PERFMON)? {
        return Ok(());
    }
    bail!("permission denied: the observer needs root, or CAP_BPF and CAP_PERFMON; use sudo");
}
