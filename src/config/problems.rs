//! What is wrong with a configuration: every problem at once, each with its place, key and remedy.

use std::fmt::{self, Write as _};

/// One problem: `FILE: key.path[0]: what is wrong; remedy`, in one line. The place is the file, or
/// the environment variable that the value came from. No secret is ever part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: String,
    key: Option<String>,
    text: String,
}

impl Problem {
    /// A problem of a whole file or variable.
    pub(super) fn whole(place: &str, text: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            key: None,
            text: text.into(),
        }
    }

    /// A problem of one key, or of one line (`line 3`).
    pub(super) fn at(place: &str, key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::whole(place, text)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", OneLine(&self.place))?;
        if let Some(key) = &self.key {
            write!(f, "{}: ", OneLine(key))?;
        }
        write!(f, "{}", OneLine(&self.text))
    }
}

/// Keys, paths and values are the user's own text: a line break in one must not look like a second
/// problem.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() {
                write!(f, "{}", c.escape_default())
            } else {
                f.write_char(c)
            }
        })
    }
}

/// Every problem of one configuration, in the order of the settings; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems one by one, for a log that wants a line each.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
