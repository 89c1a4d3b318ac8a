//! When an episode counts as a success, where the field reports success rates.

use crate::{EnvId, EpisodeOutcome};

/// Rewards above these are paid only where the goal is met. Pen: 60 of bonuses against 10 at most below; door: 20
/// against 10; AntMaze: 1 against 0.
const PEN: f64 = 35.0;
const DOOR: f64 = 15.0;
const ANTMAZE: f64 = 0.5;
/// Steps for which Adroit's goals have to be met, and more.
const PEN_STEPS: usize = 20;
const DOOR_STEPS: usize = 25;
/// Tasks of FrankaKitchen, each of which pays 1.
const KITCHEN_TASKS: f64 = 4.0;

impl EnvId {
    /// Whether a step that paid `reward` met the task's goal.
    pub(crate) fn achieves(self, reward: f64) -> bool {
        match self {
            Self::AntMaze(_) => reward > ANTMAZE,
            Self::Pen => reward > PEN,
            Self::Door => reward > DOOR,
            _ => false,
        }
    }

    /// Whether an episode is a success: AntMaze's goal was reached, Adroit's pen held as asked for more than 20 steps,
    /// its door open for more than 25 (D4RL's `evaluate_success`), all four tasks of FrankaKitchen done. `None` for
    /// tasks that are scored by return alone.
    pub fn succeeded(self, outcome: &EpisodeOutcome) -> Option<bool> {
        match self {
            Self::AntMaze(_) => Some(outcome.achieved > 0),
            Self::Pen => Some(outcome.achieved > PEN_STEPS),
            Self::Door => Some(outcome.achieved > DOOR_STEPS),
            Self::Kitchen(_) => Some(outcome.total_reward >= KITCHEN_TASKS),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Maze;

    #[test]
    fn goals_are_told_by_what_is_paid_and_successes_by_how_long() {
        let outcome = |achieved, total_reward| EpisodeOutcome { achieved, total_reward, ..EpisodeOutcome::default() };
        let antmaze = EnvId::AntMaze(Maze::Umaze);
        assert!(antmaze.achieves(1.0) && !antmaze.achieves(0.0));
        assert_eq!([0, 1].map(|steps| antmaze.succeeded(&outcome(steps, 0.0))), [Some(false), Some(true)]);
        // The best step short of the goal, and the worst at it.
        assert!(EnvId::Pen.achieves(0.95 - 0.075 + 60.0 - 5.0) && !EnvId::Pen.achieves(0.95 + 10.0));
        assert!(EnvId::Door.achieves(20.0 - 0.1) && !EnvId::Door.achieves(10.0));
        assert_eq!([20, 21].map(|steps| EnvId::Pen.succeeded(&outcome(steps, 0.0))), [Some(false), Some(true)]);
        assert_eq!([25, 26].map(|steps| EnvId::Door.succeeded(&outcome(steps, 0.0))), [Some(false), Some(true)]);
        let kitchen = EnvId::Kitchen(crate::Kitchen::Mixed);
        assert_eq!([3.0, 4.0].map(|paid| kitchen.succeeded(&outcome(0, paid))), [Some(false), Some(true)]);
        assert_eq!(EnvId::Hopper.succeeded(&outcome(9, 9.0)), None);
    }
}
