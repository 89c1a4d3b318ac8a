//! The Decision Transformer as a policy: each episode has a context of its own.

use std::collections::VecDeque;

use replay::Seed;
use tch::{Device, Kind};

use super::DtConfig;
use super::dropout::Dropout;
use super::sequences::Columns;
use super::transformer::Transformer;
use crate::agents::units::{UnitTensors, Units};
use crate::agents::{Actor, Situations};
use crate::{Error, Result, tensor};

/// Acts by the last steps of each episode and by the return still wanted of it.
pub(super) struct Contextual {
    transformer: Transformer,
    units: UnitTensors,
    sizes: (usize, usize),
    /// Most steps of a context (`K`).
    context: usize,
    return_scale: f64,
    /// Return wanted of an episode, in the data's units.
    target: f64,
    /// By the episode's number.
    episodes: Vec<Context>,
    kind: Kind,
    device: Device,
}

/// The last steps of one episode.
#[derive(Default)]
struct Context {
    steps: VecDeque<Step>,
    taken: u32,
    wanted: f64,
}

struct Step {
    observation: Vec<f32>,
    /// Zero until it is chosen, which nothing before it sees.
    action: Vec<f32>,
    /// Scaled return-to-go.
    wanted: f64,
    number: u32,
}

impl Contextual {
    pub(super) fn new(
        transformer: Transformer,
        units: &Units,
        sizes: (usize, usize),
        config: &DtConfig,
        target: f64,
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        Ok(Self {
            transformer,
            units: UnitTensors::new(units, kind, device)?,
            sizes,
            context: config.context,
            return_scale: config.return_scale,
            target,
            episodes: Vec::new(),
            kind,
            device,
        })
    }

    /// Appends what an episode has come to; the reward of its last step is deducted from what is wanted.
    fn observe(&mut self, episode: usize, observation: &[f32], reward: f32) {
        if self.episodes.len() <= episode {
            self.episodes.resize_with(episode + 1, Context::default);
        }
        let context = &mut self.episodes[episode];
        context.wanted = if context.taken == 0 { self.target } else { context.wanted - f64::from(reward) };
        context.steps.push_back(Step {
            observation: observation.to_vec(),
            action: vec![0.0; self.sizes.1],
            wanted: context.wanted * self.return_scale,
            number: context.taken,
        });
        context.taken += 1;
        if context.steps.len() > self.context {
            context.steps.pop_front();
        }
    }
}

impl Actor for Contextual {
    fn act(&mut self, situations: &Situations<'_>, actions: &mut [f32]) -> Result<()> {
        let (episodes, (obs_dim, action_dim)) = (situations.episodes, self.sizes);
        let given = [situations.observations.len(), situations.rewards.len(), actions.len()];
        let rows = episodes.len();
        if given != [rows * obs_dim, rows, rows * action_dim] {
            let why = format!("{given:?} numbers of observations, rewards and actions for {rows} episodes");
            return Err(Error::Replay(replay::Error::Invalid { what: "situations".into(), why }));
        }
        if episodes.is_empty() {
            return Ok(());
        }
        for (row, &episode) in episodes.iter().enumerate() {
            self.observe(episode, &situations.observations[row * obs_dim..][..obs_dim], situations.rewards[row]);
        }
        let longest = episodes.iter().map(|&episode| self.episodes[episode].steps.len()).max().unwrap_or(0);
        let mut columns = Columns::new(rows, longest, self.sizes);
        for &episode in episodes {
            let steps = &self.episodes[episode].steps;
            for step in steps {
                columns.push(&step.observation, &step.action, step.wanted, step.number);
            }
            columns.pad(longest - steps.len());
        }
        let _guard = tch::no_grad_guard();
        let sequences = columns.load(&self.units, self.kind, self.device)?;
        let mut keep_all = Dropout::new(0.0, Seed::new(0).rng());
        let all = self.transformer.forward(&sequences, &mut keep_all)?;
        let all = tensor::to_host(&self.units.task_actions(all))?;
        for (row, &episode) in episodes.iter().enumerate() {
            let steps = &mut self.episodes[episode].steps;
            let chosen = &all[(row * longest + steps.len() - 1) * action_dim..][..action_dim];
            actions[row * action_dim..][..action_dim].copy_from_slice(chosen);
            if let Some(last) = steps.back_mut() {
                last.action.copy_from_slice(chosen);
            }
        }
        Ok(())
    }
}
