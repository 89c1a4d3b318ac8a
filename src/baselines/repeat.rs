//! Naive duplication: real windows again, as they are (appendix E.2 of the GTA paper).

use std::sync::Arc;

use replay::Windows;

use crate::augment::{Blueprint, BoxError, Generator, Learner, Learning, Prompts};

/// Gives every prompt back as it is. With prompts drawn from the good part of the data it is what choosing does without
/// generating: the control for any augmentation that starts from the same prompts.
///
/// It is learner, blueprint and generator in one, as [`S4rl`](super::S4rl) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeat;

impl Generator for Repeat {
    fn generate(&mut self, prompts: &Prompts) -> Result<Windows, BoxError> {
        Ok(prompts.windows.clone())
    }
}

impl Blueprint for Repeat {
    fn build(&self) -> Result<Box<dyn Generator>, BoxError> {
        Ok(Box::new(*self))
    }

    fn fingerprint(&self) -> String {
        "repeat".into()
    }
}

impl Learner for Repeat {
    fn learn(&mut self, _: &Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError> {
        Ok(Arc::new(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{AugmentConfig, Augmented, GuideConfig, Pacing};
    use replay::{Dataset, Spec, Transition};

    #[test]
    fn the_pool_holds_windows_of_the_best_episodes_as_they_are() {
        // Ten episodes of eight steps; the last pays most.
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for (episode, step) in (0..10).flat_map(|episode| (0..8).map(move |step| (episode, step))) {
            let row = (8 * episode + step) as f32;
            let row = Transition {
                observation: &[row],
                action: &[0.1],
                reward: episode as f32,
                next_observation: &[row + 1.0],
                terminated: false,
                truncated: step == 7,
            };
            builder.push(row).unwrap();
        }
        let dataset = builder.build().unwrap();
        let config = AugmentConfig {
            guide: GuideConfig { horizon: 4, prefer_episodes: Some(0.1), ..GuideConfig::default() },
            pacing: Pacing { target: 400, ahead: 400, minimum: 10, refresh: false, ..Pacing::default() },
            chunk_windows: 20,
            ..AugmentConfig::default()
        };
        let mut buffer = Augmented::new(dataset.clone(), Box::new(Repeat), config).unwrap();
        buffer.fill_to(400).unwrap();
        let mut seen = [0; 8];
        for chunk in buffer.pool().chunks() {
            let windows = chunk.windows();
            for (index, step) in (0..windows.len()).flat_map(|index| (0..4).map(move |step| (index, step))) {
                let row = windows.origins[index] + step;
                assert_eq!(windows.transition(index, step).observation, dataset.row(row).observation);
                assert_eq!(windows.transition(index, step).reward, 9.0);
                seen[row - 72] += 1;
            }
        }
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    }
}
