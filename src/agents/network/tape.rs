//! Networks run by hand within a loss that autograd follows otherwise.
//!
//! A loss is written once, as tensor operations; what costs time in it are its networks. For f32 in the host's memory
//! [`Tape`] runs those by hand ([`host`](super::host)), hands autograd their outputs as leaves, and on the way back
//! goes from each output's gradient to that of weights and input by hand again. Elsewhere it calls the tensor operations.

use std::cell::RefCell;

use tch::Tensor;

use super::host::Back;
use super::{Critics, Mlp};
use crate::Result;
use crate::training::{Layer, Parameters};

/// The networks of one loss, in the order in which they were run.
#[derive(Default)]
pub(in crate::agents) struct Tape<'a>(RefCell<Vec<Node<'a>>>);

/// A network that was run by hand.
struct Node<'a> {
    layers: &'a [Layer],
    /// What it was given, with the way back that autograd knows.
    input: Tensor,
    /// What it gave: to autograd, a beginning.
    output: Tensor,
    back: Back<'a>,
}

impl<'a> Tape<'a> {
    /// The network's output, `[B, out]`, for `x` `[B, in]`.
    pub(in crate::agents) fn mlp(&self, net: &'a Mlp, x: &Tensor) -> Result<Tensor> {
        match net.can_run(x) {
            true => self.run(&net.layers, x.shallow_clone(), |x| net.traced(x)),
            false => Ok(net.forward(x)),
        }
    }

    /// All critics' values, `[N, B]`.
    pub(in crate::agents) fn critics(&self, net: &'a Critics, states: &Tensor, actions: &Tensor) -> Result<Tensor> {
        match net.can_run(states) {
            true => self.run(&net.layers, Tensor::f_cat(&[states, actions], -1)?, |x| net.traced(None, x)),
            false => Ok(net.forward(states, actions)),
        }
    }

    /// The values of critic `index` alone, `[B]`.
    pub(in crate::agents) fn critic(
        &self,
        net: &'a Critics,
        index: usize,
        states: &Tensor,
        actions: &Tensor,
    ) -> Result<Tensor> {
        if !net.can_run(states) {
            return Ok(net.one(index as i64, states, actions));
        }
        let values = self.run(&net.layers, Tensor::f_cat(&[states, actions], -1)?, |x| net.traced(Some(index), x))?;
        Ok(values.f_view([-1])?)
    }

    fn run(
        &self,
        layers: &'a [Layer],
        input: Tensor,
        run: impl FnOnce(&Tensor) -> Result<(Tensor, Back<'a>)>,
    ) -> Result<Tensor> {
        let (output, back) = tch::no_grad(|| run(&input))?;
        let output = output.set_requires_grad(true);
        let given = output.shallow_clone();
        self.0.borrow_mut().push(Node { layers, input, output, back });
        Ok(given)
    }

    /// Gradient of the scalar `loss` with respect to all of `parameters`, `[P]`.
    pub(in crate::agents) fn gradient(self, loss: &Tensor, parameters: &Parameters) -> Result<Tensor> {
        let nodes = self.0.into_inner();
        if nodes.is_empty() {
            return parameters.gradient(loss);
        }
        let gradient = parameters.zero_gradient()?;
        // Its gradient is that of the loss, also by way of the networks that were passed already.
        let mut along = loss.shallow_clone();
        for node in nodes.iter().rev() {
            let learns = gradient.has(&node.layers[0].weight);
            let passes = node.input.requires_grad();
            if !learns && !passes {
                continue;
            }
            let d_output = Tensor::f_run_backward(&[&along], &[&node.output], true, false)?;
            let d_input = tch::no_grad(|| (node.back)(&d_output[0], learns.then_some(&gradient), passes))?;
            if let Some(d_input) = d_input {
                along = along.f_add(&(&node.input * d_input).f_sum(loss.kind())?)?;
            }
        }
        let by_hand = |weight: &Tensor| {
            let layers = nodes.iter().flat_map(|node| node.layers);
            layers.flat_map(|layer| [&layer.weight, &layer.bias]).any(|own| own.data_ptr() == weight.data_ptr())
        };
        let others: Vec<&Tensor> = parameters.variables().iter().filter(|weight| !by_hand(weight)).collect();
        if !others.is_empty() {
            let parts = Tensor::f_run_backward(&[&along], &others, false, false)?;
            others.iter().zip(&parts).try_for_each(|(weight, part)| gradient.of(weight).f_copy_(part))?;
        }
        Ok(gradient.into_values())
    }
}

#[cfg(test)]
mod tests {
    use replay::Seed;
    use tch::{Device, Kind, nn::VarStore};

