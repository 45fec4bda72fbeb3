//! The format that a scraper wants. In: the Accept header. Out: one of the two supported formats.

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exposition {
    /// The text format 0.0.4, which all scrapers read.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// The media type, as in the answer's Content-Type.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that the header prefers. Text if the header is not understood, or if it prefers neither, as those of
    /// browsers and curl.
    pub(super) fn of(accept: &str) -> Self {
        let (mut text, mut open) = (None, None);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"').to_owned()),
                    _ => {}
                }
            }
            let best: &mut Option<f32> = match (kind.as_str(), version.as_deref()) {
                ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => &mut open,
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => &mut text,
                _ => continue,
            };
            *best = Some(best.map_or(quality, |best| best.max(quality)));
        }
        match open {
            Some(open) if open > text.unwrap_or(0.0) => Self::OpenMetrics,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_format_is_chosen() {
        // Prometheus 2.42 and 3, a browser, curl, and others.
        for (accept, format) in [
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Exposition::Text),
            ("*/*", Exposition::Text),
            ("", Exposition::Text),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            ("application/openmetrics-text; version=2.0.0", Exposition::Text),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.7", Exposition::Text),
            ("application/openmetrics-text;q=0", Exposition::Text),
            ("application/openmetrics-text;q=nonsense", Exposition::Text),
            (";;,,=;q", Exposition::Text),
        ] {
            assert_eq!(Exposition::of(accept), format, "{accept}");
        }
    }
}
