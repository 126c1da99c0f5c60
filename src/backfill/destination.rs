//! Where a backfill's output goes: standard output, or a file that appears only when it is whole.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::history::History;
use super::writer;
use crate::exposition::Format;

/// Where the output goes and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The file; standard output without it.
    pub file: Option<PathBuf>,
    /// The format.
    pub format: Format,
}

impl Destination {
    /// Where `--output` says: as in other tools, a hyphen is standard output.
    #[must_use]
    pub fn new(output: Option<PathBuf>, format: Format) -> Self {
        let file = output.filter(|file| file.as_os_str() != "-");
        Self { file, format }
    }

    /// Where readings are kept until the output is written: beside it.
    #[must_use]
    pub fn journal(&self) -> Option<PathBuf> {
        self.file.as_deref().map(|file| beside(file, ".partial"))
    }

    /// Refuses what a file cannot be renamed to.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.file {
            Some(file) if file.exists() && !file.is_file() => Err(format!(
                "--output {} is not a regular file: name a file, or write --output=- for standard output",
                file.display()
            )),
            _ => Ok(()),
        }
    }

    /// Writes everything and tells how many samples that were, while `more` says so. An existing file
    /// is replaced at once, at the end.
    pub(super) fn write(&self, histories: &[History], more: impl Fn() -> bool) -> io::Result<u64> {
        let Some(file) = &self.file else {
            let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
            return writer::write(&mut out, self.format, histories, more);
        };
        let unfinished = beside(file, ".unfinished");
        let written = self.write_file(&unfinished, histories, more);
        let outcome = written.and_then(|samples| std::fs::rename(&unfinished, file).map(|()| samples));
        if outcome.is_err() {
            // What went wrong is told of already; a leftover would only be a second message.
            let _ = std::fs::remove_file(&unfinished);
        }
        outcome
    }

    fn write_file(&self, path: &Path, histories: &[History], more: impl Fn() -> bool) -> io::Result<u64> {
        let mut out = BufWriter::with_capacity(BUFFER, File::create(path)?);
        let samples = writer::write(&mut out, self.format, histories, more)?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        Ok(samples)
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.file
            .as_ref()
            .map_or_else(|| "standard output".to_owned(), |file| file.display().to_string())
    }
}

/// What is handed to the system at once.
const BUFFER: usize = 256 * 1024;

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}
