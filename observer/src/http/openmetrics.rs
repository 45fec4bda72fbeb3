//! Metric families → OpenMetrics 1.0.0, which the prometheus crate does not write.
//!
//! It is stricter than the text format. Only a counter's samples end in `_total`, not its family. A family names its
//! unit. Bucket bounds have one canonical form. An end mark distinguishes a complete answer from a cut one.

use std::fmt::{self, Write as _};

use prometheus::proto::{Histogram, LabelPair, MetricFamily, MetricType};

/// All units that our metrics have.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// All families, with the end mark.
pub(super) fn encode(families: &[MetricFamily]) -> Result<String, fmt::Error> {
    // About a hundred bytes per series.
    let series: usize = families.iter().map(|family| family.get_metric().len()).sum();
    let mut out = String::with_capacity(series * 128);
    for family in families {
        write_family(&mut out, family)?;
    }
    out.push_str("# EOF\n");
    Ok(out)
}

fn write_family(out: &mut String, family: &MetricFamily) -> fmt::Result {
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => (family.name().strip_suffix("_total").unwrap_or(family.name()), "counter"),
        MetricType::GAUGE => (family.name(), "gauge"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        // We have no other types.
        MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
    };
    writeln!(out, "# TYPE {name} {kind}")?;
    if let Some(unit) = UNITS.iter().find(|unit| name.ends_with(&format!("_{unit}"))) {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    write!(out, "# HELP {name} ")?;
    escape(out, family.help())?;
    out.push('\n');
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => {
                sample(out, name, "_total", labels, None, metric.get_counter().get_value())?;
            }
            MetricType::HISTOGRAM => write_histogram(out, name, labels, metric.get_histogram())?,
            _ => sample(out, name, "", labels, None, metric.get_gauge().get_value())?,
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no count reaches 2^53")]
fn write_histogram(out: &mut String, name: &str, labels: &[LabelPair], histogram: &Histogram) -> fmt::Result {
    let mut infinite = false;
    for bucket in histogram.get_bucket() {
        let bound = bucket.upper_bound();
        infinite |= bound.is_infinite();
        sample(out, name, "_bucket", labels, Some(bound), bucket.cumulative_count() as f64)?;
    }
    let count = histogram.get_sample_count() as f64;
    if !infinite {
        sample(out, name, "_bucket", labels, Some(f64::INFINITY), count)?;
    }
    sample(out, name, "_count", labels, None, count)?;
    sample(out, name, "_sum", labels, None, histogram.get_sample_sum())
}

fn sample(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &[LabelPair],
    bound: Option<f64>,
    value: f64,
) -> fmt::Result {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() || bound.is_some() {
        let mut separator = '{';
        for label in labels {
            write!(out, "{separator}{}=\"", label.name())?;
            escape(out, label.value())?;
            out.push('"');
            separator = ',';
        }
        if let Some(bound) = bound {
            // The standard requires 1.0, not 1.
            let bound = if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") };
            write!(out, "{separator}le=\"{bound}\"")?;
        }
        out.push('}');
    }
    if value.is_infinite() {
        writeln!(out, " {}Inf", if value > 0.0 { '+' } else { '-' })
    } else {
        // Rust writes NaN as the standard does.
        writeln!(out, " {value}")
    }
}

fn escape(out: &mut String, text: &str) -> fmt::Result {
    // The fast path, for nearly all text.
    if !text.contains(['\\', '"', '\n']) {
        out.push_str(text);
        return Ok(());
    }
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus::{
        CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry, core::Collector,
    };

    use super::*;

    fn encoded(collector: impl Collector + 'static) -> String {
        let registry = Registry::new();
        registry.register(Box::new(collector)).unwrap();
        encode(&registry.gather()).unwrap()
    }

    #[test]
    fn only_the_samples_of_a_counter_end_in_total() {
        let counter = CounterVec::new(Opts::new("a_seconds_total", "Time."), &["owner"]).unwrap();
        counter.with_label_values(&["x"]).inc_by(1.5);
        let expected = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds Time.\n\
                        a_seconds_total{owner=\"x\"} 1.5\n# EOF\n";
        assert_eq!(encoded(counter), expected);
    }

    #[test]
    fn special_characters_are_escaped() {
        let gauge = GaugeVec::new(Opts::new("a", "One \"line\"\nof \\ help."), &["owner"]).unwrap();
        gauge.with_label_values(&["a\\b\"c\nd"]).set(f64::NEG_INFINITY);
        let expected = "# TYPE a gauge\n# HELP a One \\\"line\\\"\\nof \\\\ help.\n\
                        a{owner=\"a\\\\b\\\"c\\nd\"} -Inf\n# EOF\n";
        assert_eq!(encoded(gauge), expected);
    }

    #[test]
    fn without_labels_there_are_no_braces() {
        let gauge = Gauge::new("a_bytes", "Bytes.").unwrap();
        gauge.set(3.0);
        let text = encoded(gauge);
        assert!(text.ends_with("# UNIT a_bytes bytes\n# HELP a_bytes Bytes.\na_bytes 3\n# EOF\n"), "{text}");
    }

    #[test]
    fn a_histogram_has_its_last_bucket_and_canonical_bounds() {
        let options = HistogramOpts::new("a_seconds", "Time.").buckets(vec![0.001, 1.0]);
        let histogram = HistogramVec::new(options, &["side"]).unwrap();
        histogram.with_label_values(&["local"]).observe(0.5);
        let text = encoded(histogram);
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "a_seconds_bucket{side=\"local\",le=\"0.001\"} 0",
                "a_seconds_bucket{side=\"local\",le=\"1.0\"} 1",
                "a_seconds_bucket{side=\"local\",le=\"+Inf\"} 1",
                "a_seconds_count{side=\"local\"} 1",
                "a_seconds_sum{side=\"local\"} 0.5",
            ]
        );
    }
}
