//! Families of tasks.

/// A family of tasks for which settings were published: GTA's in tables 8 and 9, those of agents by their authors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Gym locomotion: HalfCheetah.
    HalfCheetah,
    /// Gym locomotion: Hopper.
    Hopper,
    /// Gym locomotion: Walker2d.
    Walker2d,
    /// A point mass in a maze; sparse or dense rewards, no end.
    Maze2d,
    /// An ant in a maze; a single reward at the goal, where the task ends.
    AntMaze,
    /// A hand with 24 joints: pen, door, hammer, relocate.
    Adroit,
    /// A robot arm in a kitchen; a reward for each task done.
    Kitchen,
    /// dm_control's cheetah-run and walker-walk, of which V-D4RL has pixels.
    Suite,
    /// None of these; gets the settings of locomotion.
    Other,
}

/// How names of tasks and datasets begin.
const BEGINNINGS: [(&str, Domain); 16] = [
    ("halfcheetah", Domain::HalfCheetah),
    ("hopper", Domain::Hopper),
    ("walker2d", Domain::Walker2d),
    ("maze2d", Domain::Maze2d),
    ("pointmaze", Domain::Maze2d),
    ("antmaze", Domain::AntMaze),
    ("pen", Domain::Adroit),
    ("door", Domain::Adroit),
    ("hammer", Domain::Adroit),
    ("relocate", Domain::Adroit),
    ("kitchen", Domain::Kitchen),
    ("frankakitchen", Domain::Kitchen),
    ("cheetah-run", Domain::Suite),
    ("cheetah_run", Domain::Suite),
    ("walker-walk", Domain::Suite),
    ("walker_walk", Domain::Suite),
];

impl Domain {
    /// By the name of a dataset or task: D4RL's (`antmaze-umaze-v2`), Minari's (`mujoco/hopper/medium-v0`), Gymnasium's
    /// (`Hopper-v4`), V-D4RL's (`cheetah-run-medium`).
    ///
    /// ```
    /// use gta::Domain;
    ///
    /// assert_eq!(Domain::of("antmaze-large-play-v2"), Domain::AntMaze);
    /// assert_eq!(Domain::of("D4RL/door/human-v2"), Domain::Adroit);
    /// assert_eq!(Domain::of("pendulum"), Domain::Other);
    /// ```
    pub fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        // Minari's names have a collection before the task.
        let begins = |part: &str, beginning: &str| {
            let rest = part.strip_prefix(beginning);
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphabetic()))
        };
        let fits = |beginning: &str| name.split('/').any(|part| begins(part, beginning));
        BEGINNINGS.iter().find(|(beginning, _)| fits(beginning)).map_or(Self::Other, |(_, domain)| *domain)
    }

    /// Whether scores are reported of 10 episodes, as the paper does in locomotion, and not of 100, as everywhere else
    /// (appendix C.3); of V-D4RL's tasks it does not say.
    pub fn evaluation_episodes(self) -> usize {
        match self {
            Self::Maze2d | Self::AntMaze | Self::Adroit | Self::Kitchen => 100,
            Self::HalfCheetah | Self::Hopper | Self::Walker2d | Self::Suite | Self::Other => 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_known_by_all_suites_names() {
        for (name, domain) in [
            ("halfcheetah-medium-v2", Domain::HalfCheetah),
            ("Hopper-v4", Domain::Hopper),
            ("mujoco/walker2d/medium-v0", Domain::Walker2d),
            ("antmaze-umaze-v0", Domain::AntMaze),
            ("D4RL/pointmaze/umaze-v2", Domain::Maze2d),
            ("maze2d_umaze", Domain::Maze2d),
            ("relocate-human-v1", Domain::Adroit),
            ("pen", Domain::Adroit),
            ("kitchen-mixed-v0", Domain::Kitchen),
            ("FrankaKitchen-v1", Domain::Kitchen),
            ("dm_control/walker-walk-v0", Domain::Suite),
            ("cheetah_run_medium", Domain::Suite),
            ("PointMass-v0", Domain::Other),
            ("pendulum-v1", Domain::Other),
            ("", Domain::Other),
        ] {
            assert_eq!(Domain::of(name), domain, "{name}");
        }
    }
}
