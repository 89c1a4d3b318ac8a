//! The two traits a buffer implements.

use crate::{Batch, Dataset, Result, Rng, Spec, Windows};

/// A buffer that transitions can be sampled from.
pub trait Replay {
    /// Sizes and bounds of what is sampled.
    fn spec(&self) -> &Spec;

    /// Real transitions held. Priorities and indices refer to these only.
    fn len(&self) -> usize;

    /// Whether no transition is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the content of `batch` by exactly `rows` sampled transitions.
    ///
    /// Fails with [`Error::Empty`](crate::Error::Empty) where nothing is held and with
    /// [`Error::Source`](crate::Error::Source) where a worker behind the buffer failed.
    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()>;

    /// `rows` sampled transitions in a batch of their own.
    fn sample(&mut self, rows: usize, rng: &mut Rng) -> Result<Batch> {
        let mut batch = Batch::with_capacity(self.spec(), rows);
        self.sample_into(rows, rng, &mut batch)?;
        Ok(batch)
    }
}

/// A buffer that knows its episodes.
///
/// Augmentation works on consecutive transitions, which sampled batches do not have.
pub trait Trajectories {
    /// All transitions held, in order, with their episodes.
    ///
    /// Cheap where the buffer holds a [`Dataset`] (it is shared, not copied).
    fn dataset(&self) -> Result<Dataset>;

    /// Draws for learners of sequences: of `draws` sub-trajectories, shows those that are generated to `show` and
    /// returns how many they are. The others are the learner's to draw from [`dataset`](Self::dataset).
    ///
    /// `show` gets windows, the number of one of them and the step in it that the sub-trajectory starts at; nothing is
    /// copied. A buffer of real transitions alone shows none, which is what happens where this is not overridden.
    ///
    /// Fails with [`Error::Source`](crate::Error::Source) where a worker behind the buffer failed.
    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> Result<usize> {
        let _ = (draws, rng, show);
        Ok(0)
    }
}

/// Looks at one window of several, from one of its steps on; see [`Trajectories::sample_generated`].
pub type ShowWindow<'a> = dyn FnMut(&Windows, usize, usize) + 'a;

impl<R: Replay + ?Sized> Replay for Box<R> {
    fn spec(&self) -> &Spec {
        (**self).spec()
    }
    fn len(&self) -> usize {
        (**self).len()
    }
    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        (**self).sample_into(rows, rng, batch)
    }
}

impl<R: Trajectories + ?Sized> Trajectories for Box<R> {
    fn dataset(&self) -> Result<Dataset> {
        (**self).dataset()
    }
    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> Result<usize> {
        (**self).sample_generated(draws, rng, show)
    }
}
