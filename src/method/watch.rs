//! Quality on a schedule, judged beside training without holding it up.

use std::thread::JoinHandle;

use crossbeam::channel::{Sender, TrySendError, bounded};
use replay::Seed;

use crate::eval::{Quality, QualityMeter, Simulator, Transitions};
use crate::{Error, Result};

/// What was found at one turn of a schedule.
#[derive(Clone, Debug)]
pub struct QualityRecord {
    /// Rows sampled from the buffer when the windows were drawn.
    pub rows: u64,
    /// The figures, or why there are none.
    pub quality: Result<Quality, String>,
}

/// A thread that judges windows when told to. It is started by [`MethodBuffer::watch_quality`](super::MethodBuffer), holds
/// one set of windows at a time, reports failures in its records, and is joined on drop after its current set.
pub struct QualityWatch {
    every: u64,
    windows: usize,
    rows: u64,
    sender: Option<Sender<(u64, Transitions)>>,
    thread: Option<JoinHandle<()>>,
}

impl QualityWatch {
    pub(super) fn start<S: Simulator + Send + 'static>(
        meter: QualityMeter<S>,
        every: u64,
        windows: usize,
        mut record: impl FnMut(QualityRecord) + Send + 'static,
    ) -> Result<Self> {
        if every == 0 || windows == 0 {
            let why = format!("{windows} windows every {every} rows: both must be at least 1");
            return Err(Error::Config { name: "watch_quality".into(), why });
        }
        // No queue: a set that finds the thread busy is left out, so records are about the pool as it is.
        let (sender, receiver) = bounded::<(u64, Transitions)>(1);
        let judge = move || {
            for (rows, set) in receiver {
                let _span = tracing::info_span!("judging", rows).entered();
                let measured = meter.measure(&set);
                record(QualityRecord { rows, quality: measured.map(|m| m.quality).map_err(|e| e.to_string()) });
            }
        };
        let thread =
            std::thread::Builder::new().name("gta-quality".into()).spawn(judge).map_err(Error::io("thread"))?;
        Ok(Self { every, windows, rows: 0, sender: Some(sender), thread: Some(thread) })
    }

    /// Notes that `rows` were sampled, and sends off windows from `pick` when it is time.
    pub(super) fn sampled(&mut self, rows: u64, pick: impl FnOnce(usize, Seed) -> Option<Transitions>) {
        let turn = self.rows / self.every;
        self.rows += rows;
        let Some(sender) = self.sender.as_ref().filter(|s| self.rows / self.every > turn && s.is_empty()) else {
            return;
        };
        // The windows depend on the turn only, so a run judges the same ones again.
        if let Some(set) = pick(self.windows, Seed::new(self.rows / self.every)) {
            match sender.try_send((self.rows, set)) {
                Ok(()) | Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => self.sender = None,
            }
        }
    }
}

impl Drop for QualityWatch {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the user's `record` was printed by its thread; there is nobody left to hand it to.
            let _ = thread.join();
        }
    }
}
