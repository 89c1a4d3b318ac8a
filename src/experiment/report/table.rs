//! The paper's Tables 21 to 25: cells, and how their numbers are written.

use super::metric::{Figure, Metric};
use super::record::Report;

/// A table: a row for each dataset, a column for the data itself and one for each augmentation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub metric: Metric,
    /// Names of the augmentations.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

/// A dataset's figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub dataset: String,
    /// Of the data itself.
    pub data: Option<Figure>,
    /// Of each augmentation.
    pub cells: Vec<Option<Figure>>,
    /// What the paper says, where it has the dataset.
    pub paper: Option<PaperRow>,
}

/// The paper's figures that stand beside a dataset's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PaperRow {
    /// The paper's dataset, and whether ours is its own file.
    pub id: String,
    pub own: bool,
    /// In the column of the first augmentation of each kind.
    pub cells: Vec<Option<f64>>,
}

/// A figure as text, in the metric's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CellText {
    pub mean: String,
    pub interval: Option<String>,
    pub median: Option<String>,
}

impl Report {
    /// The table of a measure.
    pub(super) fn grid(&self, metric: Metric) -> Grid {
        let labels = self.labels();
        let rows =
            self.datasets.iter().map(|dataset| {
                let made = || labels.iter().map(|label| dataset.augmentation(label));
                let mut kinds = Vec::new();
                let published = made().map(|made| {
                    let kind = made?.kind.as_str();
                    let first = !kinds.contains(&kind);
                    kinds.push(kind);
                    first.then(|| metric.published(dataset, kind)).flatten()
                });
                let paper: Vec<Option<f64>> = published.collect();
                Row {
                    dataset: dataset.name.clone(),
                    data: metric.of_data(&dataset.data),
                    cells: made().map(|made| metric.of(&made?.quality)).collect(),
                    paper: dataset.published.as_ref().filter(|_| paper.iter().any(Option::is_some)).map(|published| {
                        PaperRow { id: published.id.clone(), own: published.own, cells: paper.clone() }
                    }),
                }
            });
        Grid { metric, rows: rows.collect(), columns: labels.into_iter().map(str::to_owned).collect() }
    }
}

impl Grid {
    /// A figure of this table as text.
    pub fn text(&self, figure: &Figure) -> CellText {
        let unit = self.metric.unit();
        let mean = figure.mean / unit;
        let interval = figure.interval.map(|interval| [interval.low / unit, interval.high / unit]);
        let decimals = interval.map_or_else(|| decimals_of(mean, 3), |ends| decimals_for(mean, ends));
        let [mean, low, high] = [Some(mean), interval.map(|ends| ends[0]), interval.map(|ends| ends[1])]
            .map(|v| v.map(|v| fixed(v, decimals)));
        CellText {
            mean: mean.unwrap_or_default(),
            interval: low.zip(high).map(|(low, high)| format!("{low} to {high}")),
            median: figure.median.map(|median| short(median / unit)),
        }
    }

