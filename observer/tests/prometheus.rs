//! What Prometheus and its promtool, as Debian has them, say of the files in config/prometheus and of a scrape. Needs
//! no root; tests/kernel/prometheus.rs goes on where a kernel has to be watched.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

#[path = "support/prometheus.rs"]
mod server;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::{Parser as _, error::ErrorKind};
use observer::cli::Args;
use observer::http::{Health, Served, Server, Web, bind};
use observer::metrics::Metrics;
use observer::owner::OwnerBy;

use self::server::{Folder, Prometheus, config};

/// A server of metrics of which none has moved, in this process.
fn observer(web: Web) -> (SocketAddr, Server) {
    let metrics = Metrics::new(OwnerBy::Comm, 100, &["ring_full"]).unwrap();
    metrics.hook("tcp_send_reset", "fentry");
    metrics.program("fe_send_reset", 0, 0);
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let served = Served { registry: metrics.registry(), health: Health::new(), web };
    (address, Server::start(listener, served).unwrap())
}

/// Runs promtool, which must have nothing to complain of, and gives what it writes.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("/usr/bin/promtool");
    command.args(arguments).current_dir(config().join("prometheus"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("starting promtool (Debian package prometheus)");
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let [said, complained] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success() && complained.is_empty(), "promtool {arguments:?}: {said}{complained}");
    said
}

#[test]
fn the_configuration_and_the_rules_are_good() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "--lint-fatal", "alerts.yml"], "");
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    promtool(&["test", "rules", "alerts_test.yml"], "");
    // Each of them is tested, and says what to do.
    let read = |name: &str| fs::read_to_string(config().join("prometheus").join(name)).unwrap();
    let (alerts, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    let mut number = 0;
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        for part in ["severity: ", "summary: ", "description: ", "runbook: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        let fires = format!("'ALERTS{{alertname=\"{name}\", alertstate=\"firing\"");
        assert!(tests.contains(&fires), "no test lets {name} fire");
        number += 1;
    }
    assert_eq!(number, 12);
}

#[test]
fn runbooks_name_commands_that_there_are() {
    let alerts = fs::read_to_string(config().join("prometheus/alerts.yml")).unwrap();
    let joined = alerts.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut named = 0;
    for quoted in joined.split("`observer ").skip(1) {
        let words = quoted.split('`').next().unwrap();
        let parsed = Args::try_parse_from(["observer"].into_iter().chain(words.split(' ')));
        let good = parsed.map_or_else(|error| error.kind() == ErrorKind::DisplayHelp, |_| true);
        assert!(good, "observer {words}");
        named += 1;
    }
    assert!(named > 20, "{named}");
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_a_scrape() {
    let (address, server) = observer(Web::open().unwrap());
    let url = format!("http://{address}/metrics");
    let scrape = tokio::task::spawn_blocking(move || curl(&["--fail", &url])).await.unwrap();
    let said = promtool(&["check", "metrics"], &scrape);
    assert!(said.is_empty(), "{said}");
    server.stop();
}

/// Prometheus asks for OpenMetrics, and refuses what is not quite that.
#[test]
fn prometheus_reads_it_over_tls_with_a_password() {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = folder.write("cert.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    let hash = bcrypt::hash("a secret", 4).unwrap();
    let web = folder.write(
        "web.yml",
        &format!(
            "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prom: {hash}\n"
        ),
    );
    let (address, server) = observer(Web::load(&web).unwrap());
    let prometheus = Prometheus::start(&format!(
        "scrape_configs:\n\
         - job_name: observer\n  scrape_interval: 500ms\n  scheme: https\n\
         \x20 tls_config: {{ca_file: \"{}\", server_name: localhost}}\n\
         \x20 basic_auth: {{username: prom, password: a secret}}\n\
         \x20 static_configs: [{{targets: [\"{address}\"]}}]\n",
        certificate.display()
    ));
    prometheus.await_value("up", |up| up > 0.5);
    prometheus.await_value("sum(observer_tcp_closes_total)", |closes| closes < 0.5);
    // Only OpenMetrics has units, and writes the bound of a bucket in this way.
    prometheus.await_value("sum(observer_tcp_half_closed_seconds_bucket{le=\"1.0\"})", |count| count < 0.5);
    let metadata = prometheus.api("/api/v1/targets/metadata?metric=observer_tcp_half_closed_seconds");
    assert_eq!(metadata.pointer("/data/0/unit"), Some(&"seconds".into()), "{metadata}");
    drop(prometheus);
    server.stop();
}

fn curl(arguments: &[&str]) -> String {
    assert!(Path::new("/usr/bin/curl").exists(), "curl is missing: it is in the Debian package curl");
    let output = Command::new("/usr/bin/curl").args(["--silent", "--noproxy", "*"]).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "curl {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
