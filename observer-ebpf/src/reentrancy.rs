//! Catching events whose program the kernel skipped because of recursion.
//!
//! The kernel does not run a tracing program while another one runs on the same CPU. If a packet interrupts a call
//! whose hook is running, the packet's own hook is skipped (`bpf_prog_active`, or `recursion_misses` of the program).
//! On a busy host this loses the end of a connection now and then.
//!
//! So each hook that a packet can reach has two programs. The first records on its CPU which event it handles. The
//! second runs right after it, looks for that entry, and handles the event if there is none. A packet that interrupts
//! the second program finds the first one free.
//!
//! The key of an event decides its slot. An event that comes between the two programs can overwrite the slot, with a
//! chance of one in [`HandledKeys::SLOTS`]. The first event is then handled twice. User space ignores a second record
//! of the same end or beginning, but it counts a reset without a connection twice. If the second program is skipped,
//! the entry stays until the next key overwrites its slot.

use crate::maps::{HANDLED, HandledKeys};

/// The hooks that have two programs: the index into [`HANDLED`].
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    SetState = 0,
    SendReset = 1,
    ReceiveReset = 2,
}

/// Called by the first program: records that it handles the event with this key.
#[inline(always)]
pub(crate) fn mark_handled(hook: Hook, key: u64) {
    if let Some(handled) = HANDLED.get_ptr_mut(hook as u32) {
        // SAFETY: the map returned this CPU's entry, and the slot lies within it.
        unsafe { (*handled).keys[slot(key)] = key };
    }
}

/// Called by the second program: whether the first one has handled the event.
///
/// Removes the entry, since the kernel reuses sockets and so keys come again.
#[inline(always)]
pub(crate) fn take_handled(hook: Hook, key: u64) -> bool {
    let Some(handled) = HANDLED.get_ptr_mut(hook as u32) else { return true };
    // SAFETY: as above. A packet's hook that runs in between writes another key.
    unsafe {
        let entry = &raw mut (*handled).keys[slot(key)];
        let found = *entry == key;
        if found {
            *entry = 0;
        }
        found
    }
}

/// Socket addresses differ by multiples of 64 bytes. Multiplying by the golden ratio spreads them over the slots.
#[inline(always)]
const fn slot(key: u64) -> usize {
    ((key >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HandledKeys::SLOTS.trailing_zeros())) as usize
        & (HandledKeys::SLOTS - 1)
}
