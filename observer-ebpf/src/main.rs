//! The BPF programs. They record what they see, and `observer` interprets it.
//!
//! `hooks/` has one handler per kernel event, with a thin entry point per attach mechanism. The programs keep no state
//! for a connection. Nothing runs on a successful send or receive, except `sock_send_length`, which returns at once.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(clippy::inline_always, reason = "all frames of nested calls share 512 bytes of stack"),
    expect(clippy::needless_pass_by_value, reason = "aya's macros pass the context by value"),
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "64-bit registers hold narrower fields"
    )
)]

#[cfg(target_arch = "bpf")]
mod args;
#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod fileless_close;
#[cfg(target_arch = "bpf")]
mod handshake;
#[cfg(target_arch = "bpf")]
mod hooks;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod read;
#[cfg(target_arch = "bpf")]
mod reentrancy;
#[cfg(target_arch = "bpf")]
mod registers;
#[cfg(target_arch = "bpf")]
mod segment;
#[cfg(target_arch = "bpf")]
mod settings;
#[cfg(target_arch = "bpf")]
mod sock;
#[cfg(target_arch = "bpf")]
mod splice;
#[cfg(target_arch = "bpf")]
mod task;

// The kernel allows the helpers that the hooks call only to GPL-compatible programs.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
use observer_ebpf as _;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
