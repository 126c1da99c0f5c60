//! The text of a file, read with a bound.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Why a file gives no text.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// There is none.
    Missing,
    /// The byte that is none is on this line, counted from 1.
    NotUtf8 { line: usize },
    /// Anything else, in words that follow the file's name.
    Other(String),
}

/// The text of a file of up to so many MiB, without the byte order mark that some editors begin it with. The words of
/// what is wrong name the flag, if there is one, that another file can be named with.
pub(crate) fn text_of(path: &Path, mebibytes: u64, flag: Option<&str>) -> Result<String, Unreadable> {
    let with = flag.map(|flag| format!(" with {flag}")).unwrap_or_default();
    let refuse = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        io::ErrorKind::PermissionDenied => {
            Unreadable::Other("may not be read; give the exporter's user the right to read it".to_owned())
        }
        io::ErrorKind::IsADirectory => Unreadable::Other(format!("is a directory; name a file in it{with}")),
        _ => Unreadable::Other(format!("cannot be read ({error}); name another file{with}")),
    };
    let limit = mebibytes.saturating_mul(1_024 * 1_024);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(refuse)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(Unreadable::Other(format!(
            "is larger than {mebibytes} MiB; name the right file{with}"
        )));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            Err(Unreadable::NotUtf8 { line })
        }
    }
}
