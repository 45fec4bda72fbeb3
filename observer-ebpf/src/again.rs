//! Doing what a program was kept from.
//!
//! The kernel runs no tracing program inside itself: where a packet interrupts a call whose hook is being handled, the
//! packet's own hook is skipped (`bpf_prog_active` of the program, `recursion_misses`). On a busy host that loses an
//! end now and then. So the hooks that a packet may reach are attached twice, by two programs. The first notes on its
//! CPU what it handles; the second looks for that note and handles what has none. A packet that interrupts the second
//! finds the first free.

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
    let Some(ran) = RAN.get_ptr_mut(hook as u32) else { return };
    // SAFETY: the map returned this CPU's slot, and only the first program of the hook adds to it, which does not run
    // inside itself.
    unsafe {
        let count = (*ran).count.wrapping_add(1);
        (*ran).count = count;
        // A free place, else the oldest.
        let (mut place, mut oldest) = (0, u64::MAX);
        for candidate in 0..Ran::KEYS {
            let at = if (*ran).keys[candidate] == 0 { 0 } else { (*ran).at[candidate] };
            if at < oldest {
                (place, oldest) = (candidate, at);
            }
        }
        (*ran).at[place & (Ran::KEYS - 1)] = count;
        (*ran).keys[place & (Ran::KEYS - 1)] = key;
    }
}

/// The second program: whether the first has handled the event. Takes the note, since sockets come again.
#[inline(always)]
pub(crate) fn has_run(hook: Hook, key: u64) -> bool {
    let Some(ran) = RAN.get_ptr_mut(hook as u32) else { return true };
    for place in 0..Ran::KEYS {
        // SAFETY: as above; what a packet's hook adds meanwhile has other keys.
        unsafe {
            if (*ran).keys[place] == key {
                (*ran).keys[place] = 0;
                if (*ran).count.wrapping_sub((*ran).at[place]) < Ran::LIFE {
                    return true;
                }
            }
        }
    }
    false
}
