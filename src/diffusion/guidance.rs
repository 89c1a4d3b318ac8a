//! Classifier-free guidance (Ho and Salimans, 2022): how far the condition is followed beyond what was learned.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Condition, Denoiser, Edm};
use crate::{Error, Result};

/// How strongly a solver's slopes are pulled towards the condition: eq. (4) of GTA,
/// `eps = (w + 1) eps(x, y) - w eps(x, none)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guidance {
    /// `w`. 0 samples from the learned conditional distribution and -1 from the unconditional one, each at the price
    /// of one pass; any other weight needs both.
    pub weight: f64,
    /// Where the weight applies.
    pub kind: GuidanceKind,
    /// Noise level from which upwards the weight applies; below it windows follow the learned conditional distribution,
    /// in one pass instead of two. 0, the paper's form, guides all the way down.
    ///
    /// What a window is about is decided at high noise; guiding its details as well costs a second pass, and for images
    /// quality (Kynkäänniemi et al., 2024, "Applying Guidance in a Limited Interval").
    pub above: f64,
}

/// Which of the network's evaluations are guided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceKind {
    /// All of them, as eq. (4) says.
    #[default]
    Paper,
    /// As the published code does: Heun's correction is conditional only, so that the averaged slope is guided by about
    /// half of the weight. Its `temperature` is `w + 1`.
    Published,
}

impl Default for Guidance {
    /// The paper's: `w = 2` at all noise levels.
    fn default() -> Self {
        Self { weight: 2.0, kind: GuidanceKind::Paper, above: 0.0 }
    }
}

impl Guidance {
    /// The learned conditional distribution as it is.
    pub fn none() -> Self {
        Self { weight: 0.0, ..Self::default() }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let refuse = |name: &str, why: String| Err(Error::Config { name: format!("guidance.{name}"), why });
        if !self.weight.is_finite() {
            return refuse("weight", format!("must be a number, is {}", self.weight));
        }
        if !(self.above.is_finite() && self.above >= 0.0) {
            return refuse("above", format!("must be 0 or more, is {}", self.above));
        }
        Ok(())
    }

    /// The weight at noise level `sigma`.
    fn weight_at(&self, sigma: f64) -> f64 {
        if sigma < self.above { 0.0 } else { self.weight }
    }
}

/// A denoiser under a condition and guidance, at one noise level for all windows.
pub(super) struct Guided<'a> {
    denoiser: &'a dyn Denoiser,
    edm: &'a Edm,
    guidance: Guidance,
    condition: Option<Condition>,
    /// The condition twice, kept for the first half and dropped for the second.
    both: Option<Condition>,
    inpainting: Option<Inpainting<'a>>,
}

/// Numbers of windows that are known and that the rest is to fit to. They stand in the place of what the network says
/// of them at every noise level, so that they come out as they are.
#[derive(Clone, Copy, Debug)]
pub struct Inpainting<'a> {
    /// Windows with the known numbers, `[B, T, D]`, normalised.
    pub windows: &'a Tensor,
    /// Where they are known, `[B, T, D]`, of kind `Bool`.
    pub known: &'a Tensor,
}

impl<'a> Guided<'a> {
    /// `condition` is `[B, C]`; without one every pass is unconditional.
    pub(super) fn new(
        denoiser: &'a dyn Denoiser,
        edm: &'a Edm,
        guidance: Guidance,
        condition: Option<&Tensor>,
        inpainting: Option<Inpainting<'a>>,
    ) -> Self {
        let both = condition.filter(|_| needs_both(guidance.weight)).map(|value| {
            let keep = value.new_ones([value.size()[0], 1], (value.kind(), value.device()));
            Condition { value: value.repeat([2, 1]), keep: Some(Tensor::cat(&[&keep, &keep.zeros_like()], 0)) }
        });
        let condition = condition.map(|value| Condition::new(value.shallow_clone()));
        Self { denoiser, edm, guidance, condition, both, inpainting }
    }

    /// The guided `D(x; sigma)`, `[B, T, D]`.
    pub(super) fn denoise(&self, x: &Tensor, sigma: f64) -> Tensor {
        self.weighted(x, sigma, self.guidance.weight_at(sigma))
    }

    /// `D(x; sigma)` for the second of Heun's slopes.
    pub(super) fn denoise_corrector(&self, x: &Tensor, sigma: f64) -> Tensor {
        let weight = match self.guidance.kind {
            GuidanceKind::Paper => self.guidance.weight_at(sigma),
            // Without any conditional part (temperature 0) the correction has none either.
            GuidanceKind::Published if self.guidance.weight == -1.0 => -1.0,
            GuidanceKind::Published => 0.0,
        };
        self.weighted(x, sigma, weight)
    }

