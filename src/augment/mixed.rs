//! Real rows mixed with generated ones that never change.

use rand::RngExt;
use replay::{Batch, Dataset, Error, Replay, Result, Rng, ShowWindow, Spec, Trajectories};

use super::Pool;

/// A buffer whose batches hold `round(ratio * rows)` transitions of a frozen pool beside real rows of `R`.
///
/// [`Augmented`](super::Augmented) generates while it is sampled; this is for what was generated before: several agents
/// train on one pool, each with a view of its own that shares the chunks. Real rows come first. Nothing depends on time,
/// so the same random stream gives the same batches.
#[derive(Clone, Debug)]
pub struct Mixed<R> {
    inner: R,
    pool: Pool,
    ratio: f64,
}

impl<R: Replay> Mixed<R> {
    /// Mixes transitions of `pool` into the batches of `inner`.
    ///
    /// Fails where the ratio is not in `[0, 1]`, where it is above 0 and the pool is empty, and where the pool's
    /// transitions are of other sizes.
    pub fn new(inner: R, pool: Pool, ratio: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::Invalid { what: "ratio".into(), why: format!("{ratio} is not in [0, 1]") });
        }
        if ratio > 0.0 && pool.is_empty() {
            return Err(Error::Invalid { what: "pool".into(), why: "it holds no transition to mix in".into() });
        }
        let spec = inner.spec();
        let sizes = |o, a| format!("(O, A) = ({o}, {a})");
        for chunk in pool.chunks() {
            let windows = chunk.windows();
            if (windows.obs_dim(), windows.action_dim()) != (spec.obs_dim, spec.action_dim) {
                let (theirs, ours) =
                    (sizes(windows.obs_dim(), windows.action_dim()), sizes(spec.obs_dim, spec.action_dim));
                let why = format!("its transitions have {theirs}, the buffer's {ours}");
                return Err(Error::Invalid { what: "pool".into(), why });
            }
        }
        Ok(Self { inner, pool, ratio })
    }

    /// The buffer inside.
    pub fn inner(&self) -> &R {
        &self.inner
    }

    /// The generated windows.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Share of generated rows in a batch.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// How many of `rows` are generated.
    fn share(&self, rows: usize) -> usize {
        (self.ratio * rows as f64).round() as usize
    }
}

impl<R: Replay> Replay for Mixed<R> {
    fn spec(&self) -> &Spec {
        self.inner.spec()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        let generated = self.share(rows);
        self.inner.sample_into(rows - generated, rng, batch)?;
        self.pool.sample_into(generated, rng, batch);
        Ok(())
    }
}

impl<R: Replay + Trajectories> Trajectories for Mixed<R> {
    /// The trajectories of the buffer inside.
    fn dataset(&self) -> Result<Dataset> {
        self.inner.dataset()
    }

    /// `round(ratio * draws)` windows of the pool, from a start drawn uniformly from all generated transitions, and what
    /// the buffer inside generates for the rest.
    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> Result<usize> {
        let generated = self.share(draws);
        let inside = self.inner.sample_generated(draws - generated, rng, show)?;
        for _ in 0..generated {
            let (chunk, window, step) = self.pool.locate(rng.random_range(0..self.pool.transitions()));
            show(chunk.windows(), window, step);
        }
        Ok(inside + generated)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use replay::{Seed, Source, Transition, Windows};

    use super::super::filter::Filtered;
    use super::super::{Amendments, Chunk, Rejections};
    use super::*;

    /// Real observations are 0, generated ones 1 and up.
    fn parts() -> (Dataset, Pool) {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for _ in 0..5 {
            let row = Transition {
                observation: &[0.0],
                action: &[0.0],
                reward: 0.0,
                next_observation: &[0.0],
                terminated: false,
                truncated: false,
            };
            builder.push(row).unwrap();
        }
        let mut windows = Windows::with_capacity(&Spec::new(1, 1), 2, 3);
        for window in 0..3 {
            windows.values.extend([1.0 + window as f32; 9]);
            windows.lengths.push(2);
            windows.terminated.push(false);
            windows.returns.push(0.0);
            windows.origins.push(0);
        }
        let (rejections, amendments) = (Rejections::default(), Amendments::default());
        let (positions, starts) = (vec![0, 1, 2], vec![0; 3]);
        let filtered = Filtered { windows, positions, starts, rejections, amendments };
        let mut pool = Pool::new();
        pool.push(Arc::new(Chunk::new(0, 0, filtered).unwrap()));
        (builder.build().unwrap(), pool)
    }

    #[test]
    fn every_batch_has_exactly_its_share_of_generated_rows() {
        let (dataset, pool) = parts();
        for (ratio, rows, expected) in [(0.0, 9, 0), (0.5, 10, 5), (0.25, 10, 3), (1.0, 4, 4)] {
            let mut mixed = Mixed::new(dataset.clone(), pool.clone(), ratio).unwrap();
            let batch = mixed.sample(rows, &mut Seed::new(1).rng()).unwrap();
            let generated = |source: &Source| matches!(source, Source::Generated { .. });
            assert_eq!(batch.len(), rows);
            assert!(batch.sources[..rows - expected].iter().all(|source| !generated(source)));
            assert!(batch.sources[rows - expected..].iter().all(generated));
            assert!(batch.observations[rows - expected..].iter().all(|&o| o >= 1.0));
        }
    }

    #[test]
    fn views_of_one_pool_share_it_and_repeat_by_seed() {
        let (dataset, pool) = parts();
        let [mut a, mut b] = [0, 1].map(|_| Mixed::new(dataset.clone(), pool.clone(), 0.5).unwrap());
        assert_eq!(a.sample(64, &mut Seed::new(2).rng()).unwrap(), b.sample(64, &mut Seed::new(2).rng()).unwrap());
        let first = |mixed: &Mixed<Dataset>| Arc::as_ptr(mixed.pool().chunks().next().unwrap());
        assert_eq!(first(&a), first(&b), "chunks are shared, not copied");
        assert_eq!(a.dataset().unwrap().len(), 5);
    }

    #[test]
    fn sequences_start_anywhere_in_the_pool_in_the_same_share() {
        let (dataset, pool) = parts();
        let mut mixed = Mixed::new(dataset, pool, 0.5).unwrap();
        let mut starts = Vec::new();
        let mut show = |windows: &Windows, window: usize, step: usize| {
            assert!(step < windows.lengths[window] as usize);
            starts.push((window, step));
        };
        assert_eq!(mixed.sample_generated(61, &mut Seed::new(3).rng(), &mut show).unwrap(), 31);
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]);
    }

    #[test]
    fn what_cannot_be_mixed_is_refused() {
        let (dataset, pool) = parts();
        assert!(Mixed::new(dataset.clone(), pool.clone(), 1.1).is_err());
        assert!(Mixed::new(dataset.clone(), Pool::new(), 0.5).is_err());
        assert!(Mixed::new(dataset, Pool::new(), 0.0).is_ok());
        let mut builder = Dataset::builder(Spec::new(2, 1));
        let row = Transition {
            observation: &[0.0; 2],
            action: &[0.0],
            reward: 0.0,
            next_observation: &[0.0; 2],
            terminated: false,
            truncated: false,
        };
        builder.push(row).unwrap();
        let error = Mixed::new(builder.build().unwrap(), pool, 0.5).unwrap_err().to_string();
        assert!(error.contains("(1, 1)") && error.contains("(2, 1)"), "{error}");
    }
}
