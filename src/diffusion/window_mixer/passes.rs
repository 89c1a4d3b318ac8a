//! What the mixer does between two matrix products, forwards and backwards, each as one pass over the activations.
//! As tensor operations these are several passes each, and together cost as much as half of the products.
//!
//! Activations are rows of `width` numbers in the host's memory. Row `r` of an activation belongs to window
//! `r % windows`, whose shifts, scales and gates lie in one row of the modulation. [`vectors`](crate::diffusion::vectors)
//! compiles all of it for the processor at hand.

use std::ops::Range;

use crate::diffusion::vectors::{LANES, exp, on_this_processor, sum};

/// Along which side of a matrix a bias lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// One number for each row; `usize` rows share one.
    Rows(usize),
    /// One number for each column.
    Columns,
}

/// A bias, and along which side it lies.
pub(super) struct Bias<'a>(pub(super) &'a [f32], pub(super) Along);

/// The gradient with respect to a [`Bias`], to be added to.
pub(super) struct BiasGradient<'a>(pub(super) &'a mut [f32], pub(super) Along);

/// Shifts, scales and gates of a batch, one row for each window, and which of them are meant: those from part `part` on,
/// of `width` numbers each.
#[derive(Clone, Copy)]
pub(super) struct Modulation<'a> {
    values: &'a [f32],
    windows: usize,
    width: usize,
    part: usize,
}

impl<'a> Modulation<'a> {
    /// The rows of `windows` windows, from their beginning.
    pub(super) fn new(values: &'a [f32], windows: usize, width: usize) -> Self {
        Self { values, windows, width, part: 0 }
    }

    /// The same from part `part` on.
    pub(super) fn at(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// Of activation row `row` the `next`th part from here.
    fn row(&self, row: usize, next: usize) -> &'a [f32] {
        &self.values[self.place(row, next)]
    }

    /// Where that lies.
    fn place(&self, row: usize, next: usize) -> Range<usize> {
        let start = row % self.windows * (self.values.len() / self.windows) + (self.part + next) * self.width;
        start..start + self.width
    }
}

on_this_processor! {
    /// Layer normalisation without weights, then `shift + scale x`, with the first two parts of the modulation. Keeps the
    /// normalised rows and one over their deviations where `keep` has a place for them.
    fn modulate(x: &[f32], m: Modulation, keep: Option<(&mut [f32], &mut [f32])>, out: &mut [f32]) = modulate_rows;
    /// `z + bias` through SiLU: in place, or into `out`, where then `z` keeps the sum.
    fn activate(z: &mut [f32], width: usize, bias: Bias, out: Option<&mut [f32]>) = activate_rows;
    /// `x += gate (mixed + bias)` with the first part of the modulation; `mixed` keeps its sum.
    fn gate(x: &mut [f32], mixed: &mut [f32], bias: Bias, m: Modulation) = gate_rows;
    /// `x += bias`, and the vector of `group` rows each in turn.
    fn place(x: &mut [f32], width: usize, bias: &[f32], vectors: &[f32], group: usize) = place_rows;
    /// Backwards through [`gate`]: `d` becomes the gradient of `mixed`; those of the modulation, `dm`, and of the bias are
    /// added to.
    fn gate_back(
        dx: &[f32], mixed: &[f32], m: Modulation, d: &mut [f32], dm: &mut [f32], d_bias: BiasGradient,
    ) = gate_back_rows;
    /// Backwards through [`activate`]: `d` becomes the gradient of `z`, `out` the activation, and the bias's gradient is
    /// added to.
    fn activate_back(z: &[f32], width: usize, d: &mut [f32], out: &mut [f32], d_bias: BiasGradient) = activate_back_rows;
    /// Backwards through [`modulate`], which kept `normed`: adds to the gradients of `x` and of the modulation, and makes
    /// its output again.
    fn modulate_back(
        d: &[f32], normed: (&[f32], &[f32]), m: Modulation, dx: &mut [f32], dm: &mut [f32], out: &mut [f32],
    ) = modulate_back_rows;
    /// Adds `bias` to every row.
    fn add_columns(x: &mut [f32], width: usize, bias: &[f32]) = add_columns_rows;
    /// Adds all rows to `sums`.
    fn add_rows(x: &[f32], sums: &mut [f32]) = add_all_rows;
}

