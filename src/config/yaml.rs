//! PURE: from the text of any of our files to the mapping that it holds, or to what is wrong with its YAML, in our words
//! and by line.

use config::{FileFormat, Format, Map, Value};

use super::key_table::KeyTable;
use super::problems::{Problem, Problems};
use super::slips::slips;

/// What tells one kind of file from another.
pub(crate) struct Dialect {
    /// Its keys; no other word of it is quoted.
    pub(crate) keys: &'static KeyTable,
    /// Where it is a list or a text.
    pub(crate) no_mapping: &'static str,
    /// Where the parser gives no line.
    pub(crate) unclear: &'static str,
}

/// Whether a text holds nothing but comments and marks of documents.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...")
}

/// The mapping that a text holds; an empty one for an empty text.
pub(crate) fn mapping(text: &str, place: &str, dialect: &Dialect) -> Result<Map<String, Value>, Problems> {
    if is_blank(text) {
        return Ok(Map::new());
    }
    check_indentation(text, place)?;
    FileFormat::Yaml
        .parse(None, text)
        .map_err(|error| not_yaml(&error.to_string(), text, place, dialect))
}

/// How far a line may be indented, hyphens of nested lists included. The parser follows the levels by
/// recursion, and a configuration needs six of them.
const MAX_INDENTATION: usize = 200;

/// YAML forbids tabs as indentation; its parser's words for it differ from place to place.
fn check_indentation(text: &str, place: &str) -> Result<(), Problems> {
    let problems: Vec<Problem> = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let content = line.trim_start();
            let indentation = line.strip_suffix(content).unwrap_or_default();
            let nested = line.trim_start_matches([' ', '\t', '-', '?']);
            let text = if content.is_empty() || content.starts_with('#') {
                return None;
            } else if indentation.contains('\t') {
                "is indented with a tab; use blanks, two for each level"
            } else if !indentation.is_ascii() {
                "is indented with blanks of another kind, as a Chinese keyboard or a web page has them; use \
                 ordinary ones, two for each level"
            } else if line.len() - nested.len() > MAX_INDENTATION {
                "is indented by more than 200 columns; use two blanks for each level"
            } else {
                return None;
            };
            Some(Problem::at(place, format!("line {}", index + 1), text))
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.into())
    }
}

/// The lines that explain a complaint of the parser, or else the complaint.
fn not_yaml(cause: &str, text: &str, place: &str, dialect: &Dialect) -> Problems {
    let mut slips = slips(text, dialect.keys);
    slips.extend(odd_numbers(text));
    let slips: Vec<Problem> = slips
        .into_iter()
        .map(|(line, text)| Problem::at(place, format!("line {line}"), text))
        .collect();
    if slips.is_empty() {
        explain(cause, place, dialect).into()
    } else {
        slips.into()
    }
}

/// Values such as `.inf`, which the parser refuses without saying where they are.
fn odd_numbers(text: &str) -> impl Iterator<Item = (usize, String)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let value = line
            .rsplit([' ', '\t'])
            .next()?
            .trim_start_matches(['+', '-'])
            .to_ascii_lowercase();
        let odd = matches!(value.as_str(), ".inf" | ".nan");
        odd.then(|| {
            (
                index + 1,
                "holds .inf or .nan; write an ordinary number".to_owned(),
            )
        })
    })
}

/// The parser's complaint in our words, with its line. Its own text is passed on only where it is
/// one of the scanner's fixed sentences: elsewhere it may quote the file, and so a secret.
fn explain(cause: &str, place: &str, dialect: &Dialect) -> Problem {
    if let Some((what, line)) = scanner_complaint(cause) {
        let line = format!("line {line}");
        return match what.strip_suffix(": duplicated key in mapping") {
            Some(key) => Problem::at(
                place,
                line,
                format!(
                    "gives {} a second time in one section; remove one",
                    quoted_part(key)
                        .filter(|key| dialect.keys.is_key(key))
                        .unwrap_or("a key")
                ),
            ),
            None if cause.contains("quoted scalar") => Problem::at(
                place,
                line,
                "ends a text in quotation marks that is not closed; write the closing mark, here or on a line above",
            ),
            None if what.contains("expected ',' or") => Problem::at(
                place,
                line,
                "ends a list in brackets that is not closed; write the closing bracket, here or on a line above",
            ),
            None if what.contains("unexpected character") => Problem::at(
                place,
                line,
                format!("is no valid YAML ({what}); put a value that starts with such a character in quotes"),
            ),
            None => Problem::at(
                place,
                line,
                format!(
                    "is no valid YAML ({what}); compare its indentation with the lines above, two blanks for \
                     each level, and write a blank after every colon and hyphen"
                ),
            ),
        };
    }
    let text = if cause.contains("YAML documents") {
        "holds several YAML documents; remove the lines --- between them"
    } else if cause.contains("floating point") {
        "holds a number such as .inf or .nan; write an ordinary number"
    } else if cause.contains("hash key") {
        "uses a list or a mapping as a key; write plain words before the colons"
    } else if cause.contains("expected a map") {
        dialect.no_mapping
    } else {
        dialect.unclear
    };
    Problem::whole(place, text)
}

/// Splits `WHAT at byte 12 line 3 column 4`.
fn scanner_complaint(cause: &str) -> Option<(&str, usize)> {
    let (what, position) = cause.rsplit_once(" at byte ")?;
    let (_, rest) = position.split_once(" line ")?;
    let (line, _) = rest.split_once(" column ")?;
    // "while parsing a block mapping, did not find …": only the second half means something here.
    let what = match what.split_once(", ") {
        Some((context, complaint)) if context.starts_with("while ") => complaint,
        _ => what,
    };
    Some((what, line.parse().ok()?))
}

/// `String("timeout")` without its wrapping.
fn quoted_part(key: &str) -> Option<&str> {
    key.strip_prefix("String(\"")
        .and_then(|rest| rest.strip_suffix("\")"))
}
