//! Augmented buffers as border's: around a buffer of border, [`GtaBuffer`](crate::GtaBuffer) is one itself.

use anyhow::Result;
use border_core::{ExperienceBufferBase, ReplayBufferBase};
use replay::{Batch, Rng};

use super::BorderReplay;
use super::buffer::draw;
use crate::method::{Method, MethodBuffer, MethodBuilder};

/// Batches are of the type of the buffer inside.
impl<R: BorderReplay, M: Method> ReplayBufferBase for MethodBuffer<R, M> {
    /// The builder, with the config of the buffer inside in place of that buffer ([`MethodBuilder::new`]).
    type Config = MethodBuilder<R::Config, M>;
    type Batch = R::Batch;

    /// Settings that make no sense are reported by every batch.
    fn build(config: &Self::Config) -> Self {
        config.clone().around(|inner| R::build(inner)).build_or_report()
    }

    /// Real rows first, generated ones after them, as [`Augmented`](crate::augment::Augmented) mixes them: the first one
    /// starts training. Fails as the buffer inside does, and where learning or generating failed.
    fn batch(&mut self, size: usize) -> Result<Self::Batch> {
        draw(self, size)
    }

    /// Priorities are those of the buffer inside; indices are its own, so that generated rows have none.
    fn update_priority(&mut self, indices: &Option<Vec<usize>>, errors: &Option<Vec<f32>>) {
        self.inner_mut().update_priority(indices, errors);
    }
}

impl<R: BorderReplay + ExperienceBufferBase, M: Method> ExperienceBufferBase for MethodBuffer<R, M> {
    type Item = R::Item;

    /// Into the buffer inside. Windows are generated from what it held when generation started.
    fn push(&mut self, item: Self::Item) -> Result<()> {
        self.inner_mut().push(item)
    }

    /// Real transitions held.
    fn len(&self) -> usize {
        ExperienceBufferBase::len(self.inner())
    }
}

impl<R: BorderReplay, M: Method> BorderReplay for MethodBuffer<R, M> {
    fn rng(&mut self) -> &mut Rng {
        self.inner_mut().rng()
    }

    fn present(&mut self, batch: Batch) -> Result<Self::Batch> {
        self.inner_mut().present(batch)
    }
}
