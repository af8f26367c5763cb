//! Who the server proves to be.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate with its key.
#[derive(Clone)]
pub struct ServeTls(Arc<rustls::ServerConfig>);

/// Why a certificate can't be served with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeTlsError {
    /// The certificates can't be read.
    #[error("the certificates are no valid PEM")]
    Certificates(#[source] pem::Error),
    /// There is no certificate.
    #[error("there is no certificate in the PEM")]
    NoCertificate,
    /// The key can't be read.
    #[error("the private key is no valid PEM")]
    Key(#[source] pem::Error),
    /// The two don't belong together, or are of a kind that TLS does not use.
    #[error("the certificate and the private key can't be used together")]
    Unusable(#[source] rustls::Error),
}

impl ServeTls {
    /// Reads PEM text: the certificate, followed by those between it and its CA, and the key.
    ///
    /// # Errors
    ///
    /// [`ServeTlsError`].
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, ServeTlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(ServeTlsError::Certificates)?;
        if chain.is_empty() {
            return Err(ServeTlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(ServeTlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has what TLS 1.2 and 1.3 need")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(ServeTlsError::Unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

impl fmt::Debug for ServeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeTls").finish_non_exhaustive()
    }
}
