//! Capabilities: those that only the start needs are dropped once the daemon has started.

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};

use crate::attach::load::Attached;

/// Kept, if the daemon has them. They are needed to read /proc/PID/fd of other users' processes, and to enter other
/// network namespaces.
const KEPT: [Capability; 3] =
    [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_SYS_PTRACE, Capability::CAP_SYS_ADMIN];

/// Drops all capabilities of this thread, and so of the threads that it will start, except [`KEPT`].
///
/// `CAP_BPF` is kept too if the kernel requires it to read an open map (before 5.19, with
/// `kernel.unprivileged_bpf_disabled`).
pub(super) fn drop(attached: &Attached) -> anyhow::Result<()> {
    let had = caps::read(None, CapSet::Permitted).context("reading our own capabilities")?;
    let mut kept: CapsHashSet = KEPT.into_iter().filter(|capability| had.contains(capability)).collect();
    let set = |set, to: &CapsHashSet| caps::set(None, set, to).context("dropping capabilities");

    set(CapSet::Effective, &kept)?;
    if had.contains(&Capability::CAP_BPF) && !attached.may_read() {
        kept.insert(Capability::CAP_BPF);
        set(CapSet::Effective, &kept)?;
    }
    // Without CAP_SETPCAP the bounding set cannot be changed; the service manager has set it.
    if had.contains(&Capability::CAP_SETPCAP) {
        let mut able = kept.clone();
        able.insert(Capability::CAP_SETPCAP);
        set(CapSet::Effective, &able)?;
        let bounding = caps::read(None, CapSet::Bounding).context("reading our own capabilities")?;
        for capability in bounding.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability)
                .context("dropping capabilities from the bounding set")?;
        }
        set(CapSet::Effective, &kept)?;
    }
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    set(CapSet::Permitted, &kept)
}
