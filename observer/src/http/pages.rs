//! The pages: metrics, health, readiness and a landing page.

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use prometheus::{Registry, TextEncoder};

use super::{accept::Exposition, health::Health, openmetrics};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

const LANDING: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>observer</title></head>\n<body>\n",
    "<h1>observer</h1>\n<p>Shows how TCP connections end. Version ",
    env!("CARGO_PKG_VERSION"),
    ".</p>\n<ul>\n<li><a href=\"/metrics\">Metrics</a></li>\n<li><a href=\"/-/healthy\">Health</a></li>\n",
    "<li><a href=\"/-/ready\">Readiness</a></li>\n</ul>\n</body>\n</html>\n",
);

/// The answer to a request. The body of the request is never read.
pub(super) fn answer<B>(request: &Request<B>, registry: &Registry, health: &Health) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD are served\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/metrics" => metrics(request.headers(), registry),
        "/" => page(StatusCode::OK, HTML, LANDING),
        "/-/healthy" => match health.silence() {
            None => page(StatusCode::OK, TEXT, "healthy\n"),
            Some(silence) => {
                let text = format!("no records were read from the kernel for {} s\n", silence.as_secs());
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
            }
        },
        // The server starts after the hooks are attached.
        "/-/ready" => page(StatusCode::OK, TEXT, "ready\n"),
        _ => page(StatusCode::NOT_FOUND, TEXT, "not found; metrics are at /metrics\n"),
    }
}

/// The answer to a client without a valid name and password.
pub(super) fn unauthorized() -> Response<Full<Bytes>> {
    let mut answer = page(StatusCode::UNAUTHORIZED, TEXT, "name and password required\n");
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"observer\""));
    answer
}

fn metrics(headers: &HeaderMap, registry: &Registry) -> Response<Full<Bytes>> {
    // HTTP allows a list to be split into several headers of one name.
    let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::of(&accept.join(","));
    let families = registry.gather();
    let written = match format {
        Exposition::Text => TextEncoder::new().encode_to_string(&families).map_err(anyhow::Error::from),
        Exposition::OpenMetrics => openmetrics::encode(&families).map_err(anyhow::Error::from),
    };
    match written {
        Ok(text) => page(StatusCode::OK, HeaderValue::from_static(format.media_type()), text),
        Err(error) => {
            log::error!("cannot encode metrics: {error}");
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("cannot encode metrics: {error}\n"))
        }
    }
}

fn page(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