    /// A figure of the paper's as text.
    pub fn paper_text(&self, value: f64) -> String {
        // Two decimals, as it is printed.
        format!("{:.2}", value / self.metric.unit())
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits.
pub(super) fn short(value: f64) -> String {
    fixed(value, decimals_of(value, 3))
}

/// Decimals that give a number so many significant digits; `None` where it is too small or too large for plain digits.
fn decimals_of(value: f64, digits: i32) -> Option<usize> {
    if value == 0.0 {
        return Some(0);
    }
    if !(1e-4..1e6).contains(&value.abs()) {
        return None;
    }
    Some((digits - 1 - magnitude(value)).max(0) as usize)
}

/// Decimals for a mean within its interval: those that tell its ends apart, and at least three significant digits.
fn decimals_for(mean: f64, [low, high]: [f64; 2]) -> Option<usize> {
    let own = decimals_of(mean, 3)?;
    let width = high - low;
    if !(width > 0.0 && width.is_finite()) {
        return Some(own);
    }
    Some(own.max(-magnitude(width).min(0) as usize).min(own + 4))
}

/// The power of ten of a number's first digit.
fn magnitude(value: f64) -> i32 {
    // As printed: 9.996 with three digits is 10.0.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    rounded.abs().log10().floor() as i32
}

fn fixed(value: f64, decimals: Option<usize>) -> String {
    let text = match decimals {
        Some(decimals) => format!("{value:.decimals$}"),
        None => format!("{value:.1e}"),
    };
    match text.strip_prefix('-') {
        // Nothing rounded is not less than nothing; a typographic minus is as wide as a plus.
        Some(digits) if digits.bytes().all(|b| b == b'0' || b == b'.') => digits.to_owned(),
        Some(digits) => format!("\u{2212}{digits}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::report;
    use super::*;
    use crate::eval::Interval;

    fn text(mean: f64, ends: Option<(f64, f64)>, median: Option<f64>, metric: Metric) -> (String, String, String) {
        let interval = ends.map(|(low, high)| Interval { low, high, level: 0.95 });
        let grid = Grid { metric, columns: vec![], rows: vec![] };
        let text = grid.text(&Figure { mean, interval, median });
        (text.mean, text.interval.unwrap_or_default(), text.median.unwrap_or_default())
    }

    #[test]
    fn numbers_have_the_digits_that_their_intervals_allow() {
        let of = |mean, ends, median, metric| {
            let (mean, interval, median) = text(mean, ends, median, metric);
            format!("{mean} [{interval}] {median}")
        };
        let reward = Metric::OracleReward;
        assert_eq!(of(4.077, Some((4.046, 4.108)), None, reward), "4.08 [4.05 to 4.11] ");
        assert_eq!(of(3.6050, Some((3.6041, 3.6062)), None, reward), "3.605 [3.604 to 3.606] ");
        assert_eq!(of(112.3, Some((101.0, 130.0)), None, reward), "112 [101 to 130] ");
        assert_eq!(of(-0.5, Some((-0.61, 0.002)), None, reward), "\u{2212}0.500 [\u{2212}0.610 to 0.002] ");
        let mse = Metric::DynamicMse;
        assert_eq!(of(0.0453, Some((0.0412, 0.0498)), Some(0.0205), mse), "4.53 [4.12 to 4.98] 2.05");
        assert_eq!(of(6.1e-13, Some((5.2e-13, 7e-13)), Some(2e-15), mse), "6.1e-11 [5.2e-11 to 7.0e-11] 2.0e-13");
        assert_eq!(of(0.0, None, None, mse), "0 [] ");
        assert_eq!(of(1.2345, None, None, reward), "1.23 [] ");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 20_000, 1_234_567].map(grouped), ["0", "999", "1,000", "20,000", "1,234,567"]);
    }

    #[test]
    fn the_papers_figures_stand_in_the_column_of_their_kind() {
        let report = report();
        let grid = report.grid(Metric::OracleReward);
        assert_eq!(grid.columns, ["s4rl", "gta"]);
        let paper = grid.rows[0].paper.as_ref().unwrap();
        assert_eq!((paper.id.as_str(), paper.own), ("halfcheetah-medium-v2", false));
        assert_eq!(paper.cells, [Some(4.77), Some(6.08)]);
        assert_eq!(grid.rows[1].paper, None, "a dataset that the paper does not have");
        let mut twice = report.clone();
        let mut other = twice.datasets[0].augmentations[1].clone();
        other.label = "gta, mu 1".into();
        twice.datasets[0].augmentations.push(other);
        let grid = twice.grid(Metric::OracleReward);
        assert_eq!(grid.rows[0].paper.as_ref().unwrap().cells, [Some(4.77), Some(6.08), None]);
        assert_eq!(grid.rows[1].cells[2], None, "not made of this dataset");
        assert_eq!(report.grid(Metric::DynamicMse).paper_text(0.0156), "1.56");
    }

    proptest! {
        #[test]
        fn written_numbers_are_near_the_numbers(mean in prop::num::f64::NORMAL, width in 1e-3..1e3_f64) {
            let mean = mean.clamp(-1e9, 1e9);
            let read = |text: &str| text.replace('\u{2212}', "-").parse::<f64>().unwrap();
            prop_assert!((read(&short(mean)) - mean).abs() <= 0.051 * mean.abs());
            let ends = (mean - width / 2.0, mean + width / 2.0);
            let (written, interval, _) = text(mean, Some(ends), None, Metric::OracleReward);
            prop_assert!((read(&written) - mean).abs() <= 0.51 * width + 0.051 * mean.abs());
            let (low, high) = interval.split_once(" to ").unwrap();
            prop_assert!(read(low) <= read(&written) && read(&written) <= read(high));
        }
    }
}
