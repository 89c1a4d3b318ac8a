//! From the settings of an augmentation to what each agent samples from.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use envs::{EnvId, Oracle};
use replay::{Batch, Dataset, Replay, Seed, WindowIndex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::Device;

use super::config::{AugmentationConfig, ModelAugmentation, OversampleAugmentation, Ratio};
use crate::agents::Experience;
use crate::augment::{Amendments, AugmentConfig, Augmented, Check, Learner, Mixed, Monitor, Pool, Rejections};
use crate::baselines::{Repeat, S4rl, S4rlBuffer};
use crate::eval::{NoveltyConfig, Quality, QualityConfig, QualityMeter, Summary, Transitions, spread};
use crate::method::{Method, MethodBuffer, pick};
use crate::{Checks, Error, Result};

/// Transitions of a window that the data is judged by, where no generated ones say how many they have.
const HORIZON: usize = 31;

/// What a run's agents sample from beside the data, when it is there.
#[derive(Clone, Debug)]
pub enum Augmentation {
    /// Nothing.
    None,
    /// Noise at every sample.
    S4rl(S4rl),
    /// Windows of a frozen pool.
    Pooled(Frozen),
}

/// Windows made once, never to change.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The windows.
    pub pool: Pool,
    /// Share of generated rows in a batch.
    pub ratio: f64,
    /// Most transitions of a window.
    pub horizon: usize,
    /// Fingerprint of the model; `none` where windows were only drawn again.
    pub model: String,
    /// Windows that were not kept, by reason.
    pub rejected: Rejections,
    /// What was changed of those kept.
    pub amended: Amendments,
}

/// A model about to be trained and to generate.
pub struct Building {
    augmented: Augmented<Dataset>,
    transitions: u64,
    ratio: Ratio,
}

/// An augmentation as it begins.
pub enum Begun {
    /// There is nothing to wait for.
    Ready(Augmentation),
    /// A model is to be trained and windows are to be generated.
    Building(Box<Building>),
}

/// Where what is made is places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// The folder of one augmentation: its pool, and its model where models are not shared.
    pub own: &'a Path,
    /// A folder for the models of several augmentations of one dataset: those that would train the same share it.
    pub models: Option<&'a Path>,
}

impl Begun {
    pub(super) fn new(
        config: &AugmentationConfig,
        dataset: &Dataset,
        env: EnvId,
        places: Places<'_>,
        device: Device,
    ) -> Result<Self> {
        Ok(match config {
            AugmentationConfig::None(_) => Self::Ready(Augmentation::None),
            AugmentationConfig::S4rl(s4rl) => Self::Ready(Augmentation::S4rl(S4rl::new(s4rl.std as f32))),
            AugmentationConfig::Oversample(oversample) => {
                Self::Ready(Augmentation::Pooled(drawn(oversample, Repeat, dataset)?))
            }
            AugmentationConfig::SynthEr(synther) => synther.building(dataset, env, places, device)?,
            AugmentationConfig::Gta(gta) => gta.building(dataset, env, places, device)?,
        })
    }
}

