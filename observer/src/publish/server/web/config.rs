//! The file of `--web-config-file`, in the format that Prometheus' exporters share (exporter-toolkit's
//! `web-configuration.md`). A key that is not known here is an error: half a protection would pass for a whole one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::WebError;

/// All of it. Without a part, there is none of what it asks for.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebConfig {
    pub(super) tls_server_config: Option<TlsConfig>,
    pub(super) http_server_config: HttpConfig,
    /// bcrypt hashes by name. With any, nothing is served without one of them.
    pub(super) basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsConfig {
    /// PEM, the server's own certificate first. Relative to the file that names it, as the next two are.
    pub(super) cert_file: PathBuf,
    /// PEM.
    pub(super) key_file: PathBuf,
    /// PEM, of those who may have signed the certificates of clients.
    pub(super) client_ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) client_auth_type: ClientAuth,
    #[serde(default = "TlsVersion::oldest")]
    pub(super) min_version: TlsVersion,
    #[serde(default = "TlsVersion::newest")]
    pub(super) max_version: TlsVersion,
}

/// What is asked of clients, in Go's words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    NoClientCert,
    /// A certificate may be missing, and must be good where there is one.
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// Older ones are broken, and rustls does not speak them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum TlsVersion {
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

impl TlsVersion {
    const fn oldest() -> Self {
        Self::Tls12
    }

    const fn newest() -> Self {
        Self::Tls13
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpConfig {
    /// Added to every answer.
    pub(super) headers: BTreeMap<String, String>,
    /// Accepted since others need it; HTTP/1.1 is spoken either way.
    http2: Option<bool>,
}

impl WebConfig {
    /// Reads the file, and makes its paths relative to where it is.
    pub(super) fn read(path: &Path) -> Result<Self, WebError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| WebError::Read { path: path.to_owned(), source })?;
        let mut config: Self =
            parse(&text).map_err(|source| WebError::Syntax { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if let Some(tls) = &mut config.tls_server_config {
            for file in [Some(&mut tls.cert_file), Some(&mut tls.key_file), tls.client_ca_file.as_mut()] {
                let Some(file) = file else { continue };
                *file = folder.join(&*file);
            }
        }
        Ok(config)
    }
}

/// An empty file asks for nothing.
fn parse(text: &str) -> Result<WebConfig, serde_yaml::Error> {
    serde_yaml::from_str::<Option<WebConfig>>(text).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_format_is_read() {
        let config = parse(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  \
             alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze\n",
        )
        .unwrap();
        let tls = config.tls_server_config.unwrap();
        assert_eq!(tls.client_auth_type, ClientAuth::NoClientCert);
        assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls12, TlsVersion::Tls13));
        assert_eq!(config.basic_auth_users.len(), 1);
    }

    #[test]
    fn nothing_asks_for_nothing() {
        for text in ["", "# only a comment\n", "{}"] {
            assert_eq!(parse(text).unwrap(), WebConfig::default(), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        for (text, named) in [
            ("basic_auth_user:\n  a: b\n", "basic_auth_user"),
            ("tls_server_config: {cert_file: a, key_file: b, cipher_suites: []}\n", "cipher_suites"),
            ("tls_server_config: {cert_file: a}\n", "key_file"),
            ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}\n", "TLS10"),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}\n",
                "RequestClientCert",
            ),
            ("http_server_config: {header: {}}\n", "header"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
