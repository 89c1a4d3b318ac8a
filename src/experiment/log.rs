//! Figures by update, kept as a CSV file that is always whole.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::training::write_atomically;
use crate::{Error, Result};

/// A CSV file whose first column is the update. Each new row replaces the file, so a killed process leaves no torn line,
/// and a run that goes on from an earlier checkpoint forgets the rows after it.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    columns: Vec<String>,
    /// Update and one cell a column.
    rows: Vec<(u64, Vec<Option<f64>>)>,
}

impl Log {
    /// Opens a log, or begins one; rows of updates after `last` are left out.
    ///
    /// # Errors
    /// Where the file cannot be read or is no such table.
    pub fn open(path: &Path, last: u64) -> Result<Self> {
        let mut log = Self { path: path.into(), columns: Vec::new(), rows: Vec::new() };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(log),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let mut lines = text.lines().enumerate();
        let header = lines.next().and_then(|(_, line)| line.strip_prefix("update")).unwrap_or_default();
        log.columns = header.split(',').skip(1).map(str::to_owned).collect();
        for (number, line) in lines {
            let row = log.parse(line).ok_or_else(|| {
                let why = format!("line {} is not an update and {} numbers", number + 1, log.columns.len());
                Error::Run { path: path.into(), why }
            })?;
            if row.0 <= last {
                log.rows.push(row);
            }
        }
        Ok(log)
    }

    fn parse(&self, line: &str) -> Option<(u64, Vec<Option<f64>>)> {
        let mut cells = line.split(',');
        let update = cells.next()?.parse().ok()?;
        let cell = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
        let cells: Vec<Option<f64>> = cells.map(cell).collect::<Option<_>>()?;
        (cells.len() == self.columns.len()).then_some((update, cells))
    }

    /// Appends figures by name and writes the file. A name that was not there before gets a column, empty in the rows
    /// above.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn push<'a>(&mut self, update: u64, figures: impl IntoIterator<Item = (&'a str, f64)>) -> Result<()> {
        let mut cells = vec![None; self.columns.len()];
        for (name, value) in figures {
            let column = self.columns.iter().position(|column| column == name).unwrap_or_else(|| {
                self.columns.push(name.into());
                self.rows.iter_mut().for_each(|(_, cells)| cells.push(None));
                cells.push(None);
                cells.len() - 1
            });
            cells[column] = Some(value);
        }
        self.rows.push((update, cells));
        write_atomically(&self.path, self.to_csv().as_bytes())
    }

    /// The file's content: numbers as short as they can be read back.
    fn to_csv(&self) -> String {
        let mut text = String::from("update");
        self.columns.iter().for_each(|column| text.extend([",", column]));
        text.push('\n');
        for (update, cells) in &self.rows {
            // Writing to a string cannot fail.
            let _ = write!(text, "{update}");
            for cell in cells {
                let _ = match cell {
                    Some(value) => write!(text, ",{value}"),
                    None => write!(text, ","),
                };
            }
            text.push('\n');
        }
        text
    }

    /// Names of the figures.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A figure by update, where it is there.
    pub fn column(&self, name: &str) -> Vec<(u64, f64)> {
        let Some(column) = self.columns.iter().position(|column| column == name) else { return Vec::new() };
        self.rows.iter().filter_map(|(update, cells)| Some((*update, cells[column]?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_file_and_are_cut_at_an_update() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut log = Log::open(&path, 0).unwrap();
        log.push(10, [("score", 0.1), ("loss", 1e-300)]).unwrap();
        log.push(20, [("loss", f64::NAN), ("later", -2.0)]).unwrap();
        log.push(30, [("score", 0.3)]).unwrap();
        let text = "update,score,loss,later\n10,0.1,0.000";
        assert!(fs::read_to_string(&path).unwrap().starts_with(text));
        let again = Log::open(&path, 20).unwrap();
        assert_eq!(again.column("score"), [(10, 0.1)]);
        assert_eq!(again.column("later"), [(20, -2.0)]);
        assert!(again.column("loss")[1].1.is_nan() && again.column("loss")[0].1 == 1e-300);
        assert_eq!((again.columns().len(), again.column("nothing")), (3, vec![]));
        let before = fs::read(&path).unwrap();
        let mut again = again;
        again.push(30, [("score", 0.3)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before, "the same rows give the same bytes");
    }

    #[test]
    fn another_table_is_an_error_that_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        for bad in ["update,a\n1,2\nx,3\n", "update,a\n1,2\n1\n", "update,a\n1,2\n1,two\n"] {
            fs::write(&path, bad).unwrap();
            let error = Log::open(&path, 9).unwrap_err().to_string();
            assert!(error.contains("metrics.csv") && error.contains("line 3"), "{error}");
        }
    }
}
