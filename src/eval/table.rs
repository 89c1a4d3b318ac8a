//! Tables of text: aligned for a terminal, Markdown, CSV.

/// Cells in rows under a header. The first column is a label, the others are figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Four significant digits: `0`, `0.007300`, `5.590`, `12340`, `8.100e-14`.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    // Rounded first, so that 9.9999 is counted as 10.
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    match rounded.abs().log10().floor() as i32 {
        magnitude @ -4..6 => format!("{rounded:.*}", (3 - magnitude).max(0) as usize),
        _ => format!("{rounded:.3e}"),
    }
}

impl Table {
    /// A table without rows yet.
    pub fn new<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If it does not have a cell for each column of the header.
    pub fn push<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.header.len(), "cells of a row");
        self.rows.push(cells);
    }

    /// Characters in the widest cell of each column.
    fn widths(&self) -> Vec<usize> {
        let widest = |column: usize| {
            let cells = std::iter::once(&self.header).chain(&self.rows);
            cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        (0..self.header.len()).map(widest).collect()
    }

    /// Columns aligned with blanks under a ruled header: labels to the left, figures to the right.
    pub fn to_text(&self) -> String {
        let widths = self.widths();
        let line = |cells: &[String]| {
            let mut line = String::new();
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                let aligned = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
                line.push_str(&aligned);
            }
            line.trim_end().to_owned() + "\n"
        };
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{rule}\n{rows}", line(&self.header))
    }

    /// A Markdown table, aligned to be read as text as well.
    pub fn to_markdown(&self) -> String {
        let escaped = |cells: &Vec<String>| cells.iter().map(|c| c.trim().replace('|', "\\|")).collect::<Vec<_>>();
        let safe = Self { header: escaped(&self.header), rows: self.rows.iter().map(escaped).collect() };
        let widths: Vec<usize> = safe.widths().into_iter().map(|w| w.max(3)).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("| {cell:<width$} "),
                _ => format!("| {cell:>width$} "),
            });
            cells.collect::<String>() + "|\n"
        };
        let rule: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, &width)| if column == 0 { "-".repeat(width) } else { "-".repeat(width - 1) + ":" })
            .collect();
        let rows: String = safe.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&safe.header), line(&rule))
    }

    /// Comma-separated values (RFC 4180, with line feeds).
    pub fn to_csv(&self) -> String {
        let quoted = |cell: &String| match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let line = |cells: &Vec<String>| cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
        std::iter::once(&self.header).chain(&self.rows).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["metric", "S4RL", "GTA, w 2"]);
        table.push(["dynamic MSE", "8e-5", "0.0073"]);
        table.push(["  a|b \"x\"", "-", "± 1"]);
        table
    }

    #[test]
    fn text_is_aligned() {
        let expected = "\
metric       S4RL  GTA, w 2
---------------------------
dynamic MSE  8e-5    0.0073
  a|b \"x\"       -       ± 1
";
        assert_eq!(table().to_text(), expected);
    }

    #[test]
    fn markdown_escapes_bars() {
        let expected = "\
| metric      | S4RL | GTA, w 2 |
| ----------- | ---: | -------: |
| dynamic MSE | 8e-5 |   0.0073 |
| a\\|b \"x\"    |    - |      ± 1 |
";
        assert_eq!(table().to_markdown(), expected);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let expected = "metric,S4RL,\"GTA, w 2\"\ndynamic MSE,8e-5,0.0073\n\"  a|b \"\"x\"\"\",-,± 1\n";
        assert_eq!(table().to_csv(), expected);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.0073, "0.007300"),
            (5.59, "5.590"),
            (5.0, "5.000"),
            (1234.56, "1235"),
            (123_456.0, "123500"),
            (9.99999, "10.00"),
            (-0.12345, "-0.1235"),
            (8.1e-14, "8.100e-14"),
            (3.0e18, "3.000e18"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    proptest! {
        #[test]
        fn numbers_keep_four_digits(value in prop::num::f64::NORMAL) {
            let read: f64 = number(value).parse().unwrap();
            prop_assert!((read - value).abs() <= 5.1e-4 * value.abs());
        }

        #[test]
        fn lines_of_a_table_are_equally_wide(cells in prop::collection::vec("[a-z |,.±]{0,12}", 6)) {
            let mut table = Table::new(["x", "y", "z"]);
            table.push(cells[..3].to_vec());
            table.push(cells[3..].to_vec());
            let widths: Vec<usize> = table.to_markdown().lines().map(|l| l.chars().count()).collect();
            prop_assert!(widths.iter().all(|w| *w == widths[0]));
            prop_assert_eq!(table.to_csv().lines().count(), 3);
        }
    }
}
