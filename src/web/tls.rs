//! From TLS settings to what rustls serves with, on the ring provider.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, Error, NamedGroup,
    RootCertStore, ServerConfig, SignatureScheme, version,
};
use secrecy::{ExposeSecret, SecretString};

use super::san;
use super::web_file::MAX_FILE_MEBIBYTES;
use crate::config::{Unreadable, text_of};

/// The suites that Go knows by these names. `None`: not offered by rustls (CBC, RC4 and RSA key
/// exchange have known weaknesses). Source: Go's crypto/tls constants.
pub(super) const CIPHER_SUITES: [(&str, Option<CipherSuite>); 28] = [
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
    ),
    (
        "TLS_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384),
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", None),
    ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", None),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", None),
    ("TLS_RSA_WITH_RC4_128_SHA", None),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", None),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", None),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", None),
    ("TLS_FALLBACK_SCSV", None),
];

/// Whether a suite is one of TLS 1.3, whose code points begin with 0x13 (RFC 8446, appendix B.4).
pub(super) fn is_tls13(suite: CipherSuite) -> bool {
    u16::from(suite).to_be_bytes().first() == Some(&0x13)
}

/// The curves that Go knows by these names; `None`: not offered by the ring provider.
pub(super) const CURVES: [(&str, Option<NamedGroup>); 5] = [
    ("X25519", Some(NamedGroup::X25519)),
    ("CurveP256", Some(NamedGroup::secp256r1)),
    ("CurveP384", Some(NamedGroup::secp384r1)),
    ("CurveP521", None),
    ("X25519MLKEM768", None),
];

/// A PEM text and where it comes from.
#[derive(Clone, Debug)]
pub(super) enum Pem {
    /// In the configuration itself.
    Inline { key: String, text: SecretString },
    /// In a file.
    File { key: String, path: PathBuf },
}

/// Whether they say the same; what a file of that name holds is another matter.
impl PartialEq for Pem {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline { text, .. }, Self::Inline { text: other, .. }) => {
                text.expose_secret() == other.expose_secret()
            }
            (Self::File { path, .. }, Self::File { path: other, .. }) => path == other,
            _ => false,
        }
    }
}

impl Pem {
    fn read(&self) -> Result<SecretString, String> {
        match self {
            Self::Inline { text, .. } => Ok(text.clone()),
            Self::File { key, path } => {
                let text = text_of(path, MAX_FILE_MEBIBYTES, None).map_err(|unreadable| match unreadable {
                    Unreadable::Missing => "does not exist; name the file that holds it".to_owned(),
                    Unreadable::NotUtf8 { .. } => "is no text; it must be PEM (-----BEGIN …)".to_owned(),
                    Unreadable::Other(words) => words,
                });
                text.map(Into::into)
                    .map_err(|words| format!("{key}: {} {words}", path.display()))
            }
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Self::Inline { .. } => None,
            Self::File { path, .. } => Some(path),
        }
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline { key, .. } => f.write_str(key),
            Self::File { key, path } => write!(f, "{key}: {}", path.display()),
        }
    }
}

/// What is asked of clients, in Go's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// Nothing.
    #[default]
    None,
    /// A certificate may be shown and is not checked.
    Request,
    /// A certificate must be shown and is not checked.
    RequireAny,
    /// A certificate may be shown and then must be trusted.
    VerifyIfGiven,
    /// A trusted certificate must be shown.
    RequireAndVerify,
}

impl ClientAuth {
    pub(super) const NAMES: &'static [(&'static str, Self)] = &[
        ("NoClientCert", Self::None),
        ("RequestClientCert", Self::Request),
        ("RequireAnyClientCert", Self::RequireAny),
        // An old name of the same.
        ("RequireClientCert", Self::RequireAny),
        ("VerifyClientCertIfGiven", Self::VerifyIfGiven),
        ("RequireAndVerifyClientCert", Self::RequireAndVerify),
    ];

    pub(super) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    const fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// The protocol versions offered; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) tls12: bool,
    pub(super) tls13: bool,
}

