//! A network whose evaluations a GPU repeats: the seam between sampling and CUDA graphs.

use tch::Tensor;

use super::denoiser::Pass;
use super::{Condition, Denoiser};
use crate::native::Graphed;

/// The network of a model. Sampling evaluates it over and over on the same shapes: one record for each batch with or without
/// guidance serves all noise levels, which enter as a tensor.
#[derive(Debug)]
pub(super) struct Repeated {
    network: Box<dyn Denoiser>,
    evaluations: Graphed,
}

impl Repeated {
    pub(super) fn new(network: Box<dyn Denoiser>) -> Self {
        Self { network, evaluations: Graphed::new("a network's evaluation") }
    }
}

impl Denoiser for Repeated {
    fn forward(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        self.network.forward(x, noise, condition)
    }

    fn infer(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        let mut inputs = vec![x, noise];
        if let Some(Condition { value, keep }) = condition {
            inputs.push(value);
            inputs.extend(keep);
        }
        let run = self.evaluations.run(&inputs, |inputs| {
            let keep = inputs.get(3).map(Tensor::shallow_clone);
            let condition = inputs.get(2).map(|value| Condition { value: value.shallow_clone(), keep });
            Ok(vec![self.network.infer(&inputs[0], &inputs[1], condition.as_ref())])
        });
        // As for any operation of LibTorch that fails.
        run.unwrap_or_else(|error| panic!("{error}")).remove(0)
    }

    fn learn<'a>(
        &'a self,
        x: &Tensor,
        noise: &Tensor,
        condition: Option<&Condition>,
    ) -> Option<(Tensor, Box<dyn Pass + 'a>)> {
        self.network.learn(x, noise, condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::DenoiserConfig;
    use crate::diffusion::gaussian::normal;
    use replay::Seed;
    use tch::{Device, Kind, nn::VarStore};

    #[test]
    fn it_is_the_network_with_or_without_a_condition() {
        let config = DenoiserConfig::MixerUnet(crate::diffusion::MixerUnetConfig { dim: 8, condition_dim: 1 });
        let build = || {
            let store = VarStore::new(Device::Cpu);
            let network = config.build(&store.root(), Seed::new(3), 8, 3).unwrap();
            (store, network)
        };
        let ((_own, network), (_other, inner)) = (build(), build());
        let repeated = Repeated::new(inner);
        let draw = |seed, shape: &[i64]| normal(seed, shape).to_kind(Kind::Float);
        let (x, noise, value) = (draw(1, &[2, 8, 3]), draw(2, &[2]), draw(3, &[2, 1]));
        let keep = Tensor::from_slice(&[1.0f32, 0.0]).view([2, 1]);
        let dropped = Condition { value: value.shallow_clone(), keep: Some(keep) };
        let outputs = [None, Some(&Condition::new(value)), Some(&dropped)].map(|condition| {
            let output = repeated.infer(&x, &noise, condition);
            assert_eq!(output, network.infer(&x, &noise, condition));
            assert_eq!(repeated.forward(&x, &noise, condition), network.forward(&x, &noise, condition));
            output
        });
        assert!(outputs[0] != outputs[1] && outputs[1] != outputs[2]);
    }
}
