//! Getting into the kernel: what it offers, what we choose, and doing it.
//!
//! `facts` (I/O) → [`plan`] (pure) → `load` (I/O). Everything after it works without a kernel.

pub mod btf;
mod cast;
pub mod facts;
pub mod load;
pub mod plan;
pub mod stats;
