//! Walks the tree of a configuration and collects every problem on the way, rather than the first.

use config::{Value, ValueKind};

use super::file::kind_of;
use super::keys::SETTINGS;
use super::parse::Given;
use super::problems::Problem;

/// A place in the tree: a value, or the want of one.
#[derive(Clone)]
pub(super) struct Node<'a> {
    value: Option<&'a Value>,
    path: String,
}

impl<'a> Node<'a> {
    /// The whole configuration.
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            value: Some(value),
            path: String::new(),
        }
    }

    /// Where it stands: `accounts[0].name`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The value under a key, present or not.
    pub(super) fn child(&self, key: &str) -> Self {
        let value = match self.value.map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table.get(key),
            _ => None,
        };
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self { value, path }
    }

    /// Whether the key is written at all.
    pub(super) const fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// Whether the value is a mapping.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value.map(|value| &value.kind), Some(ValueKind::Table(_)))
    }

    /// The environment variable that the value came from.
    pub(super) fn variable(&self) -> Option<&'a str> {
        self.value.and_then(Value::origin)
    }
}

/// The problems so far, and the file that they are in.
pub(super) struct Walk<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    /// A walk through a file that may have problems already.
    pub(super) const fn new(file: &'a str, problems: Vec<Problem>) -> Self {
        Self { file, problems }
    }

    /// Every problem met.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Notes a problem: what is wrong, and the remedy.
    pub(super) fn problem(&mut self, node: &Node<'_>, text: impl Into<String>) {
        let place = node.variable().unwrap_or(self.file);
        self.problems.push(if node.path.is_empty() {
            Problem::whole(place, text)
        } else {
            Problem::at(place, node.path.clone(), text)
        });
    }

    /// Checks that a value is a mapping of known keys. An absent or empty one is a section in which
    /// everything keeps its default.
    pub(super) fn section(&mut self, node: &Node<'_>, remedy: &str) -> bool {
        let table = match node.value.map(|value| &value.kind) {
            None | Some(ValueKind::Nil) => return true,
            Some(ValueKind::Table(table)) => table,
            Some(other) => {
                self.problem(
                    node,
                    format!("is {} where a mapping is wanted; {remedy}", kind_of(other)),
                );
                return false;
            }
        };
        let known = SETTINGS.children(&node.path);
        let mut unknown: Vec<&String> = table
            .keys()
            .filter(|key| !known.contains(&key.as_str()))
            .collect();
        unknown.sort();
        for key in unknown {
            let remedy = if let Some(meant) = SETTINGS.meant(&node.path, key) {
                meant
            } else if key.contains('.') && known.contains(&"name") {
                format!("write \"name: {key}\", and endpoints: below it at the same indentation")
            } else if key.contains('.') && known.contains(&"discover") {
                format!("write it as an item of the list: \"- {key}\"")
            } else {
                SETTINGS.choice(&node.path)
            };
            self.problem(&node.child(key), format!("is an unknown key; {remedy}"));
        }
        true
    }

    /// One setting, or its default where it is absent; `None` once a problem is noted, or if it is
    /// absent and has no default.
    pub(super) fn setting<T>(
        &mut self,
        section: &Node<'_>,
        key: &str,
        parse: impl Fn(Given<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let node = section.child(key);
        if node.is_present() {
            return self.item(&node, parse);
        }
        let default = ValueKind::from(SETTINGS.default_of(&node.path)?);
        self.parsed(&node, Given::lenient(&default), parse)
    }

    /// As [`Walk::setting`], for one that must be there.
    pub(super) fn required<T>(
        &mut self,
        section: &Node<'_>,
        key: &str,
        remedy: &str,
        parse: impl Fn(Given<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let node = section.child(key);
        if !node.is_present() {
            self.problem(&node, format!("is missing; {remedy}"));
            return None;
        }
        self.item(&node, parse)
    }

    /// One value that is there, by itself.
    pub(super) fn item<T>(
        &mut self,
        node: &Node<'_>,
        parse: impl Fn(Given<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = node.value?;
        // A variable is always text; in the file, text is not taken for a number.
        let given = if node.variable().is_some() {
            Given::lenient(&value.kind)
        } else {
            Given::strict(&value.kind)
        };
        self.parsed(node, given, parse)
    }

    fn parsed<T>(
        &mut self,
        node: &Node<'_>,
        given: Given<'_>,
        parse: impl Fn(Given<'_>) -> Result<T, String>,
    ) -> Option<T> {
        parse(given).map_err(|text| self.problem(node, text)).ok()
    }

    /// The items of a list that must have one at least; `None` once a problem is noted.
    pub(super) fn list<'n>(&mut self, section: &Node<'n>, key: &str, remedy: &str) -> Option<Vec<Node<'n>>> {
        let node = section.child(key);
        let text = match node.value.map(|value| &value.kind) {
            None => format!("is missing; {remedy}"),
            Some(ValueKind::Array(items)) if !items.is_empty() => {
                let items = items.iter().enumerate();
                return Some(
                    items
                        .map(|(index, value)| Node {
                            value: Some(value),
                            path: format!("{}[{index}]", node.path),
                        })
                        .collect(),
                );
            }
            Some(ValueKind::Array(_) | ValueKind::Nil) => format!("is empty; {remedy}"),
            Some(other) => format!("is {} where a list is wanted; {remedy}", kind_of(other)),
        };
        self.problem(&node, text);
        None
    }
}
