//! The BPF program: it sees, and says what it saw. Understanding is `observer`'s work.
//!
//! One handler a kernel event in `hooks/`, with a thin entry per attach mechanism. No state is kept for a
//! connection; nothing runs on a successful send or receive, but for `sock_send_length`, which returns first.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::inline_always,
        reason = "a call costs a stack frame of 512 bytes, and old kernels allow few"
    ),
    expect(clippy::needless_pass_by_value, reason = "the macros of the entries hand the context over"),
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "registers are cut to their fields"
    )
)]

#[cfg(target_arch = "bpf")]
mod again;
#[cfg(target_arch = "bpf")]
mod args;
#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod handshake;
#[cfg(target_arch = "bpf")]
mod hooks;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod read;
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

// The helpers that the tracing handlers call are for GPL-compatible programs only.
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
