//! The owner of a half-closed connection.

use crate::{event::Task, owner::Holder};

/// The processes that can close a half-closed connection, or the one that half-closed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Owner {
    /// No process was found.
    #[default]
    Unknown,
    /// These processes hold the socket: one descriptor per process, ordered by process id.
    Holders(Vec<Holder>),
    /// These processes hold the listener in whose accept queue the connection waits. The descriptors are the
    /// listener's.
    Listeners(Vec<Holder>),
    /// This process closed the socket, and no process holds it any more.
    Closer(Task),
}

impl Owner {
    /// The process to show: the first if there are several.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        match self {
            Self::Unknown => None,
            Self::Holders(holders) | Self::Listeners(holders) => holders.first().map(|holder| &holder.task),
            Self::Closer(task) => Some(task),
        }
    }

    /// Number of further processes.
    #[must_use]
    pub fn others(&self) -> usize {
        match self {
            Self::Unknown | Self::Closer(_) => 0,
            Self::Holders(holders) | Self::Listeners(holders) => holders.len().saturating_sub(1),
        }
    }

    /// The processes that hold the connection's own socket.
    #[must_use]
    pub fn holders(&self) -> &[Holder] {
        match self {
            Self::Holders(holders) => holders,
            _ => &[],
        }
    }

    /// The word in JSON.
    #[must_use]
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Holders(_) => Some("holder"),
            Self::Listeners(_) => Some("listener"),
            Self::Closer(_) => Some("closer"),
        }
    }

    /// Moves the first process that fits to the front. False if none fits.
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
