//! Networks in training: weights with their optimiser, averages that follow them, and both in a file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use replay::Seed;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn::VarStore};

use super::{AgentConfig, metrics::Metrics, network::Tape, units::Units};
use crate::native::Graphed;
use crate::training::{AdamW, AdamWConfig, Checkpoint, Initializer, Parameters};
use crate::{Error, Result, tensor};

/// Adam as all agents use it (Kingma and Ba, 2015, with its usual numbers).
pub(super) const ADAM: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };

/// Something whose state goes into a checkpoint. An agent lists its parts once.
pub(super) trait Part {
    /// Adds the state.
    fn save(&self, file: &mut Checkpoint) -> Result<()>;
    /// Steps of its optimiser, by name, if it has one.
    fn steps(&self) -> Option<(&'static str, u64)>;
}

/// A network with its weights as one vector and an optimiser for them.
#[derive(Debug)]
pub(super) struct Trained<N> {
    name: &'static str,
    /// The network itself.
    pub(super) net: N,
    parameters: Parameters,
    adam: AdamW,
    segment: Graphed,
    /// What the segment reports, and whether each is a maximum.
    reported: RefCell<Vec<(&'static str, bool)>>,
    /// The gradient of the last step, for the golden tests.
    #[cfg(test)]
    pub(super) last_gradient: Option<Tensor>,
}

impl<N> Trained<N> {
    /// Gradient of the scalar `loss` with respect to all its weights, `[P]`. Gradients of other networks in the same
    /// graph are not computed.
    pub(super) fn gradient(&self, loss: &Tensor) -> Result<Tensor> {
        self.parameters.gradient(loss)
    }

    /// The segment of an update that ends with this network's gradient: `work` makes a scalar loss of the inputs, and what
    /// else later segments need of it, detached. Gives the loss's gradient, `[P]`, and the rest; the next call overwrites
    /// both where a GPU repeats the segment as one launch.
    ///
    /// All that differs from update to update is an input, random numbers included; `work` reads weights besides, and
    /// runs networks by the tape it is handed, and reports to the metrics.
    pub(super) fn segment<'a>(
        &self,
        inputs: &[&Tensor],
        metrics: &mut Metrics,
        mut work: impl FnMut(&[Tensor], &Tape<'a>, &mut Metrics) -> Result<(Tensor, Vec<Tensor>)>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let mut outputs = self.segment.run(inputs, |inputs| {
            let (tape, mut seen) = (Tape::default(), Metrics::new(f64::INFINITY));
            let (loss, rest) = work(inputs, &tape, &mut seen)?;
            let mut outputs = vec![tape.gradient(&loss, &self.parameters)?];
            outputs.extend(rest);
            let (names, values) = seen.seen();
            outputs.extend(values);
            *self.reported.borrow_mut() = names;
            Ok(outputs)
        })?;
        // A repeated segment reports what it did when it was recorded.
        let reported = self.reported.borrow();
        let values = outputs.split_off(outputs.len() - reported.len());
        metrics.absorb(&reported, &values);
        let gradient = outputs.remove(0);
        Ok((gradient, outputs))
    }

    /// One step of the optimiser against `gradient`, which is `[P]`.
    pub(super) fn apply(&mut self, gradient: &Tensor, rate: f64) -> Result<()> {
        #[cfg(test)]
        {
            self.last_gradient = Some(gradient.detach().copy());
        }
        self.adam.step(self.parameters.values_mut(), gradient, rate)
    }

    /// One step of the optimiser against the gradient of the scalar `loss`.
    pub(super) fn step(&mut self, loss: &Tensor, rate: f64) -> Result<()> {
        let gradient = self.gradient(loss)?;
        self.apply(&gradient, rate)
    }

    /// Its weights.
    pub(super) fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

impl<N> Part for Trained<N> {
    fn save(&self, file: &mut Checkpoint) -> Result<()> {
        let (first, second) = self.adam.moments();
        for (kind, values) in [("weights", self.parameters.values()), ("first", first), ("second", second)] {
            file.add(format!("{}.{kind}", self.name), tensor::to_host(values)?);
        }
        Ok(())
    }

    fn steps(&self) -> Option<(&'static str, u64)> {
        Some((self.name, self.adam.steps()))
    }
}

/// A network that follows another one slowly.
#[derive(Debug)]
pub(super) struct Target<N> {
    name: &'static str,
    /// The network itself.
    pub(super) net: N,
    parameters: Parameters,
}

impl<N> Target<N> {
    /// `(1 - tau) own + tau source`, in one operation whatever the number of layers.
    pub(super) fn follow(&mut self, source: &Trained<N>, tau: f64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let _ = self.parameters.values_mut().f_lerp_(source.parameters.values(), tau)?;
        Ok(())
    }

    /// Its weights.
    #[cfg(test)]
    pub(super) fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

impl<N> Part for Target<N> {
    fn save(&self, file: &mut Checkpoint) -> Result<()> {
        file.add(format!("{}.weights", self.name), tensor::to_host(self.parameters.values())?);
        Ok(())
    }

    fn steps(&self) -> Option<(&'static str, u64)> {
        None
    }
}

/// What a checkpoint says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    config: AgentConfig,
    seed: Seed,
    updates: u64,
    /// Steps of each optimiser, by network.
    steps: Vec<(String, u64)>,
}

/// Where an agent's parts come from: fresh from a seed, or from a checkpoint. An agent's constructor asks for them one
/// by one and need not know which it is.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) seed: Seed,
    pub(super) device: Device,
    /// Kind of all numbers; f32 but in tests.
    pub(super) kind: Kind,
    saved: Option<Saved>,
}

