//! Sources of events: the live kernel, or a recording. Also the kernel's own tables of sockets, and the clocks.

pub mod clock;
pub(crate) mod namespace;
pub mod recording;
pub mod ring;
pub(crate) mod sock_diag;
