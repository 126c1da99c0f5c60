//! Takes a parsed YAML mapping apart key by key and notes every problem with file and key path.

use std::path::Path;

use config::{Map, Value, ValueKind};

use super::keys::WEB_KEYS;
use crate::config::nearest;

/// A mapping whose keys are taken out one by one, so that those left over are the unknown ones.
pub(super) struct Section {
    /// With a trailing dot unless it is the root.
    pub(super) path: String,
    pub(super) keys: Map<String, Value>,
}

impl Section {
    pub(super) fn new(path: &str, keys: Map<String, Value>) -> Self {
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("{path}.")
        };
        Self { path, keys }
    }

    /// A key's path and its value, unless it is absent or empty.
    pub(super) fn take(&mut self, key: &str) -> Option<(String, ValueKind)> {
        let value = self.keys.remove(key)?.kind;
        (!matches!(value, ValueKind::Nil)).then(|| (format!("{}{key}", self.path), value))
    }
}

pub(super) struct Reader<'a> {
    pub(super) file: &'a Path,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Reader<'_> {
    fn line(&self, key: &str, text: &str) -> String {
        let file = self.file.display();
        let line = if key.is_empty() {
            format!("{file}: {text}")
        } else {
            format!("{file}: {key}: {text}")
        };
        // A key or a value may hold line breaks, and nothing in a file may write a line of the log.
        let mut escaped = String::with_capacity(line.len());
        for character in line.chars() {
            if character.is_control() {
                escaped.extend(character.escape_default());
            } else {
                escaped.push(character);
            }
        }
        escaped
    }

    pub(super) fn problem(&mut self, key: &str, text: &str) {
        self.problems.push(self.line(key, text));
    }

    pub(super) fn warn(&mut self, key: &str, text: &str) {
        self.warnings.push(self.line(key, text));
    }

    /// The value of a name; a problem if it is none of those known.
    pub(super) fn known<T: Copy>(
        &mut self,
        path: &str,
        name: Option<&str>,
        table: &[(&str, T)],
    ) -> Option<T> {
        let name = name?;
        let found = table
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, value)| value);
        if found.is_none() {
            let known: Vec<&str> = table.iter().map(|&(known, _)| known).collect();
            let remedy = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("give one of {}", known.join(", ")),
            };
            self.problem(path, &format!("{name:?} is unknown; {remedy}"));
        }
        found
    }

    /// The values of names in their order; a warning for those that exist but are not offered.
    pub(super) fn supported<T: Copy>(
        &mut self,
        path: &str,
        names: Option<&[String]>,
        table: &[(&str, Option<T>)],
    ) -> Option<Vec<T>> {
        let mut values = Vec::new();
        for name in names.filter(|names| !names.is_empty())? {
            match table.iter().find(|(known, _)| known == name) {
                Some(&(_, Some(value))) => values.push(value),
                Some((_, None)) => self.warn(path, &format!("{name} is not offered and left out")),
                None => {
                    let offered = table
                        .iter()
                        .filter(|(_, value)| value.is_some())
                        .map(|&(known, _)| known);
                    let offered: Vec<&str> = offered.collect();
                    let remedy = match nearest(name, offered.iter().copied()) {
                        Some(meant) => format!("did you mean {meant}?"),
                        None => format!("choose from {}", offered.join(", ")),
                    };
                    self.problem(path, &format!("{name:?} is unknown; {remedy}"));
                    // Not the empty list, which would be one more problem.
                    return None;
                }
            }
        }
        Some(values)
    }

    pub(super) fn section(&mut self, parent: &mut Section, key: &str) -> Option<Section> {
        let (path, value) = parent.take(key)?;
        if let ValueKind::Table(keys) = value {
            return Some(Section::new(&path, keys));
        }
        self.problem(&path, "this must be a mapping with keys of its own");
        None
    }

    pub(super) fn boolean(&mut self, section: &mut Section, key: &str) -> Option<bool> {
        let (path, value) = section.take(key)?;
        if let ValueKind::Boolean(value) = value {
            return Some(value);
        }
        self.problem(&path, "this must be true or false");
        None
    }

    /// A text; a number is taken as it is written (`X-XSS-Protection: 1`).
    pub(super) fn string(&mut self, section: &mut Section, key: &str) -> Option<String> {
        let (path, value) = section.take(key)?;
        match value {
            ValueKind::String(text) => Some(text),
            ValueKind::I64(number) => Some(number.to_string()),
            _ => {
                self.problem(&path, "this must be a text; put it in quotes");
                None
            }
        }
    }

    pub(super) fn strings(&mut self, section: &mut Section, key: &str) -> Option<Vec<String>> {
        let (path, value) = section.take(key)?;
        let texts = match value {
            ValueKind::Array(items) => items.into_iter().map(|item| item.into_string().ok()).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.problem(&path, "this must be a list of texts");
        }
        texts
    }

    pub(super) fn finish(&mut self, section: Section) {
        let mut left: Vec<String> = section.keys.into_keys().collect();
        left.sort();
        for key in left {
            let path = format!("{}{key}", section.path);
            let place = section.path.trim_end_matches('.');
            let meant = WEB_KEYS.meant(place, &key);
            let remedy = meant.unwrap_or_else(|| WEB_KEYS.choice(place));
            self.problem(&path, &format!("is an unknown key; {remedy}"));
        }
    }
}
