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
#[serde(try_from = "TlsKeys")]
pub(super) struct TlsConfig {
    /// The server's own certificate first.
    pub(super) cert: Pem,
    pub(super) key: Pem,
    /// Of those who may have signed the certificates of clients.
    pub(super) client_ca: Option<Pem>,
    pub(super) client_auth_type: ClientAuth,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: TlsVersion,
}

/// Certificates or a key.
#[derive(Debug, PartialEq)]
pub(super) enum Pem {
    File(PathBuf),
    /// In the file itself: under which key, and the text.
    Inline(&'static str, String),
}

/// As they are written. Paths are relative to the file that names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsKeys {
    cert: Option<String>,
    cert_file: Option<PathBuf>,
    key: Option<String>,
    key_file: Option<PathBuf>,
    client_ca: Option<String>,
    client_ca_file: Option<PathBuf>,
    #[serde(default)]
    client_auth_type: ClientAuth,
    #[serde(default = "TlsVersion::oldest")]
    min_version: TlsVersion,
    #[serde(default = "TlsVersion::newest")]
    max_version: TlsVersion,
}

impl TryFrom<TlsKeys> for TlsConfig {
    type Error = String;

    fn try_from(keys: TlsKeys) -> Result<Self, String> {
        let one = |name: &'static str, text, file| match (text, file) {
            (Some(_), Some(_)) => Err(format!("{name} and {name}_file are both there, and one is to be")),
            (Some(text), None) => Ok(Some(Pem::Inline(name, text))),
            (None, file) => Ok(file.map(Pem::File)),
        };
        let missing = |name| format!("{name}_file is missing, or {name} with the PEM itself");
        Ok(Self {
            cert: one("cert", keys.cert, keys.cert_file)?.ok_or_else(|| missing("cert"))?,
            key: one("key", keys.key, keys.key_file)?.ok_or_else(|| missing("key"))?,
            client_ca: one("client_ca", keys.client_ca, keys.client_ca_file)?,
            client_auth_type: keys.client_auth_type,
            min_version: keys.min_version,
            max_version: keys.max_version,
        })
    }
}

impl TlsConfig {
    /// Those that are files.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().filter_map(|pem| {
            match pem {
                Pem::File(path) => Some(path),
                Pem::Inline(..) => None,
            }
        })
    }
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
            for pem in [Some(&mut tls.cert), Some(&mut tls.key), tls.client_ca.as_mut()] {
                let Some(Pem::File(file)) = pem else { continue };
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
    fn pem_may_stand_in_the_file() {
        let config =
            parse("tls_server_config:\n  cert: |\n    a\n    b\n  key: c\n  client_ca_file: d\n").unwrap();
        let tls = config.tls_server_config.unwrap();
        assert_eq!(tls.cert, Pem::Inline("cert", "a\nb\n".to_owned()));
        assert_eq!(tls.key, Pem::Inline("key", "c".to_owned()));
        assert_eq!(tls.files().collect::<Vec<_>>(), [Path::new("d")]);
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
            ("tls_server_config: {cert_file: a}\n", "key_file is missing, or key"),
            ("tls_server_config: {key: a}\n", "cert_file is missing, or cert"),
            ("tls_server_config: {cert: a, cert_file: a, key: b}\n", "cert and cert_file"),
            ("tls_server_config: {cert: a, key: b, key_file: b}\n", "key and key_file"),
            (
                "tls_server_config: {cert: a, key: b, client_ca: c, client_ca_file: c}\n",
                "client_ca and client_ca_file",
            ),
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
