//! Which windows become prompts and which return to ask for.

use rand::seq::SliceRandom;
use replay::{Dataset, Error, Result, Seed, WindowIndex, Windows, returns};
use serde::{Deserialize, Serialize};

use super::choice::{Choice, quantile};
use super::{Aim, Alpha, Prompts, Reweighting};

/// What a window's return is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// What the episode pays from the window's first step to its own end, as in the paper.
    ReturnToGo {
        /// Weight of a reward against the one before it, in (0, 1].
        discount: f64,
    },
    /// What the window's own steps pay. Guidance by it lifts the generated rewards more, at more dynamic error.
    WindowReturn {
        /// Weight of a reward against the one before it, in (0, 1].
        discount: f64,
    },
}

/// How prompts are chosen and what is asked of them. The defaults are the paper's for locomotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuideConfig {
    /// Most transitions of a window (`H`); a window has one row more, its last state.
    pub horizon: usize,
    /// What a window's return is.
    pub condition: Condition,
    /// Condition units: what the model sees is the return times this.
    pub scale: f64,
    /// Subtracted from the reward of a terminated transition before returns are computed (appendix A.1).
    pub terminal_penalty: f64,
    /// Which return is asked for.
    pub aim: Aim,
    /// Multiplier of the return asked for, where [`aim`](Self::aim) amplifies it.
    pub alpha: Alpha,
    /// Nothing beyond this quantile of the data's returns is asked for (1 is their maximum), except of windows that
    /// have more already: a model knows nothing of returns that no window has. For amplified returns; a fixed aim has
    /// none beyond the data's.
    pub ceiling: Option<f64>,
    /// Which windows become prompts more often.
    pub reweighting: Reweighting,
    /// Draw prompts only from this fraction of the windows, the best by return.
    pub prefer_top: Option<f64>,
    /// Draw prompts only from this fraction of the episodes, the best by undiscounted return: of data of mixed quality
    /// the good part is augmented, with what was learned from all (appendix E.2).
    pub prefer_episodes: Option<f64>,
}

impl Default for GuideConfig {
    fn default() -> Self {
        Self {
            horizon: 31,
            condition: Condition::ReturnToGo { discount: 0.99 },
            scale: 0.01,
            terminal_penalty: 100.0,
            aim: Aim::Amplified,
            alpha: Alpha::PAPER,
            ceiling: None,
            reweighting: Reweighting::None,
            prefer_top: None,
            prefer_episodes: None,
        }
    }
}

impl GuideConfig {
    /// Fails where a number lies outside of what its field's documentation allows.
    pub fn validate(&self) -> Result<()> {
        let invalid = |what: &str, why: String| Err(Error::Invalid { what: format!("guide: {what}"), why });
        if self.horizon == 0 {
            return invalid("horizon", "must be at least 1".into());
        }
        let (Condition::ReturnToGo { discount } | Condition::WindowReturn { discount }) = self.condition;
        let fixed = match self.aim {
            Aim::Amplified => None,
            Aim::Fixed { quantile } => Some(quantile),
        };
        for (what, value) in [
            ("discount", Some(discount)),
            ("aim.fixed.quantile", fixed),
            ("ceiling", self.ceiling),
            ("prefer_top", self.prefer_top),
            ("prefer_episodes", self.prefer_episodes),
        ] {
            if let Some(value) = value.filter(|v| !(*v > 0.0 && *v <= 1.0)) {
                return invalid(what, format!("{value} is not in (0, 1]"));
            }
        }
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return invalid("scale", format!("{} is not a finite number above 0", self.scale));
        }
        if !self.terminal_penalty.is_finite() {
            return invalid("terminal_penalty", format!("{} is not finite", self.terminal_penalty));
        }
        self.reweighting.validate()
    }
}

/// The windows of a dataset, the condition of each, and the prompts drawn from them.
///
/// Everything it answers is a function of the dataset, the config and the seed. Cheap to share by reference between
/// threads; building it is one pass over the data.
#[derive(Clone, Debug)]
pub struct Guide {
    config: GuideConfig,
    seed: Seed,
    index: WindowIndex,
    conditions: Vec<f32>,
    choice: Choice,
    /// The condition asked of every window, where it is the same for all.
    fixed: Option<f32>,
    /// The ceiling in condition units.
    ceiling: f32,
}

