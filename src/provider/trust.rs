//! Whom a connection to the provider trusts: read from the system's files once, for all clients made from it.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::config::Api;

/// What is offered in the handshake, best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The CA certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS cannot be set up: install CA certificates (Debian: ca-certificates) or name a file of them in SSL_CERT_FILE"
)]
pub struct TrustError(#[source] rustls::Error);

/// The CA certificates of this machine, or of `SSL_CERT_FILE`, ready to use.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Reads them, if `api.base_url` needs any. Blocks on the file system, for as long as that hangs.
    ///
    /// # Errors
    /// There are none.
    pub fn read(api: &Api) -> Result<Self, TrustError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TrustError)?;
        // Without TLS no certificates are needed, so a machine without any (a bare container) will do.
        let builder = if api.base_url.scheme() == "http" {
            builder.with_root_certificates(RootCertStore::empty())
        } else {
            builder.with_platform_verifier().map_err(TrustError)?
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self(Arc::new(config)))
    }

    /// For one client more, with sessions of its own.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = Resumption::default();
        config
    }
}
