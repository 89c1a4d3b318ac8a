//! An optimiser step in two passes over the weights: parts of a gradient are added up and measured in one, and Adam moves
//! the weights and their average in the other. As tensor operations these are a dozen, each limited by memory.

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
    /// What the gradient is multiplied with before anything else.
    pub(super) scale: f64,
}

/// The same in f32.
#[derive(Clone, Copy)]
struct Narrow {
    scale: f32,
    first: f32,
    second: f32,
    rate: f32,
    epsilon: f32,
}

impl Pass {
    /// Makes the step where all tensors are plain f32 vectors in the host's memory, and moves `average` by its share
    /// towards the new weights; else does nothing and says so.
    pub(super) fn on_host(
        self,
        parameters: &mut Tensor,
        first: &mut Tensor,
        second: &mut Tensor,
        gradient: &Tensor,
        average: Option<(&mut Tensor, f64)>,
    ) -> bool {
        let length = gradient.numel();
        let all = [&*parameters, first, second, gradient];
        if !all.into_iter().chain(average.as_ref().map(|a| &*a.0)).all(|t| is_plain(t, length)) {
            return false;
        }
        // SAFETY: each is a contiguous f32 tensor of `length` numbers in host memory, as just checked, and no operation
        // runs on them meanwhile (libtorch's CPU operations are done when they return). Those that are written are
        // borrowed mutably, and are vectors of their own: optimiser and average allocate theirs themselves.
        let (parameters, first, second, gradient, average) = unsafe {
            (
                std::slice::from_raw_parts_mut(pointer(parameters), length),
                std::slice::from_raw_parts_mut(pointer(first), length),
                std::slice::from_raw_parts_mut(pointer(second), length),
                std::slice::from_raw_parts(pointer(gradient), length),
                average.map(|(a, share)| (std::slice::from_raw_parts_mut(pointer(a), length), share as f32)),
            )
        };
        let narrow = Narrow {
            scale: self.scale as f32,
            first: self.first as f32,
            second: self.second as f32,
            rate: self.rate as f32,
            epsilon: self.epsilon as f32,
        };
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { step_avx2(narrow, parameters, first, second, gradient, average) };
            return true;
        }
        step(narrow, parameters, first, second, gradient, average);
        true
    }
}

/// Adds `others` to `sum` where all are plain f32 vectors in the host's memory, and gives the Euclidean norm of what comes
/// out; else does nothing.
pub(super) fn add_on_host(sum: &mut Tensor, others: &[Tensor]) -> Option<f64> {
    let length = sum.numel();
    if !std::iter::once(&*sum).chain(others).all(|t| is_plain(t, length)) {
        return None;
    }
    // SAFETY: as in `Pass::on_host`; the parts of a gradient are vectors of their own.
    let (sum, others) = unsafe {
        let others = others.iter().map(|o| std::slice::from_raw_parts(pointer(o), length)).collect::<Vec<_>>();
        (std::slice::from_raw_parts_mut(pointer(sum), length), others)
    };
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return Some(unsafe { add_avx2(sum, &others) });
    }
    Some(add(sum, &others))
}

fn is_plain(tensor: &Tensor, length: usize) -> bool {
    let t = tensor;
    t.device() == Device::Cpu && t.kind() == Kind::Float && t.is_contiguous() && t.numel() == length
}

fn pointer(tensor: &Tensor) -> *mut f32 {
    tensor.data_ptr().cast()
}

/// Numbers that are worked on before the next: few enough to stay in the nearest cache.
const CHUNK: usize = 1024;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_avx2(sum: &mut [f32], others: &[&[f32]]) -> f64 {
    add(sum, others)
}

#[inline(always)]
fn add(sum: &mut [f32], others: &[&[f32]]) -> f64 {
    let mut squares = 0.0;
    for (chunk, sum) in sum.chunks_mut(CHUNK).enumerate() {
        for other in others {
            sum.iter_mut().zip(&other[chunk * CHUNK..]).for_each(|(sum, &other)| *sum += other);
        }
        let mut lanes = [0.0f32; 32];
        for part in sum.chunks(32) {
            lanes.iter_mut().zip(part).for_each(|(lane, &x)| *lane += x * x);
        }
        squares += f64::from(lanes.iter().sum::<f32>());
    }
    squares.sqrt()
}

/// [`step`], compiled for vectors of eight. Without fused multiplications it gives the same numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn step_avx2(
    by: Narrow,
    parameters: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    average: Option<(&mut [f32], f32)>,
) {
    step(by, parameters, first, second, gradient, average);
}