#[inline(always)]
fn modulate_rows(x: &[f32], m: Modulation, mut keep: Option<(&mut [f32], &mut [f32])>, out: &mut [f32]) {
    let width = m.width;
    for (row, (x, out)) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let (shift, scale) = (m.row(row, 0), m.row(row, 1));
        let mean = sum(x, |x| x) / width as f32;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
        let inverse = 1.0 / (variance + 1e-5).sqrt();
        if let Some((normed, deviations)) = &mut keep {
            deviations[row] = inverse;
            let normed = &mut normed[row * width..][..width];
            for (normed, &x) in normed.iter_mut().zip(x) {
                *normed = (x - mean) * inverse;
            }
        }
        for (((out, &x), &shift), &scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
            *out = ((x - mean) * inverse).mul_add(scale, shift);
        }
    }
}

#[inline(always)]
fn activate_rows(z: &mut [f32], width: usize, Bias(bias, along): Bias, out: Option<&mut [f32]>) {
    match out {
        None => {
            for (row, z) in z.chunks_exact_mut(width).enumerate() {
                match along {
                    Along::Rows(group) => {
                        let bias = bias[row / group];
                        for z in z {
                            *z = silu(*z + bias);
                        }
                    }
                    Along::Columns => {
                        for (z, &bias) in z.iter_mut().zip(bias) {
                            *z = silu(*z + bias);
                        }
                    }
                }
            }
        }
        Some(out) => {
            for (row, (z, out)) in z.chunks_exact_mut(width).zip(out.chunks_exact_mut(width)).enumerate() {
                add_bias(z, row, bias, along);
                for (out, &z) in out.iter_mut().zip(&*z) {
                    *out = silu(z);
                }
            }
        }
    }
}

#[inline(always)]
fn gate_rows(x: &mut [f32], mixed: &mut [f32], Bias(bias, along): Bias, m: Modulation) {
    for (row, (x, mixed)) in x.chunks_exact_mut(m.width).zip(mixed.chunks_exact_mut(m.width)).enumerate() {
        add_bias(mixed, row, bias, along);
        for ((x, &mixed), &gate) in x.iter_mut().zip(&*mixed).zip(m.row(row, 0)) {
            *x = mixed.mul_add(gate, *x);
        }
    }
}

#[inline(always)]
fn place_rows(x: &mut [f32], width: usize, bias: &[f32], vectors: &[f32], group: usize) {
    for (row, x) in x.chunks_exact_mut(width).enumerate() {
        let vector = &vectors[row / group * width..][..width];
        for ((x, &bias), &vector) in x.iter_mut().zip(bias).zip(vector) {
            *x += bias + vector;
        }
    }
}

#[inline(always)]
fn gate_back_rows(
    dx: &[f32],
    mixed: &[f32],
    m: Modulation,
    d: &mut [f32],
    dm: &mut [f32],
    BiasGradient(d_bias, along): BiasGradient,
) {
    let width = m.width;
    let rows = dx.chunks_exact(width).zip(mixed.chunks_exact(width)).zip(d.chunks_exact_mut(width));
    for (row, ((dx, mixed), d)) in rows.enumerate() {
        let (gate, d_gate) = (m.row(row, 0), &mut dm[m.place(row, 0)]);
        for ((((d, d_gate), &dx), &mixed), &gate) in d.iter_mut().zip(d_gate).zip(dx).zip(mixed).zip(gate) {
            *d = dx * gate;
            *d_gate = dx.mul_add(mixed, *d_gate);
        }
        add_to_bias(d, row, d_bias, along);
    }
}

#[inline(always)]
fn activate_back_rows(
    z: &[f32],
    width: usize,
    d: &mut [f32],
    out: &mut [f32],
    BiasGradient(d_bias, along): BiasGradient,
) {
    let rows = z.chunks_exact(width).zip(d.chunks_exact_mut(width)).zip(out.chunks_exact_mut(width));
    for (row, ((z, d), out)) in rows.enumerate() {
        for ((&z, d), out) in z.iter().zip(&mut *d).zip(out) {
            let gate = sigmoid(z);
            *out = z * gate;
            // silu' = s + z s (1 - s)
            *d *= (z * gate).mul_add(1.0 - gate, gate);
        }
        add_to_bias(d, row, d_bias, along);
    }
}

