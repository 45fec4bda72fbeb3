//! What crosses from the kernel to user space: records, settings, program names, counters.
//!
//! This library is the only place where both sides meet. The BPF program (`main.rs`) writes these types,
//! `observer` reads them; renaming or resizing one breaks both compiles at once.
#![no_std]

pub mod abi;
