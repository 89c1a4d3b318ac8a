//! `gta bench --novelty`: how many nearest rows a second the exact search finds.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::Result;
use gta::eval::{NearestIndex, SearchOptions};
use gta::native::{self, DeviceChoice};
use gta::replay::{Seed, fill_normal};
use serde::Serialize;
use serde_json::json;

use super::{ACTION_DIM, BenchArgs, Console, OBS_DIM};

/// Numbers of a row: an observation and an action.
const DIM: usize = OBS_DIM + ACTION_DIM;
/// Rows to search among where none were asked for.
const ROWS: usize = 1_000_000;
/// Directions in which correlated data varies most.
const FACTORS: usize = 5;
/// Standard deviation of each number around what the factors make of it.
const OWN_NOISE: f32 = 0.1;
/// Standard deviation of the step from a row of the data to a query beside it, a number.
const STEP: f32 = 0.05;

/// Kinds of data and queries. `examples/faiss_novelty.py` draws from the same distributions.
const KINDS: [(&str, Kind); 3] =
    [("gaussian", Kind::Gaussian), ("correlated", Kind::Correlated), ("beside data", Kind::Beside)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Independent normal numbers: no search can rule out anything early.
    Gaussian,
    /// Five normal factors, mixed into all numbers by normal loadings, and each number's own noise.
    Correlated,
    /// Correlated data, and queries that are rows of it with noise: what generated transitions are like.
    Beside,
}

/// What to search, and how often.
pub struct Plan {
    rows: usize,
    queries: usize,
    rounds: usize,
    threads: NonZeroUsize,
    device: DeviceChoice,
}

impl Plan {
    /// What was asked for.
    pub fn new(args: &BenchArgs) -> Self {
        Self {
            rows: args.rows.map_or(ROWS, usize::from),
            queries: args.queries.into(),
            rounds: args.rounds.into(),
            threads: args.threads.or_else(|| NonZeroUsize::new(native::threads())).unwrap_or(NonZeroUsize::MIN),
            device: args.device,
        }
    }

    /// Measures, one kind of data after the other.
    pub fn run(self, console: &Console) -> Result<()> {
        let (mut figures, mut text) = (Vec::new(), String::new());
        for (name, kind) in KINDS {
            let figure = self.measure(name, kind)?;
            console.remark(figure.line());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", figure.line());
            figures.push(figure);
        }
        let object = json!({
            "threads": self.threads, "rounds": self.rounds, "rows": self.rows, "queries": self.queries, "dim": DIM,
            "peak_memory_mb": peak_memory_mb(), "figures": figures,
        });
        console.result(&object, text.trim_end())
    }

    fn measure(&self, data: &'static str, kind: Kind) -> Result<Figure> {
        let (rows, queries) = kind.draw(self.rows, self.queries);
        let options = SearchOptions { threads: Some(self.threads), device: self.device };
        let start = Instant::now();
        let index = NearestIndex::new(&rows, DIM, None, options)?;
        let build_seconds = start.elapsed().as_secs_f64();
        // The first searches warm the caches, and a GPU's choice of kernels.
        index.search(&queries[..self.queries.min(64) * DIM])?;
        let (mut rates, busy) = (Vec::new(), processor_seconds());
        for _ in 0..self.rounds {
            let start = Instant::now();
            index.search(&queries)?;
            rates.push(self.queries as f64 / start.elapsed().as_secs_f64());
        }
        let searched = (self.rounds * self.queries) as f64;
        let cpu_ms = busy.zip(processor_seconds()).map(|(before, now)| 1e3 * (now - before) / searched);
        rates.sort_by(f64::total_cmp);
        Ok(Figure {
            data,
            unit: "queries/s",
            median: rates[rates.len() / 2],
            least: rates[0],
            most: rates[rates.len() - 1],
            cpu_ms,
            build_seconds,
        })
    }
}

