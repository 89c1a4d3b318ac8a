//! What a reader found.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::formats::{Oddity, Provenance};
use crate::{Dataset, Ending};

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One HDF5 file of flat columns.
    D4rl,
    /// A folder with an HDF5 group for each episode.
    Minari,
    /// Episodes of pixels as V-D4RL keeps them.
    #[serde(rename = "v-d4rl")]
    Vd4rl,
}

/// Least, mean and greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of `values`; `None` where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (mut count, mut sum, mut min, mut max) = (0_usize, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (count, sum, min, max) = (count + 1, sum + value, min.min(value), max.max(value));
        }
        (count > 0).then(|| Self { min, mean: sum / count as f64, max })
    }
}

/// What was read: sizes, endings, returns, and what was odd.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadReport {
    /// The file or folder.
    pub path: PathBuf,
    /// Its layout.
    pub format: Format,
    /// SHA-256 of the data file in hexadecimal.
    pub checksum: String,
    /// Size of the data file.
    pub bytes: u64,
    /// Rows of the file.
    pub rows_in_file: usize,
    /// Transitions of the dataset (`N`).
    pub rows: usize,
    /// Numbers in an observation (`O`).
    pub obs_dim: usize,
    /// Numbers in an action (`A`).
    pub action_dim: usize,
    /// Parts of the observation in order, with their sizes; one, without a name, where it is a plain vector.
    pub observation_parts: Vec<(String, usize)>,
    /// Episodes of the dataset.
    pub episodes: usize,
    /// Episodes that ended the task.
    pub terminated: usize,
    /// Episodes that were cut.
    pub truncated: usize,
    /// Episodes whose recording just stops.
    pub unfinished: usize,
    /// Undiscounted returns of the episodes.
    pub returns: Spread,
    /// Transitions of the episodes.
    pub lengths: Spread,
    /// Sizes of the simulator's positions and velocities, where the file has them.
    pub states: Option<(usize, usize)>,
    /// Numbers in a context, such as the place of Adroit's door; 0 where the file has none.
    pub context_dim: usize,
    /// What the file says of itself.
    pub provenance: Provenance,
    /// What was odd.
    pub oddities: Vec<Oddity>,
}

impl LoadReport {
    /// The report of `dataset`, as it was read from `path`.
    pub(crate) fn new(
        path: &Path,
        format: Format,
        (checksum, bytes): (String, u64),
        rows_in_file: usize,
        dataset: &Dataset,
        oddities: Vec<Oddity>,
    ) -> Self {
        let spec = dataset.spec();
        let ended = |ending| dataset.episodes().iter().filter(|e| e.ending == ending).count();
        let nonempty = "a dataset has an episode";
        let mut report = Self {
            path: path.into(),
            format,
            checksum,
            bytes,
            rows_in_file,
            rows: dataset.len(),
            obs_dim: spec.obs_dim,
            action_dim: spec.action_dim,
            observation_parts: vec![(String::new(), spec.obs_dim)],
            episodes: dataset.episodes().len(),
            terminated: ended(Ending::Terminated),
            truncated: ended(Ending::Truncated),
            unfinished: ended(Ending::Unfinished),
            returns: Spread::of(dataset.episode_returns()).expect(nonempty),
            lengths: Spread::of(dataset.episodes().iter().map(|e| e.rows.len() as f64)).expect(nonempty),
            states: dataset.states().filter(|s| s.has_positions()).map(|s| (s.nq, s.nv)),
            context_dim: dataset.states().map_or(0, |s| s.nc),
            provenance: Provenance::new(),
            oddities,
        };
        report.oddities.extend(out_of_bounds(dataset));
        let (rows, episodes, odd) = (report.rows, report.episodes, report.oddities.len());
        tracing::info!(path = %path.display(), rows, episodes, odd, "dataset read");
        report
    }

    /// The rows that were generated, where the file says so: ours do ([`Provenance::generated`]). The rows before them
    /// were recorded. `None` also where what the file says does not fit its rows, as when rows were added or dropped since.
    pub fn generated(&self) -> Option<Range<usize>> {
        self.provenance.generated().filter(|rows| rows.end == self.rows)
    }
}

