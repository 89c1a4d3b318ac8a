//! Fully connected networks in the host's memory, forwards and backwards, without autograd.
//!
//! The same numbers as the tensor operations of [`Mlp`] and [`Critics`] give, up to rounding: the products by kernels for
//! this processor, bias and ReLU in one pass, and on the way back only what is asked for.

use std::ops::Range;

use tch::Tensor;

use super::{Critics, Mlp};
use crate::Result;
use crate::tensor::{has_numbers, numbers, numbers_mut};
use crate::training::{Gradient, Layer, Matrix, multiply_add, times};

/// What one network was given in each of its layers, `[B, in]`: what the way back needs.
#[derive(Debug)]
struct Run(Vec<Tensor>);

/// One layer of one network: which part of the layer's numbers is its own, and whether the weight lies as `[out, in]`.
struct Dense<'a> {
    layer: &'a Layer,
    weight: Range<usize>,
    bias: Range<usize>,
    transposed: bool,
}

impl Dense<'_> {
    /// The weight, `[in, out]`.
    fn weight(&self) -> Matrix<'_> {
        let (numbers, outputs) = (&numbers(&self.layer.weight)[self.weight.clone()], self.bias.len());
        match self.transposed {
            true => Matrix::new(numbers, numbers.len() / outputs).transposed(),
            false => Matrix::new(numbers, outputs),
        }
    }

    /// `x W + b`, through ReLU if it is a hidden layer's.
    fn forward(&self, x: &Tensor, hidden: bool) -> Result<Tensor> {
        let mut out = times(Matrix::of(x), self.weight())?;
        let bias = &numbers(&self.layer.bias)[self.bias.clone()];
        for row in numbers_mut(&mut out).chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, &b)| *x += b);
            if hidden {
                // What is not a number stays so.
                row.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
            }
        }
        Ok(out)
    }

    /// Adds to the gradients of weight and bias, given that of the output, `[B, out]`, and the input, `[B, in]`.
    fn learn(&self, x: &Tensor, d: &Tensor, gradient: &Gradient) {
        let (x, d_output) = (Matrix::of(x), Matrix::of(d));
        let mut weight = gradient.of(&self.layer.weight);
        let weight = &mut numbers_mut(&mut weight)[self.weight.clone()];
        match self.transposed {
            true => multiply_add(d_output.transposed(), x, weight),
            false => multiply_add(x.transposed(), d_output, weight),
        }
        let mut bias = gradient.of(&self.layer.bias);
        let bias = &mut numbers_mut(&mut bias)[self.bias.clone()];
        for row in numbers(d).chunks_exact(bias.len()) {
            bias.iter_mut().zip(row).for_each(|(sum, &d)| *sum += d);
        }
    }
}

/// The output, `[B, out]`, for `x` `[B, in]`, and the run.
fn forward(layers: &[Dense], x: &Tensor) -> Result<(Tensor, Run)> {
    let mut inputs = vec![x.f_contiguous()?];
    for (index, layer) in layers.iter().enumerate() {
        let out = layer.forward(&inputs[index], index + 1 < layers.len())?;
        inputs.push(out);
    }
    let output = inputs.pop().expect("the input was put in");
    Ok((output, Run(inputs)))
}

/// The gradient of the run's input where `input` asks for it, given that of its output, `[B, out]`; adds those of the weights
/// where there is a place for them.
fn backward(
    layers: &[Dense],
    Run(inputs): &Run,
    d: Tensor,
    gradient: Option<&Gradient>,
    input: bool,
) -> Result<Option<Tensor>> {
    let mut d = d;
    for (index, (layer, x)) in layers.iter().zip(inputs).enumerate().rev() {
        if let Some(gradient) = gradient {
            layer.learn(x, &d, gradient);
        }
        if index == 0 && !input {
            return Ok(None);
        }
        d = times(Matrix::of(&d), layer.weight().transposed())?;
        if index > 0 {
            let pairs = numbers_mut(&mut d).iter_mut().zip(numbers(x));
            pairs.for_each(|(d, &x)| *d = if x <= 0.0 { 0.0 } else { *d });
        }
    }
    Ok(Some(d))
}

/// From the gradient of a network's output to that of its input, where it is asked for; adds those of the weights where
/// there is a place for them.
pub(super) type Back<'a> = Box<dyn Fn(&Tensor, Option<&Gradient>, bool) -> Result<Option<Tensor>> + 'a>;

