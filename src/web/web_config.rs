//! PURE: the web configuration file (`--web.config.file`), in the schema that Prometheus'
//! exporter-toolkit documents: from text to validated settings, or every problem at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{FileFormat, Format, Map, Value, ValueKind};
use hyper::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::tls::{self, ClientAuth, Pem, TlsSettings, Versions};

/// The settings of a web configuration file; secrets in it do not print.
#[derive(Clone, Debug, Default)]
pub struct WebConfig {
    /// Plain HTTP if absent.
    pub(super) tls: Option<TlsSettings>,
    /// Added to every response, in place of our own of the same name.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// User to bcrypt hash; no password is asked for if empty.
    pub(super) users: BTreeMap<String, SecretString>,
    /// Requests of all clients together.
    pub(super) rate_limit: Option<RateLimit>,
    /// What is accepted but does less than its words say; one line each, with file and key.
    pub warnings: Vec<String>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimit {
    /// One token comes back per interval, which is above zero.
    pub(super) interval: Duration,
    /// Tokens when full, at least 1.
    pub(super) burst: u32,
}

/// Everything that is wrong with a web configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct WebConfigError {
    /// One line each, with file, key and remedy.
    pub problems: Vec<String>,
}

/// The headers that may be set, and to what; nothing listed means anything.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

impl WebConfig {
    /// Reads the text of a file. Files named in it are relative to the file's folder; they are not
    /// opened here.
    ///
    /// # Errors
    /// Every problem, each with the file and the key's path.
    pub fn parse(file: &Path, text: &str) -> Result<Self, WebConfigError> {
        let mut reader = Reader {
            file,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let mut config = match FileFormat::Yaml.parse(None, text) {
            Ok(root) => reader.web_config(Section::new("", root)),
            Err(error) => {
                reader.problem("", &yaml_problem(&error.to_string()));
                Self::default()
            }
        };
        if reader.problems.is_empty() {
            config.warnings = reader.warnings;
            Ok(config)
        } else {
            Err(WebConfigError {
                problems: reader.problems,
            })
        }
    }

    /// Files that the configuration is read from besides its own.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.tls.iter().flat_map(TlsSettings::files)
    }
}

/// A parser's message can quote the text, which may be the wrong file altogether and secret: only
/// the place is kept.
fn yaml_problem(message: &str) -> String {
    let place = message
        .rfind(" line ")
        .and_then(|at| message.get(at..))
        .unwrap_or_default();
    let place: String = place.chars().take(40).collect();
    format!(
        "this is no YAML mapping of sections{}; see the exporter-toolkit's web configuration format",
        if place.is_empty() {
            place
        } else {
            format!(" (near{place})")
        }
    )
}

/// A mapping whose keys are taken out one by one, so that those left over are the unknown ones.
struct Section {
    /// With a trailing dot unless it is the root.
    path: String,
    keys: Map<String, Value>,
}

impl Section {
    fn new(path: &str, keys: Map<String, Value>) -> Self {
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("{path}.")
        };
        Self { path, keys }
    }

    /// A key's path and its value, unless it is absent or empty.
    fn take(&mut self, key: &str) -> Option<(String, ValueKind)> {
        let value = self.keys.remove(key)?.kind;
        (!matches!(value, ValueKind::Nil)).then(|| (format!("{}{key}", self.path), value))
    }
}

