//! What passes over activations by hand are made of: they are compiled for AVX2 with fused multiplications and for AVX-512,
//! and only called where the processor has one of them.
//!
//! They are written as loops. A closure that an iterator calls is a function of its own until it is inlined, and if it is
//! not, it knows nothing of these vectors: each fused multiplication becomes a call, some thirty times as slow.

/// Numbers that are added up side by side.
pub(super) const LANES: usize = 32;

/// Whether this processor can do any of this.
pub(super) fn supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether it has vectors twice as wide as AVX2's.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_wide_vectors() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vl")
}

/// Compiles what is below for AVX2, for callers that have asked [`supported`].
///
/// By itself for loops of which the compiler, given vectors twice as wide, makes scalars and gathers, while it keeps them in
/// AVX2's registers. Nobody sees that but who reads the machine's code or has such a processor.
macro_rules! on_narrow_vectors {
    ($(
        $(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),* $(,)?) = $inner:ident;
    )*) => {$(
        $(#[$doc])*
        pub(super) fn $name($($argument: $kind),*) {
            debug_assert!($crate::diffusion::vectors::supported());
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn narrow($($argument: $kind),*) {
                    $inner($($argument),*)
                }
                // SAFETY: callers have asked for AVX2 and fused multiplications.
                unsafe { narrow($($argument),*) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            $inner($($argument),*)
        }
    )*};
}

pub(super) use on_narrow_vectors;

/// The same, and for AVX-512 where the processor has it, which gives the same numbers.
macro_rules! on_this_processor {
    ($(
        $(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),* $(,)?) = $inner:ident;
    )*) => {$(
        $(#[$doc])*
        pub(super) fn $name($($argument: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
                fn wide($($argument: $kind),*) {
                    $inner($($argument),*)
                }
                if $crate::diffusion::vectors::has_wide_vectors() {
                    // SAFETY: it has been asked for.
                    return unsafe { wide($($argument),*) };
                }
            }
            $crate::diffusion::vectors::on_narrow_vectors! { fn narrow($($argument: $kind),*) = $inner; }
            narrow($($argument),*)
        }
    )*};
}

pub(super) use on_this_processor;

/// The sum of `f` over `x`, in lanes.
#[inline(always)]
pub(super) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&x| f(x)).sum();
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f(x);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `e^x` to two units in the last place: `2^k` times a polynomial on `[-ln 2 / 2, ln 2 / 2]`. Ends at `e^±87`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding it leaves a rounded whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.clamp(-87.0, 87.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LN2.1, k.mul_add(-LN2.0, x));
    // Taylor's coefficients are good enough on so short an interval.
    let p = r.mul_add(1.0 / 720.0, 1.0 / 120.0);
    let p = r.mul_add(p, 1.0 / 24.0);
    let p = r.mul_add(p, 1.0 / 6.0);
    let p = r.mul_add(p, 0.5);
    let p = r.mul_add(p, 1.0);
    let p = r.mul_add(p, 1.0);
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// The normal distribution and its density at `x`: Abramowitz and Stegun's 7.1.26, off by at most 1e-7.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const ROOT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let power = exp(-0.5 * x * x);
    let t = 1.0 / (x.abs() * ROOT_2).mul_add(0.327_591_1, 1.0);
    let p = t.mul_add(1.061_405_4, -1.453_152);
    let p = t.mul_add(p, 1.421_413_8);
    let p = t.mul_add(p, -0.284_496_72);
    let p = t.mul_add(p, 0.254_829_6);
    let tail = 0.5 * p * t * power;
    (if x < 0.0 { tail } else { 1.0 - tail }, power * 0.398_942_3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_exact_to_a_ten_millionth() {
        // Values of scipy.stats.norm 1.16: cdf and pdf.
        for (x, share, density) in [
            (0.0f32, 0.5, 0.398_942_3),
            (0.5, 0.691_462_46, 0.352_065_33),
            (-1.0, 0.158_655_25, 0.241_970_72),
            (2.5, 0.993_790_3, 0.017_528_3),
            (-4.0, 3.167_124_2e-5, 1.338_302_3e-4),
            (30.0, 1.0, 0.0),
        ] {
            let (got, slope) = normal(x);
            assert!((got - share).abs() < 2e-7 && (slope - density).abs() < 2e-7, "{x}: {got} {slope}");
        }
        assert!(normal(f32::NAN).0.is_nan());
    }

    #[test]
    fn sums_take_every_number_once() {
        let x: Vec<f32> = (0..77).map(|i| i as f32).collect();
        assert_eq!(sum(&x, |x| 2.0 * x), 76.0 * 77.0);
    }
}
