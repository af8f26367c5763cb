//! Where the hosts are, and how they are asked.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::authority::{AuthorityIds, Place};

/// Where `http://`, which anybody on the way can read and forge, is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainHttp {
    /// To hosts of this machine alone: `localhost`, `127.0.0.1`, `[::1]`.
    OnLoopback,
    /// To any host. The network has to keep strangers out.
    Anywhere,
}

/// Where authorities are asked over HTTP, and how.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub(super) hosts: Vec<Url>,
    pub(super) ids: AuthorityIds,
    pub(super) token: SecretString,
    pub(super) ca_pem: Option<Vec<u8>>,
    pub(super) plain: PlainHttp,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) place: Option<Place>,
}

/// Why authorities can't be asked over HTTP in the way that is wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpOptionsError {
    /// There is no host.
    #[error("there is no host to ask for ids; give at least one URL")]
    NoHosts,
    /// A host is there twice.
    #[error("{host} is there twice; name each host once")]
    DuplicateHost {
        /// The host.
        host: String,
    },
    /// The scheme is neither `https` nor `http`.
    #[error("`{scheme}` is no scheme that hosts are asked by; write https://")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// The URL has a user, a password, a query or a fragment.
    #[error(
        "the URL of {host} has more than a host, a port and a path; leave out user, password, query and fragment"
    )]
    UrlParts {
        /// The host.
        host: String,
    },
    /// It is `http://` to another machine.
    #[error(
        "{host} would be asked without encryption, and the token could be read on the way; write https://"
    )]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// The token is empty, or has characters that an HTTP header can't have.
    #[error("the token is empty or has characters other than visible ASCII")]
    Token,
    /// A time-out is 0.
    #[error("a time-out of 0 would end every request before it begins")]
    ZeroTimeout,
    /// The CA file can't be read as PEM.
    #[error("the CA's certificates are no valid PEM")]
    CaPem(#[source] rustls::pki_types::pem::Error),
    /// The CA file has no certificate.
    #[error("there is no certificate in the CA's PEM")]
    NoCa,
    /// TLS refuses one of the CA's certificates.
    #[error("a certificate of the CA can't be used")]
    Ca(#[source] rustls::Error),
}

impl HttpOptions {
    /// How long a host has for its answer, usually: 2 seconds.
    pub const USUAL_TIMEOUT: Duration = Duration::from_secs(2);
    /// How long a connection may take, usually: 1 second.
    pub const USUAL_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

    /// Asks `hosts`, the nearest first, for ids of the authorities `ids`; answers with ids of any
    /// other are refused. The token is what the hosts know this process by.
    ///
    /// A host is a URL such as `https://ids-1.example.org:7443`; a path is put before those of the
    /// protocol.
    pub fn new(hosts: Vec<Url>, ids: AuthorityIds, token: SecretString) -> Self {
        Self {
            hosts,
            ids,
            token,
            ca_pem: None,
            plain: PlainHttp::OnLoopback,
            timeout: Self::USUAL_TIMEOUT,
            connect_timeout: Self::USUAL_CONNECT_TIMEOUT,
            place: None,
        }
    }

    /// Trusts the certificates in this PEM text, instead of the public ones that browsers trust.
    #[must_use]
    pub fn with_ca_pem(self, pem: impl Into<Vec<u8>>) -> Self {
        Self {
            ca_pem: Some(pem.into()),
            ..self
        }
    }

    /// Allows `http://` elsewhere than on this machine.
    #[must_use]
    pub fn with_plain_http(self, plain: PlainHttp) -> Self {
        Self { plain, ..self }
    }

    /// How long each host has for its whole answer, connecting included.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long a connection to a host may take.
    #[must_use]
    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// What operators call these hosts; errors say it before the URL.
    #[must_use]
    pub fn with_place(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// Finds whatever makes the options useless.
    pub(super) fn check(&self) -> Result<(), HttpOptionsError> {
        if self.hosts.is_empty() {
            return Err(HttpOptionsError::NoHosts);
        }
        if self.timeout.is_zero() || self.connect_timeout.is_zero() {
            return Err(HttpOptionsError::ZeroTimeout);
        }
        for (place, url) in self.hosts.iter().enumerate() {
            let host = || origin(url);
            if !matches!(url.scheme(), "http" | "https") {
                return Err(HttpOptionsError::Scheme {
                    scheme: url.scheme().to_owned(),
                });
            }
            let bare = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            if !bare {
                return Err(HttpOptionsError::UrlParts { host: host() });
            }
            if self.hosts[..place].contains(url) {
                return Err(HttpOptionsError::DuplicateHost { host: host() });
            }
            if url.scheme() == "http" && self.plain == PlainHttp::OnLoopback && !is_loopback(url) {
                return Err(HttpOptionsError::PlainHttp { host: host() });
            }
        }
        Ok(())
    }

    /// The header that the hosts know this process by; its `Debug` does not show the token.
    pub(super) fn authorization(&self) -> Result<HeaderValue, HttpOptionsError> {
        let token = self.token.expose_secret();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HttpOptionsError::Token);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| HttpOptionsError::Token)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// How the hosts prove who they are.
    pub(super) fn tls(&self) -> Result<rustls::ClientConfig, HttpOptionsError> {
        let mut roots = rustls::RootCertStore::empty();
        if let Some(pem) = &self.ca_pem {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(HttpOptionsError::CaPem)?;
                roots.add(certificate).map_err(HttpOptionsError::Ca)?;
            }
            if roots.is_empty() {
                return Err(HttpOptionsError::NoCa);
            }
        } else {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has what TLS 1.2 and 1.3 need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }
}

/// Scheme, host and port: what an operator knows a host by. Never a password.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests;
