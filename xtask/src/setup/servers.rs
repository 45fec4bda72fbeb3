//! The servers and clients of the tests, as Debian has them. In: what is installed. Out: all of them,
//! installed but not started.

use std::path::Path;

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

/// Their services, which the packages want started when the system is.
const SERVICES: [(&str, &str); 3] = [
    ("/usr/sbin/nginx", "nginx.service"),
    ("/usr/bin/redis-server", "redis-server.service"),
    ("/usr/bin/prometheus", "prometheus.service"),
];

/// Installs what is missing. What was not there before is not started either, now or at the next boot.
pub(crate) fn provide() -> anyhow::Result<()> {
    let missing = SERVICES.iter().filter(|(program, _)| !Path::new(program).exists());
    let services: Vec<_> = missing.map(|(_, service)| *service).collect();
    debian::install_missing(&PROGRAMS, "which the tests use", "about a minute")?;
    if !services.is_empty()
        && let Err(error) = debian::disable(&services)
    {
        eprintln!("setup: {} may start at the next boot: {error:#}", services.join(", "));
    }
    Ok(())
}
