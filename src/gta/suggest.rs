//! Which mu and alpha suit a dataset: section 5.5 of the paper, and what the data's returns allow.

use envs::ReferenceReturns;
use replay::{Dataset, Seed};
use serde::Serialize;

use super::{GtaConfig, Mu};
use crate::Result;
use crate::augment::{Alpha, Guide, GuideConfig};
use crate::eval::Summary;

/// Where the best tenth of the episodes scores this, high-rewarding trajectories are there already, of which section 5.3 says
/// that small changes do. 100 is an expert's return; where below it to draw the line is our choice.
const GOOD_SCORE: f64 = 80.0;
/// Of returns that have no reference, this is how far below the best tenth of the episodes the mean lies, as a share of
/// the former, where there is room for improvement.
const WIDE: f64 = 0.25;
/// Asking more than the best window has is asking for what the model never saw: of at most this share of the windows.
const BEYOND: f64 = 0.1;
/// Multipliers to choose from, falling: those of Table 29 up to the paper's usual one.
const ALPHAS: [f64; 3] = [1.3, 1.2, 1.1];
/// Quantile of the returns beyond which nothing is asked for.
const CEILING: f64 = 0.99;

/// Settings for a dataset, with what was measured and why it follows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// How far to noise windows.
    pub mu: Mu,
    /// The multiplier of the return asked for.
    pub alpha: Alpha,
    /// The quantile of the returns beyond which nothing should be asked for; absent where nothing would be.
    pub ceiling: Option<f64>,
    /// What was measured.
    pub measured: Findings,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
}

/// What a suggestion rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// Normalised score of the return that the best tenth of the episodes reach; absent where it is not known what scores
    /// refer to.
    pub score: Option<f64>,
    /// Undiscounted returns of the episodes.
    pub episode_returns: Summary,
    /// Share of the episodes that end the task.
    pub ending: f64,
    /// Returns of the windows, in the reward's units.
    pub window_returns: Summary,
    /// For multipliers, the share of the windows that would be asked for more than the best window has.
    pub beyond: Vec<(f64, f64)>,
}

impl Suggestion {
    /// What suits `dataset`, whose scores refer to `references`, for windows as `guide` makes them.
    ///
    /// # Errors
    /// For a guide that makes no sense.
    pub fn of(dataset: &Dataset, guide: &GuideConfig, references: Option<ReferenceReturns>) -> Result<Self> {
        let measured = Findings::of(dataset, guide, references)?;
        let mut reasons = Vec::new();
        let improvable = measured.improvable(&mut reasons);
        let (mut mu, most) = if improvable { (0.5, ALPHAS[0]) } else { (0.25, ALPHAS[2]) };
        if improvable && measured.ending > 0.0 {
            reasons.push(format!(
                "{:.0}% of the episodes end the task: beyond mu 0.5 a window may lose its end (appendix F.3)",
                100.0 * measured.ending
            ));
        } else if improvable {
            reasons.push("no episode ends the task: mu 0.75 is worth a try too (Table 5)".into());
        }
        if dataset.len() < 10 * guide.horizon {
            mu = 0.25;
            reasons.push(format!("{} transitions are few to learn from: mu stays low", dataset.len()));
        }
        let beyond = |alpha: f64| measured.beyond.iter().find(|(a, _)| *a == alpha).map_or(0.0, |(_, share)| *share);
        let allowed = ALPHAS.into_iter().filter(|&a| a <= most);
        let alpha = allowed.clone().find(|&a| beyond(a) <= BEYOND).unwrap_or(ALPHAS[2]);
        let share = |alpha| format!("{:.0}% of the windows", 100.0 * beyond(alpha));
        if alpha < most {
            reasons.push(format!(
                "alpha {most} would ask {} for more than the best window has, alpha {alpha} {}: a model knows nothing of such returns",
                share(most),
                share(alpha)
            ));
        } else {
            reasons.push(format!("alpha {alpha} asks {} for more than the best window has", share(alpha)));
        }
        let ceiling = (beyond(alpha) > 0.0).then_some(CEILING);
        if let Some(ceiling) = ceiling {
            reasons.push(format!(
                "a ceiling at the {ceiling} quantile of the returns keeps all of them where the data is"
            ));
        }
        Ok(Self { mu: Mu::new(mu)?, alpha: Alpha::new(alpha)?, ceiling, measured, reasons })
    }

    /// `config` with these settings.
    pub fn applied(&self, mut config: GtaConfig) -> GtaConfig {
        config.mu = self.mu;
        (config.augment.guide.alpha, config.augment.guide.ceiling) = (self.alpha, self.ceiling);
        config
    }
}

impl Findings {
    fn of(dataset: &Dataset, config: &GuideConfig, references: Option<ReferenceReturns>) -> Result<Self> {
        let guide = Guide::new(dataset, config.clone(), Seed::new(0))?;
        let returns: Vec<f64> = guide.conditions().iter().map(|&c| f64::from(c) / config.scale).collect();
        let best = returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let beyond = ALPHAS.map(|number| {
            let alpha = Alpha::new(number).expect("it is above 0");
            let over = returns.iter().filter(|&&value| alpha.amplify(value) > best).count();
            (number, over as f64 / returns.len() as f64)
        });
        let summary = |values: &[f64]| Summary::of(values).expect("a dataset has a window");
        let episodes = dataset.episodes();
        let ended = episodes.iter().filter(|episode| episode.ending == replay::Ending::Terminated).count();
        let episode_returns = summary(&dataset.episode_returns());
        Ok(Self {
            score: references.map(|references| references.score(episode_returns.quantile_90)),
            episode_returns,
            ending: ended as f64 / episodes.len() as f64,
            window_returns: summary(&returns),
            beyond: beyond.to_vec(),
        })
    }

