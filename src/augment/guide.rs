//! Which windows become prompts and which return to ask for.

use rand::RngExt;
use replay::{Dataset, Error, Result, Seed, WindowIndex, Windows, returns};
use serde::{Deserialize, Serialize};

use super::{Prompts, Reweighting};

/// The multiplier of the amplified return: `R + (alpha - 1) |R|` is asked of a window with return `R`.
///
/// That is the paper's `alpha R` where `R` is positive and `(2 - alpha) R` where it is negative (as the published code
/// has it), so that more than 1 always asks for more. Beyond 2 a negative return turns positive.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Alpha(f64);

impl Alpha {
    /// Fails unless `alpha` is finite and above zero.
    pub fn new(alpha: f64) -> Result<Self> {
        if alpha > 0.0 && alpha.is_finite() {
            return Ok(Self(alpha));
        }
        Err(Error::Invalid { what: "alpha".into(), why: format!("{alpha} is not a finite number above 0") })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The amplified return of a window with return `value`.
    pub fn amplify(self, value: f64) -> f64 {
        value + (self.0 - 1.0) * value.abs()
    }
}

impl TryFrom<f64> for Alpha {
    type Error = Error;
    fn try_from(alpha: f64) -> Result<Self> {
        Self::new(alpha)
    }
}

impl From<Alpha> for f64 {
    fn from(alpha: Alpha) -> f64 {
        alpha.0
    }
}

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
    /// Multiplier of the return asked for.
    pub alpha: Alpha,
    /// Nothing beyond this quantile of the data's returns is asked for (1 is their maximum), except of windows that
    /// have more already: a model knows nothing of returns that no window has.
    pub ceiling: Option<f64>,
    /// Which windows become prompts more often.
    pub reweighting: Reweighting,
    /// Draw prompts only from this fraction of the windows, the best by return.
    pub prefer_top: Option<f64>,
}

