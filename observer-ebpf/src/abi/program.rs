//! Names of the BPF programs and of the ring buffer, as the loader finds them in the object.
//!
//! A program is named `<mechanism>_<hook>`, in at most 15 characters. The kernel cuts longer names, and `bpftool prog`
//! must still show the difference.

/// Ring buffer that carries every record.
pub const RING: &str = "RECORDS";

/// Where a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Entry of a kernel function, by trampoline.
    Fentry,
    /// Return of a kernel function, by trampoline.
    Fexit,
    /// Entry of a kernel function, by breakpoint or ftrace.
    Kprobe,
    /// A tracepoint, with its raw arguments.
    RawTracepoint,
}

/// One program of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Name in the BPF object.
    pub name: &'static str,
    /// Where it is attached.
    pub point: Point,
}

/// When a hook is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Always. Without it there are no verdicts.
    Required,
    /// If the kernel has it.
    Optional,
    /// If the named hook cannot be attached: this one replaces it.
    InsteadOf(&'static str),
    /// If the kernel gives no reasons for resets (before 6.10). The tracepoint of such a kernel also misses some
    /// resets.
    WithoutReasons,
}

/// A kernel event, and its programs per attach mechanism.
///
/// The programs of a mechanism are attached in the order of its list. The list is empty if the mechanism cannot be
/// used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The kernel's name of the tracepoint or function.
    pub name: &'static str,
    /// When it is attached.
    pub want: Want,
    /// By BTF trampolines.
    pub fentry: &'static [Program],
    /// By kprobes.
    pub kprobe: &'static [Program],
    /// By raw tracepoints. A second program catches the events whose first program the kernel skipped because of
    /// recursion (see `observer-ebpf/src/reentrancy.rs`).
    pub raw_tracepoint: &'static [Program],
    /// The hook that shows the same less directly if this one cannot be attached. Empty if there is none.
    pub else_by: &'static str,
}

const fn fentry(name: &'static str) -> Program {
    Program { name, point: Point::Fentry }
}

const fn fexit(name: &'static str) -> Program {
    Program { name, point: Point::Fexit }
}

const fn kprobe(name: &'static str) -> Program {
    Program { name, point: Point::Kprobe }
}

const fn raw(name: &'static str) -> Program {
    Program { name, point: Point::RawTracepoint }
}

const fn tracepoint(name: &'static str, want: Want, raw_tracepoint: &'static [Program]) -> Hook {
    Hook { name, want, fentry: &[], kprobe: &[], raw_tracepoint, else_by: "" }
}

const fn function(
    name: &'static str,
    want: Want,
    fentry: &'static [Program],
    kprobe: &'static [Program],
    else_by: &'static str,
) -> Hook {
    Hook { name, want, fentry, kprobe, raw_tracepoint: &[], else_by }
}

/// Every hook.
///
/// The tracepoint `sock_send_length` exists since 6.3, the others since 4.16. The functions exist in 5.10 to 7.2.
///
/// A function that may block gets no kretprobe, since each sleeping caller would hold one of a fixed number of return
/// instances.
pub const HOOKS: &[Hook] = &[
    tracepoint("inet_sock_set_state", Want::Required, &[raw("rt_set_state"), raw("rt_set_state2")]),
    tracepoint("tcp_send_reset", Want::Required, &[raw("rt_send_reset"), raw("rt_send_reset2")]),
    tracepoint("tcp_receive_reset", Want::Required, &[raw("rt_recv_reset"), raw("rt_recv_reset2")]),
    tracepoint("tcp_destroy_sock", Want::Required, &[raw("rt_destroy")]),
    function(
        "tcp_send_fin",
        Want::Optional,
        &[fentry("fe_send_fin")],
        &[kprobe("kp_send_fin")],
        "inet_sock_set_state",
    ),
    function(
        "tcp_send_active_reset",
        Want::Optional,
        &[fentry("fe_active_reset")],
        &[kprobe("kp_active_reset")],
        "tcp_send_reset",
    ),
    function(
        "tcp_v4_send_reset",
        Want::WithoutReasons,
        &[fentry("fe_v4_reset")],
        &[kprobe("kp_v4_reset")],
        "",
    ),
    function(
        "tcp_v6_send_reset",
        Want::WithoutReasons,
        &[fentry("fe_v6_reset")],
        &[kprobe("kp_v6_reset")],
        "",
    ),
    function(
        "__tcp_close",
        Want::Optional,
        &[fentry("fe_close"), fexit("fx_close")],
        &[kprobe("kp_close")],
        "",
    ),
    function("sk_stream_wait_close", Want::Optional, &[fexit("fx_wait_close")], &[], "signal_deliver"),
    tracepoint("signal_deliver", Want::InsteadOf("sk_stream_wait_close"), &[raw("rt_sig_deliver")]),
    function(
        "sk_stream_error",
        Want::Optional,
        &[fentry("fe_stream_error")],
        &[kprobe("kp_stream_error")],
        "sock_send_length",
    ),
    tracepoint("sock_send_length", Want::InsteadOf("sk_stream_error"), &[raw("rt_send_length")]),
    tracepoint("signal_generate", Want::InsteadOf("sk_stream_error"), &[raw("rt_sig_generate")]),
];
