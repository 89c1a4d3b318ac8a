//! A dataset's windows as what the diffusion model learns from.

use replay::{WindowIndex, Windows};

use super::config::Terminals;
use crate::augment::Guide;
use crate::diffusion::Examples;

/// How the end of a task is written into rewards and read back from them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TerminalCode {
    /// Subtracted from a terminal reward; 0 where terminals are copied.
    mark: f32,
    /// A generated reward below this ends the task.
    below: f32,
}

impl TerminalCode {
    /// The code for the rewards of a guide's dataset.
    pub(super) fn new(terminals: Terminals, guide: &Guide) -> Self {
        let dataset = guide.dataset();
        let Terminals::Marked { deviations } = terminals else { return Self { mark: 0.0, below: f32::NEG_INFINITY } };
        if !dataset.terminated().contains(&true) {
            return Self { mark: 0.0, below: f32::NEG_INFINITY };
        }
        let rewards = dataset.rewards();
        let mean = rewards.iter().map(|&r| f64::from(r)).sum::<f64>() / rewards.len() as f64;
        let variance = rewards.iter().map(|&r| (f64::from(r) - mean).powi(2)).sum::<f64>() / rewards.len() as f64;
        // Where all rewards are the same, any mark tells the end apart.
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let lowest = rewards.iter().copied().fold(f32::INFINITY, f32::min);
        let highest = rewards.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // The mark must lead out of the data's range from anywhere in it.
        let mark = (deviations * deviation) as f32 + (highest - lowest);
        Self { mark, below: lowest - (deviations * deviation) as f32 / 2.0 }
    }

    /// Lowers the last reward of a window that ends the task.
    fn write(&self, windows: &mut Windows, index: usize) {
        if windows.terminated[index] {
            let (last, dim) = (windows.lengths[index] as usize - 1, windows.row_dim());
            windows.window_mut(index)[last * dim + dim - 1] -= self.mark;
        }
    }

    /// Ends a generated window at its first marked reward, and takes the mark away.
    pub(super) fn read(&self, windows: &mut Windows, index: usize) {
        if self.mark == 0.0 {
            return;
        }
        let (length, dim) = (windows.lengths[index] as usize, windows.row_dim());
        let reward = |step: usize| step * dim + dim - 1;
        let below = self.below;
        let end = (0..length).find(|&step| windows.window(index)[reward(step)] < below);
        windows.terminated[index] = end.is_some();
        if let Some(step) = end {
            windows.lengths[index] = step as u32 + 1;
            windows.window_mut(index)[reward(step)] += self.mark;
        }
    }

    /// Prepares prompts as the model knows windows.
    pub(super) fn write_all(&self, windows: &mut Windows) {
        (0..windows.len()).for_each(|index| self.write(windows, index));
    }
}

/// The windows of a guide's dataset.
pub(super) struct TrainingWindows {
    index: WindowIndex,
    conditions: Vec<f32>,
    code: TerminalCode,
}

impl TrainingWindows {
    pub(super) fn new(guide: &Guide, code: TerminalCode) -> Self {
        Self { index: guide.index().clone(), conditions: guide.conditions().to_vec(), code }
    }
}

impl Examples for TrainingWindows {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn read(&self, index: usize, values: &mut [f32], mask: &mut [f32]) -> f32 {
        let spec = self.index.dataset().spec();
        let mut window = Windows::with_capacity(spec, self.index.horizon(), 1);
        self.index.gather(index, self.conditions[index], &mut window);
        self.code.write_all(&mut window);
        values.copy_from_slice(window.window(0));
        // What follows the last transition is its next state only; rows after that are padding.
        let (dim, length) = (spec.row_dim(), window.lengths[0] as usize);
        mask.fill(0.0);
        mask[..length * dim + spec.obs_dim].fill(1.0);
        window.returns[0]
    }
}