impl Default for GuideConfig {
    fn default() -> Self {
        Self {
            horizon: 31,
            condition: Condition::ReturnToGo { discount: 0.99 },
            scale: 0.01,
            terminal_penalty: 100.0,
            alpha: Alpha(1.3),
            ceiling: None,
            reweighting: Reweighting::None,
            prefer_top: None,
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
        for (what, value) in [("discount", Some(discount)), ("ceiling", self.ceiling), ("prefer_top", self.prefer_top)]
        {
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
    /// Running sum of the windows' weights; nothing where all weigh the same.
    sums: Option<Vec<f64>>,
    /// The ceiling in condition units.
    ceiling: f32,
}

impl Guide {
    /// Finds the windows of `dataset` and their returns; fails for a config or returns that make no sense.
    pub fn new(dataset: &Dataset, config: GuideConfig, seed: Seed) -> Result<Self> {
        config.validate()?;
        let index = WindowIndex::new(dataset, config.horizon)?;
        let conditions = conditions(&index, &config)?;
        let sorted = (config.ceiling.is_some() || config.prefer_top.is_some()).then(|| {
            let mut sorted = conditions.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            sorted
        });
        let quantile = |q: f64, sorted: &[f32]| sorted[((sorted.len() - 1) as f64 * q).ceil() as usize];
        let ceiling = match (config.ceiling, &sorted) {
            (Some(q), Some(sorted)) => quantile(q, sorted),
            _ => f32::INFINITY,
        };
        let mut weights = config.reweighting.weights(&index, &conditions);
        if let (Some(fraction), Some(sorted)) = (config.prefer_top, &sorted) {
            let least = quantile(1.0 - fraction, sorted);
            let weights = weights.get_or_insert_with(|| vec![1.0; conditions.len()]);
            weights.iter_mut().zip(&conditions).filter(|(_, c)| **c < least).for_each(|(w, _)| *w = 0.0);
        }
        let sums = weights.map(running_sums).transpose()?;
        Ok(Self { config, seed, index, conditions, sums, ceiling })
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

    /// The condition asked of a window whose own is `condition`: amplified, but not beyond the ceiling.
    pub fn ask(&self, condition: f32) -> f32 {
        let amplified = self.config.alpha.amplify(f64::from(condition)) as f32;
        amplified.min(self.ceiling.max(condition))
    }

    /// The number of the window that becomes prompt `prompt`, counted since the pool began.
    pub fn draw(&self, prompt: u64) -> usize {
        // One stream a prompt: how many are drawn at once does not change which.
        let mut rng = self.seed.fork("prompt", prompt).rng();
        match &self.sums {
            None => rng.random_range(0..self.index.len()),
            Some(sums) => {
                let total = sums[sums.len() - 1];
                let drawn = rng.random::<f64>() * total;
                // The product may round up to the total: then it is the first window that reaches it.
                sums.partition_point(|&s| s <= drawn).min(sums.partition_point(|&s| s < total))
            }
        }
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

/// Running sums of weights; fails where nothing has any weight.
fn running_sums(mut weights: Vec<f64>) -> Result<Vec<f64>> {
    let mut sum = 0.0;
    for weight in &mut weights {
        sum += *weight;
        *weight = sum;
    }
    if sum > 0.0 && sum.is_finite() {
        return Ok(weights);
    }
    Err(Error::Invalid { what: "reweighting".into(), why: format!("the windows' weights add up to {sum}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use replay::{Spec, Transition};

    use super::*;

    /// Episodes of one observation (its row's number) whose every step pays `rewards[episode]`.
    fn episodes(rewards: &[f32], steps: usize) -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for (episode, &reward) in rewards.iter().enumerate() {
            for step in 0..steps {
                let row = (episode * steps + step) as f32;
                let (observation, next_observation) = (&[row], &[row + 1.0]);
                let t = Transition {
                    observation,
                    action: &[0.5],
                    reward,
                    next_observation,
                    terminated: false,
                    truncated: step + 1 == steps,
                };
                builder.push(t).unwrap();
            }
        }
        builder.build().unwrap()
    }

    fn guide(dataset: &Dataset, config: GuideConfig) -> Guide {
        Guide::new(dataset, config, Seed::new(5)).unwrap()
    }

    /// Window returns of four undiscounted steps at scale 1.
    fn four_steps() -> GuideConfig {
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
    fn the_top_fraction_alone_becomes_prompts() {
        let data = episodes(&[1.0, 5.0, 2.0, 4.0, 3.0], 4);
        let top = guide(&data, GuideConfig { prefer_top: Some(0.4), alpha: Alpha(1.0), ..four_steps() });
        let returns = top.prompts(0, 200).windows.returns;
        assert!(returns.contains(&16.0) && returns.contains(&20.0));
        assert!(returns.iter().all(|&r| r >= 16.0), "{returns:?}");
    }

    #[test]
    fn successful_episodes_are_drawn_by_their_weight() {
        // One of four episodes succeeds and has far more windows: its share is c / (c + 3) all the same.
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for (steps, reward) in [(6, 0.0), (50, 1.0), (6, 0.0), (9, 0.0)] {
            for step in 0..steps {
                let row = [0.0];
                let reward = if step + 1 == steps { reward } else { 0.0 };
                let t = Transition {
                    observation: &row,
                    action: &row,
                    reward,
                    next_observation: &row,
                    terminated: false,
                    truncated: step + 1 == steps,
                };
                builder.push(t).unwrap();
            }
        }
        let data = builder.build().unwrap();
        let reweighting = Reweighting::BySuccess { c: 9.0, above: 0.0 };
        let guide = guide(&data, GuideConfig { reweighting, ..four_steps() });
        let draws = 20_000;
        let hits = (0..draws).filter(|&n| guide.index().episode(guide.draw(n)) == 1).count();
        let share = hits as f64 / draws as f64;
        assert!((share - 0.75).abs() < 4.0 * (0.75 * 0.25 / draws as f64).sqrt(), "{share}");
    }

    #[test]
    fn weighted_draws_follow_the_weights() {
        let data = episodes(&[0.0, 1.0, 2.0, 3.0], 4);
        let reweighting = Reweighting::ByReturn { bins: 4, u: 0.001, q: 6.0, form: Default::default() };
        let guide = guide(&data, GuideConfig { reweighting, ..four_steps() });
        let weights = super::super::by_return(guide.conditions(), 4, 0.001, 6.0, Default::default());
        let total: f64 = weights.iter().sum();
        let draws = 20_000;
        let mut counts = [0.0; 4];
        (0..draws).for_each(|n| counts[guide.draw(n)] += 1.0);
        let chi_square: f64 = weights
            .iter()
            .zip(counts)
            .map(|(w, n)| (n - w / total * draws as f64).powi(2) / (w / total * draws as f64))
            .sum();
        assert!(chi_square < 16.27, "{chi_square}: beyond the 99.9% quantile for 3 degrees of freedom");
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
