//! Actions of a Gaussian squashed by `tanh`, with their log-probabilities.

use tch::Tensor;

use crate::Result;

/// Half of `ln 2 pi`.
const HALF_LOG_2PI: f64 = 0.918_938_533_204_672_8;

/// Samples of `tanh(x)`, `x ~ N(mean, exp(log_std)^2)`, by reparametrisation.
pub(super) struct Squashed {
    /// `[.., A]`.
    pub(super) actions: Tensor,
    /// Log-density of the actions, `[..]`.
    pub(super) log_prob: Tensor,
}

/// How the logarithm of `tanh`'s derivative is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jacobian {
    /// `2 (ln 2 - x - softplus(-2 x))`: exact for any `x`.
    Exact,
    /// `ln(1 - tanh(x)^2 + 1e-6)`: no less than `ln 1e-6` where `tanh` is rounded to 1.
    Bounded,
}

/// The actions that the standard normal numbers `noise` give; shapes are broadcast.
pub(super) fn squashed(mean: &Tensor, log_std: &Tensor, noise: &Tensor, jacobian: Jacobian) -> Result<Squashed> {
    let x = mean.f_add(&log_std.f_exp()?.f_mul(noise)?)?;
    let actions = x.f_tanh()?;
    let derivative = match jacobian {
        Jacobian::Exact => {
            let inner = x.f_mul_scalar(-2.0)?.f_softplus()?.f_add(&x)?;
            (inner - std::f64::consts::LN_2) * -2.0
        }
        Jacobian::Bounded => actions.f_square()?.f_neg()?.f_add_scalar(1.0 + 1e-6)?.f_log()?,
    };
    let density = (noise.f_square()? * -0.5).f_sub(log_std)? - HALF_LOG_2PI;
    let log_prob = density.f_sub(&derivative)?.f_sum_dim_intlist([-1i64].as_slice(), false, x.kind())?;
    Ok(Squashed { actions, log_prob })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn densities_integrate_to_one_and_both_forms_agree_where_tanh_is_not_rounded() {
        // One dimension: p(a) over a grid of x, with da = (1 - a^2) dx.
        let x = Tensor::linspace(-8.0, 8.0, 4001, (Kind::Double, Device::Cpu)).view([-1, 1]);
        let (mean, log_std) = (Tensor::from_slice(&[0.3f64]), Tensor::from_slice(&[-0.5f64]));
        let noise = (&x - &mean) / log_std.exp();
        let exact = squashed(&mean, &log_std, &noise, Jacobian::Exact).unwrap();
        let step: Tensor = 1.0 - exact.actions.view(-1).square();
        let total = (exact.log_prob.exp() * step).sum(Kind::Double).double_value(&[]) * 16.0 / 4000.0;
        assert!((total - 1.0).abs() < 1e-6, "{total}");
        let bounded = squashed(&mean, &log_std, &noise, Jacobian::Bounded).unwrap();
        let inner = noise.narrow(0, 1500, 1000).size()[0];
        let gap = (exact.log_prob - bounded.log_prob).abs().narrow(0, 1500, inner).max().double_value(&[]);
        assert!(gap < 1e-4, "{gap}");
    }
}
