//! Training and a buffer's background work, shown while somebody waits for it.

use std::sync::{Mutex, PoisonError};

use gta::augment::{Monitor, Phase, Status};

use super::output::{Console, thousands};
use super::progress::{Progress, while_looking};

/// What was seen of training.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Steps taken here; 0 where the model had been trained before.
    pub steps: u64,
    /// The last loss.
    pub loss: Option<f64>,
}

/// Training, as shown.
pub struct Training {
    progress: Progress,
    /// The step before the first one seen, and the last one with its loss.
    steps: Mutex<Option<(u64, u64, f64)>>,
}

impl Training {
    /// Training is about to begin.
    pub fn new(console: &Console) -> Self {
        Self { progress: console.progress("training", "steps", None), steps: Mutex::new(None) }
    }

    /// `step` of `total` steps are done; 0 of 0 before the first.
    pub fn at(&self, step: u64, total: u64, loss: f64) {
        if total == 0 {
            // The windows are looked through, or a checkpoint is loaded.
            return self.progress.at(0, None, "preparing");
        }
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, ..) = steps.unwrap_or((step.saturating_sub(1), step, loss));
        *steps = Some((before, step, loss));
        self.progress.at(step, Some(total), &format!("loss {loss:.4}"));
    }

    /// Training is over.
    pub fn finish(self) -> Seen {
        match self.steps.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((before, step, loss)) => {
                let steps = step - before;
                self.progress.finish(format_args!("{} steps, loss {loss:.4}", thousands(steps)));
                Seen { steps, loss: Some(loss) }
            }
            None => {
                self.progress.finish("nothing to do, the model is trained");
                Seen::default()
            }
        }
    }
}

/// Runs `work`, which waits for the buffer behind `monitor`, and shows what the buffer does meanwhile.
pub fn during<T>(console: &Console, monitor: Monitor, work: impl FnOnce() -> T) -> (T, Seen) {
    let mut view = View::new(console);
    let result = while_looking(|| view.show(&monitor.status()), work);
    view.end(&monitor.status());
    (result, view.seen)
}

/// What a buffer does, as shown.
pub struct View<'a> {
    console: &'a Console,
    shown: Shown,
    seen: Seen,
}

enum Shown {
    Nothing,
    Training(Training),
    Filling(Progress),
}

impl<'a> View<'a> {
    /// Nothing was seen yet.
    pub fn new(console: &'a Console) -> Self {
        Self { console, shown: Shown::Nothing, seen: Seen::default() }
    }

    /// Shows the status of a moment.
    pub fn show(&mut self, status: &Status) {
        match &status.phase {
            Phase::Learning { step, total, loss } => {
                if !matches!(self.shown, Shown::Training(_)) {
                    self.shown = Shown::Training(Training::new(self.console));
                }
                if let Shown::Training(training) = &self.shown {
                    training.at(*step, *total, *loss);
                }
            }
            Phase::Filling => self.filling(status),
            _ => {}
        }
    }

    fn filling(&mut self, status: &Status) {
        if !matches!(self.shown, Shown::Filling(_)) {
            self.trained();
            self.shown = Shown::Filling(self.console.progress("generating", "transitions", Some(status.target)));
        }
        if let Shown::Filling(progress) = &self.shown {
            let pace = format!("{} a second", thousands(status.transitions_per_second as u64));
            progress.at(status.generated.min(status.target), Some(status.target), &pace);
        }
    }

    fn trained(&mut self) {
        if let Shown::Training(training) = std::mem::replace(&mut self.shown, Shown::Nothing) {
            self.seen = training.finish();
        }
    }

    /// Nothing more will happen, for better or worse.
    pub fn end(&mut self, status: &Status) {
        if matches!(status.phase, Phase::Failed { .. }) {
            self.shown = Shown::Nothing;
            return;
        }
        // Also where it was over before anybody looked.
        self.filling(status);
        if let Shown::Filling(progress) = std::mem::replace(&mut self.shown, Shown::Nothing) {
            let rejected = match status.rejected.total() {
                0 => String::new(),
                count => format!(", {} more rejected", thousands(count)),
            };
            let amended = match status.amended.windows {
                0 => String::new(),
                count => format!(", {} amended", thousands(count)),
            };
            let (transitions, windows) = (thousands(status.transitions), thousands(status.windows));
            progress.finish(format_args!("{transitions} transitions in {windows} windows{amended}{rejected}"));
        }
    }
}
