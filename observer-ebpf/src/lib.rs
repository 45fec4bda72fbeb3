//! Everything that passes between kernel and user space: records, settings, program names, counters.
//!
//! Only this library is used by both sides. The BPF program (`main.rs`) writes these types and `observer` reads them.
//! If one is renamed or resized, neither side compiles until both are adapted.
#![no_std]

pub mod abi;
