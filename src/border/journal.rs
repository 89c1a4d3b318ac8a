//! What border's trainer records, kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use border_core::record::{Record, RecordValue, Recorder};
use border_core::{Agent, Env, ReplayBufferBase};

/// A recorder of border that keeps all scalars in memory and, where it has a folder, the agent's parameters on disk.
///
/// border's own recorders that need no further crate refuse to save a model, which its trainer asks for after the first
/// evaluation. Clones share what is kept: one goes to the trainer, the other is read.
#[derive(Clone, Default)]
pub struct Journal {
    kept: Arc<Mutex<Kept>>,
    folder: Option<PathBuf>,
    listener: Option<Arc<Listener>>,
}

/// Told of each flush: its step, and names and values of the scalars.
type Listener = dyn Fn(i64, &[(String, f32)]) + Send + Sync;

#[derive(Debug, Default)]
struct Kept {
    /// Name, step, value.
    scalars: Vec<(String, i64, f32)>,
    /// What was stored since the last flush.
    unflushed: Vec<(String, f32)>,
}

impl Journal {
    /// Keeps parameters below `folder`: the best ones in `best`, others by the number of their step.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), ..Self::default() }
    }

    /// Calls `listener` with step and scalars as they come, such as to print them.
    #[must_use]
    pub fn telling(mut self, listener: impl Fn(i64, &[(String, f32)]) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Step and value of each scalar called `name`, in the order they came. The step is that of the flush after it, so
    /// that the trainer's `flush_record_interval` should be 1.
    pub fn scalars(&self, name: &str) -> Vec<(i64, f32)> {
        self.lock().scalars.iter().filter(|scalar| scalar.0 == name).map(|scalar| (scalar.1, scalar.2)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, base: &Path) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(base))
    }
}

fn scalars(record: Record) -> impl Iterator<Item = (String, f32)> {
    record.into_iter_in_record().filter_map(|(name, value)| match value {
        RecordValue::Scalar(value) => Some((name, value)),
        _ => None,
    })
}

impl<E: Env, R: ReplayBufferBase> Recorder<E, R> for Journal {
    /// Keeps the record at step 0: it belongs to none.
    fn write(&mut self, record: Record) {
        self.lock().scalars.extend(scalars(record).map(|(name, value)| (name, 0, value)));
    }

    fn store(&mut self, record: Record) {
        self.lock().unflushed.extend(scalars(record));
    }

    fn flush(&mut self, step: i64) {
        let flushed = std::mem::take(&mut self.lock().unflushed);
        if let Some(listener) = self.listener.as_ref().filter(|_| !flushed.is_empty()) {
            listener(step, &flushed);
        }
        self.lock().scalars.extend(flushed.into_iter().map(|(name, value)| (name, step, value)));
    }

    /// Nothing without a folder.
    fn save_model(&self, base: &Path, agent: &Box<dyn Agent<E, R>>) -> Result<()> {
        let Some(place) = self.place(base) else { return Ok(()) };
        agent.save_params(&place).with_context(|| format!("saving parameters in {}", place.display()))?;
        Ok(())
    }

    fn load_model(&self, base: &Path, agent: &mut Box<dyn Agent<E, R>>) -> Result<()> {
        let place = self.place(base).context("this journal has no folder to load parameters from")?;
        agent.load_params(&place).with_context(|| format!("loading parameters from {}", place.display()))
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kept { scalars, unflushed } = &*self.lock();
        f.debug_struct("Journal")
            .field("scalars", &scalars.len())
            .field("unflushed", &unflushed.len())
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}
