//! What the benchmarks compare the observer with, as Debian has it. In: what is installed. Out: all of it.

use std::path::Path;

use anyhow::Result;

use super::debian;

/// Program and package.
const PROGRAMS: [(&str, &str); 4] = [
    ("/usr/bin/bpftrace", "bpftrace"),
    ("/usr/sbin/tcplife", "libbpf-tools"),
    ("/usr/sbin/tcpstates", "libbpf-tools"),
    ("/usr/sbin/ip", "iproute2"),
];

/// Installs what is missing.
pub(crate) fn provide() -> Result<()> {
    let missing = PROGRAMS.iter().filter(|(program, _)| !Path::new(program).exists());
    let mut packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    debian::install(&packages, "which the benchmarks compare with", "about a minute")
}
