//! The page that says on which kernel the observer sees what: the lab's table, and how to read it.

/// The page in Markdown.
pub(crate) fn page(table: &str, releases: &[&str]) -> String {
    format!(
        "\
# What is seen on which kernel

Written by `cargo xtask vm --support docs/support.md`, which runs every scenario of [scenarios.md](scenarios.md) on
Debian's kernels {}, each by every mechanism, on IPv4 and IPv6. Timelines (`timeline_…`), which play single segments, run by
kprobe on IPv4. Each cell was measured:

- `exact`: every verdict was the right one, and followed from what was seen alone;
- `inferred`: every verdict was the right one, and some of them say `evidence: inferred`;
- `partly`: every verdict was the right one, but some of what belongs to the scenario cannot be seen there;
- `ok`: the right outcome, of a test that asks for no verdict;
- `known`: cannot pass there, for the reason below the table.

A test that fails in the lab is tried once more, since an emulated processor may be kept from its work; the run says which
were (`again`), and what fails twice has failed.

On all of them the kernel's own counters (OutRsts, EstabResets, TCPAbortOn…) moved by exactly what the observer reported
where it sees every reset. Fentry and kprobe see the same but for the end of a lingering close() that a signal
interrupts: its function may block, so that it has no kretprobe, and the signal's tracepoint stands in.

arm64 is untested. Nothing assumes x86-64: arguments of functions are read by aya's means for each architecture. Its
kernels have BPF trampolines in 6.12 and not in 6.1, where kprobes are what is left.

```text
{table}```
",
        releases.join(", ")
    )
}
