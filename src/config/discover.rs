//! Which of the domains that the provider lists an account reads.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use super::accounts::endpoints;
use super::parse::{Given, quote, raw_text};
use super::walk::{Node, Walk};
use crate::model::{Endpoint, ListedDomain};

/// The memory that one pattern may take once compiled; an ordinary one takes a few kilobytes.
const MOST_PATTERN_BYTES: usize = 1 << 20;

/// `domains.discover` of an account: a filter of what the provider lists. An empty one takes everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discover {
    /// A name that none of them matches is left out, if there are any.
    pub include: Vec<Pattern>,
    /// A name that one of them matches is left out.
    pub exclude: Vec<Pattern>,
    /// Domains of other types are left out, if there are any; the provider's own words.
    pub types: Vec<String>,
    /// Where the domains are read: at least one, each once.
    pub endpoints: Vec<Endpoint>,
}

impl Discover {
    /// Whether the account reads a domain that the provider lists.
    #[must_use]
    pub fn selects(&self, listed: &ListedDomain) -> bool {
        let name = listed.name.as_str();
        let matches = |pattern: &Pattern| pattern.0.is_match(name);
        (self.include.is_empty() || self.include.iter().any(matches))
            && !self.exclude.iter().any(matches)
            && (self.types.is_empty() || self.types.contains(&listed.kind))
    }

    /// How many of the listed domains each part of the filter is about, for whoever wonders why none is
    /// selected: `of 20 domains that the provider lists 0 match include, 3 match exclude`.
    #[must_use]
    pub fn tally(&self, listed: &[ListedDomain]) -> String {
        let matching = |patterns: &[Pattern]| {
            let any = |domain: &&ListedDomain| {
                let name = domain.name.as_str();
                patterns.iter().any(|pattern| pattern.0.is_match(name))
            };
            listed.iter().filter(any).count()
        };
        let mut parts = Vec::new();
        if !self.include.is_empty() {
            parts.push(format!("{} match include", matching(&self.include)));
        }
        if !self.exclude.is_empty() {
            parts.push(format!("{} match exclude", matching(&self.exclude)));
        }
        if !self.types.is_empty() {
            let of_types = listed.iter().filter(|domain| self.types.contains(&domain.kind));
            parts.push(format!("{} are of types", of_types.count()));
        }
        format!(
            "of {} domains that the provider lists {}",
            listed.len(),
            parts.join(", ")
        )
    }
}

/// What it selects, in words: `every domain`, or what the filter says.
impl fmt::Display for Discover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |patterns: &[Pattern]| {
            let all: Vec<String> = patterns
                .iter()
                .map(|pattern| format!("{:?}", pattern.as_str()))
                .collect();
            all.join(" or ")
        };
        f.write_str("every domain")?;
        if !self.types.is_empty() {
            let types: Vec<String> = self.types.iter().map(|word| format!("{word:?}")).collect();
            write!(f, " of type {}", types.join(" or "))?;
        }
        if !self.include.is_empty() {
            write!(f, " that matches {}", quoted(&self.include))?;
        }
        if !self.exclude.is_empty() {
            write!(f, " but not {}", quoted(&self.exclude))?;
        }
        Ok(())
    }
}

/// A regular expression, which matches anywhere in a name unless it is anchored, in either letter case.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

/// The filter; `None` once a problem is noted.
pub(super) fn discover(walk: &mut Walk<'_>, node: &Node<'_>) -> Option<Discover> {
    if !walk.section(
        node,
        "write include, exclude, types or endpoints below it, or nothing for every domain",
    ) {
        return None;
    }
    let include = some(walk, node, "include", PATTERN_REMEDY, pattern);
    let exclude = some(walk, node, "exclude", PATTERN_REMEDY, pattern);
    let types = some(
        walk,
        node,
        "types",
        "list the provider's own words, or leave the key out",
        word,
    );
    let endpoints = endpoints(walk, node);
    Some(Discover {
        include: include?,
        exclude: exclude?,
        types: types?,
        endpoints: endpoints?,
    })
}

const PATTERN_REMEDY: &str = "list regular expressions, or leave the key out";