impl<M: Method + Default> ModelAugmentation<M> {
    fn building(&self, dataset: &Dataset, env: EnvId, places: Places<'_>, device: Device) -> Result<Begun> {
        let mut settings = self.settings.clone();
        let pacing = &mut settings.augment_mut().pacing;
        *pacing = pacing.clone().exactly(self.transitions);
        let folder = match (&self.folder, places.models) {
            (Some(folder), _) => folder.clone(),
            (None, None) => places.own.to_owned(),
            (None, Some(models)) => {
                settings.augment_mut().store.get_or_insert_with(|| places.own.join("pool"));
                let key = Sha256::digest(settings.training_key().to_string());
                models.join(key[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
        };
        let mut builder = MethodBuffer::builder(dataset.clone()).config(settings).folder(folder).device(device);
        if let Some(check) = self.check(dataset, env)? {
            builder = builder.check(check);
        }
        let augmented = builder.build()?.into_augmented();
        Ok(Begun::Building(Box::new(Building { augmented, transitions: self.transitions, ratio: self.ratio })))
    }
}

impl<M: Method> ModelAugmentation<M> {
    /// What generated windows must pass, or are changed by, one after another. Rewards come first: the simulator's, where
    /// it puts transitions right, are the better ones.
    fn check(&self, dataset: &Dataset, env: EnvId) -> Result<Option<Check>> {
        let Self { reward_proxy, ensemble, most_error, repair, .. } = self;
        let checks = Checks {
            reward_proxy: reward_proxy.clone(),
            ensemble: ensemble.clone(),
            simulator: most_error.map(|most| (env, most, *repair)),
        };
        checks.learned(dataset, Seed::new(self.settings.augment().seed), &mut |_| ())
    }
}

/// Real windows drawn as prompts, and what becomes of them `by` something that needs no training.
pub(super) fn drawn(drawn: &OversampleAugmentation, by: impl Learner + 'static, dataset: &Dataset) -> Result<Frozen> {
    let OversampleAugmentation { transitions, guide, seed, .. } = drawn;
    let mut config = AugmentConfig { guide: guide.clone(), seed: *seed, ..AugmentConfig::default() };
    config.pacing = config.pacing.exactly(*transitions);
    let horizon = guide.horizon;
    let mut buffer = Augmented::new(dataset.clone(), Box::new(by), config)?;
    buffer.fill_to(*transitions)?;
    Ok(Frozen {
        ratio: drawn.ratio.of(dataset.len() as u64, buffer.pool().transitions()),
        horizon,
        model: "none".into(),
        rejected: buffer.status().rejected,
        amended: buffer.status().amended,
        pool: buffer.pool(),
    })
}

impl Building {
    /// Watches training and generation from another thread.
    pub fn monitor(&self) -> Monitor {
        self.augmented.monitor()
    }

    /// Trains the model and generates, or loads what was made before.
    ///
    /// # Errors
    /// Where learning or generating fails, or the folder holds what was made from something else.
    pub fn fill(mut self) -> Result<Augmentation> {
        self.augmented.fill_to(self.transitions)?;
        let pool = self.augmented.pool();
        let (real, generated) = (self.augmented.inner().len() as u64, pool.transitions());
        Ok(Augmentation::Pooled(Frozen {
            ratio: self.ratio.of(real, generated),
            horizon: self.augmented.config().guide.horizon,
            model: self.augmented.model_fingerprint().unwrap_or_default(),
            rejected: self.augmented.status().rejected,
            amended: self.augmented.status().amended,
            pool,
        }))
    }
}

impl Augmentation {
    /// What one agent samples from: a view of its own of shared columns and chunks.
    ///
    /// # Errors
    /// Where pool and data do not fit together.
    pub fn view(&self, dataset: &Dataset) -> Result<Box<dyn Experience + Send>> {
        let dataset = dataset.clone();
        Ok(match self {
            Self::None => Box::new(dataset),
            Self::S4rl(noise) => Box::new(S4rlBuffer::new(dataset, *noise)),
            Self::Pooled(frozen) => Box::new(Mixed::new(dataset, frozen.pool.clone(), frozen.ratio)?),
        })
    }

    /// Transitions to be judged: those an agent gets that are not the data's.
    fn sample(&self, dataset: &Dataset, windows: usize, seed: &Seed) -> Result<Option<Transitions>> {
        Ok(match self {
            Self::None => None,
            Self::S4rl(noise) => {
                let mut batch = Batch::default();
                let rows = windows * HORIZON;
                S4rlBuffer::new(dataset.clone(), *noise).sample_into(rows, &mut seed.rng(), &mut batch)?;
                Some(Transitions::of_batch(&batch))
            }
            Self::Pooled(frozen) => Some(pick(&frozen.pool, as_many(windows, frozen.horizon), *seed)?.transitions()),
        })
    }
}

/// What the simulator says of the data and of what was added to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OracleFigures {
    /// The data itself, judged from observations as generated transitions are.
    pub data: Figures,
    /// What was added.
    pub generated: Option<Figures>,
}

/// What the simulator says of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Error of the next observation (eq. 11), one value a transition.
    pub dynamic_mse: Summary,
    /// True reward of each transition.
    pub oracle_reward: Summary,
    /// Reward that each transition claims.
    pub reward: Summary,
}

impl From<Quality> for Figures {
    fn from(quality: Quality) -> Self {
        let Quality { dynamic_mse, oracle_reward, reward, .. } = quality;
        Self { dynamic_mse, oracle_reward, reward }
    }
}

/// The simulator at work in a thread of its own, which ends when it is done. The pool is frozen, so it judges once; the
/// figures then stand beside every score.
#[derive(Debug)]
pub(super) struct Judging {
    found: Arc<std::sync::OnceLock<Result<OracleFigures, String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Judging {
    /// Begins to judge up to `windows` windows each.
    pub fn start(augmentation: &Augmentation, dataset: &Dataset, env: EnvId, windows: usize) -> Result<Self> {
        let found = Arc::<std::sync::OnceLock<_>>::default();
        let (slot, augmentation, dataset) = (found.clone(), augmentation.clone(), dataset.clone());
        let judge = move || {
            // Whoever waits must hear of a panic, too.
            let work = || judge(&augmentation, &dataset, env, windows).map_err(|error| error.to_string());
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _ = slot.set(result.unwrap_or_else(|_| Err("the thread that judges panicked".into())));
        };
        let thread = std::thread::Builder::new().name("gta-oracle".into()).spawn(judge).map_err(Error::io("thread"))?;
        Ok(Self { found, thread: Some(thread) })
    }

    /// The figures, or why there are none; waits where they are not there yet. They take seconds, an agent's first
    /// evaluation comes after minutes.
    pub fn figures(&self) -> &Result<OracleFigures, String> {
        self.found.wait()
    }
}

impl Drop for Judging {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }
}

/// Windows of up to `horizon` transitions that hold as many as `windows` of the usual length do.
fn as_many(windows: usize, horizon: usize) -> usize {
    (windows * HORIZON).div_ceil(horizon)
}

fn judge(augmentation: &Augmentation, dataset: &Dataset, env: EnvId, windows: usize) -> Result<OracleFigures> {
    // One thread: the others are the agents'.
    let oracle = Oracle::new(env, Some(1))?;
    let novelty = NoveltyConfig { most_queries: 0, ..NoveltyConfig::default() };
    let meter = QualityMeter::new(dataset, oracle, QualityConfig { novelty, ..QualityConfig::default() })?;
    let seed = Seed::new(0).fork("oracle", 0);
    let horizon = match augmentation {
        Augmentation::Pooled(frozen) => frozen.horizon,
        _ => HORIZON,
    };
    let index = WindowIndex::new(dataset, horizon)?;
    let picked = spread(index.len(), as_many(windows, horizon), &seed.fork("data", 0));
    let data = Transitions::of_data(&index, &picked)?.without_states();
    let data = meter.measure(&data)?.quality.into();
    let generated = augmentation.sample(dataset, windows, &seed.fork("generated", 0))?;
    let generated = generated.map(|set| Ok::<_, Error>(meter.measure(&set)?.quality.into())).transpose()?;
    Ok(OracleFigures { data, generated })
}

#[cfg(test)]
mod tests {
    use replay::{Spec, Transition};

