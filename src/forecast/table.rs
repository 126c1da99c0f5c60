//! PURE: rows of cells as aligned lines: the first column to the left, numbers to the right.

use std::fmt::{self, Write as _};

/// Blanks between two columns.
const GAP: usize = 2;

/// A table; displays as lines that each end with a line break.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with its titles.
    pub(super) fn new(titles: &[&str]) -> Self {
        Self(vec![titles.iter().map(|&title| title.to_owned()).collect()])
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }

    /// How wide each column is.
    fn widths(&self) -> Vec<usize> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        (0..columns)
            .map(|column| {
                let cells = self.0.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.0 {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let width = *width;
                // Writing to a String cannot fail.
                let _ = if column == 0 {
                    write!(line, "  {cell:<width$}")
                } else {
                    write!(line, "{:GAP$}{cell:>width$}", "")
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_the_letters() {
        let mut table = Table::new(&["name", "calls"]);
        table.row(["origin_ratio".to_owned(), "7".to_owned()]);
        table.row(["域名".to_owned(), "1234.5".to_owned()]);
        table.row(["none".to_owned()]);
        assert_eq!(
            table.to_string(),
            "  name           calls\n  origin_ratio       7\n  域名            1234.5\n  none\n"
        );
    }
}
