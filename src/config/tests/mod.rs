//! The configuration as its users meet it: files and variables go in, a configuration or every problem
//! comes out. A room for each question.

mod budget;
mod environment;
mod refusals;
mod sample;
mod secrets;
mod summary;

use std::path::PathBuf;

use tempfile::TempDir;

use super::{Config, Environment, Problems, load};

/// A file in a directory of its own, gone at the end of the test.
struct TempFile {
    directory: TempDir,
    path: PathBuf,
}

fn file(text: impl AsRef<[u8]>) -> TempFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("exporter.yaml");
    std::fs::write(&path, text).unwrap();
    TempFile { directory, path }
}

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    load(&file(text).path, &variables.iter().copied().collect())
}

/// The problems without their place where that is the file.
fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let file = file(text);
    let environment = variables.iter().copied().collect();
    let prefix = format!("{}: ", file.path.display());
    match load(&file.path, &environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect(),
    }
}

/// The smallest file that is accepted.
fn smallest() -> String {
    "accounts:\n  - username: u\n    secret_key: \"0123456789abcdef\"\n    domains: [www.a.com]\n".to_owned()
}

fn with_api(lines: &str) -> String {
    format!("api:\n  {lines}\n{}", smallest())
}

fn with_account(lines: &str) -> String {
    format!("accounts:\n  - username: u\n    domains: [www.a.com]\n    {lines}\n")
}