impl Kind {
    /// Rows and queries, `[_, DIM]` each; always the same.
    fn draw(self, rows: usize, queries: usize) -> (Vec<f32>, Vec<f32>) {
        let normal = |name: &str, count: usize| {
            let mut numbers = vec![0.0; count];
            fill_normal(&mut Seed::new(0).fork("bench", 0).fork(name, 0).rng(), &mut numbers);
            numbers
        };
        if self == Self::Gaussian {
            return (normal("rows", rows * DIM), normal("queries", queries * DIM));
        }
        let loadings = normal("loadings", FACTORS * DIM);
        let mixed = |name: &str, count: usize| {
            let (factors, mut values) = (normal(name, count * FACTORS), normal(&format!("{name}, own"), count * DIM));
            for (row, factors) in values.chunks_exact_mut(DIM).zip(factors.chunks_exact(FACTORS)) {
                for (column, value) in row.iter_mut().enumerate() {
                    let loadings = loadings.chunks_exact(DIM).map(|loadings| loadings[column]);
                    *value = OWN_NOISE * *value + factors.iter().zip(loadings).map(|(f, l)| f * l).sum::<f32>();
                }
            }
            values
        };
        let data = mixed("rows", rows);
        if self == Self::Correlated {
            return (data, mixed("queries", queries));
        }
        let mut beside = normal("steps", queries * DIM);
        for (query, values) in beside.chunks_exact_mut(DIM).enumerate() {
            let row = query * rows / queries;
            values.iter_mut().zip(&data[row * DIM..]).for_each(|(value, near)| *value = near + STEP * *value);
        }
        (data, beside)
    }
}

/// Queries a second on one kind of data, over all rounds.
#[derive(Debug, Serialize)]
struct Figure {
    data: &'static str,
    unit: &'static str,
    median: f64,
    least: f64,
    most: f64,
    /// Time that all threads together computed for one query, in milliseconds: comparable on a busy machine, too.
    cpu_ms: Option<f64>,
    /// What making the index took, once for all rounds.
    build_seconds: f64,
}

impl Figure {
    fn line(&self) -> String {
        let Self { data, unit, median, least, most, cpu_ms, build_seconds } = self;
        let cpu = cpu_ms.map_or_else(String::new, |ms| format!("  {ms:>6.3} ms of CPU each"));
        format!(
            "{data:<12}  {median:>8.0} {unit} ({least:.0} to {most:.0}){cpu}, after {build_seconds:.1} s of building"
        )
    }
}

/// Seconds that this process has computed so far, ended threads included, where the system tells (Linux).
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name, which may hold anything, fields 14 and 15 of the line: user and system time, in hundredths.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 * 1e-2)
}

/// The most memory that this process held so far, where the system tells (Linux).
fn peak_memory_mb() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1.024e-3)
}

#[cfg(test)]
mod tests {
    use gta::eval::nearest;

    use super::*;

    #[test]
    fn queries_beside_the_data_are_a_step_away_and_fresh_ones_farther() {
        let mean = |kind: Kind| {
            let (rows, queries) = kind.draw(2_000, 100);
            assert_eq!((rows.len(), queries.len()), (2_000 * DIM, 100 * DIM));
            let found = nearest(&rows, &queries, DIM, None).unwrap();
            found.iter().map(|n| n.squared_distance).sum::<f64>() / 100.0
        };
        let step = DIM as f64 * f64::from(STEP).powi(2);
        assert!((mean(Kind::Beside) / step - 1.0).abs() < 0.1);
        // Independent rows differ by twice the variance in each number, and the nearest of 2,000 by less than half of it.
        assert!(mean(Kind::Correlated) > 5.0 * step && mean(Kind::Correlated) < mean(Kind::Gaussian));
        assert!((10.0..25.0).contains(&mean(Kind::Gaussian)));
    }

    #[test]
    fn a_small_run_has_all_its_figures() {
        let options = (NonZeroUsize::MIN, DeviceChoice::Cpu);
        let plan = Plan { rows: 300, queries: 20, rounds: 3, threads: options.0, device: options.1 };
        let figure = plan.measure("gaussian", Kind::Gaussian).unwrap();
        assert!(0.0 < figure.least && figure.least <= figure.median && figure.median <= figure.most);
        assert!(figure.line().starts_with("gaussian "));
    }
}
