//! A map from numbers to numbers, learned by several small networks at once.
//!
//! All networks are one: their layers lie side by side, and a batched matrix product works them all off. Everything is
//! computed on the CPU by one thread, so that the same seed gives the same weights however many cores there are.

use replay::Seed;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, nn::VarStore};

use super::RegressionConfig;
use super::scale::Scale;
use crate::training::{AdamW, AdamWConfig, Initializer, Layer, Parameters, RateSchedule};
use crate::{Error, Result, native, tensor};

/// Rows worked off together: what lies between the layers then stays in the cache.
const ROWS: usize = 2048;

/// What is to be learned.
pub(super) struct Problem {
    /// `[N, I]`.
    pub inputs: Vec<f32>,
    /// `[N, K]`.
    pub targets: Vec<f32>,
    /// Numbers in a row of inputs (`I`) and of targets (`K`).
    pub dims: (usize, usize),
    /// Rows to learn from.
    pub learned: Vec<usize>,
    /// Rows that tell when to stop.
    pub held: Vec<usize>,
}

/// The networks at rest, as numbers on the host.
#[derive(Clone, Debug)]
pub(super) struct Regression {
    /// Units of the inputs.
    inputs: Scale,
    /// Units of the targets.
    pub targets: Scale,
    /// Weight `[E, in, out]` and bias `[E, 1, out]` of each layer.
    layers: Vec<(Weights, Weights)>,
    members: usize,
    /// Step after which the held-out error was least.
    pub steps: u64,
    /// Mean squared error on the rows held out, one network at a time, in units of the targets' variance: 1 would be
    /// had by always saying the mean.
    pub error: f64,
}

#[derive(Clone, Debug)]
struct Weights {
    shape: Vec<i64>,
    values: Vec<f32>,
}

/// The layers as tensors.
struct Network(Vec<Layer>);

impl Network {
    fn new(init: &Initializer<'_>, sizes: &[i64], members: i64) -> Self {
        let layer = |(index, pair): (usize, &[i64])| {
            let (here, bound) = (init.sub(&format!("layers.{index}")), (pair[0] as f64).powf(-0.5));
            Layer {
                weight: here.uniform("weight", &[members, pair[0], pair[1]], bound),
                bias: here.uniform("bias", &[members, 1, pair[1]], bound),
            }
        };
        Self(sizes.windows(2).enumerate().map(layer).collect())
    }

    /// `[E, B, K]` for `x` `[E, B, I]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.shallow_clone();
        for (index, layer) in self.0.iter().enumerate() {
            x = layer.bias.f_baddbmm(&x, &layer.weight, 1.0, 1.0)?;
            if index + 1 < self.0.len() {
                x = x.f_silu()?;
            }
        }
        Ok(x)
    }

    fn rest(&self) -> Result<Vec<(Weights, Weights)>> {
        let weights = |t: &Tensor| -> Result<Weights> { Ok(Weights { shape: t.size(), values: tensor::to_host(t)? }) };
        self.0.iter().map(|layer| Ok((weights(&layer.weight)?, weights(&layer.bias)?))).collect()
    }
}

impl Regression {
    /// Learns by `seed`; fails where the loss does not stay finite.
    pub fn learn(problem: &Problem, config: &RegressionConfig, seed: Seed) -> Result<Self> {
        native::on_one_thread(|| Self::learn_here(problem, config, seed))
    }