impl Guide {
    /// Finds the windows of `dataset` and their returns; fails for a config or returns that make no sense.
    pub fn new(dataset: &Dataset, config: GuideConfig, seed: Seed) -> Result<Self> {
        config.validate()?;
        if config.terminal_penalty > 0.0 && ends_are_goals(dataset) {
            tracing::warn!(
                penalty = config.terminal_penalty,
                "every end of the task pays the most that there is, so it seems to be the goal, and the terminal penalty \
                 makes it the worst of all: set guide.terminal_penalty to 0"
            );
        }
        let index = WindowIndex::new(dataset, config.horizon)?;
        let conditions = conditions(&index, &config)?;
        let fixed = match config.aim {
            Aim::Amplified => None,
            Aim::Fixed { quantile: q } => Some(quantile(q, &conditions)),
        };
        let ceiling = config.ceiling.map_or(f32::INFINITY, |q| quantile(q, &conditions));
        let choice = Choice::new(&index, &conditions, &config)?;
        Ok(Self { config, seed, index, conditions, choice, fixed, ceiling })
    }

    /// The config.
    pub fn config(&self) -> &GuideConfig {
        &self.config
    }

    /// The real transitions.
    pub fn dataset(&self) -> &Dataset {
        self.index.dataset()
    }

    /// Where the windows lie.
    pub fn index(&self) -> &WindowIndex {
        &self.index
    }

    /// The condition of every window (its return times the scale), `[windows]`, in the order of the index.
    pub fn conditions(&self) -> &[f32] {
        &self.conditions
    }

    /// The windows of the given numbers with their conditions as returns, to learn from.
    ///
    /// # Panics
    /// If there is no such window.
    pub fn windows(&self, numbers: &[usize]) -> Windows {
        let mut windows = Windows::with_capacity(self.dataset().spec(), self.config.horizon, numbers.len());
        numbers.iter().for_each(|&n| self.index.gather(n, self.conditions[n], &mut windows));
        windows
    }

    /// The guide of a part of these data: so many of their episodes, drawn at random by `seed` until they have that share of
    /// the transitions, or one episode at least. Conditions, and all that is fitted to them, are then the part's.
    ///
    /// # Errors
    /// Where `share` is not in (0, 1].
    pub fn part(&self, share: f64, seed: Seed) -> Result<Self> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::Invalid {
                what: "share of the episodes".into(),
                why: format!("{share} is not in (0, 1]"),
            });
        }
        let dataset = self.dataset();
        let mut order: Vec<usize> = (0..dataset.episodes().len()).collect();
        order.shuffle(&mut seed.rng());
        let (mut builder, enough) = (Dataset::builder(dataset.spec().clone()), share * dataset.len() as f64);
        for number in order {
            builder.push_episode(dataset, number)?;
            if builder.len() as f64 >= enough {
                break;
            }
        }
        Self::new(&builder.build()?, self.config.clone(), self.seed)
    }

    /// The condition asked of a window whose own is `condition`. Where it is amplified, it is not beyond the ceiling.
    pub fn ask(&self, condition: f32) -> f32 {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let amplified = self.config.alpha.amplify(f64::from(condition)) as f32;
        amplified.min(self.ceiling.max(condition))
    }

    /// The number of the window that becomes prompt `prompt`, counted since the pool began.
    pub fn draw(&self, prompt: u64) -> usize {
        // One stream a prompt: how many are drawn at once does not change which.
        let mut rng = self.seed.fork("prompt", prompt).rng();
        self.choice.draw(&mut rng)
    }

    /// The prompts `first .. first + count`, counted since the pool began, each asked for its amplified return.
    pub fn prompts(&self, first: u64, count: usize) -> Prompts {
        let mut windows = Windows::with_capacity(self.dataset().spec(), self.config.horizon, count);
        for prompt in first..first + count as u64 {
            let number = self.draw(prompt);
            self.index.gather(number, self.ask(self.conditions[number]), &mut windows);
        }
        Prompts { windows, first, seed: self.seed }
    }
}

/// Whether every transition that ends the task pays the data's highest reward, and not all pay it.
fn ends_are_goals(dataset: &Dataset) -> bool {
    let rewards = dataset.rewards();
    let most = rewards.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut ends = rewards.iter().zip(dataset.terminated()).filter(|(_, terminated)| **terminated).peekable();
    ends.peek().is_some() && ends.all(|(&reward, _)| reward == most) && rewards.iter().any(|&reward| reward < most)
}