/// The actions of `dataset` that are outside its bounds, if there are any.
fn out_of_bounds(dataset: &Dataset) -> Option<Oddity> {
    // Bounds and actions may have gone through 64 bits, tanh and back: rounding is not an oddity.
    const ROUNDING: f32 = 1e-5;
    let spec = dataset.spec();
    let (mut rows, mut first_row, mut worst) = (0, 0, 0.0_f32);
    for (row, action) in dataset.actions().chunks_exact(spec.action_dim.max(1)).enumerate() {
        let bounds = spec.action_low.iter().zip(&spec.action_high);
        let outside =
            action.iter().zip(bounds).fold(0.0_f32, |most, (&a, (&low, &high))| most.max(low - a).max(a - high));
        if outside > ROUNDING {
            if rows == 0 {
                first_row = row;
            }
            (rows, worst) = (rows + 1, worst.max(outside));
        }
    }
    (rows > 0).then_some(Oddity::ActionsOutOfBounds { rows, first_row, worst })
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).display();
        let format = match self.format {
            Format::D4rl => "D4RL",
            Format::Minari => "Minari",
            Format::Vd4rl => "V-D4RL",
        };
        let mib = self.bytes as f64 / f64::from(1 << 20);
        writeln!(f, "{name} ({format}, {mib:.1} MiB)")?;
        let (rows, episodes) = (thousands(self.rows), thousands(self.episodes));
        writeln!(f, "  transitions  {rows} in {episodes} episodes")?;
        if let Some(Range { start, end }) = self.generated() {
            let (recorded, generated) = (thousands(start), thousands(end - start));
            writeln!(f, "  generated    {generated}, after {recorded} recorded ones")?;
        }
        let (terminated, truncated) = (thousands(self.terminated), thousands(self.truncated));
        writeln!(f, "  endings      {terminated} terminated, {truncated} truncated, {} unfinished", self.unfinished)?;
        let Spread { min, mean, max } = self.returns;
        writeln!(f, "  returns      {mean:.1} on average, from {min:.1} to {max:.1}")?;
        let Spread { min, mean, max } = self.lengths;
        writeln!(f, "  lengths      {mean:.1} on average, from {min} to {max}")?;
        write!(f, "  sizes        observation {}", self.obs_dim)?;
        if self.observation_parts.len() > 1 {
            let parts: Vec<_> = self.observation_parts.iter().map(|(name, size)| format!("{name} {size}")).collect();
            write!(f, " ({})", parts.join(", "))?;
        }
        write!(f, ", action {}", self.action_dim)?;
        match self.states {
            Some((nq, nv)) => write!(f, ", simulator states {nq} + {nv}")?,
            None => f.write_str(", no simulator states")?,
        }
        match self.context_dim {
            0 => writeln!(f)?,
            size => writeln!(f, ", context {size}")?,
        }
        write!(f, "  sha256       {}", self.checksum)?;
        for oddity in &self.oddities {
            write!(f, "\n  note         {oddity}")?;
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Spec, Transition};

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 20_000, 1_234_567].map(thousands), ["0", "999", "1,000", "20,000", "1,234,567"]);
    }

    #[test]
    fn spread_of_numbers() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, -2.0, 4.0]), Some(Spread { min: -2.0, mean: 1.0, max: 4.0 }));
    }

    #[test]
    fn a_report_counts_endings_and_names_bad_actions() {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for (action, terminated, truncated) in
            [(0.0, false, false), (1.5, true, false), (-3.0, false, true), (1.0, false, false)]
        {
            let row = Transition {
                observation: &[0.0],
                action: &[action],
                reward: 1.0,
                next_observation: &[1.0],
                terminated,
                truncated,
            };
            builder.push(row).unwrap();
        }
        let dataset = builder.build().unwrap();
        let report = LoadReport::new(Path::new("a/b.hdf5"), Format::D4rl, ("ab".into(), 1 << 20), 4, &dataset, vec![]);
        assert_eq!((report.terminated, report.truncated, report.unfinished), (1, 1, 1));
        assert_eq!(report.lengths, Spread { min: 1.0, mean: 4.0 / 3.0, max: 2.0 });
        assert_eq!(report.oddities, [Oddity::ActionsOutOfBounds { rows: 2, first_row: 1, worst: 2.0 }]);
        let mut marked = report.clone();
        marked.provenance.set(Provenance::RECORDED, 1).set(Provenance::GENERATED, 3);
        assert_eq!((report.generated(), marked.generated()), (None, Some(1..4)));
        assert!(marked.to_string().contains("\n  generated    3, after 1 recorded ones\n"), "{marked}");
        marked.provenance.set(Provenance::GENERATED, 4);
        assert_eq!(marked.generated(), None, "of another number of rows");
        let text = report.to_string();
        assert!(text.starts_with("b.hdf5 (D4RL, 1.0 MiB)\n  transitions  4 in 3 episodes\n"), "{text}");
        assert!(
            text.ends_with("note         2 rows with actions out of bounds by up to 2, the first in row 1"),
            "{text}"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["oddities"][0]["kind"], "actions-out-of-bounds");
    }
}
