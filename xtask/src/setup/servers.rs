//! The servers and clients of the tests, as Debian has them. In: what is installed. Out: all of them,
//! installed but not started.

use std::path::Path;

use anyhow::Result;

use super::debian;

/// Program and package.
const PROGRAMS: [(&str, &str); 7] = [
    ("/usr/sbin/nginx", "nginx"),
    ("/usr/bin/redis-server", "redis-server"),
    ("/usr/bin/python3", "python3"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/wrk", "wrk"),
    ("/usr/bin/redis-benchmark", "redis-tools"),
    // Its promtool as well.
    ("/usr/bin/prometheus", "prometheus"),
];

/// Installs what is missing.
pub(crate) fn provide() -> Result<()> {
    let missing = PROGRAMS.iter().filter(|(program, _)| !Path::new(program).exists());
    let packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    debian::install(&packages, "which the tests use", "about a minute")
}
