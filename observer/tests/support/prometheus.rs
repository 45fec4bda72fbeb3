//! A real Prometheus from Debian's package, on a free loopback port, with its data in a temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest wait of a test. Prometheus starts in less than a second on a quiet machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// The folder of the files for users' Prometheus and Grafana.
pub(crate) fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

/// A folder that is removed with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("observer-prometheus-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("making a folder");
        Self(path)
    }

    /// Writes a file. Returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("writing a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Leftovers stay in the directory for temporary files.
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    folder: Folder,
}

/// Labels and value.
pub(crate) type Sample = (BTreeMap<String, String>, f64);

impl Prometheus {
    /// Starts it with this configuration, and waits until it answers.
    pub(crate) fn start(config: &str) -> Self {
        // Another process may take the free port before Prometheus does.
        let started = (0..3).find_map(|_| Self::try_start(config));
        started
            .unwrap_or_else(|| panic!("prometheus (Debian package prometheus) does not start with\n{config}"))
    }

    fn try_start(config: &str) -> Option<Self> {
        let folder = Folder::new();
        let file = folder.write("prometheus.yml", config);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("a port");
        drop(free);
        let mut command = Command::new("/usr/bin/prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.0.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let log = fs::File::create(folder.0.join("log")).expect("making a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().expect("starting prometheus (Debian package prometheus)");
        let mut this = Self { process, address, folder };
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if this.process.try_wait().expect("waiting for a child").is_some() {
                return None;
            }
            if this.get("/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
                return Some(this);
            }
            thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// The present result of an expression.
    #[track_caller]
    pub(crate) fn query(&self, expr: &str) -> Vec<Sample> {
        let answer = self.api(&format!("/api/v1/query?query={}", encoded(expr)));
        let results = answer.pointer("/data/result").and_then(Value::as_array);
        let results = results.unwrap_or_else(|| panic!("{expr}: {answer}"));
        results.iter().map(sample).collect()
    }

    /// Queries one series until its value is as expected.
    #[track_caller]
    pub(crate) fn await_value(&self, expr: &str, suits: impl Fn(f64) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let found = self.query(expr);
            if let [(_, value)] = found.as_slice()
                && suits(*value)
            {
                return;
            }
            assert!(Instant::now() < end, "{expr} is {found:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The answer of an API path, as JSON.
    #[track_caller]
    pub(crate) fn api(&self, path: &str) -> Value {
        let answer = self.get(path).unwrap_or_else(|| panic!("no answer to {path}\n{}", self.log()));
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}\n{answer}"))
    }

    /// Uses HTTP/1.0, in which a body has no chunks.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Its log, for the message of a test that failed.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        if self.process.kill().is_ok() {
            self.process.wait().ok();
        }
    }
}

fn sample(result: &Value) -> Sample {
    let labels = result["metric"].as_object().expect("labels");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let labels = labels.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    (labels, text(&result["value"][1]).parse().expect("a number"))
}

/// Percent-encodes every byte for a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"))
}
