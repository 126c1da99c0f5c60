//! From a path to the tree of its YAML, with the environment laid over it.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use config::{ConfigError, FileFormat, Map, Source, Value, ValueKind};

use super::environment::{Environment, Override};
use super::keys::children;
use super::problems::{Problem, Problems};
use super::slips::slips;

/// The largest configuration file that is read: some hundred thousand domains.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Lays the environment over the text of a file. Values from the environment carry the variable's
/// name as their origin, values from the file carry none.
pub(super) fn tree(text: &str, place: &str, environment: &Environment) -> Result<Tree, Problems> {
    check_indentation(text, place)?;
    if is_blank(text) {
        return Err(Problem::whole(place, "is empty; list at least one account under accounts:").into());
    }
    let file = config::File::from_str(text, FileFormat::Yaml)
        .collect()
        .map_err(|error| not_yaml(&error, text, place))?;
    let mut problems = Vec::new();
    let overrides = environment.overrides(&file, &mut problems);
    let merged = overlay(&file, &overrides).map_err(|error| Problems::from(explain(&error, place)))?;
    Ok(Tree {
        file: Value::from(file),
        merged,
        problems,
    })
}

/// A configuration that could be read, and the variables that could not be applied to it. It has no
/// `Debug`: it holds secrets.
pub(super) struct Tree {
    /// The file alone.
    pub(super) file: Value,
    /// The file's known sections under the overrides of the environment.
    pub(super) merged: Value,
    /// What is wrong with the variables.
    pub(super) problems: Vec<Problem>,
}

/// Lays the overrides over the known sections of the file. An unknown root key stays out: the crate
/// would take `api.timeout` or `accounts[9999999]` for a path and follow it.
fn overlay(file: &Map<String, Value>, overrides: &[Override]) -> Result<Value, ConfigError> {
    let mut builder = config::Config::builder();
    for section in children("") {
        if let Some(value) = file.get(section) {
            builder = builder.set_default(section, value.clone())?;
        }
    }
    for setting in overrides {
        let value = Value::new(Some(&setting.variable), setting.value.clone());
        builder = builder.set_override(setting.path(), value)?;
    }
    Ok(builder.build()?.cache)
}

/// The text of a configuration file, up to 16 MiB of UTF-8.
pub(super) fn read(path: &Path, place: &str) -> Result<String, Problem> {
    let refuse = |error: io::Error| {
        let text = match error.kind() {
            io::ErrorKind::NotFound => "does not exist; name the file with --config.file, or begin with the \
                                        sample that --config.example prints"
                .to_owned(),
            io::ErrorKind::PermissionDenied => {
                "may not be read; give the exporter's user the right to read it".to_owned()
            }
            io::ErrorKind::IsADirectory => "is a directory; name a file in it with --config.file".to_owned(),
            _ => format!("cannot be read ({error}); name another file with --config.file"),
        };
        Problem::whole(place, text)
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(refuse)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(Problem::whole(
            place,
            "is larger than 16 MiB; name the right file with --config.file",
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            Err(Problem::at(
                place,
                format!("line {line}"),
                "is not UTF-8; save the file as UTF-8",
            ))
        }
    }
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

fn is_blank(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...")
}

/// The lines that explain a complaint of the parser, or else the complaint.
fn not_yaml(error: &ConfigError, text: &str, place: &str) -> Problems {
    let mut slips = slips(text);
    slips.extend(odd_numbers(text));
    let slips: Vec<Problem> = slips
        .into_iter()
        .map(|(line, text)| Problem::at(place, format!("line {line}"), text))
        .collect();
    if slips.is_empty() {
        explain(error, place).into()
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
fn explain(error: &ConfigError, place: &str) -> Problem {
    let cause: &dyn Error = match error {
        ConfigError::FileParse { cause, .. } => cause.as_ref(),
        other => other,
    };
    let cause = cause.to_string();
    if let Some((what, line)) = scanner_complaint(&cause) {
        let line = format!("line {line}");
        return match what.strip_suffix(": duplicated key in mapping") {
            Some(key) => Problem::at(
                place,
                line,
                format!(
                    "gives {} a second time in one section; remove one",
                    quoted_part(key)
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
        "is not a mapping; it needs the key accounts: at the start of a line"
    } else {
        "cannot be understood; compare it with the sample config/exporter.yaml"
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

/// `String("timeout")` without its wrapping; anything else is called "a key".
fn quoted_part(key: &str) -> &str {
    key.strip_prefix("String(\"")
        .and_then(|rest| rest.strip_suffix("\")"))
        .unwrap_or("a key")
}

/// The word for what a value is.
pub(super) const fn kind_of(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "empty",
        ValueKind::Boolean(_) => "a boolean",
        ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_) => "a number",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a mapping",
        ValueKind::Array(_) => "a list",
    }
}
