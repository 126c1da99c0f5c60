//! What has been fetched, kept in a file beside the output, so that an interrupted backfill continues
//! where it was.
//!
//! The file is a header line that names the request, then a record for each domain, endpoint and call:
//! the length and the CRC-32 of its body, then the body, all numbers little-endian. A tail that is cut
//! off or damaged is forgotten; what stands before it counts.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::model::{Window, WindowRange};

/// The bytes before a record's body: its length and its CRC-32.
const FRAME: usize = 8;

/// The bytes of a body before its values: which history, the first window, how many windows.
const HEAD: usize = 12;

/// No record is longer: 30 days of 3 values take 207,372 bytes.
const MOST_BODY: u32 = 1 << 20;

/// The readings of one domain from one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Which of the request's histories.
    pub history: usize,
    /// The windows that were asked for.
    pub range: WindowRange,
    /// Their raw values, NaN where absent.
    pub rows: Vec<f64>,
}

/// A file that records are appended to.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    empty: bool,
}

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It stems from other arguments or another configuration.
    #[error(
        "{path} was begun by another backfill (other times, domains, endpoints, accounts or batch sizes): \
         repeat that command to finish it, remove the file to start anew, or choose another --output"
    )]
    Other {
        /// The journal.
        path: PathBuf,
    },
    /// Reading or writing it failed.
    #[error("{path} cannot be used; check that its folder exists, can be written to and has room")]
    Io {
        /// The journal.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Journal {
    /// Opens the journal of a request and hands over the records that are in it, or starts one. `request`
    /// is one line; it must be the same whenever the records can be used.
    ///
    /// # Errors
    /// When it cannot be read or written, or belongs to another request.
    pub fn open(path: &Path, request: &str, mut take: impl FnMut(Record)) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(io)?;
        let header = format!("{request}\n");
        let mut reader = BufReader::new(&file);
        let mut found = Vec::new();
        reader.read_until(b'\n', &mut found).map_err(io)?;
        let mut empty = true;
        if found == header.as_bytes() {
            let mut whole = header.len();
            while let Some((record, length)) = read_record(&mut reader).map_err(io)? {
                whole += length;
                empty = false;
                take(record);
            }
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))
                .map_err(io)?;
        } else if header.as_bytes().starts_with(&found) {
            // Nothing yet, or a header that was cut off.
            file.set_len(0).map_err(io)?;
            file.write_all(header.as_bytes()).map_err(io)?;
        } else {
            return Err(JournalError::Other {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            empty,
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, history: usize, range: WindowRange, rows: &[f64]) -> Result<(), JournalError> {
        self.empty = false;
        // One write for each record: whatever interrupts it, only the last one can be cut off.
        self.file
            .write_all(&encode(history, range, rows))
            .map_err(|source| JournalError::Io {
                path: self.path.clone(),
                source,
            })
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<(), JournalError> {
        std::fs::remove_file(&self.path).map_err(|source| JournalError::Io {
            path: self.path,
            source,
        })
    }

    /// Whether it has no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.empty
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn encode(history: usize, range: WindowRange, rows: &[f64]) -> Vec<u8> {
    // A history's number and a count of windows fit: there are at most 1 GiB of values.
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let place = range.first.end_seconds() / Window::SECONDS;
    let mut body = Vec::with_capacity(HEAD + 8 * rows.len());
    body.extend_from_slice(&number(history));
    body.extend_from_slice(&u32::try_from(place).unwrap_or(u32::MAX).to_le_bytes());
    body.extend_from_slice(&number(range.count()));
    body.extend(rows.iter().flat_map(|value| value.to_le_bytes()));
    let mut record = Vec::with_capacity(FRAME + body.len());
    record.extend_from_slice(&number(body.len()));
    record.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    record.extend_from_slice(&body);
    record
}

/// The next record and its length in the file; `None` at the end, and at a record that is cut off or
/// damaged.
fn read_record(input: &mut impl Read) -> io::Result<Option<(Record, usize)>> {
    let (Some(length), Some(crc)) = (read_number(input)?, read_number(input)?) else {
        return Ok(None);
    };
    if length > MOST_BODY {
        return Ok(None);
    }
    let mut body = Vec::new();
    input.take(length.into()).read_to_end(&mut body)?;
    if u32::try_from(body.len()) != Ok(length) || crc32fast::hash(&body) != crc {
        return Ok(None);
    }
    Ok(decode(&body).map(|record| (record, FRAME + body.len())))
}

fn decode(mut body: &[u8]) -> Option<Record> {
    let history = read_number(&mut body).ok()??;
    let place = read_number(&mut body).ok()??;
    let count = read_number(&mut body).ok()??;
    let first = Window::ending_at(i64::from(place) * Window::SECONDS)?;
    let rows = body
        .chunks_exact(8)
        .filter_map(|bytes| Some(f64::from_le_bytes(bytes.try_into().ok()?)))
        .collect();
    Some(Record {
        history: usize::try_from(history).ok()?,
        range: WindowRange {
            first,
            last: first.plus(count.checked_sub(1)?),
        },
        rows,
    })
}

/// A number; `None` where the input ends before it does.
fn read_number(input: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(history: usize, place: u32, rows: &[f64]) -> Record {
        let first = Window::ending_at(1_800_000_000).unwrap().plus(place);
        Record {
            history,
            range: WindowRange {
                first,
                last: first.plus(u32::try_from(rows.len() / 2).unwrap() - 1),
            },
            rows: rows.to_vec(),
        }
    }

    fn three() -> Vec<Record> {
        vec![
            record(0, 0, &[1.5, 2.0]),
            record(7, 12, &[0.0, f64::MAX, 5e-324, 0.1]),
            record(1, 1, &[3.0, 4.0]),
        ]
    }

    /// Opens a journal and collects what is in it.
    fn open(path: &Path, request: &str) -> Result<(Journal, Vec<Record>), JournalError> {
        let mut records = Vec::new();
        let journal = Journal::open(path, request, |record| records.push(record))?;
        Ok((journal, records))
    }

    fn written(path: &Path, records: &[Record]) {
        let (mut journal, before) = open(path, "request 1").unwrap();
        assert_eq!(before, []);
        for record in records {
            journal
                .append(record.history, record.range, &record.rows)
                .unwrap();
        }
    }

    #[test]
    fn what_was_appended_is_read_back_and_more_can_be_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.partial");
        let records = three();
        written(&path, &records[..2]);
        let (mut journal, before) = open(&path, "request 1").unwrap();
        assert_eq!(before, records[..2]);
        let last = &records[2];
        journal.append(last.history, last.range, &last.rows).unwrap();
        let (journal, all) = open(&path, "request 1").unwrap();
        assert_eq!(all, records);
        journal.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn an_absent_value_stays_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.partial");
        written(&path, &[record(0, 0, &[f64::NAN, 2.0])]);
        let (_, read) = open(&path, "request 1").unwrap();
        assert!(read[0].rows[0].is_nan());
    }

    #[test]
    fn the_journal_of_another_request_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.partial");
        written(&path, &three());
        let before = std::fs::read(&path).unwrap();
        for other in ["request 2", "request 10", "request"] {
            let error = open(&path, other).unwrap_err();
            assert!(matches!(error, JournalError::Other { .. }), "{other}: {error}");
            assert!(error.to_string().contains("out.partial"), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(&folder.path().join("none/out.partial"), "r").unwrap_err();
        assert!(error.to_string().contains("none/out.partial"), "{error}");
    }

    proptest! {
        /// Wherever the file is cut off, the records before the cut are kept and one can be added.
        #[test]
        fn a_cut_tail_is_forgotten(cut in 0_usize..200) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.partial");
            let records = three();
            written(&path, &records);
            let whole = std::fs::read(&path).unwrap();
            let kept = whole.len().saturating_sub(cut);
            std::fs::write(&path, &whole[..kept]).unwrap();
            let ends: Vec<usize> = (0..=3)
                .map(|n| 10 + records[..n].iter().map(|r| 20 + 8 * r.rows.len()).sum::<usize>())
                .collect();
            let expected = ends.iter().skip(1).filter(|end| **end <= kept).count();
            let (mut journal, read) = open(&path, "request 1").unwrap();
            prop_assert_eq!(&read, &records[..expected]);
            journal.append(9, records[0].range, &records[0].rows).unwrap();
            let (_, read) = open(&path, "request 1").unwrap();
            prop_assert_eq!(read.len(), expected + 1);
            prop_assert_eq!(read[expected].history, 9);
        }

        /// A changed byte never gives another value: its record and what follows are forgotten.
        #[test]
        fn a_damaged_record_is_forgotten(place in 10_usize..100, bit in 0_u8..8) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.partial");
            let records = three();
            written(&path, &records);
            let mut bytes = std::fs::read(&path).unwrap();
            let place = place.min(bytes.len() - 1);
            bytes[place] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            let (_, read) = open(&path, "request 1").unwrap();
            prop_assert!(read.len() < records.len());
            prop_assert_eq!(&read[..], &records[..read.len()]);
        }
    }
}
