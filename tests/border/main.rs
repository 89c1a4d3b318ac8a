//! The feature `border` as its users meet it: buffers, tasks and scores through border's own traits and trainers, and
//! border-candle-agent's agents trained on augmented data. Needs no file.

#[path = "../../examples/border_iql/agents.rs"]
mod agents;
mod buffers;
#[path = "../gta_toys/mod.rs"]
mod gta_toys;
mod learning;
mod tasks;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use agents::{Algorithm, Settings, Tensors};
use anyhow::{Result, bail};
use border_candle_agent::TensorBatch;
use border_core::generic_replay_buffer::{
    GenericTransitionBatch, PerConfig, SimpleReplayBuffer, SimpleReplayBufferConfig, SimpleStepProcessor,
    SimpleStepProcessorConfig,
};
use border_core::record::Recorder;
use border_core::{
    Act, Agent, Env, Evaluator, ExperienceBufferBase, Obs, Policy, ReplayBufferBase, StepProcessor, Trainer,
    TrainerConfig, TransitionBatch,
};
use candle_core::{Device, Tensor};
use gta::augment::{Mixed, Phase, Until};
use gta::border::{
    BorderBuffer, BorderConfig, Conversion, EpisodicBuffer, EpisodicConfig, Journal, Numbers, Rows, Serving, Task,
    TaskEvaluator, Transitions,
};
use gta::envs::{self, Collect, EnvId, behaviour, rollouts_batched};
use gta::replay::formats::{Provenance, d4rl};
use gta::replay::{Dataset, Replay, ReplayBuffer, Source, Spec, Trajectories, Transition};
use gta::{GtaBuffer, GtaBuilder, GtaConfig};
use gta_toys::{point_mass, tiny};

/// Transitions of the best HalfCheetah policy of our own.
fn half_cheetah(steps: usize) -> Dataset {
    let policy = behaviour::halfcheetah(0.15).unwrap().pop().unwrap();
    let plan = Collect { id: EnvId::HalfCheetah, steps, seed: 0, threads: None };
    gta::recorded(envs::collect(&plan, &[&policy], &|_| ()).unwrap()).unwrap()
}

/// Settings under which every batch has its generated rows.
fn waiting() -> GtaConfig {
    let mut config = tiny(2);
    config.augment.until = Until::Wait;
    config
}

fn augmented<R: Replay + Trajectories>(inner: R) -> GtaBuffer<R> {
    GtaBuffer::builder(inner).config(waiting()).device(tch::Device::Cpu).build().unwrap()
}

fn generated(sources: &[Source]) -> usize {
    sources.iter().filter(|source| matches!(source, Source::Generated { .. })).count()
}

impl From<Tensors> for TensorBatch {
    fn from(tensors: Tensors) -> Self {
        Self::from_tensor(tensors.into())
    }
}

type CandleBuffer = EpisodicBuffer<TensorBatch, TensorBatch>;

/// border's buffer of border-candle-agent's batches, as its users have it.
fn episodic(spec: Spec, buffer: SimpleReplayBufferConfig) -> EpisodicConfig<TensorBatch, TensorBatch> {
    let conversion = Conversion {
        from_rows: |rows| {
            let shape = (rows.len(), rows.width());
            Ok(TensorBatch::from_tensor(Tensor::from_vec(rows.into_values(), shape, &Device::Cpu)?))
        },
        to_rows: |batch: &TensorBatch| {
            let tensor = Tensor::from(batch.clone());
            let (_, width) = tensor.dims2()?;
            Rows::new(tensor.flatten_all()?.to_vec1()?, width)
        },
    };
    EpisodicConfig { buffer, spec, observations: conversion, actions: conversion }
}

/// Acts by a linear rule and draws a batch for each update, as an agent does.
struct Spring {
    rows: Arc<Mutex<usize>>,
}

impl<T: Obs + Act + Numbers> Policy<Task<T>> for Spring {
    fn sample(&mut self, observation: &T) -> T {
        let observation = observation.to_rows().unwrap();
        let o = observation.row(0);
        let action = vec![(-o[0] - 0.6 * o[2]).clamp(-1.0, 1.0), (-o[1] - 0.6 * o[3]).clamp(-1.0, 1.0)];
        T::from_rows(Rows::new(action, 2).unwrap()).unwrap()
    }
}

impl<T: Obs + Act + Numbers, R: ReplayBufferBase> Agent<Task<T>, R> for Spring
where
    R::Batch: TransitionBatch,
{
    fn train(&mut self) {}
    fn eval(&mut self) {}
    fn opt(&mut self, buffer: &mut R) {
        *self.rows.lock().unwrap() += buffer.batch(32).unwrap().len();
    }
}
