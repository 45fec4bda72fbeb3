//! Names of the BPF programs and maps, as the loader finds them in the object.
//!
//! A program is named `<mechanism>_<hook>`, mechanism first and 15 characters at most: the kernel cuts longer
//! names, and what distinguishes them must survive in `bpftool prog`.

/// Ring buffer that carries every record.
pub const RING: &str = "RECORDS";

/// One way into one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The kernel event, named as the kernel names it.
    pub hook: &'static str,
    /// Program in the BPF object.
    pub program: &'static str,
    /// Attached after it, where there is one: does what the first was kept from (see `observer-ebpf/src/again.rs`).
    pub again: Option<&'static str>,
    /// Whether verdicts can still be told when this hook is absent.
    pub required: bool,
}

const fn entry(hook: &'static str, program: &'static str, required: bool) -> Entry {
    Entry { hook, program, again: None, required }
}

const fn guarded(hook: &'static str, program: &'static str, again: &'static str) -> Entry {
    Entry { hook, program, again: Some(again), required: true }
}

/// Every hook with its raw tracepoint entry.
///
/// `inet_sk_error_report` exists since 5.14, `sock_send_length` since 6.3; the others since 4.16.
pub const RAW_TRACEPOINTS: [Entry; 8] = [
    guarded("inet_sock_set_state", "rt_set_state", "rt_set_state2"),
    guarded("tcp_send_reset", "rt_send_reset", "rt_send_reset2"),
    guarded("tcp_receive_reset", "rt_recv_reset", "rt_recv_reset2"),
    entry("tcp_destroy_sock", "rt_destroy", true),
    entry("inet_sk_error_report", "rt_error_report", false),
    entry("sock_send_length", "rt_send_length", false),
    entry("signal_generate", "rt_sig_generate", false),
    entry("signal_deliver", "rt_sig_deliver", false),
];
