//! The two traits a buffer implements.

use crate::{Batch, Dataset, Result, Rng, Spec};

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
}

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
}