    fn weighted(&self, x: &Tensor, sigma: f64, weight: f64) -> Tensor {
        let scalars = self.edm.preconditioning(sigma);
        let input = x * scalars.input;
        let pass = |input: &Tensor, condition: Option<&Condition>| {
            let noise = input.new_full([input.size()[0]], scalars.noise, (input.kind(), input.device()));
            self.denoiser.infer(input, &noise, condition)
        };
        let output = match &self.both {
            Some(both) if needs_both(weight) => {
                let halves = pass(&input.repeat([2, 1, 1]), Some(both)).chunk(2, 0);
                halves[1].lerp(&halves[0], 1.0 + weight)
            }
            _ if weight == -1.0 => pass(&input, None),
            _ => pass(&input, self.condition.as_ref()),
        };
        // eps is affine in D and D in F with the same scalars, so weighting F is weighting eps.
        let denoised = x * scalars.skip + output * scalars.out;
        match self.inpainting {
            Some(Inpainting { windows, known }) => windows.where_self(known, &denoised),
            None => denoised,
        }
    }
}

fn needs_both(weight: f64) -> bool {
    weight != 0.0 && weight != -1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::gaussian::{Gaussian, normal};

    /// The guided denoised windows, for the first and the second of Heun's slopes, and the batch of each pass.
    fn denoise(weight: f64, kind: GuidanceKind, condition: Option<&Tensor>) -> (Tensor, Tensor, Vec<i64>) {
        let edm = Edm::default();
        let denoiser = Gaussian::new(edm, 0.5, 0.3);
        let guided = Guided::new(&denoiser, &edm, Guidance { weight, kind, above: 0.0 }, condition, None);
        let x = normal(1, &[2, 3, 4]);
        let (first, second) = (guided.denoise(&x, 0.7), guided.denoise_corrector(&x, 0.7));
        drop(guided);
        (first, second, denoiser.passes.into_inner().unwrap())
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn a_guided_pass_weighs_the_conditional_against_the_unconditional_one() {
        let value = normal(2, &[2, 1]);
        let (conditional, _, passes) = denoise(0.0, GuidanceKind::Paper, Some(&value));
        assert_eq!(passes, [2, 2], "weight 0 needs one pass");
        let (unconditional, _, passes) = denoise(-1.0, GuidanceKind::Paper, Some(&value));
        assert_eq!(passes, [2, 2], "weight -1 needs one pass");
        assert_eq!(unconditional, denoise(5.0, GuidanceKind::Paper, None).0);
        for weight in [2.0, 0.5, -0.5, -3.0] {
            let (first, second, passes) = denoise(weight, GuidanceKind::Paper, Some(&value));
            let expected = &conditional * (1.0 + weight) - &unconditional * weight;
            assert!(distance(&first, &expected) < 1e-12 && first == second, "weight {weight}");
            assert_eq!(passes, [4, 4], "both in one batch");
        }
    }

    #[test]
    fn the_published_correction_is_conditional_only() {
        let value = normal(2, &[2, 1]);
        for weight in [1.0, -0.5, 0.0] {
            let (first, second, _) = denoise(weight, GuidanceKind::Published, Some(&value));
            assert_eq!(first, denoise(weight, GuidanceKind::Paper, Some(&value)).0);
            assert_eq!(second, denoise(0.0, GuidanceKind::Paper, Some(&value)).0);
        }
        // Temperature 0 never looks at the condition.
        let (first, second, _) = denoise(-1.0, GuidanceKind::Published, Some(&value));
        assert_eq!(first, second);
    }

    #[test]
    fn below_its_level_the_weight_is_zero_and_one_pass_is_enough() {
        let (edm, value, x) = (Edm::default(), normal(2, &[2, 1]), normal(1, &[2, 3, 4]));
        let denoiser = Gaussian::new(edm, 0.5, 0.3);
        let guidance = Guidance { weight: 3.0, above: 0.7, ..Guidance::default() };
        let guided = Guided::new(&denoiser, &edm, guidance, Some(&value), None);
        let plain = Guided::new(&denoiser, &edm, Guidance::none(), Some(&value), None);
        assert_eq!(guided.denoise(&x, 0.69), plain.denoise(&x, 0.69));
        assert_eq!(guided.denoise_corrector(&x, 0.69), plain.denoise_corrector(&x, 0.69));
        assert!(distance(&guided.denoise(&x, 0.7), &plain.denoise(&x, 0.7)) > 1e-3);
        drop((guided, plain));
        assert_eq!(denoiser.passes.into_inner().unwrap(), [2, 2, 2, 2, 4, 2]);
    }

    #[test]
    fn senseless_settings_are_refused() {
        assert!(Guidance::default().validate().is_ok() && Guidance::none().validate().is_ok());
        for bad in [
            Guidance { weight: f64::NAN, ..Guidance::default() },
            Guidance { above: -1.0, ..Guidance::default() },
            Guidance { above: f64::INFINITY, ..Guidance::default() },
        ] {
            assert!(bad.validate().unwrap_err().to_string().contains("guidance."), "{bad:?}");
        }
    }
}
