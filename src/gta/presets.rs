//! The settings by dataset: tables 8 and 9 and appendix C.4 of the paper.

use super::{GtaConfig, Mu};
use crate::Domain;
use crate::augment::{Alpha, Condition, Eq13, Reweighting};

/// Bins of the reweighting by return (`N_B`, Table 9) for each locomotion dataset, where there is one.
const BINS: [(&str, Option<usize>); 9] = [
    ("halfcheetah-medium-v2", None),
    ("halfcheetah-medium-replay-v2", Some(50)),
    ("halfcheetah-medium-expert-v2", Some(20)),
    ("hopper-medium-v2", Some(50)),
    ("hopper-medium-replay-v2", Some(50)),
    ("hopper-medium-expert-v2", Some(50)),
    ("walker2d-medium-v2", Some(100)),
    ("walker2d-medium-replay-v2", Some(50)),
    ("walker2d-medium-expert-v2", Some(50)),
];

/// Weight of a successful episode against another (`c`, Table 8), in mazes.
const SUCCESS: Reweighting = Reweighting::BySuccess { c: 10.0, above: 0.0 };

/// Table 9's reweighting.
fn by_return(bins: usize) -> Reweighting {
    Reweighting::ByReturn { bins, u: 0.001, q: 5.0, form: Eq13::Paper }
}

impl GtaConfig {
    /// The paper's setting for a dataset, by its id or its task's name: [`paper`](Self::paper) with what tables 8 and 9 and
    /// appendix C.4 change.
    ///
    /// Table 8 gives ranges that were searched and does not say what was best where; of each the middle is taken, or
    /// the larger of two multipliers. FrankaKitchen's episodes are not reweighted, which is among its choices: the paper
    /// does not say which of them succeed.
    ///
    /// ```
    /// use gta::GtaConfig;
    ///
    /// let antmaze = GtaConfig::paper_for("antmaze-umaze-v2");
    /// assert_eq!((antmaze.mu.get(), antmaze.augment.guide.terminal_penalty), (0.1, 0.0));
    /// ```
    pub fn paper_for(id: &str) -> Self {
        let mut config = Self::paper();
        config.fit(id);
        let guide = &mut config.augment.guide;
        guide.reweighting = match Domain::of(id) {
            Domain::Maze2d | Domain::AntMaze => SUCCESS,
            Domain::Suite => by_return(50),
            _ => {
                let bins = BINS.iter().find(|(name, _)| *name == id).and_then(|(_, bins)| *bins);
                bins.map_or(Reweighting::None, by_return)
            }
        };
        config
    }

    /// What suits two CPU cores on a dataset, by its id or its task's name: the default, with what rewards and ends of its
    /// task ask for.
    ///
    /// In mazes windows are known by their return to go: what a window pays by itself is nothing for most. Asked for is
    /// at most what the best has, since a goal can be reached only so soon.
    pub fn default_for(id: &str) -> Self {
        let mut config = Self::default();
        let domain = Domain::of(id);
        if matches!(domain, Domain::HalfCheetah | Domain::Hopper | Domain::Walker2d | Domain::Other) {
            return config;
        }
        config.fit(id);
        let guide = &mut config.augment.guide;
        if matches!(domain, Domain::Maze2d | Domain::AntMaze) {
            guide.condition = Condition::ReturnToGo { discount: 0.99 };
            guide.ceiling = Some(1.0);
            guide.reweighting = SUCCESS;
        }
        config
    }

    /// What both have in common: multiplier, noise, and whether an end is a failure, for which returns are lowered.
    fn fit(&mut self, id: &str) {
        let (alpha, mu, terminal_penalty) = match Domain::of(id) {
            Domain::HalfCheetah | Domain::Hopper | Domain::Walker2d | Domain::Other => (1.3, 0.5, 100.0),
            Domain::Maze2d => (1.3, 0.5, 0.0),
            // An end is the goal.
            Domain::AntMaze => (1.3, 0.1, 0.0),
            Domain::Adroit => (1.3, 0.25, 0.0),
            Domain::Kitchen => (1.3, 0.25, 0.0),
            Domain::Suite if id.contains("replay") => (1.3, 0.1, 0.0),
            Domain::Suite => (2.0, 0.1, 0.0),
        };
        let guide = &mut self.augment.guide;
        guide.alpha = Alpha::new(alpha).expect("it is above 0");
        guide.terminal_penalty = terminal_penalty;
        self.mu = Mu::new(mu).expect("it is in (0, 1]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_the_tables() {
        // Table 8: alpha and mu that were searched, horizon 32 with the window's last state.
        for (id, alphas, mus) in [
            ("halfcheetah-medium-v2", &[1.1, 1.3, 1.4][..], &[0.5, 0.25][..]),
            ("maze2d-umaze-v1", &[1.25, 1.3], &[0.5]),
            ("antmaze-large-diverse-v2", &[1.1, 1.3, 1.5], &[0.05, 0.1, 0.25]),
            ("pen-human-v0", &[1.1, 1.3], &[0.1, 0.25]),
            ("kitchen-mixed-v0", &[1.1, 1.3, 1.5], &[0.1, 0.25, 0.5]),
            ("cheetah-run-medium", &[2.0], &[0.1]),
            ("walker-walk-medium-replay", &[1.3], &[0.1]),
        ] {
            let paper = GtaConfig::paper_for(id);
            let guide = &paper.augment.guide;
            assert!(alphas.contains(&guide.alpha.get()) && mus.contains(&paper.mu.get()), "{id}");
            assert_eq!(guide.horizon, 31, "{id}");
            let penalty = if Domain::of(id) == Domain::HalfCheetah { 100.0 } else { 0.0 };
            assert_eq!(guide.terminal_penalty, penalty, "{id}");
            paper.validate().unwrap();
            GtaConfig::default_for(id).validate().unwrap();
        }
    }

    #[test]
    fn reweighting_is_that_of_the_tables() {
        let of = |id| GtaConfig::paper_for(id).augment.guide.reweighting;
        assert_eq!(of("halfcheetah-medium-v2"), Reweighting::None);
        assert_eq!(of("walker2d-medium-v2"), by_return(100));
        assert_eq!(of("walker-walk-expert"), by_return(50));
        assert_eq!(of("antmaze-umaze-v2"), SUCCESS);
        assert_eq!(of("door-human-v0"), Reweighting::None);
    }

    #[test]
    fn the_default_of_locomotion_is_the_default() {
        assert_eq!(GtaConfig::default_for("hopper-medium-v2"), GtaConfig::default());
        assert_eq!(GtaConfig::default_for(""), GtaConfig::default());
        let maze = GtaConfig::default_for("maze2d-umaze-v1").augment.guide;
        assert_eq!((maze.ceiling, maze.reweighting), (Some(1.0), SUCCESS));
    }
}
