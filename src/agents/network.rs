//! Multi-layer perceptrons: one, or several critics as one batched network.

use replay::Rng;
use tch::Tensor;

mod host;
mod tape;

pub(super) use tape::Tape;

use crate::Result;
use crate::training::{Initializer, Layer};

/// Where the weights and biases of a layer start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Draw {
    /// Uniform in `±1 / sqrt(fan_in)`: PyTorch's default, for weights and biases.
    FanIn,
    /// Uniform in `±bound`.
    Uniform(f64),
    /// All the same.
    Constant(f32),
    /// A random matrix with orthonormal rows or columns, times this gain.
    Orthogonal(f64),
    /// Uniform in `±gain sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
    Xavier(f64),
}

impl Draw {
    /// Fills a weight of `outputs` rows of `inputs` numbers, or a bias of `outputs` numbers (`rows` = 1).
    fn fill(self, rng: &mut Rng, values: &mut [f32], inputs: i64, outputs: i64) {
        use rand::Rng as _;
        let mut uniform = |bound: f64, values: &mut [f32]| {
            for v in values {
                *v = ((f64::from(rng.next_u32() >> 8) / f64::from(1 << 23) - 1.0) * bound) as f32;
            }
        };
        match self {
            Self::FanIn => uniform((inputs as f64).powf(-0.5), values),
            Self::Uniform(bound) => uniform(bound, values),
            Self::Xavier(gain) => uniform(gain * (6.0 / (inputs + outputs) as f64).sqrt(), values),
            Self::Constant(value) => values.fill(value),
            Self::Orthogonal(gain) => orthogonal(rng, values, inputs as usize, outputs as usize, gain),
        }
    }
}

/// Normal numbers made orthonormal, the shorter side's vectors one after the other (Gram and Schmidt, twice, which is
/// as good as Householder's in f64).
fn orthogonal(rng: &mut Rng, values: &mut [f32], inputs: usize, outputs: usize, gain: f64) {
    let (count, length) = (inputs.min(outputs), inputs.max(outputs));
    let mut normal = vec![0.0f32; count * length];
    replay::fill_normal(rng, &mut normal);
    let mut vectors: Vec<f64> = normal.into_iter().map(f64::from).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for index in 0..count {
        let (done, rest) = vectors.split_at_mut(index * length);
        let own = &mut rest[..length];
        for _ in 0..2 {
            for other in done.chunks_exact(length) {
                let share = dot(own, other);
                own.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
            }
        }
        let size = dot(own, own).sqrt();
        own.iter_mut().for_each(|x| *x /= size);
    }
    for row in 0..outputs {
        for column in 0..inputs {
            let (vector, place) = if outputs <= inputs { (row, column) } else { (column, row) };
            values[row * inputs + column] = (gain * vectors[vector * length + place]) as f32;
        }
    }
}

/// How a whole network starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Draws {
    /// Weight and bias of the hidden layers.
    pub(super) hidden: (Draw, Draw),
    /// Weight and bias of the last layer.
    pub(super) last: (Draw, Draw),
}

impl Draws {
    /// PyTorch's default for all layers.
    pub(super) const PYTORCH: Self = Self { hidden: (Draw::FanIn, Draw::FanIn), last: (Draw::FanIn, Draw::FanIn) };

    fn layer(&self, last: bool) -> (Draw, Draw) {
        if last { self.last } else { self.hidden }
    }
}

/// Numbers in each layer, input and output included.
pub(super) fn sizes(inputs: usize, hidden: &[i64], outputs: usize) -> Vec<i64> {
    [&[inputs as i64], hidden, &[outputs as i64]].concat()
}

/// Fully connected layers with ReLU between them; the last is linear.
#[derive(Debug)]
pub(super) struct Mlp {
    layers: Vec<Layer>,
}

impl Mlp {
    /// Layers of `sizes` numbers, the input's first; variables `layers.{i}.weight` `[out, in]` and `layers.{i}.bias`.
    pub(super) fn new(init: &Initializer<'_>, sizes: &[i64], draws: Draws) -> Self {
        let layer = |(index, pair): (usize, &[i64])| {
            let (here, (inputs, outputs)) = (init.sub(&format!("layers.{index}")), (pair[0], pair[1]));
            let (weight, bias) = draws.layer(index + 2 == sizes.len());
            Layer {
                weight: here.filled("weight", &[outputs, inputs], |rng, v| weight.fill(rng, v, inputs, outputs)),
                bias: here.filled("bias", &[outputs], |rng, v| bias.fill(rng, v, inputs, outputs)),
            }
        };
        Self { layers: sizes.windows(2).enumerate().map(layer).collect() }
    }

