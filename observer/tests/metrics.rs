//! The metrics server over real sockets. These tests need no root.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use observer::{
    http::{self, BindError, Health, Served, Server, Web},
    metrics::Metrics,
    owner::OwnerBy,
};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than any answer takes, and shorter than the server's own limits.
const SOON: Duration = Duration::from_secs(2);

fn start() -> (SocketAddr, Server) {
    let metrics = Metrics::new(OwnerBy::Comm, 100, &["ring_full"]).unwrap();
    serve(metrics.registry())
}

fn serve(registry: Registry) -> (SocketAddr, Server) {
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let served = Served { registry, health: Health::new(), web: Web::open().unwrap() };
    (address, Server::start(listener, served).unwrap())
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    timeout(SOON, answer).await.expect("an answer in time").expect("an answer")
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: observer\r\n\r\n")).await
}

#[tokio::test]
async fn metrics_come_in_the_text_format() {
    let (address, _server) = start();
    let answer = get(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("\n# TYPE observer_tcp_closes_total counter\n"), "{body}");
}

#[tokio::test]
async fn metrics_come_as_open_metrics_on_request() {
    let (address, _server) = start();
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let request = format!("GET /metrics HTTP/1.1\r\nHost: observer\r\nAccept: {accept}\r\n\r\n");
    let answer = ask(address, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("# TYPE observer_tcp_closes counter\n"), "{body}");
    assert!(body.ends_with("\n# EOF\n"), "{body}");
    // The same series in both formats.
    let text = get(address, "/metrics").await;
    let series = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("observer_"));
        lines.filter(|line| !line.contains("_bucket{")).count()
    };
    assert_eq!(series(body), series(&text));
}

#[tokio::test]
async fn ten_thousand_series_are_written_at_once() {
    let registry = Registry::new();
    let counters = IntCounterVec::new(Opts::new("a_total", "Many."), &["owner", "cause", "outcome"]).unwrap();
    registry.register(Box::new(counters.clone())).unwrap();
    for n in 0..10_000 {
        counters
            .with_label_values(&[&format!("process-{n}"), "write_after_peer_fin", "reset_received"])
            .inc();
    }
    let (address, _server) = serve(registry);
    let begin = Instant::now();
    let answer = get(address, "/metrics").await;
    let took = begin.elapsed();
    assert_eq!(answer.matches("\na_total{").count(), 10_000);
    // A debug build takes ten times as long, and the machine may be busy.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 50 });
    assert!(took < limit, "it took {took:?}");
}

#[tokio::test]
async fn the_other_pages_say_where_to_go() {
    let (address, _server) = start();
    let landing = get(address, "/").await;
    assert!(landing.starts_with("HTTP/1.1 200 OK\r\n"), "{landing}");
    assert!(
        landing.contains("<h1>observer</h1>") && landing.contains(env!("CARGO_PKG_VERSION")),
        "{landing}"
    );
    assert!(landing.contains("href=\"/metrics\""), "{landing}");
    assert!(get(address, "/-/healthy").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get(address, "/-/ready").await.starts_with("HTTP/1.1 200 OK\r\n"));
    for path in ["/metrics/", "/metric", "/-/", "/../etc/passwd"] {
        assert!(get(address, path).await.starts_with("HTTP/1.1 404 Not Found\r\n"), "{path}");
    }
    assert!(get(address, "/metrics?x=1").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn only_reading_is_served() {
    let (address, _server) = start();
    let answer = ask(address, "POST /metrics HTTP/1.1\r\nHost: observer\r\nContent-Length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let answer = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: observer\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = ask(address, "nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_request_has_a_bounded_head() {
    let (address, _server) = start();
    let many = "X-One: 1\r\n".repeat(200);
    let answer = ask(address, &format!("GET /metrics HTTP/1.1\r\nHost: observer\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // The server does not read a head that is too long to its end, so an RST may destroy the answer.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let long = "x".repeat(1 << 20);
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nX-Long: {long}").as_bytes()).await.ok();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end in time").ok();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "a head of a megabyte was accepted");
}

#[tokio::test]
async fn half_a_request_does_not_block_others() {
    let (address, _server) = start();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHo").await.unwrap();
    for _ in 0..3 {
        assert!(get(address, "/metrics").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_block_others() {
    let (address, _server) = start();
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: observer\r\n\r\n").await.unwrap();
        deaf.push(stream);
    }
    assert!(get(address, "/metrics").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn silent_clients_lose_their_places() {
    let (address, _server) = start();
    // More than the server accepts at the same time: the last ones and the scrape wait in the backlog.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let begin = Instant::now();
    let answer = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: observer\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(Duration::from_secs(15), answer).await.expect("a place becomes free");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(begin.elapsed() > Duration::from_secs(3), "the number of clients is not bounded");
}

#[tokio::test]
async fn stopping_frees_the_port_at_once() {
    let (address, server) = start();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /me").await.unwrap();
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < SOON, "a slow client keeps it from stopping");
    http::bind(address).unwrap();
}

#[tokio::test]
async fn a_taken_port_is_reported_with_advice() {
    let (address, _server) = start();
    let error = http::bind(address).unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error}");
    let port = address.port();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot serve metrics on 127.0.0.1:{port}: the port is in use, perhaps by another observer; \
             `ss -ltnp 'sport = :{port}'` shows the process; choose another address with --listen ADDR:PORT"
        )
    );
    let error = http::bind("192.0.2.1:9817".parse().unwrap()).unwrap_err();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
}
