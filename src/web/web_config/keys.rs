//! The table of every key of the web configuration, for what is said of a key that is none.

use crate::config::nearest;

/// Where each key stands. Below `basic_auth_users` any name is one.
pub(super) const KEYS: [&str; 22] = [
    "tls_server_config.cert",
    "tls_server_config.cert_file",
    "tls_server_config.key",
    "tls_server_config.key_file",
    "tls_server_config.client_ca",
    "tls_server_config.client_ca_file",
    "tls_server_config.client_auth_type",
    "tls_server_config.client_allowed_sans",
    "tls_server_config.min_version",
    "tls_server_config.max_version",
    "tls_server_config.cipher_suites",
    "tls_server_config.prefer_server_cipher_suites",
    "tls_server_config.curve_preferences",
    "http_server_config.http2",
    "http_server_config.headers.Content-Security-Policy",
    "http_server_config.headers.Strict-Transport-Security",
    "http_server_config.headers.X-Content-Type-Options",
    "http_server_config.headers.X-Frame-Options",
    "http_server_config.headers.X-XSS-Protection",
    "basic_auth_users",
    "rate_limit.interval",
    "rate_limit.burst",
];

/// The keys of a section, whose path ends with a dot unless it is the root, in the order of the table.
fn children(section: &str) -> Vec<&'static str> {
    let mut children: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.strip_prefix(section)?.split('.').next())
        .collect();
    children.dedup();
    children
}

/// Whether a word is a key anywhere.
pub(super) fn is_key(word: &str) -> bool {
    KEYS.iter().any(|key| key.split('.').any(|part| part == word))
}

/// What to do about a key that a section, whose path ends with a dot unless it is the root, does not have.
pub(super) fn remedy(section: &str, unknown: &str) -> String {
    let known = children(section);
    if let Some(meant) = nearest(unknown, known.iter().copied()) {
        return format!("did you mean {meant}?");
    }
    let home = KEYS.iter().find_map(|key| {
        let (home, last) = key.rsplit_once('.')?;
        (last == unknown).then_some(home)
    });
    if let Some(home) = home {
        return format!("it belongs under {home}: check the indentation");
    }
    if children("").contains(&unknown) {
        return "it belongs at the start of a line: check the indentation".to_owned();
    }
    format!("remove it, or write one of {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_what_was_meant_or_where_they_belong_or_what_there_is() {
        for (section, unknown, told) in [
            ("", "rate_limits", "did you mean rate_limit?"),
            ("", "basic_auth_user", "did you mean basic_auth_users?"),
            ("tls_server_config.", "cert_filse", "did you mean cert_file?"),
            (
                "http_server_config.headers.",
                "x_frame_options",
                "did you mean X-Frame-Options?",
            ),
            (
                "",
                "cert_file",
                "it belongs under tls_server_config: check the indentation",
            ),
            (
                "http_server_config.",
                "X-Frame-Options",
                "it belongs under http_server_config.headers: check the indentation",
            ),
            (
                "tls_server_config.",
                "basic_auth_users",
                "it belongs at the start of a line: check the indentation",
            ),
            (
                "rate_limit.",
                "colour",
                "remove it, or write one of interval, burst",
            ),
            (
                "",
                "colour",
                "remove it, or write one of tls_server_config, http_server_config, basic_auth_users, rate_limit",
            ),
        ] {
            assert_eq!(remedy(section, unknown), told, "{section}{unknown}");
        }
    }
}
