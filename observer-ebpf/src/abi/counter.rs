//! The counters of the BPF programs: records that were lost, and events that are only counted.
//!
//! [`MAP`] is a per-CPU array of `u64`. The losses come first, then [`SEND_BUFFER_FULL`].

/// Name of the per-CPU array.
pub const MAP: &str = "COUNTERS";

/// Makes [`Loss`] and [`NAMES`] from one list, so that index and label cannot drift apart.
macro_rules! losses {
    ($($(#[$doc:meta])* $loss:ident = $label:literal;)*) => {
        /// A loss in the BPF programs. Its number is the index of its counter in [`MAP`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Loss { $($(#[$doc])* $loss,)* }

        /// Label of each loss in `observer_records_lost_total{reason}`, in the order of [`Loss`].
        pub const NAMES: [&str; LOSSES as usize] = [$($label),*];

        /// Number of losses.
        #[expect(clippy::cast_possible_truncation, reason = "the list above has a few entries")]
        pub const LOSSES: u32 = [$(Loss::$loss),*].len() as u32;
    };
}

losses! {
    /// A record did not fit into the ring buffer.
    RingFull = "ring_full";
    /// A kernel read faulted, and the record has zeros in its place.
    ReadFault = "read_fault";
    /// A map refused an entry about a thread (see `maps.rs`).
    MarkRefused = "mark_refused";
}

/// Sends that found the send buffer full, if these are counted. This is no loss: the process tries again.
pub const SEND_BUFFER_FULL: u32 = LOSSES;

/// Number of all counters.
pub const COUNT: u32 = LOSSES + 1;
