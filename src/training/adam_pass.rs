//! Adam's arithmetic in one pass over the weights: as tensor operations it is eight, each limited by memory.

use tch::{Device, Kind, Tensor};

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// Share of the gradient in the first moment.
    pub(super) first: f64,
    /// Share of the squared gradient in the second moment.
    pub(super) second: f64,
    /// Learning rate with both bias corrections.
    pub(super) rate: f64,
    /// Added to the root of the second moment, bias correction included.
    pub(super) epsilon: f64,
}

/// The same in f32.
#[derive(Clone, Copy)]
struct Narrow {
    first: f32,
    second: f32,
    rate: f32,
    epsilon: f32,
}

impl Pass {
    /// Makes the step where all tensors are plain f32 vectors in the host's memory; else does nothing and says so.
    pub(super) fn on_host(
        self,
        parameters: &mut Tensor,
        first: &mut Tensor,
        second: &mut Tensor,
        gradient: &Tensor,
    ) -> bool {
        let length = gradient.numel();
        let plain = |t: &Tensor| {
            t.device() == Device::Cpu && t.kind() == Kind::Float && t.is_contiguous() && t.numel() == length
        };
        if ![&*parameters, first, second, gradient].into_iter().all(plain) {
            return false;
        }
        let pointer = |t: &Tensor| t.data_ptr().cast::<f32>();
        // SAFETY: each is a contiguous f32 tensor of `length` numbers in host memory, as just checked, and no operation
        // runs on them meanwhile (libtorch's CPU operations are done when they return). The three that are written are
        // borrowed mutably, and are vectors of their own: an optimiser allocates its moments itself.
        let (parameters, first, second, gradient) = unsafe {
            (
                std::slice::from_raw_parts_mut(pointer(parameters), length),
                std::slice::from_raw_parts_mut(pointer(first), length),
                std::slice::from_raw_parts_mut(pointer(second), length),
                std::slice::from_raw_parts(pointer(gradient), length),
            )
        };
        let narrow = Narrow {
            first: self.first as f32,
            second: self.second as f32,
            rate: self.rate as f32,
            epsilon: self.epsilon as f32,
        };
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { step_avx2(narrow, parameters, first, second, gradient) };
            return true;
        }
        step(narrow, parameters, first, second, gradient);
        true
    }
}

/// [`step`], compiled for vectors of eight. Without fused multiplications it gives the same numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn step_avx2(by: Narrow, parameters: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
    step(by, parameters, first, second, gradient);
}

#[inline(always)]
fn step(by: Narrow, parameters: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
    for (((p, m), v), &g) in parameters.iter_mut().zip(first).zip(second).zip(gradient) {
        *m += by.first * (g - *m);
        *v += by.second * (g * g - *v);
        *p -= by.rate * *m / (v.sqrt() + by.epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(values: &[f32]) -> Tensor {
        Tensor::from_slice(values)
    }

    #[test]
    fn all_widths_give_the_same_numbers() {
        let by = Narrow { first: 0.1, second: 1e-3, rate: 0.02, epsilon: 1e-8 };
        let wave = |phase: f32| (0..37).map(|i| (i as f32 * 0.7 + phase).sin()).collect::<Vec<f32>>();
        let run = |f: &dyn Fn(&mut [f32], &mut [f32], &mut [f32], &[f32])| {
            let (mut p, mut m, mut v) = (wave(0.0), wave(1.0), wave(2.0).iter().map(|x| x * x).collect::<Vec<_>>());
            f(&mut p, &mut m, &mut v, &wave(3.0));
            [p, m, v]
        };
        let plain = run(&|p, m, v, g| step(by, p, m, v, g));
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            assert_eq!(plain, run(&|p, m, v, g| unsafe { step_avx2(by, p, m, v, g) }));
        }
        let g = wave(3.0)[5];
        assert_eq!(plain[1][5], wave(1.0)[5] + 0.1 * (g - wave(1.0)[5]));
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        let pass = Pass { first: 0.1, second: 0.1, rate: 0.1, epsilon: 0.1 };
        let ones = || vector(&[1.0, 1.0]);
        let (mut p, mut m, mut v) = (ones(), ones(), ones());
        assert!(!pass.on_host(&mut p, &mut m, &mut v, &ones().to_kind(Kind::Double)));
        assert!(!pass.on_host(&mut p, &mut m, &mut v, &vector(&[1.0; 3])));
        assert!(!pass.on_host(&mut p, &mut m, &mut v, &Tensor::from_slice(&[1.0f32; 4]).view([2, 2]).select(1, 0)));
        assert_eq!((&p, &m, &v), (&ones(), &ones(), &ones()));
        assert!(pass.on_host(&mut p, &mut m, &mut v, &vector(&[2.0, 2.0])));
        assert!((m.double_value(&[0]) - 1.1).abs() < 1e-6 && (v.double_value(&[0]) - 1.3).abs() < 1e-6);
    }
}