    /// `[B, out]` for `x` `[B, in]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.last(&self.hidden(x))
    }

    /// The last hidden layer's numbers, `[B, H]`.
    pub(super) fn hidden(&self, x: &Tensor) -> Tensor {
        let (_, hidden) = self.layers.split_last().expect("a network has a layer");
        hidden.iter().fold(x.shallow_clone(), |x, layer| layer.linear(&x).relu_())
    }

    /// [`forward`](Self::forward) where `drop(i, shape)` gives the factors of hidden layer `i`.
    pub(super) fn forward_dropped(
        &self,
        x: &Tensor,
        mut drop: impl FnMut(usize, &[i64]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (_, hidden) = self.layers.split_last().expect("a network has a layer");
        let mut x = x.shallow_clone();
        for (index, layer) in hidden.iter().enumerate() {
            let h = layer.linear(&x).relu_();
            x = &h * drop(index, &h.size())?;
        }
        Ok(self.last(&x))
    }

    fn last(&self, h: &Tensor) -> Tensor {
        self.layers[self.layers.len() - 1].linear(h)
    }

    /// Its layers, the input's first.
    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }
}

/// `N` critics of one shape as one network: `Q_i(s, a)`.
///
/// Weights lie as `[N, in, out]`, so that all critics are one batched product a layer.
#[derive(Debug)]
pub(super) struct Critics {
    layers: Vec<Layer>,
    /// Scale and shift of layer normalisation after each hidden ReLU, `[N, 1, H]`.
    norms: Vec<Layer>,
}

impl Critics {
    /// `count` critics whose layers have `sizes` numbers, the last being 1; with `normalised`, layer normalisation
    /// follows each hidden ReLU (ReBRAC). Variables `layers.{i}.weight` `[N, in, out]`, `layers.{i}.bias`
    /// `[N, 1, out]`, `norms.{i}.weight` and `norms.{i}.bias` `[N, 1, out]`.
    pub(super) fn new(init: &Initializer<'_>, count: i64, sizes: &[i64], draws: Draws, normalised: bool) -> Self {
        let layer = |(index, pair): (usize, &[i64])| {
            let (here, (inputs, outputs)) = (init.sub(&format!("layers.{index}")), (pair[0], pair[1]));
            let (weight, bias) = draws.layer(index + 2 == sizes.len());
            let weight = here.filled("weight", &[count, inputs, outputs], |rng, values| {
                let mut member = vec![0.0; (inputs * outputs) as usize];
                for values in values.chunks_exact_mut(member.len()) {
                    weight.fill(rng, &mut member, inputs, outputs);
                    for (k, v) in values.iter_mut().enumerate() {
                        *v = member[k % outputs as usize * inputs as usize + k / outputs as usize];
                    }
                }
            });
            let bias = here.filled("bias", &[count, 1, outputs], |rng, v| bias.fill(rng, v, inputs, outputs));
            Layer { weight, bias }
        };
        let norm = |(index, &width): (usize, &i64)| {
            let here = init.sub(&format!("norms.{index}"));
            let constant = |name, value| here.constant(name, &[count, 1, width], value);
            Layer { weight: constant("weight", 1.0), bias: constant("bias", 0.0) }
        };
        let hidden = &sizes[1..sizes.len() - 1];
        Self {
            layers: sizes.windows(2).enumerate().map(layer).collect(),
            norms: if normalised { hidden.iter().enumerate().map(norm).collect() } else { Vec::new() },
        }
    }

    /// `[N, B]` for `states` `[B, O]` and `actions` `[B, A]`.
    pub(super) fn forward(&self, states: &Tensor, actions: &Tensor) -> Tensor {
        let input = Tensor::cat(&[states, actions], -1);
        let count = self.layers[0].weight.size()[0];
        self.run(&input.unsqueeze(0).expand([count, -1, -1], false), |tensor| tensor.shallow_clone())
    }

    /// Critic `index` alone, `[B]`.
    pub(super) fn one(&self, index: i64, states: &Tensor, actions: &Tensor) -> Tensor {
        let input = Tensor::cat(&[states, actions], -1).unsqueeze(0);
        self.run(&input, |tensor| tensor.narrow(0, index, 1)).view([-1])
    }

