//! What a reader may be asked to do with a file, beside taking it as it is published.

use serde::{Deserialize, Serialize};

use super::Oddity;

/// Choices of a reader; the default takes every file as it is published. What was done stands in the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// Which reward a transition gets.
    pub reward_timing: RewardTiming,
    /// Added to every reward; -1 is what most algorithms use on AntMaze (IQL: Kostrikov et al. 2021, section 5).
    pub reward_offset: f32,
    /// Whether timeouts end episodes.
    pub timeouts: Timeouts,
    /// Where the goals of Minari's dictionaries go.
    pub goals: Goals,
}

impl ReadOptions {
    /// Adds the offset to `rewards`.
    pub(super) fn offset(&self, rewards: &mut [f32], oddities: &mut Vec<Oddity>) {
        let offset = self.reward_offset;
        if offset != 0.0 {
            rewards.iter_mut().for_each(|reward| *reward += offset);
            oddities.push(Oddity::RewardsOffset { offset });
        }
    }
}

/// Which reward the transition `(s_t, a_t, s_{t+1})` gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardTiming {
    /// That of its own row, as every published result has it.
    #[default]
    AsPublished,
    /// That of the row after: Maze2D's rows hold the reward of their own observation (D4RL, issue 194), while the
    /// environment pays for the next one. Refused where a file stores next states or terminates: its rewards are those
    /// of the transitions already.
    NextObservation,
}

/// What a timeout is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timeouts {
    /// The end of an episode, as D4RL's own functions take it.
    #[default]
    End,
    /// No end where the recording goes on: Maze2D's timeouts are reached goals, nothing is reset there. Refused where the
    /// file does not tell whether it goes on.
    GoOn,
}

/// Where the `desired_goal` of an observation that is a dictionary goes. It is a context of the row in any case
/// ([`States::contexts`](crate::States::contexts)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goals {
    /// All parts make the observation: a policy has to see a goal that changes from episode to episode.
    #[default]
    InObservation,
    /// The part `observation` alone is the observation, as D4RL's mazes have it; neither `desired_goal` nor
    /// `achieved_goal` is part of it.
    InContext,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_by_name_and_unknown_ones_refused() {
        let read = |text: &str| serde_json::from_str::<ReadOptions>(text);
        let options =
            read(r#"{"reward_timing": "next_observation", "timeouts": "go_on", "goals": "in_context"}"#).unwrap();
        assert_eq!((options.timeouts, options.goals), (Timeouts::GoOn, Goals::InContext));
        assert_eq!(read(r#"{"reward_offset": -1}"#).unwrap().reward_offset, -1.0);
        assert_eq!(read("{}").unwrap(), ReadOptions::default());
        assert!(read(r#"{"reward": 1}"#).is_err());
    }
}