    fn learn_here(problem: &Problem, config: &RegressionConfig, seed: Seed) -> Result<Self> {
        let (i, k) = problem.dims;
        let (inputs, targets) =
            (Scale::of(&problem.inputs, i, &problem.learned), Scale::of(&problem.targets, k, &problem.learned));
        let all = |values: &[f32], scale: &Scale, dim: usize| {
            let scaled = scale.apply(values);
            tensor::from_host(&scaled, &[(scaled.len() / dim) as i64, dim as i64], Device::Cpu)
        };
        let (x, y) = (all(&problem.inputs, &inputs, i)?, all(&problem.targets, &targets, k)?);
        let part = |of: &Tensor, rows: &[usize]| -> Result<Tensor> {
            let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            Ok(of.f_index_select(0, &Tensor::f_from_slice(&rows)?)?)
        };
        let (held_x, held_y) = (part(&x, &problem.held)?, part(&y, &problem.held)?);

        let members = config.members as i64;
        let store = VarStore::new(Device::Cpu);
        let sizes = [&[i as i64], &config.hidden[..], &[k as i64]].concat();
        let network = Network::new(&Initializer::new(&store.root(), seed.fork("weights", 0)), &sizes, members);
        let mut parameters = Parameters::gather(&store)?;
        let optimizer = AdamWConfig { beta2: 0.999, ..AdamWConfig::default() };
        let mut optimizer = AdamW::new(optimizer, parameters.values());
        let schedule = RateSchedule::Trapezoid { warmup: 0, cooldown: 0.5 };

        let mut best = Self { inputs, targets, layers: Vec::new(), members: config.members, steps: 0, error: f64::MAX };
        let mut looks = 0;
        for step in 1..=config.steps {
            let rows = batch(problem, config, &seed.fork("step", step));
            let rows = Tensor::f_from_slice(&rows)?;
            let of = |from: &Tensor| from.f_index_select(0, &rows)?.f_view([members, config.batch as i64, -1]);
            let (x, y) = (of(&x)?, of(&y)?);
            // The sum over networks: none sees another's gradient.
            let loss = network.forward(&x)?.f_sub(&y)?.f_square()?.f_mean(Kind::Float)? * members;
            let gradient = parameters.gradient(&loss)?;
            let rate = config.learning_rate * schedule.factor(step - 1, config.steps);
            optimizer.step(parameters.values_mut(), &gradient, rate)?;
            if step % config.look_every == 0 || step == config.steps {
                let error = error(&network, &held_x, &held_y, members)?;
                if !error.is_finite() {
                    return Err(Error::Diverged { step, quantity: "the held-out error", value: error });
                }
                looks += 1;
                if error < best.error {
                    (best.layers, best.error, best.steps, looks) = (network.rest()?, error, step, 0);
                }
                if looks == config.patience {
                    break;
                }
            }
        }
        Ok(best)
    }

    /// What each network makes of rows of inputs `[N, I]`, in units of the targets' deviations around their means:
    /// `[E, N, K]`.
    pub fn predict(&self, inputs: &[f32]) -> Result<Vec<f32>> {
        native::on_one_thread(|| self.predict_here(inputs))
    }

    fn predict_here(&self, inputs: &[f32]) -> Result<Vec<f32>> {
        let _guard = tch::no_grad_guard();
        let tensor = |weights: &Weights| tensor::from_host(&weights.values, &weights.shape, Device::Cpu);
        let layer = |(weight, bias): &(Weights, Weights)| Ok(Layer { weight: tensor(weight)?, bias: tensor(bias)? });
        let network = Network(self.layers.iter().map(layer).collect::<Result<_>>()?);
        let (dim, members) = (self.inputs.mean.len(), self.members as i64);
        let scaled = self.inputs.apply(inputs);
        let pieces: Result<Vec<Tensor>> = scaled
            .chunks(ROWS * dim)
            .map(|rows| {
                let x = tensor::from_host(rows, &[1, (rows.len() / dim) as i64, dim as i64], Device::Cpu)?;
                network.forward(&x.f_expand([members, -1, -1], false)?)
            })
            .collect();
        let pieces = pieces?;
        if pieces.is_empty() { Ok(Vec::new()) } else { tensor::to_host(&Tensor::f_cat(&pieces, 1)?) }
    }

    /// Numbers in a row of inputs and in one of targets.
    pub fn dims(&self) -> (usize, usize) {
        (self.inputs.mean.len(), self.targets.mean.len())
    }

    /// Networks (`E`).
    pub fn members(&self) -> usize {
        self.members
    }

    /// SHA-256 of all weights and units, the first 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for scale in [&self.inputs, &self.targets] {
            scale.mean.iter().chain(&scale.std).for_each(|v| hash.update(v.to_le_bytes()));
        }
        let weights = self.layers.iter().flat_map(|(weight, bias)| weight.values.iter().chain(&bias.values));
        weights.for_each(|v| hash.update(v.to_le_bytes()));
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The rows that each network learns from next, `[E B]`, each from a stream of its own.
fn batch(problem: &Problem, config: &RegressionConfig, seed: &Seed) -> Vec<i64> {
    use rand::RngExt;
    let mut rng = seed.rng();
    let count = problem.learned.len();
    (0..config.members * config.batch).map(|_| problem.learned[rng.random_range(0..count)] as i64).collect()
}

/// Mean squared error over all networks.
fn error(network: &Network, x: &Tensor, y: &Tensor, members: i64) -> Result<f64> {
    let _guard = tch::no_grad_guard();
    let (mut sum, rows) = (0.0, x.size()[0]);
    for at in (0..rows).step_by(ROWS) {
        let part = |t: &Tensor| t.f_narrow(0, at, (ROWS as i64).min(rows - at))?.f_unsqueeze(0);
        let x = part(x)?.f_expand([members, -1, -1], false)?;
        let squares = network.forward(&x)?.f_sub(&part(y)?)?.f_square()?;
        sum += squares.f_sum(Kind::Double)?.f_double_value(&[])?;
    }
    Ok(sum / (members * rows * y.size()[1]) as f64)
}
