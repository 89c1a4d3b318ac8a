//! Dropout whose masks come from a random stream of ours, so that an update is a function of the seed alone.

use rand::Rng as _;
use replay::Rng;
use tch::{Device, Tensor};

use crate::Result;

/// Drops numbers during training: each survives with probability `1 - rate` and is then divided by it.
pub(super) struct Dropout {
    rate: f64,
    rng: Rng,
}

impl Dropout {
    /// Dropout of `rate` that draws from `rng`; masks depend on the order in which they are asked for.
    pub(super) fn new(rate: f64, rng: Rng) -> Self {
        Self { rate, rng }
    }

    /// Whether anything is dropped at all.
    pub(super) fn is_active(&self) -> bool {
        self.rate > 0.0
    }

    /// Which numbers of a tensor of `shape` survive: 1 or 0, as bytes.
    pub(super) fn mask(&mut self, shape: &[i64], device: Device) -> Result<Tensor> {
        // 16 bits a number: half the random words, at a probability wrong by less than a hundred-thousandth.
        let threshold = (self.rate * 65536.0).round() as u32;
        let mut keep = vec![0u8; shape.iter().product::<i64>() as usize];
        for pair in keep.chunks_mut(2) {
            let word = self.rng.next_u32();
            for (keep, bits) in pair.iter_mut().zip([word & 0xFFFF, word >> 16]) {
                *keep = u8::from(bits >= threshold);
            }
        }
        Ok(Tensor::f_from_slice(&keep)?.f_view(shape)?.f_to_device(device)?)
    }

    /// `x` with numbers dropped; `x` itself for a rate of 0.
    pub(super) fn apply(&mut self, x: Tensor) -> Result<Tensor> {
        if !self.is_active() {
            return Ok(x);
        }
        let mask = self.mask(&x.size(), x.device())?;
        apply_mask(&x, &mask, self.rate)
    }
}

/// `x` where `mask` is 1, divided by the probability of that, and 0 elsewhere.
pub(super) fn apply_mask(x: &Tensor, mask: &Tensor, rate: f64) -> Result<Tensor> {
    Ok(x.f_mul(&mask.f_to_kind(x.kind())?.f_mul_scalar(1.0 / (1.0 - rate))?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::Seed;
    use tch::Kind;

    #[test]
    fn it_keeps_its_share_and_the_mean_and_repeats_by_seed() {
        let ones = || Tensor::ones([1001, 99], (Kind::Float, Device::Cpu));
        let drop = |seed: u64| Dropout::new(0.1, Seed::new(seed).rng()).apply(ones()).unwrap();
        let dropped = drop(1);
        let kept = dropped.gt(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        assert!((kept - 0.9).abs() < 0.005, "{kept}");
        assert!((dropped.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.005);
        assert_eq!(dropped, drop(1));
        assert_ne!(dropped, drop(2));
        assert_eq!(Dropout::new(0.0, Seed::new(0).rng()).apply(ones()).unwrap(), ones());
    }
}
