//! Where an account's secret key comes from. No message quotes any part of a key, nor a text that
//! may be a key written in the wrong place.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use secrecy::SecretString;

use super::environment::Environment;
use super::parse::raw_text;
use super::walk::{Node, Walk};

/// The largest secret that is read; the provider's keys have 32 characters.
const MAX_SECRET_BYTES: u64 = 4096;

/// The three ways to give the key.
const SOURCES: [&str; 3] = ["secret_key_file", "secret_key_env", "secret_key"];

/// The key of an account. A source that the environment gives takes the place of those in the file.
pub(super) fn secret_key(
    walk: &mut Walk<'_>,
    account: &Node<'_>,
    environment: &Environment,
) -> Option<SecretString> {
    let mut given: Vec<(&str, Node<'_>)> = SOURCES
        .into_iter()
        .map(|source| (source, account.child(source)))
        .filter(|(_, node)| node.is_present())
        .collect();
    if given.iter().any(|(_, node)| node.variable().is_some()) {
        given.retain(|(_, node)| node.variable().is_some());
    }
    let (source, node) = match given.as_slice() {
        [] => {
            let text = "has no secret key; write secret_key_file, secret_key_env or secret_key";
            walk.problem(account, text);
            return None;
        }
        [one] => one,
        several => {
            let names: Vec<&str> = several.iter().map(|(source, _)| *source).collect();
            walk.problem(
                account,
                format!("gives {}; keep one of them", names.join(" and ")),
            );
            return None;
        }
    };
    let written = walk.item(node, |given| raw_text(given).map(ToOwned::to_owned))?;
    let key = match *source {
        "secret_key_file" => from_file(&written),
        "secret_key_env" => from_variable(&written, environment),
        _ => literal(written),
    };
    match key.and_then(check) {
        Ok(key) => Some(key),
        Err(text) => {
            walk.problem(node, text);
            None
        }
    }
}

/// A key in the file itself, unless it clearly is something else.
fn literal(key: String) -> Result<String, String> {
    let variable = key.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let variable = variable.or_else(|| key.strip_prefix('$')).unwrap_or_default();
    let in_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !variable.is_empty() && variable.chars().all(in_a_name) {
        return Err(
            "looks like a variable, and variables are not replaced in this file; write its name, without $, \
             under secret_key_env: instead"
                .to_owned(),
        );
    }
    Ok(key)
}

fn from_file(path: &str) -> Result<String, String> {
    let shown = if may_be_shown(path) {
        path
    } else {
        "the named file"
    };
    let refuse = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound if path.starts_with("~/") => {
            format!("{shown} does not exist, since ~ is not replaced here; write the whole path")
        }
        io::ErrorKind::NotFound => {
            let from = if Path::new(path).is_absolute() {
                ""
            } else {
                " (relative to the working directory)"
            };
            format!("{shown} does not exist; write the key to it, or name another file{from}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{shown} may not be read; give the exporter's user the right to read it")
        }
        io::ErrorKind::IsADirectory => format!("{shown} is a directory; name a file in it"),
        kind => format!("{shown} cannot be read ({kind}); name another file"),
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes))
        .map_err(refuse)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_SECRET_BYTES) {
        return Err(format!(
            "{shown} is larger than {MAX_SECRET_BYTES} bytes; name the file that holds the key alone"
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{shown} holds no text; write the key to it as the provider gave it"))?;
    // Some editors begin a file with a byte order mark, and most end it with a line break, as echo does; nothing
    // else is taken away.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let key = text.trim_end_matches(['\n', '\r']);
    if SOURCES.iter().any(|source| names(key, source)) {
        return Err(format!(
            "{shown} holds a line of a configuration; write the key alone to it, without \"secret_key:\""
        ));
    }
    Ok(key.to_owned())
}

/// Whether a text is `name: …` or `name=…`.
fn names(text: &str, name: &str) -> bool {
    text.trim_start()
        .strip_prefix(name)
        .is_some_and(|rest| rest.trim_start().starts_with([':', '=']))
}

fn from_variable(name: &str, environment: &Environment) -> Result<String, String> {
    let shown = if may_be_shown(name) {
        format!("the variable {name}")
    } else {
        "the named variable".to_owned()
    };
    let value = environment
        .get(name)
        .ok_or_else(|| format!("{shown} is not set; set it to the key, or name another one"))?;
    value
        .to_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| format!("{shown} is not UTF-8; set it to the key"))
}

fn check(key: String) -> Result<SecretString, String> {
    if key.trim().is_empty() {
        return Err("gives an empty key; write the key that the provider's support issued".to_owned());
    }
    if key.trim() != key {
        return Err(
            "gives a key that starts or ends with white space or a line break; remove it \
                    (printf writes none, echo does)"
                .to_owned(),
        );
    }
    let quoted = |mark: char| key.len() > 1 && key.starts_with(mark) && key.ends_with(mark);
    if quoted('"') || quoted('\'') {
        return Err(
            "gives a key in quotation marks, which would be part of it; write the key alone (neither a key file \
             nor docker's --env-file takes them away)"
                .to_owned(),
        );
    }
    if key.contains(char::is_control) {
        return Err("gives a key of several lines or with control characters; give the key alone".to_owned());
    }
    Ok(key.into())
}

/// Whether a file's or variable's name can be told from a key pasted in its place.
fn may_be_shown(name: &str) -> bool {
    name.len() < 16 || name.contains(['/', '.', '_'])
}
