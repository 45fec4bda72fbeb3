//! Reports that the observer cannot make on this kernel by this mechanism. `OBSERVER_TEST_UNSEEN` names their kinds:
//! `write_error`, or `reset` for RSTs without a connection. The tests then check that no such report comes.

/// Kinds of report that some kernels do not allow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportKind {
    WriteError,
    /// An RST for a closed port, or for a connection of which only a minisocket is left.
    Reset,
}

pub(crate) fn is_visible(kind: ReportKind) -> bool {
    let unseen = std::env::var("OBSERVER_TEST_UNSEEN").unwrap_or_default();
    let word = match kind {
        ReportKind::WriteError => "write_error",
        ReportKind::Reset => "reset",
    };
    !unseen.split(',').any(|name| name == word)
}