struct Reader<'a> {
    file: &'a Path,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn line(&self, key: &str, text: &str) -> String {
        let file = self.file.display();
        if key.is_empty() {
            format!("{file}: {text}")
        } else {
            format!("{file}: {key}: {text}")
        }
    }

    fn problem(&mut self, key: &str, text: &str) {
        self.problems.push(self.line(key, text));
    }

    fn warn(&mut self, key: &str, text: &str) {
        self.warnings.push(self.line(key, text));
    }

    fn web_config(&mut self, mut root: Section) -> WebConfig {
        let tls = self
            .section(&mut root, "tls_server_config")
            .and_then(|section| self.tls(section));
        let headers = self
            .section(&mut root, "http_server_config")
            .map(|section| self.http(section));
        let users = self
            .section(&mut root, "basic_auth_users")
            .map(|section| self.users(section));
        let rate_limit = self
            .section(&mut root, "rate_limit")
            .and_then(|section| self.rate_limit(section));
        self.finish(root);
        WebConfig {
            tls,
            headers: headers.unwrap_or_default(),
            users: users.unwrap_or_default(),
            rate_limit,
            warnings: Vec::new(),
        }
    }

    fn http(&mut self, mut section: Section) -> Vec<(HeaderName, HeaderValue)> {
        // HTTP/2 is on in the schema by default; that it is not offered changes nothing for scrapers.
        self.boolean(&mut section, "http2");
        let headers = self
            .section(&mut section, "headers")
            .map(|section| self.headers(section));
        self.finish(section);
        headers.unwrap_or_default()
    }

    fn headers(&mut self, mut section: Section) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, allowed) in HEADERS {
            let path = format!("{}{name}", section.path);
            let Some(value) = self.string(&mut section, name).filter(|value| !value.is_empty()) else {
                continue;
            };
            if !allowed.is_empty() && !allowed.contains(&value.as_str()) {
                self.problem(
                    &path,
                    &format!("{value:?} is not possible; give {}", allowed.join(" or ")),
                );
                continue;
            }
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => headers.push((name, value)),
                _ => self.problem(&path, "a header's value must be one line of visible characters"),
            }
        }
        self.finish(section);
        headers
    }

    fn users(&mut self, section: Section) -> BTreeMap<String, SecretString> {
        let mut users = BTreeMap::new();
        for (user, value) in section.keys {
            let path = format!("{}{user}", section.path);
            // Neither the value nor the parser's message may be shown: it could be a plain password.
            let hash = match value.kind {
                ValueKind::String(hash) if hash.parse::<bcrypt::HashParts>().is_ok() => hash,
                _ => {
                    self.problem(
                        &path,
                        "this is no bcrypt hash; make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'",
                    );
                    continue;
                }
            };
            if user.is_empty() || user.contains(':') {
                self.problem(&path, "a user name must not be empty or contain a colon");
            }
            users.insert(user, hash.into());
        }
        users
    }

    fn rate_limit(&mut self, mut section: Section) -> Option<RateLimit> {
        let interval = section
            .take("interval")
            .map_or(Duration::ZERO, |(path, value)| match value {
                ValueKind::I64(0) => Duration::ZERO,
                ValueKind::String(text) if text == "0" => Duration::ZERO,
                ValueKind::String(text) => humantime::parse_duration(&text).unwrap_or_else(|_| {
                    self.problem(
                        &path,
                        &format!("{text:?} is no duration; write for example 1s or 500ms"),
                    );
                    Duration::ZERO
                }),
                _ => {
                    self.problem(
                        &path,
                        "a duration needs a unit; write for example 1s or 500ms, or 0 to switch it off",
                    );
                    Duration::ZERO
                }
            });
        let burst_path = format!("{}burst", section.path);
        let burst = section.take("burst").map_or(Some(0), |(_, value)| match value {
            ValueKind::I64(burst) => u32::try_from(burst).ok(),
            _ => None,
        });
        self.finish(section);
        match burst {
            None => self.problem(&burst_path, "this is no number of requests; write for example 20"),
            Some(0) if !interval.is_zero() => {
                self.problem(
                    &burst_path,
                    "0 would refuse every request; write at least 1, or set interval to 0",
                );
            }
            Some(burst) if !interval.is_zero() => return Some(RateLimit { interval, burst }),
            Some(_) => {}
        }
        None
    }

    /// `None` means plain HTTP, as in the toolkit when none of the keys that make TLS is given.
    fn tls(&mut self, mut section: Section) -> Option<TlsSettings> {
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
        if !versions.tls12 && !versions.tls13 {
            self.problem(
                &format!("{root}max_version"),
                "no version is left; TLS12 and TLS13 are offered",
            );
        }
        if curves.as_ref().is_some_and(Vec::is_empty) {
            self.problem(
                &format!("{root}curve_preferences"),
                "no curve is left; X25519, CurveP256 and CurveP384 are offered",
            );
        }
        if suites.as_ref().is_some_and(Vec::is_empty) && !versions.tls13 {
            self.problem(
                &format!("{root}cipher_suites"),
                "no suite is left for TLS 1.2; add one of the AES-GCM or CHACHA20 suites, or allow TLS13",
            );
        }
        let client_auth = client_auth.unwrap_or_default();
        if client_ca.is_some() && client_auth == ClientAuth::None {
            self.problem(
                &format!("{root}client_ca_file"),
                "clients are not asked for a certificate; set client_auth_type: RequireAndVerifyClientCert",
            );
        }
        if client_ca.is_none() && client_auth.verifies() {
            self.warn(
                &format!("{root}client_auth_type"),
                "without client_ca_file no client certificate is trusted",
            );
        }
        if allowed_sans.is_some() && client_auth == ClientAuth::None {
            self.problem(
                &format!("{root}client_allowed_sans"),
                "clients are not asked for a certificate; set client_auth_type: RequireAndVerifyClientCert",
            );
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
        Some(TlsSettings {
            certificate: certificate?,
            key: key?,
            client_ca,
            client_auth,
            allowed_sans,
            versions,
            suites,
            server_order,
            curves,
        })
    }

    /// A PEM text, given in place or as a file; an empty string counts as absent.
    fn pem(&mut self, section: &mut Section, inline_key: &str, file_key: &str) -> Option<Pem> {
        let inline = self.string(section, inline_key).filter(|text| !text.is_empty());
        let file = self.string(section, file_key).filter(|path| !path.is_empty());
        match (inline, file) {
            (Some(_), Some(_)) => {
                let path = format!("{}{inline_key}", section.path);
                self.problem(&path, &format!("give this or {file_key}, not both"));
                None
            }
            (Some(text), None) => Some(Pem::Inline {
                key: format!("{}{inline_key}", section.path),
                text: text.into(),
            }),
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

    /// The value of a name; a problem if it is none of those known.
    fn known<T: Copy>(&mut self, path: &str, name: Option<&str>, table: &[(&str, T)]) -> Option<T> {
        let name = name?;
        let found = table
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, value)| value);
        if found.is_none() {
            let known: Vec<&str> = table.iter().map(|&(known, _)| known).collect();
            self.problem(
                path,
                &format!("{name:?} is unknown; give one of {}", known.join(", ")),
            );
        }
        found
    }

    /// The values of names in their order; a warning for those that exist but are not offered.
    fn supported<T: Copy>(
        &mut self,
        path: &str,
        names: Option<&[String]>,
        table: &[(&str, Option<T>)],
    ) -> Option<Vec<T>> {
        let mut values = Vec::new();
        for name in names.filter(|names| !names.is_empty())? {
            match self.known(path, Some(name), table) {
                Some(Some(value)) => values.push(value),
                Some(None) => self.warn(path, &format!("{name} is not offered and left out")),
                // A problem has been noted; the list counts as not empty so as not to add another.
                None => return None,
            }
        }
        Some(values)
    }

    fn section(&mut self, parent: &mut Section, key: &str) -> Option<Section> {
        let (path, value) = parent.take(key)?;
        if let ValueKind::Table(keys) = value {
            return Some(Section::new(&path, keys));
        }
        self.problem(&path, "this must be a mapping with keys of its own");
        None
    }

    fn boolean(&mut self, section: &mut Section, key: &str) -> Option<bool> {
        let (path, value) = section.take(key)?;
        if let ValueKind::Boolean(value) = value {
            return Some(value);
        }
        self.problem(&path, "this must be true or false");
        None
    }

    /// A text; a number is taken as it is written (`X-XSS-Protection: 1`).
    fn string(&mut self, section: &mut Section, key: &str) -> Option<String> {
        let (path, value) = section.take(key)?;
        match value {
            ValueKind::String(text) => Some(text),
            ValueKind::I64(number) => Some(number.to_string()),
            _ => {
                self.problem(&path, "this must be a text; put it in quotes");
                None
            }
        }
    }

    fn strings(&mut self, section: &mut Section, key: &str) -> Option<Vec<String>> {
        let (path, value) = section.take(key)?;
        let texts = match value {
            ValueKind::Array(items) => items.into_iter().map(|item| item.into_string().ok()).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.problem(&path, "this must be a list of texts");
        }
        texts
    }

    fn finish(&mut self, section: Section) {
        let mut left: Vec<String> = section.keys.into_keys().collect();
        left.sort();
        for key in left {
            let path = format!("{}{key}", section.path);
            self.problem(
                &path,
                "unknown key; check its spelling against the exporter-toolkit's web configuration format",
            );
        }
    }
}