#[derive(Debug)]
struct Saved {
    file: Checkpoint,
    path: PathBuf,
    header: Header,
}

impl Start {
    /// From the beginning.
    pub(super) fn fresh(seed: Seed, device: Device) -> Self {
        Self { seed, device, kind: Kind::Float, saved: None }
    }

    /// From the file that [`save`] wrote for the same configuration and seed.
    pub(super) fn resumed(config: &AgentConfig, path: &Path, seed: Seed, device: Device) -> Result<Self> {
        let file = Checkpoint::read(path)?;
        let header: Header = file.header(path)?;
        let differs = |what: &str| {
            let why = format!("it was written by an agent with another {what}");
            Err(Error::Checkpoint { path: path.into(), why })
        };
        if header.config != *config {
            return differs("configuration");
        }
        if header.seed != seed {
            return differs("seed");
        }
        Ok(Self { seed, device, kind: Kind::Float, saved: Some(Saved { file, path: path.into(), header }) })
    }

    /// The network that `build` makes, with an optimiser. `name` names it in checkpoints and gives it random streams
    /// of its own.
    pub(super) fn network<N>(
        &mut self,
        name: &'static str,
        adam: AdamWConfig,
        build: impl FnOnce(&Initializer<'_>) -> N,
    ) -> Result<Trained<N>> {
        let (net, mut parameters) = self.build(name, build)?;
        let adam = match &mut self.saved {
            None => AdamW::new(adam, parameters.values()),
            Some(saved) => {
                saved.weights(name, &mut parameters, self.device)?;
                let mut moment = |kind: &str| -> Result<Tensor> {
                    let values = saved.file.take(&format!("{name}.{kind}"), parameters.len(), &saved.path)?;
                    tensor::from_host(&values, &[values.len() as i64], self.device)
                };
                let (first, second) = (moment("first")?, moment("second")?);
                AdamW::resume(adam, first, second, saved.steps(name)?)
            }
        };
        Ok(Trained {
            name,
            net,
            parameters,
            adam,
            segment: Graphed::new("a segment of an agent's update"),
            reported: RefCell::default(),
            #[cfg(test)]
            last_gradient: None,
        })
    }

    /// A network that `build` makes, too, and that follows `source` from the same weights.
    pub(super) fn target<N>(
        &mut self,
        name: &'static str,
        source: &Trained<N>,
        build: impl FnOnce(&Initializer<'_>) -> N,
    ) -> Result<Target<N>> {
        let (net, mut parameters) = self.build(name, build)?;
        match &mut self.saved {
            None => tch::no_grad(|| parameters.values_mut().f_copy_(source.parameters.values()))?,
            Some(saved) => saved.weights(name, &mut parameters, self.device)?,
        }
        Ok(Target { name, net, parameters })
    }

    /// A single trained number that starts at `value`.
    pub(super) fn scalar(&mut self, name: &'static str, value: f32) -> Result<Trained<Tensor>> {
        self.network(name, ADAM, |init| init.constant("value", &[], value))
    }

    fn build<N>(&self, name: &str, build: impl FnOnce(&Initializer<'_>) -> N) -> Result<(N, Parameters)> {
        let mut store = VarStore::new(self.device);
        store.set_kind(self.kind);
        let net = build(&Initializer::new(&store.root(), self.seed.fork(name, 0)));
        Ok((net, Parameters::gather(&store)?))
    }

    /// The units to learn in: `fitted`, or those of the checkpoint.
    pub(super) fn units(&mut self, fitted: Units) -> Result<Units> {
        match &mut self.saved {
            None => Ok(fitted),
            Some(saved) => fitted.restored(&mut saved.file, &saved.path),
        }
    }

    /// Updates made before; fails where the checkpoint holds something that was not asked for.
    pub(super) fn finish(self) -> Result<u64> {
        let Some(saved) = self.saved else { return Ok(0) };
        match saved.file.left().next() {
            None => Ok(saved.header.updates),
            Some(name) => {
                let why = format!("it holds '{name}', which this agent does not have");
                Err(Error::Checkpoint { path: saved.path, why })
            }
        }
    }
}

impl Saved {
    fn weights(&mut self, name: &str, parameters: &mut Parameters, device: Device) -> Result<()> {
        let values = self.file.take(&format!("{name}.weights"), parameters.len(), &self.path)?;
        parameters.load(&values, device)
    }

    fn steps(&self, name: &str) -> Result<u64> {
        let found = self.header.steps.iter().find(|(other, _)| other == name);
        found.map(|(_, steps)| *steps).ok_or_else(|| Error::Checkpoint {
            path: self.path.clone(),
            why: format!("its header has no steps of '{name}'"),
        })
    }
}

/// Writes an agent's whole state.
pub(super) fn save(
    path: &Path,
    config: AgentConfig,
    seed: Seed,
    updates: u64,
    units: &Units,
    parts: &[&dyn Part],
) -> Result<()> {
    let steps = parts.iter().filter_map(|part| part.steps()).map(|(name, n)| (name.to_owned(), n)).collect();
    let mut file = Checkpoint::new(&Header { config, seed, updates, steps });
    units.save(&mut file);
    parts.iter().try_for_each(|part| part.save(&mut file))?;
    file.write(path)
}
