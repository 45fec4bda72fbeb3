//! Where events come from: the live kernel, or a recording of one. Beside them, the kernel's own tables of sockets.

pub mod clock;
pub(crate) mod namespace;
pub mod recording;
pub mod ring;
pub(crate) mod sock_diag;
