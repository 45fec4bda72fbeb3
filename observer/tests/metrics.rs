//! The metrics server over real sockets; needs no root.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use observer::publish::{
    metrics::{Metrics, OwnerBy},
    server::{self, BindError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Longer than any answer takes, shorter than the server's own limits.
const SOON: Duration = Duration::from_secs(2);

async fn start() -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let metrics = Metrics::new(OwnerBy::Comm, 100, &["ring_full"]).unwrap();
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server::serve(listener, metrics.registry(), async { drop(stopped.await) });
    (address, stop, tokio::spawn(serving))
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
    let (address, _stop, _server) = start().await;
    let answer = get(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("\n# TYPE observer_tcp_closes_total counter\n"), "{body}");
}

#[tokio::test]
async fn the_other_pages_say_where_to_go() {
    let (address, _stop, _server) = start().await;
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
    let (address, _stop, _server) = start().await;
    let answer = ask(address, "POST /metrics HTTP/1.1\r\nHost: observer\r\nContent-Length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let answer = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: observer\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = ask(address, "nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn half_a_request_holds_up_nobody_else() {
    let (address, _stop, _server) = start().await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHo").await.unwrap();
    for _ in 0..3 {
        assert!(get(address, "/metrics").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_else() {
    let (address, _stop, _server) = start().await;
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
    let (address, _stop, _server) = start().await;
    // More than are let in at a time: the last ones wait in the backlog, and so does the scrape behind them.
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
    let (address, stop, server) = start().await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /me").await.unwrap();
    drop(stop);
    timeout(SOON, server).await.expect("it stops although a client is slow").unwrap();
    server::bind(address).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_told_with_what_to_do() {
    let (address, _stop, _server) = start().await;
    let error = server::bind(address).await.unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error}");
    let port = address.port();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot serve metrics on 127.0.0.1:{port}: the port is taken, perhaps by another observer; \
             `ss -ltnp 'sport = :{port}'` tells by whom, --listen ADDR:PORT chooses another"
        )
    );
    let error = server::bind("192.0.2.1:9817".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
}
