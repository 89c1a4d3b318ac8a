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

    /// Adds to the last reward of a window that ends the task.
    fn shift(windows: &mut Windows, index: usize, by: f32) {
        if windows.terminated[index] {
            let (last, dim) = (windows.lengths[index] as usize - 1, windows.row_dim());
            windows.window_mut(index)[last * dim + dim - 1] += by;
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
        (0..windows.len()).for_each(|index| Self::shift(windows, index, -self.mark));
    }

    /// Takes the marks from windows whose rewards were given, not generated: they end where they did, whatever they pay.
    pub(super) fn erase_all(&self, windows: &mut Windows) {
        (0..windows.len()).for_each(|index| Self::shift(windows, index, self.mark));
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

#[cfg(test)]
mod tests {
    use replay::{Dataset, Seed, Spec, Transition};

    use super::*;
    use crate::augment::{Condition, GuideConfig};

    /// Two episodes of three steps that pay -1, 0 and 1; the first ends the task.
    fn guide(ends: bool) -> Guide {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for (episode, step) in (0..2).flat_map(|episode| (0..3).map(move |step| (episode, step))) {
            let last = step == 2;
            let row = Transition {
                observation: &[step as f32],
                action: &[0.5],
                reward: step as f32 - 1.0,
                next_observation: &[step as f32 + 1.0],
                terminated: ends && last && episode == 0,
                truncated: last && (episode == 1 || !ends),
            };
            builder.push(row).unwrap();
        }
        let condition = Condition::WindowReturn { discount: 1.0 };
        let config = GuideConfig { horizon: 4, condition, scale: 1.0, terminal_penalty: 0.0, ..GuideConfig::default() };
        Guide::new(&builder.build().unwrap(), config, Seed::new(0)).unwrap()
    }

    fn reward(windows: &Windows, step: usize) -> f32 {
        windows.transition(0, step).reward
    }

    #[test]
    fn an_end_is_marked_by_deviations_below_the_lowest_reward() {
        let guide = guide(true);
        let code = TerminalCode::new(Terminals::Marked { deviations: 6.0 }, &guide);
        // Rewards deviate by sqrt(2/3): six of them and the range of 2 from the highest lead 6 deviations below the lowest.
        let deviation = f32::sqrt(2.0 / 3.0);
        assert!(
            (code.mark - (6.0 * deviation + 2.0)).abs() < 1e-5 && (code.below - (-1.0 - 3.0 * deviation)).abs() < 1e-5
        );
        let examples = TrainingWindows::new(&guide, code);
        let (mut values, mut mask) = (vec![0.0; 15], vec![0.0; 15]);
        assert_eq!(examples.read(0, &mut values, &mut mask), 0.0);
        assert!((values[8] - (1.0 - code.mark)).abs() < 1e-5, "the last reward is marked: {values:?}");
        assert_eq!((values[2], values[5]), (-1.0, 0.0));
        // Three transitions, the state they led to, and nothing of what follows.
        assert_eq!(mask, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        examples.read(1, &mut values, &mut mask);
        assert_eq!(values[8], 1.0, "a time limit is no end of the task");
    }

    #[test]
    fn a_marked_reward_ends_a_window_and_reads_as_it_was() {
        let guide = guide(true);
        let code = TerminalCode::new(Terminals::Marked { deviations: 6.0 }, &guide);
        let mut windows = guide.windows(&[0]);
        code.write_all(&mut windows);
        assert!(reward(&windows, 2) < code.below);
        code.read(&mut windows, 0);
        assert_eq!((windows.terminated[0], windows.lengths[0]), (true, 3));
        assert!((reward(&windows, 2) - 1.0).abs() < 1e-5);
        // The first mark counts, wherever it is; a window without one goes on.
        let dim = windows.row_dim();
        windows.window_mut(0)[dim + dim - 1] = code.below - 0.1;
        code.read(&mut windows, 0);
        assert_eq!((windows.terminated[0], windows.lengths[0]), (true, 2));
        let mut windows = guide.windows(&[0]);
        code.read(&mut windows, 0);
        assert_eq!((windows.terminated[0], windows.lengths[0]), (false, 3));
    }

    #[test]
    fn without_ends_or_where_they_are_copied_nothing_is_marked() {
        for (guide, terminals) in
            [(guide(false), Terminals::Marked { deviations: 6.0 }), (guide(true), Terminals::Copied)]
        {
            let code = TerminalCode::new(terminals, &guide);
            let before = guide.windows(&[0]);
            let mut windows = before.clone();
            code.write_all(&mut windows);
            code.read(&mut windows, 0);
            assert_eq!(windows, before);
        }
    }
}
