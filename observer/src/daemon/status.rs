//! What the draining thread says of itself about once per second, for `observer status`.

use super::session::Session;
use crate::{
    attach::answer::Mechanism,
    query::status::{DaemonStatus, HookLine},
    source::clock::monotonic_ns,
};

/// The state of the session now. Half-closed connections and the audit are the caller's to fill in.
pub(super) fn of(
    session: &Session,
    started_ns: u64,
    lost: Vec<(&'static str, u64)>,
    programs: Vec<(&'static str, u64, u64)>,
) -> DaemonStatus {
    let hooks = session.plan.hooks.iter().map(|hook| HookLine {
        hook: hook.hook.name.to_owned(),
        mechanism: hook.mechanism.map_or("none", Mechanism::word).to_owned(),
        reason: hook.reason.clone(),
        fate: hook.status.word().to_owned(),
    });
    DaemonStatus {
        ns: monotonic_ns(),
        started_ns,
        kernel: session.release.clone(),
        hooks: hooks.collect(),
        closed: session.plan.closed.iter().map(ToString::to_string).collect(),
        unseen: session.plan.unseen(),
        half_closed_blind: None,
        half_closed_unseen: None,
        lost: lost.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        programs: programs.into_iter().map(|(name, run_ns, runs)| (name.to_owned(), run_ns, runs)).collect(),
        send_buffer_full: session.attached.send_buffer_full(),
        audit: None,
        tracked: session.pipeline.tracked(),
        not_taken: 0,
    }
}
