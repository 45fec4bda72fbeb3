//! A TLS configuration → the acceptor of TLS connections.

use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
};

use super::{
    FilePlace, WebError,
    config::{ClientAuth, Pem, TlsConfig, TlsVersion},
};

/// Reads the certificates and keys, and checks that they fit together.
pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, WebError> {
    let provider = Arc::new(ring::default_provider());
    let unusable = |source| WebError::Unusable { place: place(&config.cert), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(config)?)
        .map_err(unusable)?;
    let builder = match (config.client_auth_type, &config.client_ca) {
        (ClientAuth::NoClientCert, None) => builder.with_no_client_auth(),
        (ClientAuth::NoClientCert, Some(_)) => {
            return Err(WebError::Contradiction("client_ca has no effect without a client_auth_type"));
        }
        (_, None) => {
            return Err(WebError::Contradiction("client_auth_type needs a client_ca_file or client_ca"));
        }
        (wanted, Some(pem)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(|source| WebError::Unusable { place: place(pem), source })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match wanted {
                ClientAuth::RequireAndVerifyClientCert => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier =
                verifier.build().map_err(|source| WebError::ClientCa { place: place(pem), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = match &config.key {
        Pem::File(file) => PrivateKeyDer::from_pem_file(file),
        Pem::Inline(_, text) => PrivateKeyDer::from_pem_slice(text.as_bytes()),
    };
    let key = key.map_err(|source| WebError::Pem { place: place(&config.key), source })?;
    let server = builder.with_single_cert(certificates(&config.cert)?, key).map_err(unusable)?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn versions(config: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, WebError> {
    let known = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
    let wanted = config.min_version..=config.max_version;
    let versions: Vec<_> =
        known.into_iter().filter_map(|(word, version)| wanted.contains(&word).then_some(version)).collect();
    if versions.is_empty() {
        return Err(WebError::Contradiction("min_version is newer than max_version"));
    }
    Ok(versions)
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, WebError> {
    let found: Result<Vec<_>, _> = match pem {
        Pem::File(file) => CertificateDer::pem_file_iter(file).and_then(Iterator::collect),
        Pem::Inline(_, text) => CertificateDer::pem_slice_iter(text.as_bytes()).collect(),
    };
    let found = found.map_err(|source| WebError::Pem { place: place(pem), source })?;
    if found.is_empty() {
        return Err(WebError::NoCertificate { place: place(pem) });
    }
    Ok(found)
}

fn place(pem: &Pem) -> FilePlace {
    match pem {
        Pem::File(path) => FilePlace::File(path.clone()),
        Pem::Inline(key, _) => FilePlace::Key(key),
    }
}
