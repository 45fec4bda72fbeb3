//! TLS, passwords and headers of the HTTP server, from a file that may change while the server runs.

mod config;
mod tls;
mod users;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::pem, server::VerifierBuilderError},
};

use self::{
    config::{HttpConfig, TlsConfig, WebConfig},
    users::Users,
};

/// Why the web configuration cannot be used.
#[derive(Debug, Error)]
pub enum WebError {
    /// The file cannot be read.
    #[error("cannot read the web configuration {}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// The file is not in the format.
    #[error(
        "{} is not a web configuration of a Prometheus exporter (tls_server_config, http_server_config, \
         basic_auth_users)",
        path.display()
    )]
    Syntax {
        /// File.
        path: PathBuf,
        /// The mistake and its place.
        source: serde_yaml::Error,
    },
    /// Two keys contradict each other.
    #[error("the web configuration contradicts itself: {0}")]
    Contradiction(&'static str),
    /// A certificate or key is not valid PEM.
    #[error("cannot read {place} as PEM")]
    Pem {
        /// Its place.
        place: FilePlace,
        /// The mistake.
        source: pem::Error,
    },
    /// A file or key without a certificate.
    #[error("{place} holds no certificate")]
    NoCertificate {
        /// Its place.
        place: FilePlace,
    },
    /// A certificate that is invalid, or does not match its key.
    #[error("cannot use the certificate in {place}")]
    Unusable {
        /// Its place.
        place: FilePlace,
        /// The reason.
        source: rustls::Error,
    },
    /// Certificate authorities for clients that cannot be used.
    #[error("cannot use the certificate authorities in {place}")]
    ClientCa {
        /// Their place.
        place: FilePlace,
        /// The reason.
        source: VerifierBuilderError,
    },
    /// A password that is not a bcrypt hash; probably it is in clear text.
    #[error(
        "basic_auth_users: the value of {user} is not a bcrypt hash; `htpasswd -nBC 10 {user}` makes one"
    )]
    Hash {
        /// The user's name.
        user: String,
        /// The reason.
        source: bcrypt::BcryptError,
    },
    /// A header that HTTP does not allow.
    #[error("http_server_config: header {name} has an invalid name or value")]
    Header {
        /// The name of the header.
        name: String,
    },
    /// The kernel gives no random numbers.
    #[error("the kernel gives no random numbers")]
    Random,
}

/// The place of a certificate or key.
#[derive(Debug)]
pub enum FilePlace {
    /// A file of its own.
    File(PathBuf),
    /// This key of the web configuration.
    Key(&'static str),
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Key(key) => write!(f, "tls_server_config.{key}"),
        }
    }
}

/// The protection of one connection.
#[derive(Clone)]
pub(super) struct Protection {
    /// None for plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) users: Arc<Users>,
    /// Added to every answer.
    pub(super) headers: Arc<HeaderMap>,
}

/// The web configuration, and the protection that it asks for.
pub struct Web {
    path: Option<PathBuf>,
    /// The state of the file, and of the files that it names, when they were read.
    stamps: Vec<Stamp>,
    protection: Protection,
}

/// A file with its time of modification and its size, which show a change. A new certificate may replace the file or
/// overwrite it.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

impl Web {
    /// No protection: plain HTTP for all clients.
    ///
    /// # Errors
    /// The kernel gives no random numbers.
    pub fn open() -> Result<Self, WebError> {
        let protection = protection(WebConfig::default())?;
        Ok(Self { path: None, stamps: Vec::new(), protection })
    }

    /// Reads a web configuration and the files that it names.
    ///
    /// # Errors
    /// A file cannot be read, or has a mistake.
    pub fn load(path: &Path) -> Result<Self, WebError> {
        let (stamps, protection) = read(path)?;
        Ok(Self { path: Some(path.to_owned()), stamps, protection })
    }

    /// The scheme of URLs.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.protection.tls.is_some() { "https" } else { "http" }
    }

    /// The protection for a new connection. Files that have changed are read again. While they cannot be used (a file
    /// is half written, or a new key has no certificate yet), the old protection stays.
    pub(super) fn current(&mut self) -> Protection {
        if let Some(path) = &self.path
            && self.stamps.iter().any(|(file, was)| stamp(file) != *was)
        {
            match read(path) {
                Ok((stamps, protection)) => {
                    log::info!("the web configuration {} has changed and is in force", path.display());
                    (self.stamps, self.protection) = (stamps, protection);
                }
                Err(error) => {
                    // Log each change once.
                    for (file, was) in &mut self.stamps {
                        *was = stamp(file);
                    }
                    let error = anyhow::Error::new(error);
                    log::error!(
                        "the web configuration has changed and cannot be used; the old one stays: {error:#}"
                    );
                }
            }
        }
        self.protection.clone()
    }
}

fn read(path: &Path) -> Result<(Vec<Stamp>, Protection), WebError> {
    // Stamps before reading, so that the next connection notices a change meanwhile.
    let own = (path.to_owned(), stamp(path));
    let config = WebConfig::read(path)?;
    let named = config.tls_server_config.iter().flat_map(TlsConfig::files);
    let mut stamps: Vec<_> = named.map(|file| (file.clone(), stamp(file))).collect();
    stamps.push(own);
    Ok((stamps, protection(config)?))
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let data = std::fs::metadata(file).ok()?;
    Some((data.modified().ok()?, data.len()))
}

fn protection(config: WebConfig) -> Result<Protection, WebError> {
    Ok(Protection {
        tls: config.tls_server_config.as_ref().map(tls::acceptor).transpose()?,
        users: Arc::new(Users::new(config.basic_auth_users)?),
        headers: Arc::new(headers(&config.http_server_config)?),
    })
}

fn headers(config: &HttpConfig) -> Result<HeaderMap, WebError> {
    let header = |(name, value): (&String, &String)| {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        parsed.ok_or_else(|| WebError::Header { name: name.clone() })
    };
    config.headers.iter().map(header).collect()
}
