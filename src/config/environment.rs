//! The process's environment: captured in one place, and read as settings that win over the file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use config::{Map, Value, ValueKind};

use super::keys::{KEYS, nearest, pattern_of};
use super::problems::Problem;

/// What every variable that is a setting begins with. The underscore is doubled because Kubernetes
/// injects variables of the form `JDCLOUD_CDN_EXPORTER_SERVICE_HOST`.
pub const PREFIX: &str = "JDCLOUD_CDN_EXPORTER__";

/// The variables that the process was started with. `Debug` shows none of the values, which may be secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn capture() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The settings among the variables, each with a path into the configuration. List positions
    /// must be in the file already or continue its list.
    pub(super) fn overrides(&self, file: &Map<String, Value>, problems: &mut Vec<Problem>) -> Vec<Override> {
        let mut found = Vec::new();
        for (name, value) in &self.0 {
            let name = name.to_string_lossy();
            if !name.to_ascii_uppercase().starts_with(PREFIX) {
                continue;
            }
            match Override::parse(&name, value) {
                Ok(setting) => found.push(setting),
                Err(problem) => problems.push(problem),
            }
        }
        found.sort_by(|a, b| a.steps.cmp(&b.steps));
        let mut accepted: Vec<Override> = Vec::new();
        for setting in found {
            match setting.check(file, &accepted) {
                Ok(()) => accepted.push(setting),
                Err(problem) => problems.push(problem),
            }
        }
        accepted
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One step into the tree. The order puts list positions in sequence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Key(String),
}

/// One setting that the environment gives. It has no `Debug`: the value may be a secret.
pub(super) struct Override {
    pub(super) variable: String,
    pub(super) value: String,
    steps: Vec<Step>,
}

impl Override {
    fn parse(variable: &str, value: &OsStr) -> Result<Self, Problem> {
        let steps: Vec<Step> = variable
            .get(PREFIX.len()..)
            .unwrap_or_default()
            .split("__")
            .map(|part| {
                part.parse()
                    .map_or_else(|_| Step::Key(part.to_ascii_lowercase()), Step::Index)
            })
            .collect();
        let pattern = pattern_of(&render(&steps));
        if !KEYS.iter().any(|key| key.pattern == pattern) {
            let remedy = match nearest(&pattern, KEYS.iter().map(|key| key.pattern)) {
                Some(meant) => format!("did you mean {}?", variable_for(meant)),
                None => format!("unset it, or write for example {PREFIX}API__TIMEOUT"),
            };
            return Err(Problem::whole(variable, format!("names no setting; {remedy}")));
        }
        let Some(value) = value.to_str() else {
            return Err(Problem::at(
                variable,
                render(&steps),
                "is not UTF-8; set it to plain text",
            ));
        };
        Ok(Self {
            variable: variable.to_owned(),
            value: value.to_owned(),
            steps,
        })
    }

    /// The path expression of the `config` crate: `accounts[0].secret_key`.
    pub(super) fn path(&self) -> String {
        render(&self.steps)
    }

    /// Whether it can stand beside the file's lists and the settings accepted before it.
    fn check(&self, file: &Map<String, Value>, accepted: &[Self]) -> Result<(), Problem> {
        let refuse = |text: String| Err(Problem::at(&self.variable, self.path(), text));
        // In sorted order a setting follows directly on the one that it contradicts.
        if let Some(other) = accepted.iter().find(|other| self.steps.starts_with(&other.steps)) {
            return refuse(format!("contradicts {}; unset one of them", other.variable));
        }
        for (depth, step) in self.steps.iter().enumerate() {
            let Step::Index(index @ 1..) = step else { continue };
            let mut before: Vec<Step> = self.steps.iter().take(depth).cloned().collect();
            before.push(Step::Index(index - 1));
            let given = accepted.iter().any(|other| other.steps.starts_with(&before));
            if !given && !exists(file, &before) {
                return refuse(format!(
                    "leaves a gap in the list: there is no {}; number the items from 0 without gaps",
                    render(&before)
                ));
            }
        }
        Ok(())
    }
}

fn exists(file: &Map<String, Value>, steps: &[Step]) -> bool {
    let Some((Step::Key(section), steps)) = steps.split_first() else {
        return false;
    };
    let found = steps
        .iter()
        .try_fold(file.get(section), |value, step| match (&value?.kind, step) {
            (ValueKind::Table(table), Step::Key(key)) => Some(table.get(key)),
            (ValueKind::Array(items), Step::Index(index)) => Some(items.get(*index)),
            _ => None,
        });
    found.flatten().is_some()
}

fn render(steps: &[Step]) -> String {
    let parts = steps.iter().enumerate().map(|(depth, step)| match step {
        Step::Index(index) => format!("[{index}]"),
        Step::Key(key) if depth == 0 => key.clone(),
        Step::Key(key) => format!(".{key}"),
    });
    parts.collect()
}

/// The variable for a pattern, with 0 for every list position.
fn variable_for(pattern: &str) -> String {
    let name = pattern.replace("[]", "__0").replace('.', "__");
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(variables: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let environment: Environment = variables.iter().copied().collect();
        let mut problems = Vec::new();
        let settings = environment.overrides(&Map::new(), &mut problems);
        (
            settings.iter().map(Override::path).collect(),
            problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn variables_become_paths_and_others_are_left_alone() {
        let (settings, problems) = paths(&[
            ("JDCLOUD_CDN_EXPORTER__API__TIMEOUT", "5s"),
            ("jdcloud_cdn_exporter__poll__settle", "5m"),
            ("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__SECRET_KEY", "x"),
            ("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__0", "a.com"),
            (
                "JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__1__ENDPOINTS__0",
                "origin_ratio",
            ),
            ("JDCLOUD_CDN_EXPORTER_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            settings,
            [
                "accounts[0].domains[0]",
                "accounts[0].domains[1].endpoints[0]",
                "accounts[0].secret_key",
                "api.timeout",
                "poll.settle",
            ]
        );
    }

    #[test]
    fn variables_that_cannot_be_applied_are_named() {
        for (variables, problem) in [
            (
                &[("JDCLOUD_CDN_EXPORTER__API__TIMOUT", "5s")][..],
                "JDCLOUD_CDN_EXPORTER__API__TIMOUT: names no setting; did you mean \
                 JDCLOUD_CDN_EXPORTER__API__TIMEOUT?",
            ),
            (
                &[("JDCLOUD_CDN_EXPORTER__ACCOUNTS", "x")],
                "JDCLOUD_CDN_EXPORTER__ACCOUNTS: names no setting; unset it, or write for example \
                 JDCLOUD_CDN_EXPORTER__API__TIMEOUT",
            ),
            (
                &[("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__7000000000", "x")],
                "JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__7000000000: \
                 accounts[0].domains[7000000000]: leaves a gap in the list: there is no \
                 accounts[0].domains[6999999999]; number the items from 0 without gaps",
            ),
            (
                &[
                    ("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__0", "a.com"),
                    ("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__0__NAME", "b.com"),
                ],
                "JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__0__NAME: accounts[0].domains[0].name: \
                 contradicts JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__DOMAINS__0; unset one of them",
            ),
        ] {
            assert_eq!(paths(variables).1, [problem]);
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let environment: Environment = [("KEY", "hush")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), "{\"KEY\"}");
    }
}
