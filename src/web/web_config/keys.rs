//! The table of every key of the web configuration, for what is said of a key that is none.

use crate::config::{Key, KeyTable, key};

/// Where each key stands. Below `basic_auth_users` any name is one.
pub(super) const WEB_KEYS: KeyTable = KeyTable {
    keys: &KEYS,
    synonyms: &[],
};

const KEYS: [Key; 22] = [
    key("tls_server_config.cert"),
    key("tls_server_config.cert_file"),
    key("tls_server_config.key"),
    key("tls_server_config.key_file"),
    key("tls_server_config.client_ca"),
    key("tls_server_config.client_ca_file"),
    key("tls_server_config.client_auth_type"),
    key("tls_server_config.client_allowed_sans"),
    key("tls_server_config.min_version"),
    key("tls_server_config.max_version"),
    key("tls_server_config.cipher_suites"),
    key("tls_server_config.prefer_server_cipher_suites"),
    key("tls_server_config.curve_preferences"),
    key("http_server_config.http2"),
    key("http_server_config.headers.Content-Security-Policy"),
    key("http_server_config.headers.Strict-Transport-Security"),
    key("http_server_config.headers.X-Content-Type-Options"),
    key("http_server_config.headers.X-Frame-Options"),
    key("http_server_config.headers.X-XSS-Protection"),
    key("basic_auth_users"),
    key("rate_limit.interval"),
    key("rate_limit.burst"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_what_was_meant_or_where_they_belong_or_what_there_is() {
        for (section, unknown, told) in [
            ("", "rate_limits", "did you mean rate_limit?"),
            ("", "basic_auth_user", "did you mean basic_auth_users?"),
            ("tls_server_config", "cert_filse", "did you mean cert_file?"),
            (
                "http_server_config.headers",
                "x_frame_options",
                "did you mean X-Frame-Options?",
            ),
            (
                "",
                "cert_file",
                "it belongs under tls_server_config: check the indentation",
            ),
            (
                "http_server_config",
                "X-Frame-Options",
                "it belongs under http_server_config.headers: check the indentation",
            ),
            (
                "tls_server_config",
                "basic_auth_users",
                "it belongs at the start of a line: check the indentation",
            ),
            (
                "",
                "rate_limit.burst",
                "write it as a section: burst: on a line of its own, indented, below rate_limit:",
            ),
            (
                "rate_limit",
                "colour",
                "remove it, or write one of interval, burst",
            ),
            (
                "",
                "colour",
                "remove it, or write one of tls_server_config, http_server_config, basic_auth_users, rate_limit",
            ),
        ] {
            let meant = WEB_KEYS.meant(section, unknown);
            let remedy = meant.unwrap_or_else(|| WEB_KEYS.choice(section));
            assert_eq!(remedy, told, "{section}: {unknown}");
        }
    }
}
