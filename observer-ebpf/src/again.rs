//! Doing what a program was kept from.
//!
//! The kernel runs no tracing program inside itself: where a packet interrupts a call whose hook is being handled, the
//! packet's own hook is skipped (`bpf_prog_active` of the program, `recursion_misses`). On a busy host that loses an
//! end now and then. So the hooks that a packet may reach are attached twice, by two programs. The first notes on its
//! CPU what it handles; the second looks for that note and handles what has none. A packet that interrupts the second
//! finds the first free.
//!
//! A note has its place by its key. What happens between an event's two programs can take the place, one time in
//! [`Ran::PLACES`]; the event is then handled twice: user space knows a second word of an end or a beginning, a reset
//! without a connection counts twice. A note that nobody took (its second program was skipped) stays until the next key
//! of that place.

use crate::maps::{RAN, Ran};

/// Which hook's notes.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    SetState = 0,
    SendReset = 1,
    ReceiveReset = 2,
}

/// The first program: notes that it handles the event with this key.
#[inline(always)]
pub(crate) fn runs(hook: Hook, key: u64) {
    if let Some(ran) = RAN.get_ptr_mut(hook as u32) {
        // SAFETY: the map returned this CPU's slot, and the place is within it.
        unsafe { (*ran).keys[place(key)] = key };
    }
}

/// The second program: whether the first has handled the event. Takes the note, since sockets come again.
#[inline(always)]
pub(crate) fn has_run(hook: Hook, key: u64) -> bool {
    let Some(ran) = RAN.get_ptr_mut(hook as u32) else { return true };
    // SAFETY: as above; what a packet's hook notes meanwhile has another key.
    unsafe {
        let noted = &raw mut (*ran).keys[place(key)];
        let found = *noted == key;
        if found {
            *noted = 0;
        }
        found
    }
}

/// Sockets lie apart by some multiple of 64 bytes; the golden ratio spreads them.
#[inline(always)]
const fn place(key: u64) -> usize {
    ((key >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Ran::PLACES.trailing_zeros())) as usize
        & (Ran::PLACES - 1)
}
