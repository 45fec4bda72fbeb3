//! Metrics, scraped as Prometheus does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

const ADDRESS: &str = "127.0.0.1:9817";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn scrape() -> Result<String> {
    let mut stream = TcpStream::connect(ADDRESS).with_context(|| format!("cannot reach {ADDRESS}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {ADDRESS}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading metrics")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    let first = head.lines().next().unwrap_or_default();
    ensure!(first.contains(" 200 "), "the answer is {first}");
    Ok(body.to_owned())
}

/// The sum of a family's series whose labels contain all of `labels`.
pub(crate) fn sum(family: &str, labels: &[&str]) -> Result<f64> {
    let metrics = scrape()?;
    let series = metrics.lines().filter_map(|line| line.strip_prefix(family)).filter_map(|rest| {
        let (its, value) = rest.rsplit_once(' ')?;
        let is_family = its.is_empty() || its.starts_with('{');
        (is_family && labels.iter().all(|label| its.contains(label))).then(|| value.parse::<f64>().ok())?
    });
    // Not the negative zero that nothing adds up to.
    Ok(series.fold(0.0, |sum, value| sum + value))
}

pub(crate) fn scraped() -> Result<String> {
    let metrics = scrape()?;
    let series = metrics.lines().filter(|line| !line.starts_with('#')).count();
    let build = metrics.lines().find(|line| line.starts_with("observer_build_info"));
    Ok(format!(
        "{ADDRESS}/metrics answers with {series} series: {}",
        build.context("no observer_build_info")?
    ))
}
