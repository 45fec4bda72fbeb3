//! The rights of the process: those that only starting needs are given up once it has started.

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};

use crate::attach::load::Attached;

/// What the work goes on needing, where it was given: to read other users' /proc/PID/fd and whose they are, and to
/// look into the socket tables of other network namespaces.
const KEPT: [Capability; 3] =
    [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_SYS_PTRACE, Capability::CAP_SYS_ADMIN];

/// Gives up everything but [`KEPT`], and `CAP_BPF` where the kernel wants it even for reading a map that is open
/// (before 5.19, with `kernel.unprivileged_bpf_disabled`). For this thread, and those it will start.
pub(super) fn drop(attached: &Attached) -> anyhow::Result<()> {
    let had = caps::read(None, CapSet::Permitted).context("asking for our own rights")?;
    let mut kept: CapsHashSet = KEPT.into_iter().filter(|capability| had.contains(capability)).collect();
    let set =
        |set, to: &CapsHashSet| caps::set(None, set, to).context("giving up rights that are not needed");

    set(CapSet::Effective, &kept)?;
    if had.contains(&Capability::CAP_BPF) && !attached.may_read() {
        kept.insert(Capability::CAP_BPF);
        set(CapSet::Effective, &kept)?;
    }
    // Whoever may not change the bounding set was given what it is.
    if had.contains(&Capability::CAP_SETPCAP) {
        let mut able = kept.clone();
        able.insert(Capability::CAP_SETPCAP);
        set(CapSet::Effective, &able)?;
        let bounding = caps::read(None, CapSet::Bounding).context("asking for our own rights")?;
        for capability in bounding.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability).context("giving up rights for good")?;
        }
        set(CapSet::Effective, &kept)?;
    }
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    set(CapSet::Permitted, &kept)
}
