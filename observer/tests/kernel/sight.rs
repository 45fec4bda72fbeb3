//! What the observer cannot see on the kernel under test, by the mechanism it uses: `OBSERVER_TEST_UNSEEN` names kinds
//! of lines, `write_error` or `reset` (one without a connection). What is named there must then not be reported.

/// Lines that a kernel may hide.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    WriteError,
    /// For a closed port, or for a connection that is only a minisocket any more.
    Reset,
}

pub(crate) fn sees(kind: Kind) -> bool {
    let unseen = std::env::var("OBSERVER_TEST_UNSEEN").unwrap_or_default();
    let word = match kind {
        Kind::WriteError => "write_error",
        Kind::Reset => "reset",
    };
    !unseen.split(',').any(|name| name == word)
}
