//! The servers and clients of the tests, as Debian has them. In: what is installed. Out: all of them,
//! installed but not started.

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
pub(crate) fn provide() -> anyhow::Result<()> {
    debian::install_missing(&PROGRAMS, "which the tests use", "about a minute")
}
