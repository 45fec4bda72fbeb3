//! The page `docs/support.md`: the lab's table, and an explanation of its words.

/// The page in Markdown.
pub(crate) fn page(table: &str, releases: &[&str]) -> String {
    format!(
        "\
# Support per kernel

`cargo xtask vm --support docs/support.md` writes this page. It runs every scenario of [scenarios.md](scenarios.md) on
Debian's kernels {}, with every attach mechanism, on IPv4 and IPv6. Timelines
(`timeline_…`), which play single segments, run with kprobe on IPv4 only. Each cell was measured:

- `exact`: every verdict was right, and all evidence was complete;
- `inferred`: every verdict was right, and some of them say `evidence: inferred`;
- `partly`: every verdict was right, but some events of the scenario cannot be observed there;
- `ok`: the test passed, and it asks for no verdict;
- `known`: the test cannot pass there, for the reason below the table.

A test that fails in the lab is run a second time, since an emulated processor may be slow. The lab lists these tests
(`again`). A test that fails twice has failed.

The kernel's own counters (OutRsts, EstabResets, TCPAbortOn…) changed by exactly the numbers that the observer reported,
wherever it sees every reset. Fentry and kprobe see the same events, with one exception. The function that waits in a
lingering close() may block, so it has no kretprobe. With kprobe, the tracepoint of the signal shows the interruption.

arm64 is untested. Nothing assumes x86-64: aya reads the arguments of functions on each architecture. On arm64, kernel
6.12 has BPF trampolines. Kernel 6.1 has none, so only kprobe and raw_tracepoint are left.

```text
{table}```
",
        releases.join(", ")
    )
}
