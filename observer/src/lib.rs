//! Shows how TCP connections end: who closed, what was lost, and which process got the error.
//!
//! # The flow
//!
//! Data flows one way, from the kernel to the user. Each stage takes the output of the one before:
//!
//! 1. [`attach`] finds out what the kernel offers ([`Facts`](attach::facts::Facts)), decides which mechanism each hook
//!    uses ([`Plan`](attach::plan::Plan)), and loads and attaches the BPF programs
//!    ([`Attached`](attach::load::Attached)).
//! 2. [`source`] reads their records from the ring buffer ([`source::ring`]), or from a file ([`source::recording`]).
//! 3. [`event`] decodes each record into an [`Event`](event::Event).
//! 4. [`story`] collects the events of one connection into a [`Story`](story::Story).
//!    [`StoryTable`](story::table::StoryTable) holds all stories, and decides when each is complete.
//! 5. [`classify`] turns a complete story into a [`Verdict`](classify::verdict::Verdict): outcome, cause, and which
//!    evidence is missing.
//! 6. [`Pipeline`](pipeline::Pipeline) joins stages 3 to 5, and emits a [`Report`](report::Report) per close, write
//!    error or other finding.
//! 7. [`render`] turns reports into sentences, JSON lines and tables. [`metrics`] counts them, [`event_log`] writes
//!    them to disk, and [`history`] remembers them for later queries.
//! 8. `daemon` runs all this in the background. [`http`] serves the metrics, and [`query`] answers requests over a Unix
//!    socket. [`cli`] has one file per command.
//!
//! Three modules look at the host beside the flow: [`owner`] finds the process that holds a socket, [`half_closed`]
//! lists the connections that only one side has closed, and [`audit`] compares reports with the kernel's own
//! counters.
//!
//! # Where to begin
//!
//! Read `observer replay` first (`cli/replay.rs`): it is the whole flow in one page, without a kernel. Then read
//! [`pipeline`], [`story`], and the ordered table of causes in `classify/rules.rs`. The live loop is
//! `daemon/session.rs`. `docs/architecture.md` has the code map, the invariants, and the steps to add a hook, a
//! cause, a metric or a command.
//!
//! # Layers
//!
//! Modules stand on floors, and a module imports only lower ones. `observer/floors.toml` has the order;
//! `cargo xtask lint` enforces it. What a module may not do:
//!
//! | modules | may not |
//! |---|---|
//! | [`words`], [`console_log`] | depend on any other module |
//! | [`event`], [`story`], [`classify`], [`report`], [`pipeline`] | read a clock, a file or the environment |
//! | [`attach`], [`source`], [`owner`] | give verdicts; they only observe |
//! | [`filter`], [`half_closed`], [`audit`] | change a report |
//! | [`history`] | do I/O |
//! | [`render`] | write; it returns strings |
//! | [`config`] | start anything; it only reads and checks |
//! | [`metrics`], [`event_log`], [`query`], [`http`] | delay the draining loop; their queues are bounded |
//! | `daemon` | wait for a disk, a client or a scrape in the draining loop |
//! | [`cli`] | decide anything about a connection |

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
