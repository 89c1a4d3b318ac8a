//! What is odd about a file.

use std::fmt;

use serde::Serialize;

/// Something about a file that a user should know.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Oddity {
    /// The next row does not continue the transition, although no flag ends the episode there: it was ended there.
    StateJumps {
        /// Number of such places.
        count: usize,
        /// Row after the first of them.
        first_row: usize,
        /// Whether episodes were ended there; not where the file says itself where its episodes end.
        split: bool,
    },
    /// Rows that end an episode without a known next state (the file stores none, and the row after belongs to another
    /// episode): each became the next observation of the row before and is no transition of its own.
    LastRowsDropped {
        /// Number of such rows.
        count: usize,
        /// Episodes that consisted of such a row alone.
        episodes: usize,
    },
    /// Rows that end the task without a stored next state: they were kept with their own observation in its place,
    /// which no value is taken of.
    OwnSuccessor {
        /// Number of such rows.
        count: usize,
    },
    /// Numbers were converted.
    Converted {
        /// The dataset inside the file.
        dataset: String,
        /// The type stored.
        from: String,
        /// The type held.
        to: String,
    },
    /// Actions outside the bounds; they were kept as they are.
    ActionsOutOfBounds {
        /// Rows with such an action.
        rows: usize,
        /// The first of them.
        first_row: usize,
        /// By how much the worst is outside.
        worst: f32,
    },
    /// An optional part of the file is missing.
    Missing {
        /// What is missing.
        key: String,
        /// What follows from that.
        consequence: String,
    },
    /// An optional part of the file was not used.
    Ignored {
        /// What was not used.
        key: String,
        /// Why.
        why: String,
    },
    /// The simulator states were recorded after each step; they were moved by one row, and those of the episodes' first
    /// rows taken from the observation.
    StatesAfterStep {
        /// Number of first rows.
        rebuilt: usize,
    },
    /// Episodes with a flag before their end were ended at each flag.
    FlagsInsideEpisodes {
        /// Number of such episodes.
        count: usize,
    },
    /// Rows that no other row follows, whose next observation was taken from the simulator state after their step.
    NextFromStates {
        /// Number of such rows.
        count: usize,
    },
    /// Terminated rows right after a terminated row: the recording does not stop at the goal. Each is an episode of its own.
    TerminatedAgain {
        /// Number of such rows.
        count: usize,
    },
    /// Observations that are not those of the row's simulator state, which most are: Maze2D's are one step old in the row
    /// after a timeout.
    StaleObservations {
        /// Number of such rows.
        count: usize,
        /// The first of them.
        first_row: usize,
        /// Whether they were replaced by what the states show.
        repaired: bool,
    },
    /// Timeouts after which the recording goes on were taken for no ends, as was asked.
    TimeoutsPassed {
        /// Number of timeouts passed over.
        count: usize,
        /// Number of timeouts that are ends all the same.
        kept: usize,
    },
    /// Each transition has the reward of the row that it leads to, as was asked.
    RewardsOfNext,
    /// A number was added to every reward, as was asked.
    RewardsOffset {
        /// The number.
        offset: f32,
    },
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateJumps { count, first_row, split: true } => {
                write!(f, "{count} state jumps without a flag, the first before row {first_row}: episodes end there")
            }
            Self::StateJumps { count, first_row, split: false } => {
                write!(f, "{count} state jumps inside episodes, the first before row {first_row}")
            }
            Self::LastRowsDropped { count, episodes } => {
                write!(f, "{count} last rows have no next state and only complete the row before")?;
                if *episodes > 0 { write!(f, " ({episodes} episodes were such a row alone)") } else { Ok(()) }
            }
            Self::OwnSuccessor { count } => {
                write!(f, "{count} terminated rows have no next state and hold their own observation there")
            }
            Self::Converted { dataset, from, to } => write!(f, "'{dataset}' converted from {from} to {to}"),
            Self::ActionsOutOfBounds { rows, first_row, worst } => {
                write!(f, "{rows} rows with actions out of bounds by up to {worst}, the first in row {first_row}")
            }
            Self::Missing { key, consequence } => write!(f, "no '{key}': {consequence}"),
            Self::Ignored { key, why } => write!(f, "'{key}' not used: {why}"),
            Self::StatesAfterStep { rebuilt } => write!(
                f,
                "simulator states stored after the step: moved by one row, {rebuilt} first states from observations"
            ),
            Self::FlagsInsideEpisodes { count } => {
                write!(f, "{count} episodes go on after a terminated or truncated step: split there")
            }
            Self::NextFromStates { count } => {
                write!(f, "{count} last rows have the simulator's state after the step as next observation")
            }
            Self::TerminatedAgain { count } => write!(
                f,
                "{count} terminated rows follow a terminated row: the recording goes on at the goal, each is an episode"
            ),
            Self::StaleObservations { count, first_row, repaired } => {
                write!(f, "{count} observations are not those of their simulator state, the first in row {first_row}")?;
                f.write_str(if *repaired { ": taken from the states" } else { ": kept as published" })
            }
            Self::TimeoutsPassed { count, kept } => {
                write!(f, "{count} timeouts end no episode, as asked: the recording goes on")?;
                if *kept > 0 { write!(f, " ({kept} others are ends)") } else { Ok(()) }
            }
            Self::RewardsOfNext => f.write_str("each transition has the reward of the row that it leads to, as asked"),
            Self::RewardsOffset { offset } => write!(f, "{offset:+} added to every reward, as asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oddities_are_told_in_words() {
        for (oddity, words) in [
            (
                Oddity::TimeoutsPassed { count: 2, kept: 1 },
                "2 timeouts end no episode, as asked: the recording goes on (1 others are ends)",
            ),
            (Oddity::RewardsOffset { offset: -1.0 }, "-1 added to every reward, as asked"),
            (
                Oddity::StaleObservations { count: 3, first_row: 8, repaired: false },
                "3 observations are not those of their simulator state, the first in row 8: kept as published",
            ),
            (
                Oddity::LastRowsDropped { count: 2, episodes: 1 },
                "2 last rows have no next state and only complete the row before (1 episodes were such a row alone)",
            ),
        ] {
            assert_eq!(oddity.to_string(), words);
        }
    }
}
