//! The table of every setting: the walker, the environment, the suggestions and the sample's test
//! read this one list.

use std::collections::BTreeSet;

/// One setting that holds a value of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Where it stands, with `[]` for any item of a list.
    pub(super) pattern: &'static str,
    /// Its value when it is absent, written as in the file; `None` where absence means something else.
    pub(super) default: Option<&'static str>,
}

const fn key(pattern: &'static str) -> Key {
    Key {
        pattern,
        default: None,
    }
}

const fn with_default(pattern: &'static str, default: &'static str) -> Key {
    Key {
        pattern,
        default: Some(default),
    }
}

/// Every setting, in the order of the sample.
pub(super) const KEYS: [Key; 32] = [
    with_default("api.base_url", "https://opencdn.jcloud.com"),
    with_default("api.timeout", "10s"),
    with_default("api.max_concurrency", "8"),
    with_default("api.max_requests_per_second", "10"),
    with_default("api.max_reply_bytes", "32MiB"),
    with_default("api.time_zone", "+08:00"),
    with_default("api.allow_plain_http", "false"),
    with_default("poll.interval", "60s"),
    with_default("poll.window", "1h"),
    with_default("poll.settle", "10m"),
    with_default("poll.stale_after", "40m"),
    key("shards[]"),
    key("accounts[].username"),
    key("accounts[].name"),
    key("accounts[].secret_key_file"),
    key("accounts[].secret_key_env"),
    key("accounts[].secret_key"),
    with_default("accounts[].units", "decimal"),
    with_default("accounts[].origin_ratio_label", "end"),
    with_default("accounts[].bandwidth_flow_batch", "1"),
    with_default("accounts[].origin_ratio_batch", "20"),
    with_default("accounts[].max_domains", "2000"),
    key("accounts[].domains[]"),
    key("accounts[].domains[].name"),
    key("accounts[].domains[].endpoints[]"),
    key("accounts[].domains.discover.include[]"),
    key("accounts[].domains.discover.exclude[]"),
    key("accounts[].domains.discover.types[]"),
    key("accounts[].domains.discover.endpoints[]"),
    key("accounts[].domains.list[]"),
    key("accounts[].domains.list[].name"),
    key("accounts[].domains.list[].endpoints[]"),
];

/// A path with its list positions blotted out: `accounts[3].name` is `accounts[].name`.
pub(super) fn pattern_of(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        inside = inside && c != ']';
        if !inside {
            pattern.push(c);
        }
        inside = inside || c == '[';
    }
    pattern
}

/// The value of an absent setting, as text.
pub(super) fn default_of(path: &str) -> Option<&'static str> {
    let pattern = pattern_of(path);
    KEYS.iter()
        .find(|key| key.pattern == pattern)
        .and_then(|key| key.default)
}

/// The keys that a section may hold, in the order of the table; the root is the empty path.
pub(super) fn children(path: &str) -> Vec<&'static str> {
    let pattern = pattern_of(path);
    let mut seen = BTreeSet::new();
    KEYS.iter()
        .filter_map(|key| {
            let rest = if pattern.is_empty() {
                key.pattern
            } else {
                key.pattern.strip_prefix(&pattern)?.strip_prefix('.')?
            };
            rest.split(['.', '[']).next()
        })
        .filter(|child| seen.insert(*child))
        .collect()
}

/// Whether a word is a key anywhere in the configuration.
pub(super) fn is_key(word: &str) -> bool {
    let mut parts = KEYS.iter().flat_map(|key| key.pattern.split('.'));
    parts.any(|part| part.trim_end_matches("[]") == word)
}

/// The section that a key belongs to, where exactly that name is known elsewhere.
pub(super) fn home_of(name: &str) -> Option<&'static str> {
    KEYS.iter().find_map(|key| {
        let (section, last) = key.pattern.trim_end_matches("[]").rsplit_once('.')?;
        (last == name).then_some(section)
    })
}

/// The candidate that was most likely meant: at most a third of its letters differ.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let given = plain(given);
    candidates
        .into_iter()
        .map(|candidate| {
            let wanted = plain(candidate);
            (strsim::damerau_levenshtein(&given, &wanted), candidate)
        })
        .filter(|(distance, candidate)| distance * 3 <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Words that other programs and the provider's documents use, and ours for the same thing.
const SYNONYMS: [(&str, &str); 11] = [
    ("user", "username"),
    ("pin", "username"),
    ("password", "secret_key"),
    ("secret", "secret_key"),
    ("key", "secret_key"),
    ("url", "base_url"),
    ("host", "name"),
    ("domain", "name"),
    ("endpoint", "base_url"),
    ("type", "types"),
    ("regex", "include"),
];

/// The candidate that means the same as a word of another program.
pub(super) fn synonym(given: &str, candidates: &[&'static str]) -> Option<&'static str> {
    let given = given.to_ascii_lowercase();
    SYNONYMS
        .into_iter()
        .find_map(|(word, ours)| (word == given && candidates.contains(&ours)).then_some(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_know_their_keys() {
        assert_eq!(children(""), ["api", "poll", "shards", "accounts"]);
        assert_eq!(children("poll"), ["interval", "window", "settle", "stale_after"]);
        assert_eq!(children("accounts[0].domains[12]"), ["name", "endpoints"]);
        assert_eq!(children("accounts[0].domains"), ["discover", "list"]);
        assert_eq!(children("accounts[0].domains.list[1]"), ["name", "endpoints"]);
        assert_eq!(
            children("accounts[0].domains.discover"),
            ["include", "exclude", "types", "endpoints"]
        );
        assert_eq!(home_of("include"), Some("accounts[].domains.discover"));
        assert_eq!(home_of("interval"), Some("poll"));
        assert_eq!(home_of("endpoints"), Some("accounts[].domains[]"));
        assert_eq!(home_of("nothing"), None);
    }

    #[test]
    fn words_of_other_programs_are_understood_where_they_fit() {
        for (given, section, meant) in [
            ("user", "accounts[0]", Some("username")),
            ("Password", "accounts[0]", Some("secret_key")),
            ("host", "accounts[0].domains[1]", Some("name")),
            ("url", "api", Some("base_url")),
            ("password", "api", None),
        ] {
            assert_eq!(synonym(given, &children(section)), meant, "{given}");
        }
    }

    #[test]
    fn near_misses_are_suggested_and_strangers_are_not() {
        for (given, meant) in [
            ("timout", Some("timeout")),
            ("Time-Zone", Some("time_zone")),
            ("base-url", Some("base_url")),
            ("url", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(given, children("api")), meant, "{given}");
        }
    }
}