    /// Whether there is room for improvement, as far as can be known.
    fn improvable(&self, reasons: &mut Vec<String>) -> bool {
        let (returns, known) = (&self.episode_returns, self.score);
        if let Some(score) = known {
            let (improvable, what) = if score < GOOD_SCORE {
                (true, "suboptimal: explore and exploit, mu 0.5 and alpha 1.3 (Table 5)")
            } else {
                (false, "good already: stay near it, mu 0.25 and alpha 1.1 (Table 4)")
            };
            reasons.push(format!(
                "the best tenth of the episodes has {:.0} and more, which scores {score:.0}, where {GOOD_SCORE} divides: {what}",
                returns.quantile_90
            ));
            return improvable;
        }
        let width = (returns.quantile_90 - returns.mean) / returns.quantile_90.abs().max(f64::MIN_POSITIVE);
        let improvable = width > WIDE;
        let what = if improvable {
            "much of the data is far from its best: mu 0.5 and alpha 1.3 (Table 5)"
        } else {
            "how good that is cannot be known without the task's references: the low setting, mu 0.25 and alpha 1.1 (Table 4)"
        };
        reasons.push(format!(
            "the mean return is {:.4}, the best tenth of the episodes has {:.4} and more; {what}",
            returns.mean, returns.quantile_90
        ));
        improvable
    }
}

#[cfg(test)]
mod tests {
    use replay::{Spec, Transition};

    use super::*;
    use crate::augment::Condition;

    /// Episodes of 40 steps that each pay `rewards[episode]`, and end the task where `ends`.
    fn episodes(rewards: &[f32], ends: bool) -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for (&reward, step) in rewards.iter().flat_map(|reward| (0..40).map(move |step| (reward, step))) {
            let last = step == 39;
            let row = Transition {
                observation: &[0.0],
                action: &[0.0],
                reward,
                next_observation: &[0.0],
                terminated: ends && last,
                truncated: !ends && last,
            };
            builder.push(row).unwrap();
        }
        builder.build().unwrap()
    }

    fn suggestion(rewards: &[f32], ends: bool, expert: Option<f64>) -> Suggestion {
        let condition = Condition::WindowReturn { discount: 1.0 };
        let guide = GuideConfig { horizon: 4, condition, terminal_penalty: 0.0, ..GuideConfig::default() };
        let references = expert.map(|max| ReferenceReturns { min: 0.0, max });
        Suggestion::of(&episodes(rewards, ends), &guide, references).unwrap()
    }

    /// Nine episodes whose windows return less than 1 / 1.3 of the best one's.
    const VARIED: [f32; 10] = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 5.0, 6.0, 10.0];

    #[test]
    fn what_is_good_already_is_left_near_itself() {
        // The best tenth has 6.4 and more a step, 256 an episode of 40.
        let good = suggestion(&VARIED, false, Some(300.0));
        assert!((good.measured.score.unwrap() - 256.0 / 3.0).abs() < 1e-6, "{:?}", good.measured);
        assert_eq!((good.mu.get(), good.alpha.get()), (0.25, 1.1));
        let poor = suggestion(&VARIED, false, Some(600.0));
        assert_eq!((poor.mu.get(), poor.alpha.get()), (0.5, 1.3));
        assert!(poor.reasons.iter().any(|reason| reason.contains("mu 0.75")), "{:?}", poor.reasons);
        let ending = suggestion(&VARIED, true, Some(600.0));
        assert!(
            ending.reasons.iter().any(|reason| reason.contains("100% of the episodes end")),
            "{:?}",
            ending.reasons
        );
    }

    #[test]
    fn without_a_score_the_spread_of_the_returns_decides() {
        assert_eq!(suggestion(&VARIED, false, None).mu.get(), 0.5);
        assert_eq!(suggestion(&[9.0, 9.5, 10.0, 10.0], false, None).mu.get(), 0.25);
    }

    #[test]
    fn no_more_is_asked_than_the_data_has() {
        let varied = suggestion(&VARIED, false, Some(600.0));
        assert_eq!(varied.measured.beyond, [(1.3, 0.1), (1.2, 0.1), (1.1, 0.1)], "the best episode is a tenth");
        assert_eq!((varied.alpha.get(), varied.ceiling), (1.3, Some(0.99)));
        // Every window would be asked for more than the best has at 1.3, the best tenth alone at 1.1.
        let narrow = suggestion(&[7.8, 8.0, 8.0, 8.1, 8.2, 8.3, 8.4, 8.4, 8.8, 10.0], false, Some(600.0));
        assert_eq!(narrow.alpha.get(), 1.1, "{narrow:?}");
        assert!(narrow.reasons.iter().any(|reason| reason.contains("alpha 1.3 would ask 100% of the windows")));
        let applied = narrow.applied(GtaConfig::default());
        assert_eq!((applied.mu.get(), applied.guide().ceiling), (0.5, Some(0.99)));
        assert!(applied.validate().is_ok());
    }
}
