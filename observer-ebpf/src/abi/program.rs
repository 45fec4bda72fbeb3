//! Names of the BPF programs and maps, as the loader finds them in the object.
//!
//! A program is named `<mechanism>_<hook>`, mechanism first and 15 characters at most: the kernel cuts longer
//! names, and what distinguishes them must survive in `bpftool prog`.

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
    /// A tracepoint, without its formatting.
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

/// When a hook is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// No verdict can be told without it.
    Required,
    /// Where the kernel has it.
    Optional,
    /// Stands in for another hook where that one is not to be had.
    InsteadOf(&'static str),
    /// Where the kernel gives no reasons for resets (before 6.10): its tracepoint leaves out some resets too.
    WithoutReasons,
}

/// A kernel event, and each way into it. A way is a list of programs, attached in its order; empty where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The tracepoint or function, as the kernel names it.
    pub name: &'static str,
    /// When it is wanted.
    pub want: Want,
    /// By BTF trampolines.
    pub fentry: &'static [Program],
    /// By kprobes.
    pub kprobe: &'static [Program],
    /// By raw tracepoints. A second program does what the first was kept from (see `observer-ebpf/src/again.rs`).
    pub raw_tracepoint: &'static [Program],
    /// The event that tells the same, less directly, where this hook has no way in; empty where nothing does.
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
/// Of the tracepoints `sock_send_length` exists since 6.3, the others since 4.16; the functions exist in 5.10 to 7.2. A
/// function that may block has no kretprobe: each sleeping caller would hold one of a fixed number of places.
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