    /// Their layers, the input's first: weights `[N, in, out]`, biases `[N, 1, out]`.
    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn run(&self, input: &Tensor, part: impl Fn(&Tensor) -> Tensor) -> Tensor {
        let (last, hidden) = self.layers.split_last().expect("a network has a layer");
        let linear = |x: &Tensor, layer: &Layer| part(&layer.bias).baddbmm(x, &part(&layer.weight), 1.0, 1.0);
        let mut x = input.shallow_clone();
        for (index, layer) in hidden.iter().enumerate() {
            x = linear(&x, layer).relu_();
            if let Some(norm) = self.norms.get(index) {
                let width = x.size()[2];
                x = x.layer_norm(width, None::<Tensor>, None::<Tensor>, 1e-6, true);
                x = part(&norm.bias).addcmul(&x, &part(&norm.weight));
            }
        }
        // A matrix times a vector for each critic: LibTorch's batched product is many times slower for one column.
        let (weight, bias) = (part(&last.weight).squeeze_dim(-1), part(&last.bias).squeeze_dim(-1));
        let each = x.unbind(0).iter().zip(weight.unbind(0)).map(|(x, w)| x.mv(&w)).collect::<Vec<_>>();
        Tensor::stack(&each, 0) + bias
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::Seed;
    use tch::{Device, Kind, nn::VarStore};

    fn near(a: &Tensor, b: &Tensor) -> bool {
        (a - b).abs().max().double_value(&[]) < 1e-5
    }

    #[test]
    fn critics_are_the_same_as_networks_of_their_own() {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(1));
        for normalised in [false, true] {
            let sub = init.sub(if normalised { "n" } else { "p" });
            let critics = Critics::new(&sub, 3, &[5, 8, 7, 1], Draws::PYTORCH, normalised);
            let (states, actions) = (
                Tensor::arange(12, (Kind::Float, Device::Cpu)).view([4, 3]) / 10,
                Tensor::ones([4, 2], (Kind::Float, Device::Cpu)) / 3,
            );
            let all = critics.forward(&states, &actions);
            assert_eq!(all.size(), [3, 4]);
            for index in 0..3 {
                let mut x = Tensor::cat(&[&states, &actions], 1);
                for (i, layer) in critics.layers.iter().enumerate() {
                    x = x.mm(&layer.weight.get(index)) + layer.bias.get(index);
                    if i < 2 {
                        x = x.relu();
                        if normalised {
                            let mean = x.mean_dim(1, true, Kind::Float);
                            let var = (&x - &mean).square().mean_dim(1, true, Kind::Float);
                            x = (&x - mean) / (var + 1e-6).sqrt();
                        }
                    }
                }
                assert!(near(&all.get(index), &x.view(-1)), "{index}");
                assert!(near(&critics.one(index, &states, &actions), &x.view(-1)), "{index}");
            }
        }
    }

    #[test]
    fn starts_are_as_named() {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(1));
        let draws = Draws {
            hidden: (Draw::Orthogonal(2f64.sqrt()), Draw::Constant(0.1)),
            last: (Draw::Uniform(3e-3), Draw::Xavier(1e-2)),
        };
        let mlp = Mlp::new(&init, &[20, 30, 10, 4], draws);
        let [wide, tall, last] = mlp.layers() else { panic!("three layers") };
        let identity = |n: i64| Tensor::eye(n, (Kind::Float, Device::Cpu)) * 2;
        assert!(near(&wide.weight.tr().mm(&wide.weight), &identity(20)));
        assert!(near(&tall.weight.mm(&tall.weight.tr()), &identity(10)));
        assert_eq!(wide.bias.min().double_value(&[]), f64::from(0.1f32));
        let (spread, most) = (last.weight.std(false).double_value(&[]), last.weight.abs().max().double_value(&[]));
        assert!(most < 3e-3 && (spread - 3e-3 / 3f64.sqrt()).abs() < 5e-4, "{most} {spread}");
        let default = Mlp::new(&init.sub("d"), &[400, 300, 2], Draws::PYTORCH);
        let layer = &default.layers()[0];
        assert!(layer.weight.abs().max().double_value(&[]) <= 0.05 && layer.bias.abs().max().double_value(&[]) <= 0.05);
        assert!((layer.weight.std(false).double_value(&[]) - 0.05 / 3f64.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn dropout_factors_multiply_the_hidden_layers() {
        let store = VarStore::new(Device::Cpu);
        let mlp = Mlp::new(&Initializer::new(&store.root(), Seed::new(1)), &[3, 6, 6, 2], Draws::PYTORCH);
        let x = Tensor::ones([5, 3], (Kind::Float, Device::Cpu));
        let all = mlp.forward_dropped(&x, |_, shape| Ok(Tensor::ones(shape, (Kind::Float, Device::Cpu)))).unwrap();
        assert!(near(&all, &mlp.forward(&x)));
        let none =
            mlp.forward_dropped(&x, |i, shape| Ok(Tensor::full(shape, i as i64, (Kind::Float, Device::Cpu)))).unwrap();
        assert!(!near(&none, &all));
    }
}
