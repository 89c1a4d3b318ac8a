//! All weights of a network as one vector, so that an optimiser step or an average is a handful of operations
//! whatever the number of layers.

use tch::{Device, Tensor, nn::VarStore};

use crate::{Result, tensor};

/// Where each weight lies in the one vector: names in alphabetical order, with shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(pub(crate) Vec<(String, Vec<i64>)>);

/// The trainable weights of a network, laid out in one vector that the network's own variables are views of.
///
/// The vector stays where it is for as long as the network lives, and is changed in place only: what a GPU has recorded reads
/// the weights at their addresses.
#[derive(Debug)]
pub struct Parameters {
    layout: Layout,
    variables: Vec<Tensor>,
    flat: Tensor,
    fixed: Vec<(String, Tensor)>,
}

impl Parameters {
    /// Gathers the trainable variables of `store` into one vector and makes each of them a view of its part.
    pub fn gather(store: &VarStore) -> Result<Self> {
        let (layout, variables, fixed) = variables(store);
        let parts: Vec<Tensor> = variables.iter().map(|t| t.detach().reshape([-1])).collect();
        Self::view(layout, variables, fixed, Tensor::f_cat(&parts, 0)?)
    }

    /// Makes the variables of `store` views of another network's vector, so that both have the same weights.
    ///
    /// # Panics
    /// If the networks differ.
    pub(crate) fn share(store: &VarStore, flat: Tensor) -> Result<Self> {
        let (layout, variables, fixed) = variables(store);
        Self::view(layout, variables, fixed, flat)
    }

    fn view(layout: Layout, mut variables: Vec<Tensor>, fixed: Vec<(String, Tensor)>, flat: Tensor) -> Result<Self> {
        assert_eq!(variables.iter().map(Tensor::numel).sum::<usize>(), flat.numel(), "weights of the network");
        let mut start = 0;
        for variable in &mut variables {
            let length = variable.numel() as i64;
            variable.set_data(&flat.f_narrow(0, start, length)?.f_view(variable.size().as_slice())?);
            start += length;
        }
        Ok(Self { layout, variables, flat, fixed })
    }

    /// Names and shapes, in the vector's order.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All trainable weights, `[P]`. Changing it in place changes the network.
    pub fn values(&self) -> &Tensor {
        &self.flat
    }

    /// All trainable weights, to change in place.
    pub fn values_mut(&mut self) -> &mut Tensor {
        &mut self.flat
    }

    /// Weights that are not trained, by name.
    pub fn fixed(&self) -> &[(String, Tensor)] {
        &self.fixed
    }

    /// Number of trainable weights (`P`).
    pub fn len(&self) -> usize {
        self.flat.numel()
    }

    /// Whether there is nothing to train.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gradient of the scalar `loss` with respect to all trainable weights, `[P]`.
    pub fn gradient(&self, loss: &Tensor) -> Result<Tensor> {
        let parts = Tensor::f_run_backward(&[loss], &self.variables, false, false)?;
        let parts: Vec<Tensor> = parts.iter().map(|g| g.reshape([-1])).collect();
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// A gradient of zeros, to be added to part by part.
    pub fn zero_gradient(&self) -> Result<Gradient> {
        let _guard = tch::no_grad_guard();
        Ok(Gradient { values: self.flat.f_zeros_like()?, weights: self.flat.shallow_clone() })
    }

    /// The trainable weights, each a view of its part of the vector.
    pub(crate) fn variables(&self) -> &[Tensor] {
        &self.variables
    }

    /// A gradient to be written part by part.
    pub fn empty_gradient(&self) -> Result<Gradient> {
        let _guard = tch::no_grad_guard();
        Ok(Gradient { values: self.flat.f_empty_like()?, weights: self.flat.shallow_clone() })
    }

    /// Overwrites all trainable weights.
    pub fn load(&mut self, values: &[f32], device: Device) -> Result<()> {
        let source = tensor::from_host(values, &[self.len() as i64], device)?;
        tch::no_grad(|| self.flat.copy_(&source));
        Ok(())
    }
}

/// A gradient with respect to all weights of a network, `[P]`, that is written part by part.
#[derive(Debug)]
pub struct Gradient {
    values: Tensor,
    weights: Tensor,
}

impl Gradient {
    /// Whether `weight` is one of the network's.
    pub(crate) fn has(&self, weight: &Tensor) -> bool {
        self.start(weight) + weight.numel() <= self.values.numel()
    }

    /// Weights are views of one vector, so where one begins says which it is.
    fn start(&self, weight: &Tensor) -> usize {
        let bytes = (weight.data_ptr() as usize).wrapping_sub(self.weights.data_ptr() as usize);
        bytes / self.weights.kind().elt_size_in_bytes()
    }

    /// The place of one weight's gradient: a view shaped like `weight`.
    ///
    /// # Panics
    /// If `weight` is not one of the network's.
    pub fn of(&self, weight: &Tensor) -> Tensor {
        assert!(self.has(weight), "a weight of another network");
        let (start, length) = (self.start(weight), weight.numel());
        self.values.narrow(0, start as i64, length as i64).view(weight.size().as_slice())
    }

    /// Has autograd write the gradients of `weights`, given that of `output`, which was made with gradients on.
    pub(crate) fn trace(&self, output: &Tensor, d: &Tensor, weights: &[&Tensor]) -> Result<()> {
        let along = tch::with_grad(|| (output * d).f_sum(tch::Kind::Float))?;
        for (weight, part) in weights.iter().zip(Tensor::f_run_backward(&[along], weights, false, false)?) {
            tch::no_grad(|| self.of(weight).f_copy_(&part))?;
        }
        Ok(())
    }

    /// The vector, `[P]`.
    pub fn into_values(self) -> Tensor {
        self.values
    }
}

/// The layout, the trainable variables in its order, and the others.
fn variables(store: &VarStore) -> (Layout, Vec<Tensor>, Vec<(String, Tensor)>) {
    let mut named: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let (trainable, fixed): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, t)| t.requires_grad());
    let layout = Layout(trainable.iter().map(|(name, t)| (name.clone(), t.size())).collect());
    (layout, trainable.into_iter().map(|(_, t)| t).collect(), fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::{self, Module};

    #[test]
    fn the_network_sees_changes_of_the_vector_and_the_gradient_is_in_its_order() {
        let store = VarStore::new(Device::Cpu);
        let layer = nn::linear(store.root() / "layer", 3, 2, Default::default());
        let x = Tensor::ones([1, 3], (tch::Kind::Float, Device::Cpu));
        let mut parameters = Parameters::gather(&store).unwrap();
        // Alphabetical: bias [2], then weight [2, 3].
        parameters.load(&[10.0, 20.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Device::Cpu).unwrap();
        let y = layer.forward(&x);
        assert_eq!(Vec::<f64>::try_from(y.view(-1)).unwrap(), [16.0, 35.0]);
        let gradient = parameters.gradient(&(y * Tensor::from_slice(&[1.0f32, 2.0])).sum(tch::Kind::Float)).unwrap();
        assert_eq!(Vec::<f64>::try_from(gradient).unwrap(), [1.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    }
}
