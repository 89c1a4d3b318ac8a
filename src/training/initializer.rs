//! Creating a network's variables, each filled from a random stream of its own.

use rand::Rng as _;
use replay::{Rng, Seed};
use tch::{Tensor, nn};

/// A place in a variable store to create variables at.
pub(crate) struct Initializer<'a> {
    path: nn::Path<'a>,
    seed: Seed,
}

impl<'a> Initializer<'a> {
    pub(crate) fn new(path: &nn::Path<'a>, seed: Seed) -> Self {
        Self { path: path.clone(), seed }
    }

    /// The place called `name` below this one; dots in the name go down several levels.
    pub(crate) fn sub(&self, name: &str) -> Self {
        Self { path: name.split('.').fold(self.path.clone(), |path, part| path.sub(part)), seed: self.seed }
    }

    /// A trained variable, uniform in `±bound`.
    pub(crate) fn uniform(&self, name: &str, shape: &[i64], bound: f64) -> Tensor {
        // 24 bits are all that an f32 in [0, 1) holds.
        let value = |rng: &mut Rng| ((f64::from(rng.next_u32() >> 8) / f64::from(1 << 23) - 1.0) * bound) as f32;
        let mut rng = self.rng(name);
        self.add(name, shape, (0..count(shape)).map(|_| value(&mut rng)).collect(), true)
    }

    /// A trained variable of one value.
    pub(crate) fn constant(&self, name: &str, shape: &[i64], value: f32) -> Tensor {
        self.add(name, shape, vec![value; count(shape)], true)
    }

    /// A trained variable, normal with mean 0.
    pub(crate) fn normal(&self, name: &str, shape: &[i64], std: f32) -> Tensor {
        self.add(name, shape, self.normals(name, shape, std), true)
    }

    /// A normal variable that is saved with the network but not trained.
    pub(crate) fn fixed_normal(&self, name: &str, shape: &[i64]) -> Tensor {
        self.add(name, shape, self.normals(name, shape, 1.0), false)
    }

    /// Given numbers that are saved with the network but not trained.
    pub(crate) fn fixed(&self, name: &str, values: Vec<f32>) -> Tensor {
        self.add(name, &[values.len() as i64], values, false)
    }

    /// A fully connected layer with PyTorch's default start.
    pub(crate) fn linear(&self, name: &str, inputs: i64, outputs: i64) -> Layer {
        self.layer(name, &[outputs, inputs], outputs, inputs)
    }

    /// A layer that starts as the constant `bias`.
    pub(crate) fn zero_linear(&self, name: &str, inputs: i64, bias: &[f32]) -> Layer {
        let (here, outputs) = (self.sub(name), bias.len() as i64);
        Layer {
            weight: here.constant("weight", &[outputs, inputs], 0.0),
            bias: here.add("bias", &[outputs], bias.to_vec(), true),
        }
    }

    /// A layer of `weight` shape `shape` with PyTorch's default start: weight and bias uniform in `±1 / sqrt(fan_in)`.
    pub(crate) fn layer(&self, name: &str, shape: &[i64], outputs: i64, fan_in: i64) -> Layer {
        let (here, bound) = (self.sub(name), (fan_in as f64).powf(-0.5));
        Layer { weight: here.uniform("weight", shape, bound), bias: here.uniform("bias", &[outputs], bound) }
    }

    /// Scale 1 and shift 0 of a normalisation over `channels`.
    pub(crate) fn norm(&self, name: &str, channels: i64) -> Layer {
        let here = self.sub(name);
        Layer { weight: here.constant("weight", &[channels], 1.0), bias: here.constant("bias", &[channels], 0.0) }
    }

    /// A trained variable whose numbers `fill` writes, drawn from the variable's own stream.
    pub(crate) fn filled(&self, name: &str, shape: &[i64], fill: impl FnOnce(&mut Rng, &mut [f32])) -> Tensor {
        let mut values = vec![0.0; count(shape)];
        fill(&mut self.rng(name), &mut values);
        self.add(name, shape, values, true)
    }

    fn normals(&self, name: &str, shape: &[i64], std: f32) -> Vec<f32> {
        let mut values = vec![0.0; count(shape)];
        replay::fill_normal(&mut self.rng(name), &mut values);
        values.iter_mut().for_each(|v| *v *= std);
        values
    }

    fn rng(&self, name: &str) -> Rng {
        let full = self.path.components().chain([name]).collect::<Vec<_>>().join(".");
        self.seed.fork(&full, 0).rng()
    }

    fn add(&self, name: &str, shape: &[i64], values: Vec<f32>, trained: bool) -> Tensor {
        let tensor = Tensor::from_slice(&values).view(shape).to_device(self.path.device()).to_kind(self.path.kind());
        self.path.add(name, tensor, trained)
    }
}

fn count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

/// Weight and bias of a layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Layer {
    /// `x W^T + b` over the last dimension.
    pub(crate) fn linear(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }

    /// Convolution of `[B, C, T, D]` images.
    pub(crate) fn conv(&self, x: &Tensor, stride: [i64; 2], padding: i64) -> Tensor {
        x.conv2d(&self.weight, Some(&self.bias), stride, [padding, padding], [1, 1], 1)
    }

    /// Layer normalisation over the last dimension.
    pub(crate) fn layer_norm(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.view(-1)).unwrap()
    }

    #[test]
    fn a_variable_depends_on_seed_and_full_name_only() {
        let build = |seed, names: &[&str]| {
            let store = nn::VarStore::new(Device::Cpu);
            let init = Initializer::new(&store.root(), Seed::new(seed));
            names.iter().for_each(|name| {
                init.linear(name, 3, 2);
            });
            store.variables()
        };
        let (a, b, other) = (build(1, &["x", "a.y"]), build(1, &["a.y", "z"]), build(2, &["a.y"]));
        assert_eq!(numbers(&a["a.y.weight"]), numbers(&b["a.y.weight"]));
        assert_ne!(numbers(&a["a.y.weight"]), numbers(&other["a.y.weight"]));
        assert_ne!(numbers(&a["x.weight"]), numbers(&a["a.y.weight"]));
    }

    #[test]
    fn a_linear_layer_starts_uniform_within_one_over_the_root_of_its_inputs() {
        let store = nn::VarStore::new(Device::Cpu);
        let layer = Initializer::new(&store.root(), Seed::new(0)).linear("layer", 400, 300);
        let bound = 0.05;
        assert!(numbers(&layer.weight).iter().chain(&numbers(&layer.bias)).all(|v| v.abs() <= bound));
        let variance = layer.weight.to_kind(Kind::Double).var(true).double_value(&[]);
        assert!((variance / f64::from(bound * bound / 3.0) - 1.0).abs() < 0.02, "{variance}");
        assert!(layer.weight.mean(Kind::Double).double_value(&[]).abs() < 1e-3);
    }

    #[test]
    fn fixed_numbers_are_saved_but_not_trained() {
        let store = nn::VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let _ = init.fixed("frequencies", vec![1.0, 2.0]);
        let _ = init.constant("scale", &[2], 1.0);
        assert_eq!((store.len(), store.trainable_variables().len()), (2, 1));
    }
}
