//! The process's environment: captured in one place, and read as settings that win over the file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use config::{Map, Value, ValueKind};

use super::key_table::{nearest, pattern_of};
use super::keys::SETTINGS;
use super::problems::Problem;

/// What every variable that is a setting begins with. The underscore is doubled because Kubernetes
/// injects variables of the form `JDCLOUD_CDN_EXPORTER_SERVICE_HOST`.
pub const PREFIX: &str = "JDCLOUD_CDN_EXPORTER__";

/// What a setting begins with whose underscores were not doubled; and what Kubernetes injects for a Service.
const NEAR_PREFIX: &str = "JDCLOUD_CDN_EXPORTER_";

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

    /// The variables that look like settings, and are none for want of underscores: each with the right spelling. What
    /// Kubernetes injects is none of them, nor a variable that the file or another variable names, as `secret_key_env`
    /// does.
    pub(super) fn unheard(&self, file: &str) -> Vec<Problem> {
        let named = |name: &str| file.contains(name) || self.0.values().any(|value| value == name);
        self.0
            .keys()
            .filter_map(|name| name.to_str())
            .filter_map(|name| Some((name, meant(name)?)))
            .filter(|(name, _)| !named(name))
            .map(|(name, meant)| {
                let text = format!(
                    "is not read, as settings have two underscores between their parts; did you mean {meant}? \
                     Otherwise unset it"
                );
                Problem::whole(name, text)
            })
            .collect()
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
        if !SETTINGS.keys.iter().any(|key| key.pattern == pattern) {
            let remedy = match nearest(&pattern, SETTINGS.keys.iter().map(|key| key.pattern)) {
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

/// The setting that a variable with single underscores was meant for.
fn meant(variable: &str) -> Option<String> {
    let upper = variable.to_ascii_uppercase();
    if upper.starts_with(PREFIX) {
        return None;
    }
    let parts: Vec<&str> = upper
        .strip_prefix(NEAR_PREFIX)?
        .split('_')
        .filter(|part| !part.is_empty())
        .collect();
    if is_of_kubernetes(&parts) {
        return None;
    }
    let is_position = |part: &str| part.parse::<usize>().is_ok();
    let plain: Vec<&str> = parts
        .iter()
        .map(|part| if is_position(part) { "0" } else { part })
        .collect();
    let settings = SETTINGS.keys.iter();
    let variables: Vec<String> = settings.map(|key| variable_for(key.pattern)).collect();
    let candidates: Vec<String> = variables
        .iter()
        .map(|variable| variable.replacen(PREFIX, "", 1).replace("__", "_"))
        .collect();
    let found = nearest(&plain.join("_"), candidates.iter().map(String::as_str))?;
    let (_, variable) = candidates
        .iter()
        .zip(variables)
        .find(|(name, _)| *name == found)?;
    // With its own positions instead of 0.
    let positions = parts.iter().filter(|part| is_position(part));
    let mut pieces = variable.split("__0");
    let mut named = pieces.next()?.to_owned();
    let positions = positions
        .map(ToString::to_string)
        .chain(std::iter::repeat("0".to_owned()));
    for (piece, position) in pieces.zip(positions) {
        named.extend(["__", &position, piece]);
    }
    Some(named)
}

/// Whether a variable is one of those that a Service injects, of this name or of one that goes on: `…_SERVICE_HOST`,
/// `…_SERVICE_PORT_HTTP`, `…_PORT`, `…_PORT_9_TCP_ADDR`. No setting has such parts.
/// Source: Kubernetes' documentation of Services, and of links between Docker's containers.
fn is_of_kubernetes(parts: &[&str]) -> bool {
    parts.contains(&"PORT") || parts.ends_with(&["SERVICE", "HOST"])
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
    fn settings_with_single_underscores_are_told_with_the_right_spelling() {
        for (variable, meant) in [
            ("JDCLOUD_CDN_EXPORTER_API_TIMEOUT", "API__TIMEOUT"),
            ("JDCLOUD_CDN_EXPORTER_API__TIMEOUT", "API__TIMEOUT"),
            ("jdcloud_cdn_exporter_poll_stale_after", "POLL__STALE_AFTER"),
            ("JDCLOUD_CDN_EXPORTER_API_TIMOUT", "API__TIMEOUT"),
            (
                "JDCLOUD_CDN_EXPORTER_ACCOUNTS_0_SECRET_KEY",
                "ACCOUNTS__0__SECRET_KEY",
            ),
            (
                "JDCLOUD_CDN_EXPORTER_ACCOUNTS_2_SECRET_KEY_FILE",
                "ACCOUNTS__2__SECRET_KEY_FILE",
            ),
            (
                "JDCLOUD_CDN_EXPORTER_ACCOUNTS_1_DOMAINS_12_ENDPOINTS_3",
                "ACCOUNTS__1__DOMAINS__12__ENDPOINTS__3",
            ),
        ] {
            let environment: Environment = [(variable, "hush")].into_iter().collect();
            let told: Vec<String> = environment.unheard("").iter().map(ToString::to_string).collect();
            let expected = format!(
                "{variable}: is not read, as settings have two underscores between their parts; did you mean {PREFIX}\
                 {meant}? Otherwise unset it"
            );
            assert_eq!(told, [expected]);
        }
    }

    /// Of Services with this name and with ones that go on, as Kubernetes writes them into every pod of a namespace.
    #[test]
    fn what_kubernetes_injects_and_what_is_named_elsewhere_is_left_alone() {
        let mut variables = Vec::new();
        for service in ["", "_API", "_POLL_INTERVAL", "_ACCOUNTS_0"] {
            for end in [
                "SERVICE_HOST",
                "SERVICE_PORT",
                "SERVICE_PORT_HTTP",
                "SERVICE_PORT_HTTP_METRICS",
                "PORT",
                "PORT_10530_TCP",
                "PORT_10530_TCP_PROTO",
                "PORT_10530_TCP_PORT",
                "PORT_10530_TCP_ADDR",
                "PORT_9_UDP_ADDR",
            ] {
                variables.push((
                    format!("JDCLOUD_CDN_EXPORTER{service}_{end}"),
                    "tcp://10.0.0.1:10530",
                ));
            }
        }
        for other in [
            "JDCLOUD_CDN_EXPORTER",
            "JDCLOUD_CDN_EXPORTER_VERSION",
            "JDCLOUD_CDN_EXPORTER_",
        ] {
            variables.push((other.to_owned(), "1"));
        }
        let environment: Environment = variables.into_iter().collect();
        assert_eq!(environment.unheard(""), []);
        let mut problems = Vec::new();
        assert!(environment.overrides(&Map::new(), &mut problems).is_empty() && problems.is_empty());

        let name = "JDCLOUD_CDN_EXPORTER_ACCOUNTS_0_SECRET_KEY";
        let environment: Environment = [(name, "hush")].into_iter().collect();
        assert_eq!(environment.unheard(&format!("secret_key_env: {name}\n")), []);
        let by_variable = ("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__SECRET_KEY_ENV", name);
        let environment: Environment = [(name, "hush"), by_variable].into_iter().collect();
        assert_eq!(environment.unheard(""), []);
    }

    #[test]
    fn debug_shows_no_values() {
        let environment: Environment = [("KEY", "hush")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), "{\"KEY\"}");
    }
}