/// The return of every window times the scale.
fn conditions(index: &WindowIndex, config: &GuideConfig) -> Result<Vec<f32>> {
    let (dataset, penalty) = (index.dataset(), config.terminal_penalty);
    let spans = (0..index.len()).map(|window| index.span(window));
    let values: Vec<f32> = match config.condition {
        Condition::ReturnToGo { discount } => {
            let to_go = returns::to_go(dataset, discount, penalty);
            spans.map(|(start, _)| to_go[start]).collect()
        }
        Condition::WindowReturn { discount } => {
            spans.map(|(start, length)| returns::within(dataset, start, length, discount, penalty)).collect()
        }
    };
    let scaled: Vec<f32> = values.iter().map(|&v| (f64::from(v) * config.scale) as f32).collect();
    match scaled.iter().position(|c| !c.is_finite()) {
        None => Ok(scaled),
        Some(window) => Err(Error::Invalid {
            what: format!("return of the window from row {}", index.span(window).0),
            why: format!("{} times {} is not a finite number", values[window], config.scale),
        }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use replay::{Spec, Transition};

    use super::*;

    /// Episodes whose steps pay `rewards`. The observation is the row's number.
    pub(in super::super) fn paying(rewards: &[Vec<f32>]) -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for rewards in rewards {
            for (step, &reward) in rewards.iter().enumerate() {
                let row = builder.len() as f32;
                let (observation, next_observation) = (&[row], &[row + 1.0]);
                let t = Transition {
                    observation,
                    action: &[0.5],
                    reward,
                    next_observation,
                    terminated: false,
                    truncated: step + 1 == rewards.len(),
                };
                builder.push(t).unwrap();
            }
        }
        builder.build().unwrap()
    }

    /// Episodes of so many steps, each of which pays `rewards[episode]`.
    pub(in super::super) fn episodes(rewards: &[f32], steps: usize) -> Dataset {
        paying(&rewards.iter().map(|&reward| vec![reward; steps]).collect::<Vec<_>>())
    }

    pub(in super::super) fn guide(dataset: &Dataset, config: GuideConfig) -> Guide {
        Guide::new(dataset, config, Seed::new(5)).unwrap()
    }

    /// Window returns of four undiscounted steps at scale 1.
    pub(in super::super) fn four_steps() -> GuideConfig {
        let condition = Condition::WindowReturn { discount: 1.0 };
        GuideConfig { horizon: 4, condition, scale: 1.0, ..GuideConfig::default() }
    }

    #[test]
    fn prompts_depend_on_their_number_alone() {
        let data = episodes(&[1.0, 2.0, 3.0], 20);
        let guide = guide(&data, four_steps());
        let (all, late) = (guide.prompts(0, 40), guide.prompts(25, 15));
        assert_eq!(late.first, 25);
        assert_eq!(late.windows.origins, all.windows.origins[25..]);
        assert_eq!(late.windows.returns, all.windows.returns[25..]);
        assert_eq!(late.stream(0), all.stream(25));
        let other = Guide::new(&data, four_steps(), Seed::new(6)).unwrap().prompts(0, 40);
        assert_ne!(other.windows.origins, all.windows.origins);
    }

    #[test]
    fn conditions_are_those_of_the_windows() {
        let data = episodes(&[1.0, 2.0], 6);
        let windows = guide(&data, four_steps());
        assert_eq!(windows.conditions(), [4.0, 4.0, 4.0, 8.0, 8.0, 8.0]);
        assert_eq!(windows.windows(&[5, 0]).returns, [8.0, 4.0]);
        assert_eq!(windows.windows(&[5, 0]).origins, [8, 0]);
        let to_go = GuideConfig { condition: Condition::ReturnToGo { discount: 1.0 }, scale: 0.5, ..four_steps() };
        assert_eq!(guide(&data, to_go).conditions(), [3.0, 2.5, 2.0, 6.0, 5.0, 4.0]);
    }

    proptest! {
        #[test]
        fn amplifying_asks_for_more_whatever_the_sign(value in -1e3..1e3f64, alpha in 1.0..3.0f64) {
            let asked = Alpha::new(alpha).unwrap().amplify(value);
            let paper = if value > 0.0 { alpha * value } else { (2.0 - alpha) * value };
            prop_assert!((asked - paper).abs() <= 1e-9 && asked >= value);
        }

        #[test]
        fn nothing_beyond_the_ceiling_is_asked_but_never_less_than_there_is(condition in 0.0..20.0f32) {
            let data = episodes(&[1.0, 2.0, 3.0], 10);
            let guide = guide(&data, GuideConfig { ceiling: Some(1.0), ..four_steps() });
            let asked = guide.ask(condition);
            prop_assert!(asked >= condition && (asked <= 12.0 || asked == condition));
        }
    }

    #[test]
    fn a_fixed_aim_asks_the_same_of_all() {
        let data = episodes(&[1.0, 5.0, 2.0, 4.0, 3.0], 4);
        let asked = |quantile| {
            let aim = Aim::Fixed { quantile };
            guide(&data, GuideConfig { aim, ..four_steps() }).prompts(0, 50).windows
        };
        let best = asked(1.0);
        assert_eq!(best.returns, [20.0; 50]);
        assert!((0..5).all(|episode| best.origins.contains(&(4 * episode))), "prompts are drawn from all");
        assert_eq!(asked(0.5).returns, [12.0; 50]);
    }

    #[test]
    fn a_part_has_whole_episodes_and_conditions_of_its_own() {
        let data = episodes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 10);
        let all = guide(&data, GuideConfig { aim: Aim::Fixed { quantile: 1.0 }, ..four_steps() });
        let part = all.part(0.25, Seed::new(3)).unwrap();
        assert_eq!((part.dataset().len(), part.dataset().episodes().len()), (30, 3));
        assert!(part.dataset().episodes().iter().all(|episode| episode.rows.len() == 10));
        let best = part.dataset().rewards().iter().copied().fold(0.0, f32::max);
        assert_eq!(part.ask(0.0), 4.0 * best);
        let again = |seed| all.part(0.25, Seed::new(seed)).unwrap().dataset().rewards().to_vec();
        assert_eq!(again(3), part.dataset().rewards());
        assert!((4..8).any(|seed| again(seed) != again(3)));
        assert_eq!(all.part(1e-9, Seed::new(0)).unwrap().dataset().episodes().len(), 1);
        assert_eq!(all.part(1.0, Seed::new(0)).unwrap().dataset().len(), 100);
        assert!(all.part(0.0, Seed::new(0)).is_err() && all.part(1.1, Seed::new(0)).is_err());
    }

    #[test]
    fn ends_that_pay_the_most_are_taken_for_goals() {
        let ending = |rewards: [f32; 3], terminated: bool| {
            let mut builder = Dataset::builder(Spec::new(1, 1));
            for (step, reward) in rewards.into_iter().enumerate() {
                let last = step == 2;
                let t = Transition {
                    observation: &[step as f32],
                    action: &[0.0],
                    reward,
                    next_observation: &[step as f32 + 1.0],
                    terminated: last && terminated,
                    truncated: last && !terminated,
                };
                builder.push(t).unwrap();
            }
            builder.build().unwrap()
        };
        assert!(ends_are_goals(&ending([0.0, 0.0, 1.0], true)));
        assert!(!ends_are_goals(&ending([0.0, 0.0, 1.0], false)), "nothing ends");
        assert!(!ends_are_goals(&ending([1.0, 1.0, 0.9], true)), "a fall");
        assert!(!ends_are_goals(&ending([1.0, 1.0, 1.0], true)), "all pay the same: who knows");
    }

    #[test]
    fn senseless_configs_are_refused() {
        let data = episodes(&[1.0], 4);
        let good = four_steps();
        for bad in [
            GuideConfig { horizon: 0, ..good.clone() },
            GuideConfig { scale: 0.0, ..good.clone() },
            GuideConfig { ceiling: Some(1.1), ..good.clone() },
            GuideConfig { prefer_top: Some(0.0), ..good.clone() },
            GuideConfig { prefer_episodes: Some(1.5), ..good.clone() },
            GuideConfig { aim: Aim::Fixed { quantile: 0.0 }, ..good.clone() },
            GuideConfig { terminal_penalty: f64::NAN, ..good.clone() },
            GuideConfig { condition: Condition::ReturnToGo { discount: 0.0 }, ..good.clone() },
            GuideConfig { reweighting: Reweighting::BySuccess { c: 0.0, above: 0.0 }, ..good.clone() },
        ] {
            assert!(matches!(Guide::new(&data, bad.clone(), Seed::new(0)), Err(Error::Invalid { .. })), "{bad:?}");
        }
        assert!(Alpha::new(f64::NAN).is_err() && Alpha::new(0.0).is_err());
        assert!(serde_json::from_str::<GuideConfig>(r#"{"alpha": -1.0}"#).is_err());
        assert!(serde_json::from_str::<GuideConfig>(r#"{"alhpa": 1.0}"#).is_err());
        let parsed: GuideConfig = serde_json::from_str(r#"{"reweighting": {"by_success": {"c": 10.0}}}"#).unwrap();
        assert_eq!(parsed.reweighting, Reweighting::BySuccess { c: 10.0, above: 0.0 });
    }
}
