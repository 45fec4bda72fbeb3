//! The process that a half-closed connection belongs to, and what makes it the owner.

use crate::{event::Task, owner::Holder};

/// Who can do something about a half-closed connection, or brought it about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Owner {
    /// No process was found.
    #[default]
    Unknown,
    /// They hold the socket: one descriptor of each process, by process id.
    Holders(Vec<Holder>),
    /// They hold the listener in whose accept queue the connection waits; the descriptors are of the listener.
    Listeners(Vec<Holder>),
    /// It has closed the socket, which no process holds any more.
    Closer(Task),
}

impl Owner {
    /// The process that is named: of several the first.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        match self {
            Self::Unknown => None,
            Self::Holders(holders) | Self::Listeners(holders) => holders.first().map(|holder| &holder.task),
            Self::Closer(task) => Some(task),
        }
    }

    /// How many processes there are beside the one that is named.
    #[must_use]
    pub fn others(&self) -> usize {
        match self {
            Self::Unknown | Self::Closer(_) => 0,
            Self::Holders(holders) | Self::Listeners(holders) => holders.len().saturating_sub(1),
        }
    }

    /// Those that hold the connection's own socket.
    #[must_use]
    pub fn holders(&self) -> &[Holder] {
        match self {
            Self::Holders(holders) => holders,
            _ => &[],
        }
    }

    /// As in the schema.
    #[must_use]
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Holders(_) => Some("holder"),
            Self::Listeners(_) => Some("listener"),
            Self::Closer(_) => Some("closer"),
        }
    }

    /// Makes the first process that fits the one that is named. False when none fits.
    pub fn prefer(&mut self, mut fits: impl FnMut(&Task) -> bool) -> bool {
        match self {
            Self::Unknown => false,
            Self::Closer(task) => fits(task),
            Self::Holders(holders) | Self::Listeners(holders) => {
                let at = holders.iter().position(|holder| fits(&holder.task));
                if let Some(at) = at {
                    holders.swap(0, at);
                }
                at.is_some()
            }
        }
    }
}