#[inline(always)]
fn step(
    by: Narrow,
    parameters: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    mut average: Option<(&mut [f32], f32)>,
) {
    let chunks = parameters.chunks_mut(CHUNK).zip(first.chunks_mut(CHUNK)).zip(second.chunks_mut(CHUNK));
    for (number, (((parameters, first), second), gradient)) in chunks.zip(gradient.chunks(CHUNK)).enumerate() {
        for (((p, m), v), &g) in parameters.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = by.scale * g;
            *m += by.first * (g - *m);
            *v += by.second * (g * g - *v);
            *p -= by.rate * *m / (v.sqrt() + by.epsilon);
        }
        if let Some((average, share)) = &mut average {
            let average = &mut average[number * CHUNK..][..parameters.len()];
            if *share == 1.0 {
                average.copy_from_slice(parameters);
            } else {
                average.iter_mut().zip(&*parameters).for_each(|(a, &p)| *a += *share * (p - *a));
            }
        }
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
        let by = Narrow { scale: 0.5, first: 0.1, second: 1e-3, rate: 0.02, epsilon: 1e-8 };
        let wave = |phase: f32| (0..37).map(|i| (i as f32 * 0.7 + phase).sin()).collect::<Vec<f32>>();
        let run = |wide: bool| {
            let (mut p, mut m, mut v) = (wave(0.0), wave(1.0), wave(2.0).iter().map(|x| x * x).collect::<Vec<_>>());
            let mut a = wave(4.0);
            if wide {
                // SAFETY: asked for only where the processor has AVX2.
                #[cfg(target_arch = "x86_64")]
                unsafe {
                    step_avx2(by, &mut p, &mut m, &mut v, &wave(3.0), Some((&mut a, 0.2)));
                }
            } else {
                step(by, &mut p, &mut m, &mut v, &wave(3.0), Some((&mut a, 0.2)));
            }
            [p, m, v, a]
        };
        let plain = run(false);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            assert_eq!(plain, run(true));
        }
        let g = 0.5 * wave(3.0)[5];
        assert_eq!(plain[1][5], wave(1.0)[5] + 0.1 * (g - wave(1.0)[5]));
        assert_eq!(plain[3][5], wave(4.0)[5] + 0.2 * (plain[0][5] - wave(4.0)[5]));
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        let pass = Pass { first: 0.1, second: 0.1, rate: 0.1, epsilon: 0.1, scale: 1.0 };
        let ones = || vector(&[1.0, 1.0]);
        let (mut p, mut m, mut v) = (ones(), ones(), ones());
        assert!(!pass.on_host(&mut p, &mut m, &mut v, &ones().to_kind(Kind::Double), None));
        assert!(!pass.on_host(&mut p, &mut m, &mut v, &vector(&[1.0; 3]), None));
        assert!(!pass.on_host(
            &mut p,
            &mut m,
            &mut v,
            &Tensor::from_slice(&[1.0f32; 4]).view([2, 2]).select(1, 0),
            None
        ));
        assert_eq!((&p, &m, &v), (&ones(), &ones(), &ones()));
        let mut average = ones();
        assert!(pass.on_host(&mut p, &mut m, &mut v, &vector(&[2.0, 2.0]), Some((&mut average, 1.0))));
        assert_eq!(average, p);
        assert!((m.double_value(&[0]) - 1.1).abs() < 1e-6 && (v.double_value(&[0]) - 1.3).abs() < 1e-6);
    }
    #[test]
    fn parts_are_added_up_and_their_norm_is_that_of_the_sum() {
        let wave = |phase: f32| (0..3001).map(|i| (i as f32 * 0.7 + phase).sin()).collect::<Vec<f32>>();
        let (mut sum, others) = (vector(&wave(0.0)), [vector(&wave(1.0)), vector(&wave(2.0))]);
        let norm = add_on_host(&mut sum, &others).unwrap();
        let expected: Vec<f32> = wave(0.0).iter().zip(wave(1.0)).zip(wave(2.0)).map(|((a, b), c)| a + b + c).collect();
        assert_eq!(Vec::<f32>::try_from(&sum).unwrap(), expected);
        let length = expected.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        assert!((norm / length - 1.0).abs() < 1e-6, "{norm} is not {length}");
        assert!(add_on_host(&mut sum, &[vector(&[1.0])]).is_none());
    }
}