    use super::super::config::Ratio;
    use super::*;
    use crate::augment::GuideConfig;

    #[test]
    fn oversampling_repeats_the_best_windows_and_changes_nothing() {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for row in 0..40 {
            let (state, reward) = ([row as f32], (row / 10) as f32);
            builder
                .push(Transition {
                    observation: &state,
                    action: &[0.5],
                    reward,
                    next_observation: &[state[0] + 1.0],
                    terminated: false,
                    truncated: row % 10 == 9,
                })
                .unwrap();
        }
        let dataset = builder.build().unwrap();
        let guide = GuideConfig { horizon: 2, prefer_top: Some(0.25), ..GuideConfig::default() };
        let oversample = OversampleAugmentation { transitions: 60, guide, ..OversampleAugmentation::default() };
        let frozen = drawn(&oversample, Repeat, &dataset).unwrap();
        assert!(frozen.pool.transitions() >= 60 && frozen.rejected == Rejections::default());
        let windows = pick(&frozen.pool, 20, Seed::new(0)).unwrap().windows;
        // The last row of a window is a state alone.
        for row in (0..windows.len()).flat_map(|at| windows.window(at).chunks_exact(windows.row_dim()).take(2)) {
            let (observation, reward) = (row[0], row[2]);
            assert_eq!(reward, (observation / 10.0).floor(), "state and reward of another row");
            assert!(observation >= 20.0, "{observation} is not among the best quarter by return to go");
        }
        let union = OversampleAugmentation { ratio: Ratio::Union, ..oversample };
        let union = drawn(&union, Repeat, &dataset).unwrap();
        let drawn = union.pool.transitions() as f64;
        assert_eq!((frozen.ratio, union.ratio), (0.5, drawn / (drawn + 40.0)));
    }

    #[test]
    fn the_datas_figures_are_of_all_parts_of_its_episodes() {
        let mut builder = Dataset::builder(Spec::new(4, 2));
        // 70 windows an episode: every 70th of all starts an episode, where rewards are least.
        let (length, episodes) = (69 + HORIZON, 40);
        for row in 0..length * episodes {
            let transition = Transition {
                observation: &[0.1; 4],
                action: &[0.0; 2],
                reward: (row % length) as f32,
                next_observation: &[0.1; 4],
                terminated: false,
                truncated: row % length == length - 1,
            };
            builder.push(transition).unwrap();
        }
        let figures = judge(&Augmentation::None, &builder.build().unwrap(), EnvId::PointMass, episodes).unwrap();
        let mean = (length - 1) as f64 / 2.0;
        // Standard error of 40 starts: 70 / sqrt(12 * 40) = 3.2.
        assert!((figures.data.reward.mean - mean).abs() < 10.0, "{} is not about {mean}", figures.data.reward.mean);
    }

    #[test]
    fn windows_of_any_length_are_as_many_transitions() {
        for (horizon, count) in [(31, 100), (1, 3100), (62, 50), (128, 25), (30, 104)] {
            assert_eq!(as_many(100, horizon), count);
            assert!((0..horizon).contains(&(as_many(100, horizon) * horizon - 3100)), "{horizon}");
        }
    }
}
