//! How metrics are protected: TLS, passwords and headers, from a file that may change while they are served.

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

/// Why the file cannot be followed.
#[derive(Debug, Error)]
pub enum WebError {
    /// Not readable.
    #[error("cannot read the web configuration {}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Not what the format allows.
    #[error(
        "{} is no web configuration as exporters of Prometheus have it (tls_server_config, http_server_config, \
         basic_auth_users)",
        path.display()
    )]
    Syntax {
        /// File.
        path: PathBuf,
        /// Where and what.
        source: serde_yaml::Error,
    },
    /// Two keys that do not go together.
    #[error("the web configuration contradicts itself: {0}")]
    Contradiction(&'static str),
    /// A certificate or key.
    #[error("cannot read {place} as PEM")]
    Pem {
        /// Where it stands.
        place: FilePlace,
        /// What is wrong.
        source: pem::Error,
    },
    /// Where certificates should be.
    #[error("{place} holds no certificate")]
    NoCertificate {
        /// Where they should stand.
        place: FilePlace,
    },
    /// A certificate that cannot be used, or not with its key.
    #[error("cannot use the certificate in {place}")]
    Unusable {
        /// Where it stands.
        place: FilePlace,
        /// Why.
        source: rustls::Error,
    },
    /// Authorities of clients.
    #[error("cannot use the authorities in {place}")]
    ClientCa {
        /// Where they stand.
        place: FilePlace,
        /// Why.
        source: VerifierBuilderError,
    },
    /// A password in clear, most likely.
    #[error(
        "basic_auth_users: what stands for {user} is not a bcrypt hash; `htpasswd -nBC 10 {user}` makes one"
    )]
    Hash {
        /// Name.
        user: String,
        /// Why.
        source: bcrypt::BcryptError,
    },
    /// A header that HTTP does not allow.
    #[error("http_server_config: {name} with its value is not a header")]
    Header {
        /// Name.
        name: String,
    },
    /// The kernel gives no random numbers.
    #[error("no random numbers are to be had")]
    Random,
}

/// Where PEM stands.
#[derive(Debug)]
pub enum FilePlace {
    /// In a file of its own.
    File(PathBuf),
    /// In the web configuration, under this key.
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

/// What protects one connection.
#[derive(Clone)]
pub(super) struct Protection {
    /// None where it is plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) users: Arc<Users>,
    /// Added to every answer.
    pub(super) headers: Arc<HeaderMap>,
}

/// The protection as the file has it now.
pub struct Web {
    path: Option<PathBuf>,
    /// The file and those that it names, as they were when read.
    stamps: Vec<Stamp>,
    protection: Protection,
}

/// A file, and by what a change is noticed: a certificate is renewed by another file of its name, or written anew.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

impl Web {
    /// None: plain HTTP, for everybody.
    pub fn open() -> Result<Self, WebError> {
        let protection = protection(WebConfig::default())?;
        Ok(Self { path: None, stamps: Vec::new(), protection })
    }

    /// What the file asks for.
    pub fn load(path: &Path) -> Result<Self, WebError> {
        let (stamps, protection) = read(path)?;
        Ok(Self { path: Some(path.to_owned()), stamps, protection })
    }

    /// What is served by.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.protection.tls.is_some() { "https" } else { "http" }
    }

    /// The protection for a connection that begins now. Files that have changed are read again; while they cannot be
    /// used (half written, or a key that waits for its certificate), what was good remains.
    pub(super) fn current(&mut self) -> Protection {
        if let Some(path) = &self.path
            && self.stamps.iter().any(|(file, was)| stamp(file) != *was)
        {
            match read(path) {
                Ok((stamps, protection)) => {
                    log::info!("the web configuration {} has changed and is followed", path.display());
                    (self.stamps, self.protection) = (stamps, protection);
                }
                Err(error) => {
                    // Told once for each change.
                    for (file, was) in &mut self.stamps {
                        *was = stamp(file);
                    }
                    let error = anyhow::Error::new(error);
                    log::error!("the web configuration has changed and is not followed: {error:#}");
                }
            }
        }
        self.protection.clone()
    }
}

fn read(path: &Path) -> Result<(Vec<Stamp>, Protection), WebError> {
    // Before they are read: a change meanwhile is then noticed at the next connection.
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