/// `tls_server_config`, validated as far as is possible without opening files.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TlsSettings {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
    pub(super) client_ca: Option<Pem>,
    pub(super) client_auth: ClientAuth,
    /// One of them must be in a client's certificate, if given.
    pub(super) allowed_sans: Option<Vec<String>>,
    pub(super) versions: Versions,
    /// In order of preference; holds for TLS 1.2 only. `None`: rustls' own.
    pub(super) suites: Option<Vec<CipherSuite>>,
    /// Our order of suites counts, not the client's.
    pub(super) server_order: bool,
    /// In order of preference. `None`: rustls' own.
    pub(super) curves: Option<Vec<NamedGroup>>,
}

/// What the PEM texts of the settings held when they were read.
#[derive(Debug, PartialEq)]
struct Material {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: Option<Vec<CertificateDer<'static>>>,
}

/// TLS ready to serve, and what it was made of.
#[derive(Debug)]
pub(super) struct Tls {
    settings: TlsSettings,
    material: Material,
    /// It also holds the sessions that clients can resume.
    pub(super) server: Arc<ServerConfig>,
}

/// Whether they were made of the same.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings && self.material == other.material
    }
}

impl TlsSettings {
    /// The files that certificate, key and CA are read from.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(Pem::file)
    }

    /// Reads certificate, key and client CA and makes them ready to serve.
    ///
    /// # Errors
    /// Every problem, with its key and file; nothing of the contents.
    pub(super) fn load(&self) -> Result<Tls, Vec<String>> {
        let certificates = certificates(&self.certificate);
        let key = private_key(&self.key);
        let authorities = self.client_ca.as_ref().map(authorities).transpose();
        let (certificates, key, authorities) = match (certificates, key, authorities) {
            (Ok(certificates), Ok(key), Ok(authorities)) => (certificates, key, authorities),
            (certificates, key, authorities) => {
                return Err([certificates.err(), key.err(), authorities.err()]
                    .into_iter()
                    .flatten()
                    .collect());
            }
        };
        let (client_ca, roots) = authorities.unzip();
        let material = Material {
            certificates,
            key,
            client_ca,
        };
        let server = Arc::new(self.server(&material, roots)?);
        Ok(Tls {
            settings: self.clone(),
            material,
            server,
        })
    }

    fn server(&self, material: &Material, roots: Option<RootCertStore>) -> Result<ServerConfig, Vec<String>> {
        let provider = Arc::new(self.provider());
        let mut versions = Vec::new();
        if self.versions.tls13 {
            versions.push(&version::TLS13);
        }
        if self.versions.tls12 {
            versions.push(&version::TLS12);
        }
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| {
                vec![format!(
                    "tls_server_config: {error}; check cipher_suites and versions"
                )]
            })?;
        let verifier = self.verifier(&provider, roots)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(material.certificates.clone(), material.key.clone_key())
            .map_err(|error| {
                vec![format!(
                    "{}: {error}; certificate and key must belong together",
                    self.certificate
                )]
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ignore_client_order = self.server_order;
        Ok(config)
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if let Some(wanted) = &self.suites {
            let tls12 = |suite: &rustls::SupportedCipherSuite| suite.version() == &version::TLS12;
            let rank = |suite: CipherSuite| wanted.iter().position(|&wanted| wanted == suite);
            provider
                .cipher_suites
                .retain(|suite| !tls12(suite) || rank(suite.suite()).is_some());
            // TLS 1.3 suites are not ranked in the file: they stay first, in their own order.
            provider
                .cipher_suites
                .sort_by_key(|suite| if tls12(suite) { rank(suite.suite()) } else { None });
        }
        if let Some(wanted) = &self.curves {
            let rank = |group: NamedGroup| wanted.iter().position(|&wanted| wanted == group);
            provider.kx_groups.retain(|group| rank(group.name()).is_some());
            provider.kx_groups.sort_by_key(|group| rank(group.name()));
        }
        provider
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
        roots: Option<RootCertStore>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, Vec<String>> {
        if self.client_auth == ClientAuth::None {
            return Ok(None);
        }
        let chain = match roots {
            Some(roots) if self.client_auth.verifies() => Some(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                    .build()
                    .map_err(|error| vec![format!("tls_server_config.client_ca_file: {error}")])?,
            ),
            _ => None,
        };
        Ok(Some(Arc::new(ClientPolicy {
            auth: self.client_auth,
            chain,
            allowed_sans: self.allowed_sans.clone(),
            provider: Arc::clone(provider),
        })))
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = pem.read()?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.expose_secret().as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!(
            "{pem}: no readable certificate in it; it must be PEM (-----BEGIN CERTIFICATE-----)"
        )),
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    let text = pem.read()?;
    PrivateKeyDer::from_pem_slice(text.expose_secret().as_bytes())
        .map_err(|_| format!("{pem}: no readable private key in it; it must be PEM and not encrypted"))
}

/// The certificates of authorities, and the same ready to verify with.
fn authorities(pem: &Pem) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), String> {
    let certificates = certificates(pem)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|error| format!("{pem}: {error}; it must hold CA certificates"))?;
    }
    Ok((certificates, roots))
}