    use super::*;
    use crate::agents::network::{Draws, sizes};
    use crate::training::Initializer;

    fn states() -> Tensor {
        let mut values = vec![0.0; 9 * 5];
        replay::fill_normal(&mut Seed::new(3).rng(), &mut values);
        Tensor::from_slice(&values).view([9, 5])
    }

    /// An actor with a weight that is no layer's, and two critics.
    struct Nets {
        actor: Mlp,
        scale: Tensor,
        actor_weights: Parameters,
        critics: Critics,
        critics_weights: Parameters,
    }

    impl Nets {
        fn new() -> Self {
            let (actor_store, critics_store) = (VarStore::new(Device::Cpu), VarStore::new(Device::Cpu));
            let init = Initializer::new(&actor_store.root(), Seed::new(1));
            let actor = Mlp::new(&init, &sizes(5, &[33, 16], 3), Draws::PYTORCH);
            let scale = init.constant("scale", &[3], 0.7);
            let init = Initializer::new(&critics_store.root(), Seed::new(2));
            let critics = Critics::new(&init, 2, &sizes(8, &[20, 17], 1), Draws::PYTORCH, false);
            let [actor_weights, critics_weights] =
                [&actor_store, &critics_store].map(|store| Parameters::gather(store).unwrap());
            Self { actor, scale, actor_weights, critics, critics_weights }
        }

        /// A loss in which everything occurs: an actor under critics, one critic alone, a network run twice.
        fn loss(
            &self,
            actor: &Tensor,
            values: impl Fn(&Tensor) -> Tensor,
            value: impl Fn(&Tensor) -> Tensor,
        ) -> Tensor {
            let actions = actor.tanh() * &self.scale;
            let loss = values(&actions).amin(0, false) + value(&(&actions * 0.5)).square();
            loss.sum(Kind::Float) + actions.square().sum(Kind::Float)
        }
    }

    #[test]
    fn gradients_are_those_of_autograd_whichever_network_learns() {
        let (nets, states) = (Nets::new(), states());
        let critics = &nets.critics;
        for weights in [&nets.actor_weights, &nets.critics_weights] {
            let loss = nets.loss(
                &nets.actor.forward(&states),
                |actions| critics.forward(&states, actions),
                |actions| critics.one(1, &states, actions),
            );
            let (expected_loss, expected) = (loss.double_value(&[]), weights.gradient(&loss).unwrap());
            let tape = Tape::default();
            let loss = nets.loss(
                &tape.mlp(&nets.actor, &states).unwrap(),
                |actions| tape.critics(critics, &states, actions).unwrap(),
                |actions| tape.critic(critics, 1, &states, actions).unwrap(),
            );
            assert_eq!(tape.0.borrow().len(), 3, "all are run by hand");
            assert!((loss.double_value(&[]) / expected_loss - 1.0).abs() < 1e-5);
            let error = (tape.gradient(&loss, weights).unwrap() - &expected).abs().max() / expected.abs().max();
            assert!(error.double_value(&[]) < 1e-5, "{error:?}");
        }
    }

    #[test]
    fn what_is_not_f32_is_left_to_autograd() {
        let mut store = VarStore::new(Device::Cpu);
        store.set_kind(Kind::Double);
        let net = Mlp::new(&Initializer::new(&store.root(), Seed::new(1)), &[5, 4, 1], Draws::PYTORCH);
        let (weights, states) = (Parameters::gather(&store).unwrap(), states().to_kind(Kind::Double));
        let tape = Tape::default();
        let loss = tape.mlp(&net, &states).unwrap().sum(Kind::Double);
        assert!(tape.0.borrow().is_empty());
        let expected = weights.gradient(&net.forward(&states).sum(Kind::Double)).unwrap();
        assert_eq!(tape.gradient(&loss, &weights).unwrap(), expected);
    }
}
