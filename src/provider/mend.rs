//! Makes JSON of a reply that is almost JSON.

use serde_json::value::RawValue;

/// The text with every bare word that is no JSON (`NaN`, `-`, `None`, `Infinity`, `+5`) put in
/// quotes, so that it spoils its own field and nothing else; `None` if there is no such word.
pub(super) fn with_bare_words_quoted(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 64);
    let mut quoted_any = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => end_of_string(rest),
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ if first.is_ascii_whitespace() => 1,
            _ => rest
                .find(|c: char| {
                    matches!(c, '{' | '}' | '[' | ']' | ':' | ',' | '"') || c.is_ascii_whitespace()
                })
                .unwrap_or(rest.len()),
        };
        let (token, tail) = rest.split_at(end);
        let bare = !token.starts_with(['"', '{', '}', '[', ']', ':', ',']) && !token.trim_ascii().is_empty();
        if bare && serde_json::from_str::<&RawValue>(token).is_err() && !token.contains('\\') {
            quoted_any = true;
            out.extend(["\"", token, "\""]);
        } else {
            out.push_str(token);
        }
        rest = tail;
    }
    quoted_any.then_some(out)
}

/// The length of the string that `text` starts with, its quotes included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    text.bytes()
        .enumerate()
        .skip(1)
        .find(|(_, byte)| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        })
        .map_or(text.len(), |(place, _)| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_are_quoted_outside_strings_only() {
        for (text, quoted) in [
            (
                r#"{"a":NaN,"b NaN \" NaN":-Infinity , "c":[-]}"#,
                Some(r#"{"a":"NaN","b NaN \" NaN":"-Infinity" , "c":["-"]}"#),
            ),
            (r#"{"a":1e5,"b":null,"c":true,"d":-1.5}"#, None),
        ] {
            assert_eq!(with_bare_words_quoted(text).as_deref(), quoted);
        }
    }
}