/// Go's five ways to treat client certificates, and the list of allowed names.
#[derive(Debug)]
struct ClientPolicy {
    auth: ClientAuth,
    /// Checks the chain; without one a policy that verifies trusts nobody.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    allowed_sans: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientPolicy {
    fn client_auth_mandatory(&self) -> bool {
        // Where a name must be in the certificate, no certificate cannot be enough.
        self.auth.requires() || self.allowed_sans.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain
            .as_ref()
            .map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.auth.verifies() {
            let chain = self
                .chain
                .as_ref()
                .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        let allowed = self.allowed_sans.as_ref().is_none_or(|allowed| {
            san::names(end_entity).is_some_and(|names| names.iter().any(|name| allowed.contains(name)))
        });
        if !allowed {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> TlsSettings {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        TlsSettings {
            certificate: Pem::Inline {
                key: "cert".to_owned(),
                text: made.cert.pem().into(),
            },
            key: Pem::Inline {
                key: "key".to_owned(),
                text: made.signing_key.serialize_pem().into(),
            },
            client_ca: None,
            client_auth: ClientAuth::None,
            allowed_sans: None,
            versions: Versions {
                tls12: true,
                tls13: true,
            },
            suites: None,
            server_order: true,
            curves: None,
        }
    }

    #[test]
    fn suites_and_curves_are_offered_in_the_files_order() {
        let wanted = [
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ];
        let curves = [NamedGroup::secp384r1, NamedGroup::X25519];
        for server_order in [true, false] {
            let settings = TlsSettings {
                suites: Some(wanted.to_vec()),
                curves: Some(curves.to_vec()),
                server_order,
                ..settings()
            };
            let config = settings.load().unwrap().server;
            let offered: Vec<_> = config
                .crypto_provider()
                .cipher_suites
                .iter()
                .map(rustls::SupportedCipherSuite::suite)
                .collect();
            assert_eq!(offered.len(), 5, "three of TLS 1.3 and the two: {offered:?}");
            assert_eq!(offered[3..], wanted);
            let groups: Vec<_> = config
                .crypto_provider()
                .kx_groups
                .iter()
                .map(|group| group.name())
                .collect();
            assert_eq!(groups, curves);
            assert_eq!(config.ignore_client_order, server_order);
            assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        }
    }

    #[test]
    fn every_suite_and_curve_of_the_tables_exists_in_the_provider() {
        let provider = ring::default_provider();
        for (name, suite) in CIPHER_SUITES {
            let Some(suite) = suite else { continue };
            assert!(
                provider
                    .cipher_suites
                    .iter()
                    .any(|offered| offered.suite() == suite),
                "{name}"
            );
            assert_eq!(is_tls13(suite), !name.contains("_WITH_"), "{name}");
        }
        for (name, curve) in CURVES {
            let Some(curve) = curve else { continue };
            assert!(
                provider.kx_groups.iter().any(|offered| offered.name() == curve),
                "{name}"
            );
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let error = TlsSettings {
            key: settings().key,
            ..settings()
        }
        .load()
        .unwrap_err();
        assert!(
            error.len() == 1 && error[0].contains("belong together"),
            "{error:?}"
        );
    }
}
