//! The file of `--web-config-file`, in the format of Prometheus exporters (`web-configuration.md` of exporter-toolkit).
//!
//! An unknown key is an error: ignoring it could leave the metrics unprotected.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::WebError;

/// The whole file. All parts are optional.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebConfig {
    pub(super) tls_server_config: Option<TlsConfig>,
    pub(super) http_server_config: HttpConfig,
    /// bcrypt hashes by user name. If there are any, each request needs a name and its password.
    pub(super) basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "TlsKeys")]
pub(super) struct TlsConfig {
    /// The server's own certificate first.
    pub(super) cert: Pem,
    pub(super) key: Pem,
    /// Certificate authorities of clients.
    pub(super) client_ca: Option<Pem>,
    pub(super) client_auth_type: ClientAuth,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: TlsVersion,
}

/// Certificates or a key.
#[derive(Debug, PartialEq)]
pub(super) enum Pem {
    File(PathBuf),
    /// In the web configuration itself: the key, and the text.
    Inline(&'static str, String),
}

/// The keys of the file. Paths are relative to the file.
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
            (Some(_), Some(_)) => Err(format!("{name} and {name}_file are both there; use one of them")),
            (Some(text), None) => Ok(Some(Pem::Inline(name, text))),
            (None, file) => Ok(file.map(Pem::File)),
        };
        let missing = |name| format!("{name}_file is missing, or {name} with inline PEM");
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
    /// All certificates and keys that are files of their own.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().filter_map(|pem| {
            match pem {
                Pem::File(path) => Some(path),
                Pem::Inline(..) => None,
            }
        })
    }
}

/// Whether clients need a certificate, in the words of Go.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    NoClientCert,
    /// A client needs no certificate, but one that it sends must be valid.
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// Older versions are broken, and rustls does not support them.
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
    /// Ignored: the server supports HTTP/1.1 only. Other exporters need the key, so it is accepted.
    http2: Option<bool>,
}

impl WebConfig {
    /// Reads the file, and resolves its paths relative to its directory.
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

/// An empty file is valid, and asks for nothing.
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
    fn pem_may_be_inline() {
        let config =
            parse("tls_server_config:\n  cert: |\n    a\n    b\n  key: c\n  client_ca_file: d\n").unwrap();
        let tls = config.tls_server_config.unwrap();
        assert_eq!(tls.cert, Pem::Inline("cert", "a\nb\n".to_owned()));
        assert_eq!(tls.key, Pem::Inline("key", "c".to_owned()));
        assert_eq!(tls.files().collect::<Vec<_>>(), [Path::new("d")]);
    }

    #[test]
    fn an_empty_file_asks_for_nothing() {
        for text in ["", "# only a comment\n", "{}"] {
            assert_eq!(parse(text).unwrap(), WebConfig::default(), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
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
