//! The certificates of a configuration → what shakes hands with clients.

use std::{path::Path, sync::Arc};

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
    WebError,
    config::{ClientAuth, TlsConfig, TlsVersion},
};

/// Reads the files and makes sure that they fit together.
pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, WebError> {
    let provider = Arc::new(ring::default_provider());
    let unusable = |source| WebError::Unusable { path: config.cert_file.clone(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(config)?)
        .map_err(unusable)?;
    let builder = match (config.client_auth_type, &config.client_ca_file) {
        (ClientAuth::NoClientCert, None) => builder.with_no_client_auth(),
        (ClientAuth::NoClientCert, Some(_)) => {
            return Err(WebError::Contradiction("client_ca_file says nothing without a client_auth_type"));
        }
        (_, None) => return Err(WebError::Contradiction("client_auth_type needs a client_ca_file")),
        (wanted, Some(file)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|source| WebError::Unusable { path: file.clone(), source })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match wanted {
                ClientAuth::RequireAndVerifyClientCert => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier =
                verifier.build().map_err(|source| WebError::ClientCa { path: file.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|source| WebError::Pem { path: config.key_file.clone(), source })?;
    let server = builder.with_single_cert(certificates(&config.cert_file)?, key).map_err(unusable)?;
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

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, WebError> {
    let failed = |source| WebError::Pem { path: file.to_owned(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(failed)?.collect();
    let found = found.map_err(failed)?;
    if found.is_empty() {
        return Err(WebError::NoCertificate { path: file.to_owned() });
    }
    Ok(found)
}
