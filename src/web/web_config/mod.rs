//! PURE: the web configuration file (`--web.config.file`), in the schema that Prometheus'
//! exporter-toolkit documents: from text to validated settings, or every problem at once.

mod keys;
mod reader;
mod tls_section;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use config::ValueKind;
use hyper::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

use self::keys::WEB_KEYS;
use self::reader::{Reader, Section};
use super::tls::TlsSettings;
use crate::config::{Dialect, mapping};

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

/// The words for a file of another kind; nothing of it is quoted, as it may be a secret one.
const DIALECT: Dialect = Dialect {
    keys: &WEB_KEYS,
    no_mapping: "is not a mapping; write the sections of the exporter-toolkit's web configuration, for example \
                 basic_auth_users: at the start of a line",
    unclear: "cannot be understood; compare it with the exporter-toolkit's web configuration",
};

impl WebConfig {
    /// Reads the text of a file. Files named in it are relative to the file's folder; they are not
    /// opened here.
    ///
    /// # Errors
    /// Every problem, each with the file and the key's path.
    pub fn parse(file: &Path, text: &str) -> Result<Self, WebConfigError> {
        let place = file.display().to_string();
        let root = mapping(text, &place, &DIALECT).map_err(|problems| WebConfigError {
            problems: problems.iter().map(ToString::to_string).collect(),
        })?;
        let mut reader = Reader {
            file,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let mut config = reader.web_config(Section::new("", root));
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

impl Reader<'_> {
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::{CipherSuite, NamedGroup};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::web::tls::{ClientAuth, Versions};

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    fn parse(text: &str) -> Result<WebConfig, Vec<String>> {
        WebConfig::parse(Path::new("/etc/web.yml"), text).map_err(|error| error.problems)
    }

    /// With certificate and key, and these lines below them.
    fn tls(lines: &str) -> Result<WebConfig, Vec<String>> {
        parse(&format!(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{lines}"
        ))
    }

    #[test]
    fn a_key_with_line_breaks_makes_one_line() {
        assert_eq!(
            parse("\"one\\ntwo\": 3\n").unwrap_err().concat().lines().count(),
            1
        );
        let problems = parse("http_server_config:\n  headers: {\"a\\r\\nb\": c}\n").unwrap_err();
        assert!(
            problems.iter().all(|problem| !problem.contains(char::is_control)),
            "{problems:?}"
        );
    }

    #[test]
    fn an_empty_file_is_plain_http_for_everybody() {
        for text in [
            "",
            "# nothing\n",
            "tls_server_config:\n",
            "tls_server_config: {}\nhttp_server_config: {http2: false}\n",
        ] {
            let config = parse(text).unwrap();
            assert!(
                config.tls.is_none() && config.users.is_empty() && config.headers.is_empty(),
                "{text}"
            );
            assert_eq!(config.rate_limit, None);
        }
    }

    #[test]
    fn takes_every_documented_key() {
        let config = parse(&format!(
            "tls_server_config:\n  cert_file: certs/server.crt\n  key_file: /keys/server.key\n  client_ca_file: ca.pem\n  \
             client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [scraper.example, 192.0.2.7]\n  \
             min_version: TLS12\n  max_version: TLS13\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n  \
             prefer_server_cipher_suites: false\n  curve_preferences: [CurveP384, X25519, CurveP521]\n\
             http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: 1\n    \
             X-Content-Type-Options: nosniff\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    \
             Content-Security-Policy: \"default-src 'self'\"\n\
             basic_auth_users:\n  Alice.B: {HASH}\n  alice.b: {HASH}\n  42: {HASH}\n\
             rate_limit:\n  interval: \"1s\"\n  burst: 20\n"
        ))
        .unwrap();
        let tls = config.tls.as_ref().unwrap();
        let files: Vec<&Path> = config.files().collect();
        assert_eq!(
            files,
            [
                Path::new("/etc/certs/server.crt"),
                Path::new("/keys/server.key"),
                Path::new("/etc/ca.pem")
            ]
        );
        assert_eq!(tls.client_auth, ClientAuth::RequireAndVerify);
        assert_eq!(
            tls.allowed_sans.as_deref().unwrap(),
            ["scraper.example", "192.0.2.7"]
        );
        assert_eq!(
            tls.versions,
            Versions {
                tls12: true,
                tls13: true
            }
        );
        assert_eq!(
            tls.suites.as_deref().unwrap(),
            [CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]
        );
        assert_eq!(
            tls.curves.as_deref().unwrap(),
            [NamedGroup::secp384r1, NamedGroup::X25519]
        );
        assert!(!tls.server_order);
        assert_eq!(config.headers.len(), 5);
        let users: Vec<&str> = config.users.keys().map(String::as_str).collect();
        assert_eq!(users, ["42", "Alice.B", "alice.b"], "user names keep their case");
        assert_eq!(config.users["alice.b"].expose_secret(), HASH);
        assert_eq!(
            config.rate_limit,
            Some(RateLimit {
                interval: Duration::from_secs(1),
                burst: 20
            })
        );
        assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    }

    #[test]
    fn versions() {
        for (lines, tls12, tls13, warnings) in [
            ("", true, true, 0),
            ("  min_version: TLS10\n", true, true, 1),
            ("  min_version: TLS13\n", false, true, 0),
            ("  max_version: TLS12\n", true, false, 0),
            ("  min_version: TLS11\n  max_version: TLS12\n", true, false, 1),
        ] {
            let config = tls(lines).unwrap();
            assert_eq!(config.tls.unwrap().versions, Versions { tls12, tls13 }, "{lines}");
            assert_eq!(config.warnings.len(), warnings, "{lines}");
        }
    }

    /// That a text is refused in these words among others, all of which name the file and quote no secret.
    fn assert_told(text: &str, expected: &str) {
        let problems = parse(text).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{text}: {problems:?}"
        );
        assert!(
            problems
                .iter()
                .all(|problem| problem.starts_with("/etc/web.yml: ")),
            "{problems:?}"
        );
        assert!(
            !problems.iter().any(|problem| problem.contains("hunter2")),
            "a value was shown: {problems:?}"
        );
    }

    #[test]
    fn problems_name_file_key_and_remedy() {
        for (text, expected) in [
            (
                "tls_server_config:\n  cert_filse: a\n",
                "/etc/web.yml: tls_server_config.cert_filse: is an unknown key; did you mean cert_file?",
            ),
            (
                "tls: {}\n",
                "/etc/web.yml: tls: is an unknown key; remove it, or write one of tls_server_config, http_server_config, ",
            ),
            (
                "TLS_server_config: {}\n",
                "TLS_server_config: is an unknown key; did you mean tls_server_config?",
            ),
            (
                "http_server_config:\n  X-Frame-Options: deny\n",
                "X-Frame-Options: is an unknown key; it belongs under http_server_config.headers: check the indentation",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: \"\"\n",
                "tls_server_config.key_file: the private key is missing",
            ),
            (
                "tls_server_config:\n  cert: \"\"\n  key_file: a\n",
                "tls_server_config.cert_file: the certificate is missing",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  cert: b\n  key_file: c\n",
                "give this or cert_file, not both",
            ),
            (
                "tls_server_config: 7\n",
                "tls_server_config: this must be a mapping",
            ),
            (
                "tls_server_config:\n  client_auth_type: x\n",
                "client_auth_type: \"x\" is unknown; give one of NoClientCert",
            ),
        ] {
            assert_told(text, expected);
        }
    }

    #[test]
    fn problems_of_headers_users_and_limits_too() {
        for (text, expected) in [
            (
                "http_server_config:\n  http2: perhaps\n",
                "http_server_config.http2: this must be true or false",
            ),
            (
                "http_server_config:\n  headers:\n    Content-Type: foo\n",
                "headers.Content-Type: is an unknown key; remove it, or write one of Content-Security-Policy, ",
            ),
            (
                "http_server_config:\n  headers:\n    x-frame-options: deny\n",
                "headers.x-frame-options: is an unknown key; did you mean X-Frame-Options?",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: foo\n",
                "give deny or sameorigin",
            ),
            (
                "http_server_config:\n  headers:\n    X-Content-Type-Options: sniff\n",
                "give nosniff",
            ),
            (
                "http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\nb\"\n",
                "one line of visible",
            ),
            (
                "basic_auth_users:\n  john: hunter2\n",
                "basic_auth_users.john: this is no bcrypt hash",
            ),
            (
                "basic_auth_users:\n  john: 12\n",
                "basic_auth_users.john: this is no bcrypt hash",
            ),
            (
                "rate_limit:\n  interval: 5\n  burst: 1\n",
                "rate_limit.interval: a duration needs a unit",
            ),
            (
                "rate_limit:\n  interval: soon\n",
                "rate_limit.interval: \"soon\" is no duration",
            ),
            (
                "rate_limit:\n  interval: 1s\n",
                "rate_limit.burst: 0 would refuse every request",
            ),
            (
                "rate_limit:\n  interval: 1s\n  burst: -1\n",
                "rate_limit.burst: this is no number",
            ),
            (
                "tls_server_config:\n  client_auth_type: RequireAnyClientCerts\n",
                "client_auth_type: \"RequireAnyClientCerts\" is unknown; did you mean RequireAnyClientCert?",
            ),
            (
                "hunter2\nhunter2\n",
                "/etc/web.yml: is not a mapping; write the sections",
            ),
            (
                "- hunter2\n",
                "/etc/web.yml: is not a mapping; write the sections",
            ),
            (
                "a: [hunter2\n",
                "/etc/web.yml: line 2: ends a list in brackets that is not closed",
            ),
            (
                "basic_auth_users:\n\talice: hunter2\n",
                "/etc/web.yml: line 2: is indented with a tab; use blanks, two for each level",
            ),
            (
                "tls_server_config:\n  cert_file:a.pem\n  key_file: hunter2\n",
                "/etc/web.yml: line 2: has no blank after the colon; write \"cert_file: …\"",
            ),
            (
                "rate_limit:\n  burst: 1\n  burst: 2\n",
                "/etc/web.yml: line 3: gives burst a second time in one section; remove one",
            ),
            (
                "basic_auth_users:\n  hunter2: a\n  hunter2: b\n",
                "/etc/web.yml: line 3: gives a key a second time in one section; remove one",
            ),
            (
                "basic_auth_users:\n  alice: \"hunter2\n",
                "ends a text in quotation marks that is not closed",
            ),
            (
                "basic_auth_users:\n  alice: @hunter2\n",
                "put a value that starts with such a character in quotes",
            ),
        ] {
            assert_told(text, expected);
        }
    }

    #[test]
    fn tls_settings_that_cannot_work_are_refused() {
        for (lines, expected) in [
            (
                "  client_ca_file: /dev/null\n",
                "client_ca_file: clients are not asked",
            ),
            (
                "  client_allowed_sans: [a]\n",
                "client_allowed_sans: clients are not asked",
            ),
            (
                "  client_allowed_sans: a\n",
                "client_allowed_sans: this must be a list",
            ),
            ("  min_version: TLS111\n", "min_version: \"TLS111\" is unknown"),
            ("  max_version: TLS11\n", "max_version: no version is left"),
            (
                "  min_version: TLS13\n  max_version: TLS12\n",
                "max_version: no version is left",
            ),
            (
                "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]\n",
                "is unknown",
            ),
            (
                "  max_version: TLS12\n  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n",
                "cipher_suites: no suite is left",
            ),
            (
                "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
                "cipher_suites: no suite is left",
            ),
            ("  curve_preferences: [CurveP257]\n", "is unknown"),
            (
                "  curve_preferences: [CurveP521]\n",
                "curve_preferences: no curve is left",
            ),
        ] {
            let problems = tls(lines).unwrap_err();
            assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
            assert!(problems[0].contains(expected), "{lines}: {problems:?}");
        }
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        let problems =
            parse("x: 1\nhttp_server_config:\n  y: 2\n  http2: 3\nbasic_auth_users:\n  john: doe\n")
                .unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = parse(&format!(
            "tls_server_config:\n  cert_file: a\n  key: PRIVATE\nbasic_auth_users:\n  alice: {HASH}\n"
        ))
        .unwrap();
        let debug = format!("{config:?}");
        assert!(
            !debug.contains("PRIVATE") && !debug.contains("X0h1gDs"),
            "{debug}"
        );
    }

    proptest! {
        #[test]
        fn any_text_has_an_outcome(text in "([a-z_]{1,9}: ?[ -~]{0,9}\n|  ?[ -~]{0,12}\n|tls_server_config:\n|  cert_file: [ -~]{0,5}\n){0,8}") {
            if let Err(problems) = parse(&text) {
                prop_assert!(problems.iter().all(|problem| problem.starts_with("/etc/web.yml: ")));
            }
        }
    }
}
