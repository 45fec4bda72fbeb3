//! Real servers and clients from Debian's packages. A missing program fails its row.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::actor::Action;
use crate::counters::Counters;
use crate::end::End;
use crate::lab::Lab;
use crate::netns::{Netns, State};
use crate::report::{Bytes, reset_received_in};
use crate::row::Row;
use crate::wait::{DEADLINE, eventually};

pub(crate) const ROWS: &[Row] = &[
    Row { name: "real_nginx", run: nginx },
    Row { name: "real_http_server", run: http_server },
    Row { name: "real_redis_killed", run: redis_killed },
];

/// The port of each server, in a namespace of its own.
const PORT: u16 = 8080;

/// A server of one page. It closes a connection after a second of idle time, or after this many requests.
const NGINX_CONF: &str = r#"
daemon off;
PROCESSES
pid nginx.pid;
events {}
http {
    access_log off;
    keepalive_timeout 1s;
    keepalive_requests REQUESTS;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen ADDRESS;
        location / { return 200 "hello\n"; }
    }
}
"#;

pub(crate) fn nginx_conf(address: SocketAddr, processes: &str, requests: u32) -> String {
    let conf = NGINX_CONF.replace("PROCESSES", processes).replace("ADDRESS", &address.to_string());
    conf.replace("REQUESTS", &requests.to_string())
}

/// A client that reuses a pooled connection after the server's keepalive timeout, without a check. It writes twice,
/// since the first write succeeds.
const POOLED_CLIENT: &str = r#"
import socket, time
pooled = socket.create_connection(("HOST", 8080))
request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
pooled.sendall(request)
assert pooled.recv(4096).startswith(b"HTTP/1.1 200 ")
time.sleep(1.5)
pooled.sendall(request)
time.sleep(0.1)
try:
    pooled.sendall(request)
except BrokenPipeError:
    pooled.close()
else:
    raise SystemExit("the write succeeded")
"#;

/// Length of the request above.
const REQUEST_BYTES: u64 = 35;

/// nginx closes an idle connection, and the client with the connection in its pool does not notice.
fn nginx(lab: &Lab) -> Counters {
    let dir = Dir::new(&lab.netns, "nginx");
    // One process, so that its process id is known.
    let conf = nginx_conf(address(lab), "master_process off;", 1000);
    fs::write(dir.0.join("nginx.conf"), conf).expect("writing a configuration");
    let start = |what, arguments: &[&str]| Program::start(&lab.netns, what, arguments, &dir);
    let server = start(&NGINX, &["-p", ".", "-c", "nginx.conf", "-e", "error.log"]);
    await_listener(lab);
    let client = start(&PYTHON, &["-c", &POOLED_CLIENT.replace("HOST", &address(lab).ip().to_string())]);
    let (at_client, at_server) = ends(lab);

    lab.close_by(&at_server, "nginx", server.pid()).shows(&json!({
        "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "close",
        "bytes": Bytes::NONE, "reset": null, "write_errors": {}, "evidence": "exact",
    }));
    lab.reset_of(&at_server).shows(&json!({"cause": "time_wait_data"}));
    let verdict = lab.close_by(&at_client, "python3", client.pid());
    verdict.lasted("/half_closed/remote_ms", 300.0, 1500.0).shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "bytes": {"unread": 0, "unsent": 0, "after_peer_fin": REQUEST_BYTES},
        "reset": reset_received_in("CLOSE_WAIT"), "evidence": "exact",
    }));
    lab.write_error_by(&at_client, "python3", client.pid()).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "cause": "write_after_peer_fin",
    }));
    client.succeeds();
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// One request to Python's http.server, which closes after its answer. curl has received everything and closes at about
/// the same time.
fn http_server(lab: &Lab) -> Counters {
    let dir = Dir::new(&lab.netns, "http-server");
    let start = |what, arguments: &[&str]| Program::start(&lab.netns, what, arguments, &dir);
    fs::write(dir.0.join("page"), vec![b'x'; 100_000]).expect("writing a page");
    let host = address(lab).ip().to_string();
    let server = start(&PYTHON, &["-m", "http.server", &PORT.to_string(), "--bind", &host]);
    await_listener(lab);
    let url = format!("http://{}/page", address(lab));
    let client = start(&CURL, &["--silent", "--fail", "--globoff", "--noproxy", "*", "-o", "got", &url]);
    let (at_client, at_server) = ends(lab);

    let graceful = json!({
        "outcome": "graceful", "bytes": Bytes::NONE, "reset": null, "write_errors": {}, "evidence": "exact",
    });
    lab.close_by(&at_client, "curl", client.pid()).shows(&graceful);
    lab.close_by(&at_server, "python3", server.pid()).shows(&graceful);
    client.succeeds();
    Counters::NONE
}

