//! Slips of the pen that make a file no YAML, told by their own line: the parser complains lines later.

use super::key_table::KeyTable;
use crate::model::Domain;

/// What a line shows that the parser's complaint does not: its number, from 1, and what to write.
pub(super) fn slips(text: &str, keys: &KeyTable) -> Vec<(usize, String)> {
    let before = std::iter::once("").chain(text.lines());
    text.lines()
        .zip(before)
        .enumerate()
        .filter_map(|(index, (line, before))| {
            let slip = slip(line, keys).or_else(|| item_without_hyphen(line, before));
            Some((index + 1, slip?))
        })
        .collect()
}

/// A host name alone on a line, where a list has begun.
fn item_without_hyphen(line: &str, before: &str) -> Option<String> {
    let begun = before.trim_end().ends_with(':') || before.trim_start().starts_with("- ");
    let is_name = line.contains('.') && Domain::parse(line.trim()).is_ok();
    (begun && is_name).then(|| "is neither a key nor an item of a list; write \"- \" before it".to_owned())
}

/// Quotes no value, which may be a secret.
fn slip(line: &str, keys: &KeyTable) -> Option<String> {
    let mut content = line.trim();
    while let Some(rest) = content.strip_prefix("- ") {
        content = rest.trim_start();
    }
    let (after_hyphen, content) = match content.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, content),
    };
    let (key, rest) = content.split_once([':', '：'])?;
    let key = key.trim_end();
    if !keys.is_key(key) {
        return None;
    }
    if after_hyphen {
        Some(format!("has no blank after the hyphen; write \"- {key}: …\""))
    } else if content
        .get(key.len()..)
        .is_some_and(|rest| rest.trim_start().starts_with('：'))
    {
        Some(format!(
            "has a full-width colon; write \"{key}: …\" with an ordinary one"
        ))
    } else if rest.starts_with('\t') && !rest.trim().is_empty() {
        Some(format!(
            "has a tab after the colon; write \"{key}: …\" with an ordinary blank"
        ))
    } else if rest.starts_with(|c: char| !c.is_whitespace()) {
        Some(format!("has no blank after the colon; write \"{key}: …\""))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::SETTINGS;

    #[test]
    fn slips_are_found_and_good_lines_are_not() {
        for (line, told) in [
            (
                "  - username:u",
                Some("has no blank after the colon; write \"username: …\""),
            ),
            (
                "  -username: u",
                Some("has no blank after the hyphen; write \"- username: …\""),
            ),
            (
                "accounts：",
                Some("has a full-width colon; write \"accounts: …\" with an ordinary one"),
            ),
            (
                "timeout ： 5s",
                Some("has a full-width colon; write \"timeout: …\" with an ordinary one"),
            ),
            (
                "timeout:\t5s",
                Some("has a tab after the colon; write \"timeout: …\" with an ordinary blank"),
            ),
            ("accounts:\t", None),
            ("  - username: u", None),
            ("accounts:", None),
            ("  # username:u", None),
            ("  https://www.a.com", None),
            ("", None),
        ] {
            assert_eq!(slip(line, &SETTINGS).as_deref(), told, "{line}");
        }
    }

    #[test]
    fn a_host_name_alone_is_an_item_without_its_hyphen() {
        let lines = |text| {
            slips(text, &SETTINGS)
                .into_iter()
                .map(|(line, _)| line)
                .collect::<Vec<_>>()
        };
        assert_eq!(lines("domains:\n  www.a.com\n"), [2]);
        assert_eq!(lines("domains:\n  - www.a.com\n  www.b.com\n"), [3]);
        assert!(lines("domains: [\n  www.a.com\n]\n").is_empty());
        assert!(lines("domains:\n  - www.a.com\n  - www.b.com\n").is_empty());
    }
}