impl Mlp {
    /// Whether it can be run by hand on `x`.
    pub(super) fn can_run(&self, x: &Tensor) -> bool {
        has_numbers(x) && x.numel() > 0
    }

    /// [`forward`](Mlp::forward) without a way back, by hand where that can be.
    pub(in crate::agents) fn infer(&self, x: &Tensor) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        if self.can_run(x) { Ok(self.traced(x)?.0) } else { Ok(self.forward(x)) }
    }

    /// The output, `[B, out]`, for `x` `[B, in]`, and the way back.
    pub(super) fn traced(&self, x: &Tensor) -> Result<(Tensor, Back<'_>)> {
        let whole =
            |layer| Dense { layer, weight: 0..layer.weight.numel(), bias: 0..layer.bias.numel(), transposed: true };
        let layers: Vec<_> = self.layers.iter().map(whole).collect();
        let (output, run) = forward(&layers, x)?;
        let back = move |d: &Tensor, gradient: Option<&Gradient>, input| {
            backward(&layers, &run, d.f_contiguous()?, gradient, input)
        };
        Ok((output, Box::new(back)))
    }
}

impl Critics {
    /// Whether they can be run by hand on `x`: not with layer normalisation.
    pub(super) fn can_run(&self, x: &Tensor) -> bool {
        has_numbers(x) && x.numel() > 0 && self.norms.is_empty()
    }

    /// [`forward`](Critics::forward) without a way back, by hand where that can be.
    pub(in crate::agents) fn infer(&self, states: &Tensor, actions: &Tensor) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        if !self.can_run(states) {
            return Ok(self.forward(states, actions));
        }
        Ok(self.traced(None, &Tensor::f_cat(&[states, actions], -1)?)?.0)
    }

    /// The values, `[N, B]`, or those of one critic, `[1, B]`, for states and actions side by side, `[B, O + A]`, and the way
    /// back.
    pub(super) fn traced(&self, one: Option<usize>, x: &Tensor) -> Result<(Tensor, Back<'_>)> {
        let which = one.map_or(0..self.layers[0].weight.size()[0] as usize, |one| one..one + 1);
        let critics: Vec<Vec<Dense>> = which.map(|critic| self.dense(critic)).collect();
        let all = critics.iter().map(|layers| forward(layers, x)).collect::<Result<Vec<_>>>()?;
        let (values, runs): (Vec<Tensor>, Vec<Run>) = all.into_iter().unzip();
        let back = move |d: &Tensor, gradient: Option<&Gradient>, input| {
            let mut sum: Option<Tensor> = None;
            for (critic, (layers, run)) in critics.iter().zip(&runs).enumerate() {
                let d = d.f_get(critic as i64)?.f_contiguous()?.f_unsqueeze(-1)?;
                let own = backward(layers, run, d, gradient, input)?;
                sum = sum.into_iter().chain(own).reduce(|a, b| a + b);
            }
            Ok(sum)
        };
        Ok((Tensor::f_cat(&values, 1)?.f_tr()?, Box::new(back)))
    }

    fn dense(&self, critic: usize) -> Vec<Dense<'_>> {
        let count = self.layers[0].weight.size()[0] as usize;
        let own = |tensor: &Tensor| {
            let size = tensor.numel() / count;
            critic * size..(critic + 1) * size
        };
        let part = |layer| Dense { layer, weight: own(&layer.weight), bias: own(&layer.bias), transposed: false };
        self.layers.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use replay::Seed;
    use tch::{Device, nn::VarStore};

    use super::*;
    use crate::agents::network::Draws;
    use crate::training::Initializer;

    #[test]
    fn what_is_not_a_number_is_not_hidden_and_what_is_not_f32_is_left_to_the_tensor_operations() {
        let mut store = VarStore::new(Device::Cpu);
        let net = Mlp::new(&Initializer::new(&store.root(), Seed::new(1)), &[2, 4, 1], Draws::PYTORCH);
        let x = Tensor::from_slice(&[f32::NAN, 1.0]).view([1, 2]);
        assert!(net.infer(&x).unwrap().double_value(&[0, 0]).is_nan());
        store.double();
        let x = Tensor::from_slice(&[0.5f64, 1.0]).view([1, 2]);
        assert_eq!(net.infer(&x).unwrap(), net.forward(&x));
    }
}
