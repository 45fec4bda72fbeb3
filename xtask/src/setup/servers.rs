//! The servers and clients that the tests use, from Debian's packages. They are installed but not started.

use std::path::Path;

use super::debian;

/// Path of each program, and its package.
const PROGRAMS: [(&str, &str); 7] = [
    ("/usr/sbin/nginx", "nginx"),
    ("/usr/bin/redis-server", "redis-server"),
    ("/usr/bin/python3", "python3"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/wrk", "wrk"),
    ("/usr/bin/redis-benchmark", "redis-tools"),
    // The package also has promtool.
    ("/usr/bin/prometheus", "prometheus"),
];

/// Path of each server, and its service. The packages enable these services at boot.
const SERVICES: [(&str, &str); 3] = [
    ("/usr/sbin/nginx", "nginx.service"),
    ("/usr/bin/redis-server", "redis-server.service"),
    ("/usr/bin/prometheus", "prometheus.service"),
];

/// Installs missing programs. A newly installed server is not started, neither now nor at the next boot.
pub(crate) fn provide() -> anyhow::Result<()> {
    let missing = SERVICES.iter().filter(|(program, _)| !Path::new(program).exists());
    let services: Vec<_> = missing.map(|(_, service)| *service).collect();
    debian::install_missing(&PROGRAMS, "for the tests", "about a minute")?;
    if !services.is_empty()
        && let Err(error) = debian::disable(&services)
    {
        eprintln!("setup: {} may start at the next boot: {error:#}", services.join(", "));
    }
    Ok(())
}
