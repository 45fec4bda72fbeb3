//! A live observation: attached to the kernel, drained on a timer, until a signal ends it.

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

/// Records taken before timers and signals get their turn.
const BATCH: usize = 4096;

/// How long before a verdict is told its process is looked for, ns.
const OWNER_LEAD_NS: u64 = 10_000_000;

/// What a command does with an observation.
pub(crate) trait Watcher {
    /// One event, before it is understood.
    fn event(&mut self, event: &Event) -> anyhow::Result<()>;
    /// What user space adds to the kernel's events, so that a recording has it too: the process that has a socket, and the
    /// mark of lost records.
    fn added(&mut self, _event: &Event) -> anyhow::Result<()> {
        Ok(())
    }
    /// One report.
    fn report(&mut self, report: &Report);
    /// The end of a batch: time to flush, and to look at counters.
    fn batch(&mut self, session: &Session) -> anyhow::Result<()>;
    /// After each batch: time to change the session's settings.
    fn settings(&mut self, _session: &mut Session) {}
    /// Whether it has seen what it wanted to see.
    fn is_done(&self) -> bool {
        false
    }
}

/// Attached, with everything that events flow through.
pub(crate) struct Session {
    pub(crate) attached: Attached,
    pub(crate) plan: Plan,
    pub(crate) release: String,
    pub(crate) pipeline: Pipeline,
    owners: Owners,
    /// Records that were no events.
    pub(crate) undecodable: u64,
    ring_bytes: u32,
    drain_interval: Duration,
    /// Time of the last record taken.
    seen_ns: u64,
    /// A record that was taken and is younger than the last look at what was lost.
    held: Option<Event>,
    /// When that look was; `CLOCK_MONOTONIC`, ns.
    checked_ns: u64,
    /// What was lost by then.
    noticed: u64,
    /// Whatever is due by this time has been told.
    pub(crate) passed_ns: u64,
}

