//! How many nearest rows a second the exact search finds.

use std::time::Instant;

use anyhow::Result;
use gta::eval::{NearestIndex, SearchOptions};
use gta::replay::{Seed, fill_normal};

use super::{ACTION_DIM, OBS_DIM, Plan, Show, memory_mb};

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
    [("gaussian", Kind::Gaussian), ("correlated", Kind::Correlated), ("beside", Kind::Beside)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Independent normal numbers: no search can rule out anything early.
    Gaussian,
    /// Five normal factors, mixed into all numbers by normal loadings, and each number's own noise.
    Correlated,
    /// Correlated data, and queries that are rows of it with noise: what generated transitions are like.
    Beside,
}

/// Measures, one kind of data after the other.
pub(super) fn searches(plan: &Plan, show: &Show) -> Result<()> {
    for (name, kind) in KINDS {
        let (rows, queries) = kind.draw(plan.rows.unwrap_or(ROWS), plan.queries);
        let options = SearchOptions { threads: Some(plan.threads), device: plan.device };
        let start = Instant::now();
        let index = NearestIndex::new(&rows, DIM, None, options)?;
        let build_seconds = start.elapsed().as_secs_f64();
        let figure = plan.measure(format!("novelty.{name}"), "queries/s", || {
            index.search(&queries)?;
            Ok(plan.queries as f64)
        })?;
        let figure = figure.with("build_s", build_seconds);
        show(match memory_mb("VmHWM") {
            Some(peak) => figure.with("peak_memory_mb", peak),
            None => figure,
        })?;
    }
    Ok(())
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
}
