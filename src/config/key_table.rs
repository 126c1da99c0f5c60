//! What one table of keys tells of a kind of file: what each section holds, and what to do about a key that it does not.

use std::collections::BTreeSet;

/// One setting that holds a value of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Where it stands, with `[]` for any item of a list.
    pub(super) pattern: &'static str,
    /// Its value when it is absent, written as in the file; `None` where absence means something else.
    pub(super) default: Option<&'static str>,
}

/// A setting without a default.
pub(crate) const fn key(pattern: &'static str) -> Key {
    Key {
        pattern,
        default: None,
    }
}

/// A setting with its default.
pub(super) const fn with_default(pattern: &'static str, default: &'static str) -> Key {
    Key {
        pattern,
        default: Some(default),
    }
}

/// Every key of a kind of file.
pub(crate) struct KeyTable {
    /// In the order in which they are told.
    pub(crate) keys: &'static [Key],
    /// Words that other programs and the provider's documents use, and ours for the same thing.
    pub(crate) synonyms: &'static [(&'static str, &'static str)],
}

impl KeyTable {
    /// The value of an absent setting, as text.
    pub(super) fn default_of(&self, path: &str) -> Option<&'static str> {
        let pattern = pattern_of(path);
        self.keys
            .iter()
            .find(|key| key.pattern == pattern)
            .and_then(|key| key.default)
    }

    /// The keys that a section may hold, in the order of the table; the root is the empty path.
    pub(super) fn children(&self, path: &str) -> Vec<&'static str> {
        let pattern = pattern_of(path);
        let mut seen = BTreeSet::new();
        self.keys
            .iter()
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

    /// Whether a word is a key anywhere.
    pub(super) fn is_key(&self, word: &str) -> bool {
        let mut parts = self.keys.iter().flat_map(|key| key.pattern.split('.'));
        parts.any(|part| part.trim_end_matches("[]") == word)
    }

    /// What was meant by a key that a section does not have, or where it belongs, if that can be told.
    pub(crate) fn meant(&self, section: &str, unknown: &str) -> Option<String> {
        let known = self.children(section);
        if let Some(meant) = nearest(unknown, known.iter().copied()).or_else(|| self.synonym(unknown, &known))
        {
            return Some(format!("did you mean {meant}?"));
        }
        if let Some(home) = self.home_of(unknown) {
            return Some(format!("it belongs under {home}: check the indentation"));
        }
        if self.children("").contains(&unknown) {
            return Some("it belongs at the start of a line: check the indentation".to_owned());
        }
        let (section, rest) = unknown.split_once('.')?;
        known.contains(&section).then(|| {
            format!("write it as a section: {rest}: on a line of its own, indented, below {section}:")
        })
    }

    /// What is left to do about a key of which nobody knows what was meant.
    pub(crate) fn choice(&self, section: &str) -> String {
        format!("remove it, or write one of {}", self.children(section).join(", "))
    }

    /// The section that a key belongs to, where exactly that name is known elsewhere.
    fn home_of(&self, name: &str) -> Option<&'static str> {
        self.keys.iter().find_map(|key| {
            let (section, last) = key.pattern.trim_end_matches("[]").rsplit_once('.')?;
            (last == name).then_some(section)
        })
    }

    /// The candidate that means the same as a word of another program.
    fn synonym(&self, given: &str, candidates: &[&'static str]) -> Option<&'static str> {
        let given = given.to_ascii_lowercase();
        self.synonyms
            .iter()
            .find_map(|&(word, ours)| (word == given && candidates.contains(&ours)).then_some(ours))
    }
}

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

#[cfg(test)]
mod tests {
    use super::super::keys::SETTINGS;
    use super::*;

    #[test]
    fn sections_know_their_keys() {
        for (section, keys) in [
            ("", &["api", "poll", "shards", "accounts"][..]),
            ("poll", &["interval", "window", "settle", "stale_after"]),
            ("accounts[0].domains[12]", &["name", "endpoints"]),
            ("accounts[0].domains", &["discover", "list"]),
            ("accounts[0].domains.list[1]", &["name", "endpoints"]),
            (
                "accounts[0].domains.discover",
                &["include", "exclude", "types", "endpoints"],
            ),
        ] {
            assert_eq!(SETTINGS.children(section), keys, "{section}");
        }
    }

    #[test]
    fn strangers_are_told_what_was_meant_or_where_they_belong() {
        let belongs = |home: &str| Some(format!("it belongs under {home}: check the indentation"));
        for (section, unknown, told) in [
            ("poll", "include", belongs("accounts[].domains.discover")),
            ("accounts[0]", "interval", belongs("poll")),
            ("", "endpoints", belongs("accounts[].domains[]")),
            (
                "api",
                "poll",
                Some("it belongs at the start of a line: check the indentation".to_owned()),
            ),
            (
                "",
                "poll.interval",
                Some(
                    "write it as a section: interval: on a line of its own, indented, below poll:".to_owned(),
                ),
            ),
            ("", "nothing", None),
        ] {
            assert_eq!(SETTINGS.meant(section, unknown), told, "{section}.{unknown}");
        }
        assert_eq!(
            SETTINGS.choice("poll"),
            "remove it, or write one of interval, window, settle, stale_after"
        );
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
            let told = meant.map(|meant| format!("did you mean {meant}?"));
            assert_eq!(SETTINGS.meant(section, given), told, "{given}");
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
            assert_eq!(nearest(given, SETTINGS.children("api")), meant, "{given}");
        }
    }
}