impl Session {
    /// Looks at the kernel, plans, loads and attaches.
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
            checked_ns: monotonic_ns(),
            noticed: 0,
            passed_ns: 0,
        })
    }

    /// Takes over the settings that can change while hooks are attached.
    pub(crate) fn change(&mut self, settings: &config::KernelSettings) {
        self.pipeline.set_limits(settings.limits());
        self.drain_interval = settings.drain_interval;
    }

    /// Hooks that are attached.
    pub(crate) fn hooks(&self) -> usize {
        self.plan.hooks.iter().filter(|hook| hook.mechanism.is_some()).count()
    }

    /// The best mechanism that any hook is entered by.
    pub(crate) fn mechanism(&self) -> &'static str {
        let used =
            |mechanism: &&Mechanism| self.plan.hooks.iter().any(|hook| hook.mechanism == Some(**mechanism));
        Mechanism::ALL.iter().find(used).map_or("none", |best| best.word())
    }

    /// Drains until SIGINT, SIGTERM or the watcher's wish, then what is left, and reports what has ended.
    pub(crate) async fn watch(&mut self, watcher: &mut impl Watcher) -> anyhow::Result<()> {
        let mut logger = self.attached.logger().context("reading the BPF program's own log")?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut tick = ticks(self.drain_interval);
        let mut behind = false;
        loop {
            let next = async {
                // In a flood the next batch is there already; others on this thread still get their turn.
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
        // What was there when the signal came, and what the ring can hold at most: a flood that goes on must not keep us.
        let asked_ns = monotonic_ns();
        let mut batches =
            usize::try_from(self.ring_bytes).unwrap_or(usize::MAX) / size_of::<Header>() / BATCH + 1;
        while batches > 0 && self.drain(watcher)? && self.seen_ns < asked_ns {
            batches -= 1;
        }
        self.find_owners(u64::MAX - OWNER_LEAD_NS, watcher)?;
        self.pipeline.finish(&mut |report| watcher.report(report));
        watcher.batch(self)
    }

    /// Looks for the processes of connections that are about to be told and have none.
    fn find_owners(&mut self, now: u64, watcher: &mut impl Watcher) -> anyhow::Result<()> {
        // By the time the batch is through, some more are due.
        find_owners(&mut self.owners, &mut self.pipeline, now + OWNER_LEAD_NS, watcher)
    }

    /// One batch. True when more is waiting.
    ///
    /// Only records that are older than the look at the loss counters are understood: no verdict comes out before the mark
    /// of what it lost.
    fn drain(&mut self, watcher: &mut impl Watcher) -> anyhow::Result<bool> {
        let now = monotonic_ns();
        self.notice_losses(now, watcher)?;
        let Attached { ring, names, .. } = &mut self.attached;
        let (pipeline, undecodable, owners) = (&mut self.pipeline, &mut self.undecodable, &mut self.owners);
        let (seen_ns, held) = (&mut self.seen_ns, &mut self.held);
        let mut understand = |event: &Event| -> anyhow::Result<()> {
            *seen_ns = event.ns;
            // Its later events make the earlier ones due.
            find_owners(owners, pipeline, event.ns, watcher)?;
            watcher.event(event)?;
            pipeline.apply(event, &mut |report| watcher.report(report));
            Ok(())
        };
        if let Some(event) = held.take() {
            understand(&event)?;
        }
        let mut failed = Ok(());
        let taken = ring::drain(ring, names, BATCH, &mut |event| match event {
            Ok(event) if event.ns > now => {
                *held = Some(event);
                ControlFlow::Break(())
            }
            Ok(event) => {
                failed = understand(&event);
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
            // While records wait, time is where they are: what settles a story may be among them. What came late may
            // be due at once.
            self.find_owners(now, watcher)?;
            self.pipeline.expire(now, &mut |report| watcher.report(report));
        }
        self.passed_ns = if behind { self.seen_ns } else { now };
        watcher.batch(self)?;
        Ok(behind)
    }

    /// Marks what was alive when records were lost, as far as that was since the last look.
    fn notice_losses(&mut self, now: u64, watcher: &mut impl Watcher) -> anyhow::Result<()> {
        let lost = self.attached.lost().iter().sum::<u64>() + self.attached.left_out() + self.undecodable;
        if lost > self.noticed {
            let body =
                Body::RecordsLost { since_ns: self.checked_ns, until_ns: now, count: lost - self.noticed };
            let mark = Event { ns: now, sock: SockId(0), task: None, body };
            watcher.added(&mark)?;
            self.pipeline.mark(&mark);
            self.noticed = lost;
        }
        self.checked_ns = now;
        Ok(())
    }

    /// Everything that was lost so far, in the order of [`LOST_REASONS`].
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

/// No tick is made up for: the next batch takes what has gathered.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Every reason why something is lost: those of the kernel side, then those of user space.
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

/// Looks for the processes of connections that are due by `until_ns` and have none.
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

/// Has all threads allocate from one place: of another one, what [`return_memory`] should give back stays. Two threads
/// allocate while the observer starts, and one does most of it afterwards.
fn keep_memory_together() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator's. Where it does not, it says so by 0, and some memory stays.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back what reading the kernel's types took: some 15 MB, which glibc would keep for as long as we run.
fn return_memory() {
    // Other C libraries return what is freed unasked.
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches nothing but the allocator's own free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// CAP_BPF alone would do for loading, but the kernel's answer to its lack is a bare EPERM.
pub(crate) fn require_root() -> anyhow::Result<()> {
    let has = |right| caps::has_cap(None, CapSet::Effective, right).context("asking for our own rights");
    if has(Capability::CAP_SYS_ADMIN)? || has(Capability::CAP_BPF)? && has(Capability::CAP_PERFMON)? {
        return Ok(());
    }
    bail!("watching the kernel needs root, or CAP_BPF and CAP_PERFMON: try it with sudo");
}
