//! The scenarios, one file per theme and one function per row.
//!
//! "Us" is the side of interest and "peer" the other one; both get a verdict. Each row returns by how much the
//! kernel's counters must have moved.

pub(crate) mod a;
pub(crate) mod b;
pub(crate) mod c;
pub(crate) mod d;
pub(crate) mod e;
pub(crate) mod f;
pub(crate) mod on_the_wire;
pub(crate) mod write_errors;