/// The items of a list that may be absent.
fn some<T>(
    walk: &mut Walk<'_>,
    node: &Node<'_>,
    key: &str,
    remedy: &str,
    parse: impl Fn(Given<'_>) -> Result<T, String>,
) -> Option<Vec<T>> {
    if !node.child(key).is_present() {
        return Some(Vec::new());
    }
    let items = walk.list(node, key, remedy)?;
    let items: Vec<Option<T>> = items.iter().map(|item| walk.item(item, &parse)).collect();
    items.into_iter().collect()
}

fn pattern(given: Given<'_>) -> Result<Pattern, String> {
    let text = raw_text(given)?;
    RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(MOST_PATTERN_BYTES)
        .build()
        .map(Pattern)
        .map_err(|error| match text.strip_prefix("*.") {
            // A shell's pattern is the likeliest slip of all.
            Some(rest) => format!(
                "is {}, no regular expression: {error}; for every name below {rest} write '[.]{}$'",
                quote(text),
                rest.replace('.', "[.]")
            ),
            None => format!("is {}, no regular expression: {error}; correct it", quote(text)),
        })
}

/// One of the provider's words; blanks around it mean nothing.
fn word(given: Given<'_>) -> Result<String, String> {
    match raw_text(given)?.trim() {
        "" => Err("is blank; write one of the provider's words for a type".to_owned()),
        word => Ok(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};
    use crate::model::Domain;

    fn filter(lines: &str) -> Discover {
        let text =
            format!("accounts: [{{username: u, secret_key: made-up, domains: {{discover: {{{lines}}}}}}}]\n");
        let config = parse(&text, "test", &Environment::default()).unwrap();
        config.accounts[0].discover.clone().unwrap()
    }

    fn selected(lines: &str) -> Vec<&'static str> {
        let filter = filter(lines);
        [
            ("www.a.com", "下载"),
            ("img.a.com", "图片"),
            ("www.a.com.cn", "下载"),
            ("test-www.b.com", "点播"),
            ("b.com", ""),
        ]
        .into_iter()
        .filter(|(name, kind)| {
            filter.selects(&ListedDomain {
                name: Domain::parse(name).unwrap(),
                kind: (*kind).to_owned(),
            })
        })
        .map(|(name, _)| name)
        .collect()
    }

    #[test]
    fn what_is_selected() {
        for (lines, names) in [
            (
                "",
                vec![
                    "www.a.com",
                    "img.a.com",
                    "www.a.com.cn",
                    "test-www.b.com",
                    "b.com",
                ],
            ),
            // Anywhere in the name unless anchored.
            (
                "include: ['a[.]com']",
                vec!["www.a.com", "img.a.com", "www.a.com.cn"],
            ),
            ("include: ['a[.]com$']", vec!["www.a.com", "img.a.com"]),
            ("include: ['^WWW[.]']", vec!["www.a.com", "www.a.com.cn"]),
            (
                "include: ['^www', '^b']",
                vec!["www.a.com", "www.a.com.cn", "b.com"],
            ),
            (
                "exclude: ['^test-', 'cn$']",
                vec!["www.a.com", "img.a.com", "b.com"],
            ),
            ("include: [www], exclude: [www]", vec![]),
            ("types: [下载]", vec!["www.a.com", "www.a.com.cn"]),
            ("types: [' 下载 ', 点播], include: [b]", vec!["test-www.b.com"]),
            // Compared as a whole, exactly.
            ("types: [下]", vec![]),
            ("types: [下载 ]", vec!["www.a.com", "www.a.com.cn"]),
        ] {
            assert_eq!(selected(lines), names, "{lines}");
        }
    }

    #[test]
    fn each_part_of_the_filter_is_counted_by_itself() {
        let listed: Vec<ListedDomain> = [
            ("www.a.com", "下载"),
            ("img.a.com", "图片"),
            ("test.b.com", "下载"),
        ]
        .into_iter()
        .map(|(name, kind)| ListedDomain {
            name: Domain::parse(name).unwrap(),
            kind: kind.to_owned(),
        })
        .collect();
        for (lines, told) in [
            (
                "include: [nowhere]",
                "of 3 domains that the provider lists 0 match include",
            ),
            (
                "include: [www, img], exclude: ['a[.]com$', test], types: [点播]",
                "of 3 domains that the provider lists 2 match include, 3 match exclude, 0 are of types",
            ),
            (
                "types: [下载]",
                "of 3 domains that the provider lists 2 are of types",
            ),
        ] {
            assert_eq!(filter(lines).tally(&listed), told, "{lines}");
        }
    }

    #[test]
    fn it_is_told_in_words() {
        for (lines, words) in [
            ("", "every domain"),
            (
                "include: ['a$', b], exclude: [c], types: [下载]",
                r#"every domain of type "下载" that matches "a$" or "b" but not "c""#,
            ),
        ] {
            assert_eq!(filter(lines).to_string(), words);
        }
    }

    #[test]
    fn endpoints_are_both_unless_chosen() {
        assert_eq!(filter("").endpoints, Endpoint::ALL);
        assert_eq!(
            filter("endpoints: [origin_ratio]").endpoints,
            [Endpoint::OriginRatio]
        );
    }
}
