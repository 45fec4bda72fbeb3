//! The tools that the benchmarks compare the observer with, from Debian's packages.

use std::path::Path;

use anyhow::Result;

use super::debian;

/// Path of each program, and its package.
const PROGRAMS: [(&str, &str); 4] = [
    ("/usr/bin/bpftrace", "bpftrace"),
    ("/usr/sbin/tcplife", "libbpf-tools"),
    ("/usr/sbin/tcpstates", "libbpf-tools"),
    ("/usr/sbin/ip", "iproute2"),
];

/// Installs missing tools.
pub(crate) fn provide() -> Result<()> {
    let missing = PROGRAMS.iter().filter(|(program, _)| !Path::new(program).exists());
    let mut packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    debian::install(&packages, "for comparison in the benchmarks", "about a minute")
}
