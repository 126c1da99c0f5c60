//! The section `tls_server_config`.

use std::path::{Path, PathBuf};

use super::reader::{Reader, Section};
use crate::web::tls::{self, ClientAuth, Pem, TlsSettings, Versions};

impl Reader<'_> {
    /// `None` means plain HTTP, as in the toolkit when none of the keys that make TLS is given.
    pub(super) fn tls(&mut self, mut section: Section) -> Option<TlsSettings> {
        let root = section.path.clone();
        let certificate = self.pem(&mut section, "cert", "cert_file");
        let key = self.pem(&mut section, "key", "key_file");
        let client_ca = self.pem(&mut section, "client_ca", "client_ca_file");
        let auth = self
            .string(&mut section, "client_auth_type")
            .filter(|name| !name.is_empty());
        let client_auth = self.known(
            &format!("{root}client_auth_type"),
            auth.as_deref(),
            ClientAuth::NAMES,
        );
        let allowed_sans = self.strings(&mut section, "client_allowed_sans");
        let (least, most) = (
            self.version(&mut section, "min_version"),
            self.version(&mut section, "max_version"),
        );
        let versions = Versions {
            tls12: least.unwrap_or(12) <= 12 && most.unwrap_or(13) >= 12,
            tls13: most.unwrap_or(13) >= 13,
        };
        let suites = self.strings(&mut section, "cipher_suites");
        let suites = self.supported(
            &format!("{root}cipher_suites"),
            suites.as_deref(),
            &tls::CIPHER_SUITES,
        );
        let server_order = self
            .boolean(&mut section, "prefer_server_cipher_suites")
            .unwrap_or(true);
        let curves = self.strings(&mut section, "curve_preferences");
        let curves = self.supported(
            &format!("{root}curve_preferences"),
            curves.as_deref(),
            &tls::CURVES,
        );
        self.finish(section);

        let on = certificate.is_some() || key.is_some() || client_ca.is_some() || auth.is_some();
        if !on {
            return None;
        }
        if certificate.is_none() {
            self.problem(
                &format!("{root}cert_file"),
                "the certificate is missing; give cert_file or cert",
            );
        }
        if key.is_none() {
            self.problem(
                &format!("{root}key_file"),
                "the private key is missing; give key_file or key",
            );
        }
        if auth.is_some() && client_auth.is_none() {
            return None;
        }
        let settings = TlsSettings {
            certificate: certificate?,
            key: key?,
            client_ca,
            client_auth: client_auth.unwrap_or_default(),
            allowed_sans,
            versions,
            suites,
            server_order,
            curves,
        };
        self.check_tls(&root, &settings);
        Some(settings)
    }

    /// What each key allows on its own, but not together.
    fn check_tls(&mut self, root: &str, settings: &TlsSettings) {
        if !settings.versions.tls12 && !settings.versions.tls13 {
            self.problem(
                &format!("{root}max_version"),
                "no version is left; TLS12 and TLS13 are offered",
            );
        }
        if settings.curves.as_ref().is_some_and(Vec::is_empty) {
            self.problem(
                &format!("{root}curve_preferences"),
                "no curve is left; X25519, CurveP256 and CurveP384 are offered",
            );
        }
        let only_tls13 = |suites: &Vec<_>| suites.iter().copied().all(tls::is_tls13);
        if settings.suites.as_ref().is_some_and(only_tls13) && !settings.versions.tls13 {
            self.problem(
                &format!("{root}cipher_suites"),
                "no suite is left for TLS 1.2; add one of the AES-GCM or CHACHA20 suites, or allow TLS13",
            );
        }
        if settings.client_ca.is_some() && settings.client_auth == ClientAuth::None {
            self.problem(
                &format!("{root}client_ca_file"),
                "clients are not asked for a certificate; set client_auth_type: RequireAndVerifyClientCert",
            );
        }
        if settings.client_ca.is_none() && settings.client_auth.verifies() {
            self.warn(
                &format!("{root}client_auth_type"),
                "without client_ca_file no client certificate is trusted",
            );
        }
        if settings.allowed_sans.is_some() && settings.client_auth == ClientAuth::None {
            self.problem(
                &format!("{root}client_allowed_sans"),
                "clients are not asked for a certificate; set client_auth_type: RequireAndVerifyClientCert",
            );
        }
    }

    /// A PEM text, given in place or as a file; an empty string counts as absent.
    fn pem(&mut self, section: &mut Section, inline_key: &str, file_key: &str) -> Option<Pem> {
        let inline = self.string(section, inline_key).filter(|text| !text.is_empty());
        let file = self.string(section, file_key).filter(|path| !path.is_empty());
        match (inline, file) {
            (Some(text), file) => {
                let key = format!("{}{inline_key}", section.path);
                if file.is_some() {
                    self.problem(&key, &format!("give this or {file_key}, not both"));
                }
                Some(Pem::Inline {
                    key,
                    text: text.into(),
                })
            }
            (None, Some(path)) => {
                let folder = self.file.parent().unwrap_or(Path::new(""));
                Some(Pem::File {
                    key: format!("{}{file_key}", section.path),
                    path: folder.join(PathBuf::from(path)),
                })
            }
            (None, None) => None,
        }
    }

    fn version(&mut self, section: &mut Section, key: &str) -> Option<u8> {
        let path = format!("{}{key}", section.path);
        let name = self.string(section, key).filter(|name| !name.is_empty())?;
        let version = self.known(
            &path,
            Some(&name),
            &[("TLS10", 10), ("TLS11", 11), ("TLS12", 12), ("TLS13", 13)],
        )?;
        if version < 12 && key == "min_version" {
            self.warn(&path, "versions below TLS12 are not offered; the lowest is TLS12");
        }
        Some(version)
    }
}
