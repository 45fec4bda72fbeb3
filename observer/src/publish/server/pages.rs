//! What is served where.

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use prometheus::{Registry, TextEncoder};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// The format that every Prometheus reads.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

const LANDING: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>observer</title></head>\n<body>\n",
    "<h1>observer</h1>\n<p>Tells how TCP connections end. Version ",
    env!("CARGO_PKG_VERSION"),
    ".</p>\n<ul>\n<li><a href=\"/metrics\">Metrics</a></li>\n<li><a href=\"/-/healthy\">Health</a></li>\n",
    "<li><a href=\"/-/ready\">Readiness</a></li>\n</ul>\n</body>\n</html>\n",
);

/// The answer to a request; its body is never read.
pub(super) fn answer<B>(request: &Request<B>, registry: &Registry) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD are served\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/metrics" => metrics(registry),
        "/" => page(StatusCode::OK, HTML, LANDING),
        // Scrapes share a thread with the observer's own loop: that there is an answer is the health. Nothing is
        // served before the hooks are attached.
        "/-/healthy" => page(StatusCode::OK, TEXT, "healthy\n"),
        "/-/ready" => page(StatusCode::OK, TEXT, "ready\n"),
        _ => page(StatusCode::NOT_FOUND, TEXT, "nothing here; metrics are at /metrics\n"),
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => page(StatusCode::OK, METRICS, text),
        Err(error) => {
            log::error!("writing metrics: {error}");
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("writing metrics: {error}\n"))
        }
    }
}

fn page(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
