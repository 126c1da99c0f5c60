//! Slips of the pen that make a file no YAML, told by their own line: the parser complains lines later.

use super::keys::KEYS;

/// What a line shows that the parser's complaint does not: its number, from 1, and what to write.
pub(super) fn slips(text: &str) -> Vec<(usize, String)> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, slip(line)?)))
        .collect()
}

/// Quotes no value, which may be a secret.
fn slip(line: &str) -> Option<String> {
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
    if !is_key(key) {
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
    } else if rest.starts_with(|c: char| !c.is_whitespace()) {
        Some(format!("has no blank after the colon; write \"{key}: …\""))
    } else {
        None
    }
}

/// Whether a word is a key anywhere in the configuration.
fn is_key(word: &str) -> bool {
    let mut parts = KEYS.iter().flat_map(|key| key.pattern.split('.'));
    parts.any(|part| part.trim_end_matches("[]") == word)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("  - username: u", None),
            ("accounts:", None),
            ("  # username:u", None),
            ("  https://www.a.com", None),
            ("", None),
        ] {
            assert_eq!(slip(line).as_deref(), told, "{line}");
        }
    }
}
