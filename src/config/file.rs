//! From a path to the tree of its YAML, with the environment laid over it.

use std::path::Path;

use config::{ConfigError, Map, Value, ValueKind};

use super::environment::{Environment, Override};
use super::keys::SETTINGS;
use super::problems::{Problem, Problems};
use super::text::{Unreadable, text_of};
use super::yaml::{Dialect, is_blank, mapping};

/// The largest configuration file that is read: some hundred thousand domains.
const MAX_FILE_MEBIBYTES: u64 = 16;

/// The words for what is wrong with a text that is none of ours.
const DIALECT: Dialect = Dialect {
    keys: &SETTINGS,
    no_mapping: "is not a mapping; it needs the key accounts: at the start of a line",
    unclear: "cannot be understood; compare it with the sample config/exporter.yaml",
};

/// Lays the environment over the text of a file. Values from the environment carry the variable's
/// name as their origin, values from the file carry none.
pub(super) fn tree(text: &str, place: &str, environment: &Environment) -> Result<Tree, Problems> {
    if is_blank(text) {
        return Err(Problem::whole(place, "is empty; list at least one account under accounts:").into());
    }
    let file = mapping(text, place, &DIALECT)?;
    let mut problems = Vec::new();
    let overrides = environment.overrides(&file, &mut problems);
    let nothing = || Value::new(None, ValueKind::Nil);
    let sections: Map<String, Value> = file.keys().map(|key| (key.clone(), nothing())).collect();
    let merged =
        overlay(file, &overrides).map_err(|_| Problems::from(Problem::whole(place, DIALECT.unclear)))?;
    Ok(Tree {
        sections: Value::from(sections),
        merged,
        problems,
    })
}

/// A configuration that could be read, and the variables that could not be applied to it. It has no
/// `Debug`: it holds secrets.
pub(super) struct Tree {
    /// The root keys of the file, without what is below them: of a hundred thousand domains one tree is
    /// enough.
    pub(super) sections: Value,
    /// The file's known sections under the overrides of the environment.
    pub(super) merged: Value,
    /// What is wrong with the variables.
    pub(super) problems: Vec<Problem>,
}

/// Lays the overrides over the known sections of the file. An unknown root key stays out: the crate
/// would take `api.timeout` or `accounts[9999999]` for a path and follow it.
fn overlay(mut file: Map<String, Value>, overrides: &[Override]) -> Result<Value, ConfigError> {
    let mut builder = config::Config::builder();
    for section in SETTINGS.children("") {
        if let Some(value) = file.remove(section) {
            builder = builder.set_default(section, value)?;
        }
    }
    for setting in overrides {
        let value = Value::new(Some(&setting.variable), setting.value.clone());
        builder = builder.set_override(setting.path(), value)?;
    }
    Ok(builder.build()?.cache)
}

/// The text of a configuration file.
pub(super) fn read(path: &Path, place: &str) -> Result<String, Problem> {
    text_of(path, MAX_FILE_MEBIBYTES, Some("--config.file")).map_err(|unreadable| match unreadable {
        Unreadable::Missing => Problem::whole(
            place,
            "does not exist; name the file with --config.file, or begin with the sample that --config.example prints",
        ),
        Unreadable::NotUtf8 { line } => Problem::at(
            place,
            format!("line {line}"),
            "is not UTF-8; save the file as UTF-8",
        ),
        Unreadable::Other(words) => Problem::whole(place, words),
    })
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