#[inline(always)]
fn modulate_back_rows(
    d: &[f32],
    (normed, inverse): (&[f32], &[f32]),
    m: Modulation,
    dx: &mut [f32],
    dm: &mut [f32],
    out: &mut [f32],
) {
    let width = m.width;
    let rows = d.chunks_exact(width).zip(normed.chunks_exact(width)).zip(inverse);
    let outputs = dx.chunks_exact_mut(width).zip(out.chunks_exact_mut(width));
    for (row, (((d, normed), &inverse), (dx, out))) in rows.zip(outputs).enumerate() {
        let (shift, scale) = (m.row(row, 0), m.row(row, 1));
        let d_shift = &mut dm[m.place(row, 0)];
        for (d_shift, &d) in d_shift.iter_mut().zip(d) {
            *d_shift += d;
        }
        let d_scale = &mut dm[m.place(row, 1)];
        for ((d_scale, &d), &normed) in d_scale.iter_mut().zip(d).zip(normed) {
            *d_scale = d.mul_add(normed, *d_scale);
        }
        for (((out, &normed), &scale), &shift) in out.iter_mut().zip(normed).zip(scale).zip(shift) {
            *out = normed.mul_add(scale, shift);
        }
        // dx = inverse (g - mean(g) - normed mean(g normed)) with g = scale d
        let (mut plain, mut along) = ([0.0; LANES], [0.0; LANES]);
        let whole = width / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            let (d, scale, normed) = (&d[start..][..LANES], &scale[start..][..LANES], &normed[start..][..LANES]);
            for lane in 0..LANES {
                let g = d[lane] * scale[lane];
                plain[lane] += g;
                along[lane] = g.mul_add(normed[lane], along[lane]);
            }
        }
        let (mut plain, mut along) = (plain.iter().sum::<f32>(), along.iter().sum::<f32>());
        for ((&d, &scale), &normed) in d[whole..].iter().zip(&scale[whole..]).zip(&normed[whole..]) {
            plain += d * scale;
            along += d * scale * normed;
        }
        let (plain, along) = (plain / width as f32, along / width as f32);
        for (((dx, &d), &scale), &normed) in dx.iter_mut().zip(d).zip(scale).zip(normed) {
            *dx += inverse * (-along).mul_add(normed, d.mul_add(scale, -plain));
        }
    }
}

#[inline(always)]
fn add_columns_rows(x: &mut [f32], width: usize, bias: &[f32]) {
    for (row, x) in x.chunks_exact_mut(width).enumerate() {
        add_bias(x, row, bias, Along::Columns);
    }
}

#[inline(always)]
fn add_all_rows(x: &[f32], sums: &mut [f32]) {
    for x in x.chunks_exact(sums.len()) {
        for (sum, &x) in sums.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

#[inline(always)]
fn add_bias(z: &mut [f32], row: usize, bias: &[f32], along: Along) {
    match along {
        Along::Rows(group) => {
            let bias = bias[row / group];
            for z in z {
                *z += bias;
            }
        }
        Along::Columns => {
            for (z, &bias) in z.iter_mut().zip(bias) {
                *z += bias;
            }
        }
    }
}

#[inline(always)]
fn add_to_bias(d: &[f32], row: usize, d_bias: &mut [f32], along: Along) {
    match along {
        Along::Rows(group) => d_bias[row / group] += sum(d, |d| d),
        Along::Columns => {
            for (sum, &d) in d_bias.iter_mut().zip(d) {
                *sum += d;
            }
        }
    }
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::vectors::supported;

    #[test]
    fn sigmoid_is_exact_to_a_few_units_and_keeps_what_is_not_a_number() {
        if !supported() {
            return;
        }
        for i in -12_000..=12_000 {
            let x = i as f32 * 0.01;
            let expected = 1.0 / (1.0 + (-f64::from(x)).exp());
            let error = (f64::from(sigmoid(x)) / expected - 1.0).abs();
            assert!(error < 4e-7 || x < -86.9, "sigmoid({x}): {error}");
        }
        assert!(sigmoid(f32::NAN).is_nan());
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(0.0)), (1.0, 0.5));
        assert!(sigmoid(f32::NEG_INFINITY) < 1e-37);
    }
}