/// redis-server is killed with two clients connected. One then closes, one writes.
fn redis_killed(lab: &Lab) -> Counters {
    let dir = Dir::new(&lab.netns, "redis");
    let (host, port) = (address(lab).ip().to_string(), PORT.to_string());
    let arguments = ["--port", &port, "--bind", &host, "--save", ""];
    let server = Program::start(&lab.netns, &REDIS, &arguments, &dir);
    await_listener(lab);
    let before = server.descriptors();
    let [closes, writes] = [connected(lab), connected(lab)];
    let accepted = eventually(DEADLINE, || (server.descriptors() == before + 2).then_some(()));
    assert!(accepted.is_some(), "redis-server did not accept its clients");
    let pid = server.pid();
    // Dropping it sends SIGKILL.
    drop(server);

    for client in [&closes, &writes] {
        client.await_peer_fin();
        lab.close_by(&from_server(client), "redis-server", pid).shows(&json!({
            "outcome": "graceful", "cause": "closed_first", "first_close": "local", "local_action": "killed",
            "bytes": Bytes::NONE, "reset": null, "write_errors": {}, "evidence": "exact",
        }));
    }
    closes.close();
    lab.close_of(&closes).shows(&json!({
        "outcome": "graceful", "cause": "orderly", "first_close": "remote", "local_action": "close",
        "bytes": Bytes::NONE, "write_errors": {},
    }));
    writes.send(10);
    writes.await_gone();
    lab.reset_of(&from_server(&writes)).shows(&json!({"cause": "time_wait_data"}));
    writes.send_fails(Errno::EPIPE);
    writes.close();
    let verdict = lab.close_of(&writes);
    verdict.shows(&json!({
        "outcome": "reset_received", "cause": "write_after_peer_fin", "first_close": "remote",
        "bytes": {"unread": 0, "unsent": 0, "after_peer_fin": 10}, "reset": reset_received_in("CLOSE_WAIT"),
    }));
    lab.write_error_of(&writes).shows(&json!({
        "close_id": verdict.value("/id"), "errno": "EPIPE", "cause": "write_after_peer_fin",
    }));
    Counters { resets_sent: 1, established_reset: 1, ..Counters::NONE }
}

/// The server's address.
fn address(lab: &Lab) -> SocketAddr {
    lab.unconnected(PORT).remote
}

/// The ends of the only connection. Its client's port is unknown.
fn ends(lab: &Lab) -> (End<'_>, End<'_>) {
    let client = lab.unconnected(PORT);
    let server = from_server(&client);
    (client, server)
}

#[track_caller]
fn await_listener(lab: &Lab) {
    let (client, server) = ends(lab);
    let listens = || lab.netns.has(server.local, client.local, State::Listen).then_some(());
    assert!(eventually(DEADLINE, listens).is_some(), "the server did not listen");
}

fn from_server<'lab>(client: &End<'lab>) -> End<'lab> {
    End { opened_by: "remote", ..client.other() }
}

fn connected(lab: &Lab) -> End<'_> {
    let mut client = lab.unconnected(PORT);
    let port = client.call(Action::Connect(client.remote)).expect("connecting");
    client.local.set_port(u16::try_from(port).expect("a port"));
    client
}

/// A program's path and its Debian package.
pub(crate) struct Installed {
    path: &'static str,
    package: &'static str,
}

pub(crate) const NGINX: Installed = Installed { path: "/usr/sbin/nginx", package: "nginx" };
pub(crate) const REDIS: Installed = Installed { path: "/usr/bin/redis-server", package: "redis-server" };
pub(crate) const PYTHON: Installed = Installed { path: "/usr/bin/python3", package: "python3" };
pub(crate) const CURL: Installed = Installed { path: "/usr/bin/curl", package: "curl" };
pub(crate) const WRK: Installed = Installed { path: "/usr/bin/wrk", package: "wrk" };
pub(crate) const REDIS_BENCHMARK: Installed =
    Installed { path: "/usr/bin/redis-benchmark", package: "redis-tools" };

/// A program that runs in the test's namespace. Dropping it sends SIGKILL.
pub(crate) struct Program(Child);

impl Program {
    #[track_caller]
    pub(crate) fn start(netns: &Netns, what: &Installed, arguments: &[&str], dir: &Dir) -> Self {
        let Installed { path, package } = what;
        assert!(Path::new(path).exists(), "{path} is missing: it is in the Debian package {package}");
        let mut command = Command::new(path);
        command.args(arguments).current_dir(&dir.0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(netns.run(|| command.spawn()).expect("starting a program that is there"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a process that runs").count()
    }

    /// Waits until it has ended with success.
    #[track_caller]
    pub(crate) fn succeeds(self) {
        let ended = self.ends();
        assert!(ended.success(), "it ended with {ended:?}");
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn ends(mut self) -> ExitStatus {
        let ended = eventually(DEADLINE, || self.0.try_wait().expect("waiting for a child"));
        ended.expect("a program that ends")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("signalling a child");
    }

    /// The process ids of its children.
    pub(crate) fn children(&self) -> Vec<i32> {
        let pid = self.pid();
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("its children");
        list.split_ascii_whitespace().map(|pid| pid.parse().expect("a process id")).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

/// A directory that is removed with the test.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(netns: &Netns, name: &str) -> Self {
        // The name is unique while the namespace exists.
        let path = std::env::temp_dir().join(format!("observer-{name}-{}", netns.inode()));
        fs::create_dir(&path).expect("making a directory");
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Leftovers stay in the directory for temporary files.
        fs::remove_dir_all(&self.0).ok();
    }
}
