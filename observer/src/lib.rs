//! Tells how TCP connections end: who closed them, what was lost, which process was told.
//!
//! The data flows one way, and so do the modules:
//!
//! 1. [`attach`] gets the BPF program into the kernel and [`source`] takes records out (or reads a recording);
//! 2. [`event`] turns bytes into words;
//! 3. [`story`] gathers the events of one connection;
//! 4. [`classify`] decides what they mean;
//! 5. [`pipeline`] joins these, [`owner`] adds what only the live host knows, [`report`] is what comes out,
//!    [`filter`] what of it somebody wants to see;
//! 6. [`publish`] tells it: sentences, JSON lines, metrics;
//! 7. [`cli`] is one file a command.
//!
//! Beside that way, [`history`] remembers reports for those who ask the daemon later, [`half_closed`] asks the
//! kernel which connections only one side has closed, and [`audit`] compares reports with the kernel's own counters.
//!
//! `event`, `story` and `classify` are pure: no clock, no I/O, no kernel.

pub mod attach;
pub mod audit;
pub mod classify;
pub mod cli;
pub mod config;
pub mod console_log;
mod daemon;
pub mod event;
pub mod event_log;
pub mod filter;
pub mod half_closed;
pub mod history;
pub mod http;
pub mod metrics;
pub mod owner;
pub mod pipeline;
pub mod query;
pub mod render;
pub mod report;
pub mod source;
pub mod story;
pub mod words;
