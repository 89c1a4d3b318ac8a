//! Normalisations of the published network, forwards and backwards, and what moves images into rows: one pass each.

use crate::diffusion::vectors::{normal, on_this_processor, sum};

/// Sizes of activations `[B, C, T, D]`: an image has `T` rows of `D` columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Images {
    /// Numbers of a row of all channels.
    pub(super) fn width(self) -> usize {
        self.channels * self.columns
    }

    /// Where an image's columns lie in a row of all channels, `[C D]`.
    pub(super) fn in_channels(self, image: usize) -> usize {
        image % self.channels * self.columns
    }

    /// Where row `t` of image `image` lies in `[B T, C D]`, rows of all channels side by side.
    pub(super) fn in_row(self, image: usize, t: usize) -> usize {
        let (window, channel) = (image / self.channels, image % self.channels);
        ((window * self.rows + t) * self.channels + channel) * self.columns
    }

    /// Where the parts of row `row` of `[B T, C D]` lie in `[B, C, T, D]`.
    fn parts(self, row: usize) -> impl Iterator<Item = usize> {
        let (window, t) = (row / self.rows, row % self.rows);
        (0..self.channels).map(move |channel| ((window * self.channels + channel) * self.rows + t) * self.columns)
    }
}

/// Mean and one over the deviation of what was normalised.
#[derive(Debug)]
pub(super) struct Moments {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

impl Moments {
    /// Places for `count` of them.
    pub(super) fn new(count: usize) -> Self {
        Self { mean: vec![0.0; count], inverse: vec![0.0; count] }
    }

    #[inline(always)]
    fn take(&mut self, index: usize, x: &[f32]) -> (f32, f32) {
        let mean = sum(x, |x| x) / x.len() as f32;
        let inverse = 1.0 / (sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32 + 1e-5).sqrt();
        (self.mean[index], self.inverse[index]) = (mean, inverse);
        (mean, inverse)
    }

    fn of(&self, index: usize) -> (f32, f32) {
        (self.mean[index], self.inverse[index])
    }
}

/// Scale and shift after a normalisation, or the gradients of both, to be written.
pub(super) type Affine<'a> = [&'a [f32]; 2];
/// See [`Affine`].
pub(super) type AffineGradient<'a> = [&'a mut [f32]; 2];

on_this_processor! {
    /// `x`, `[B, C, T, D]`, as rows of all channels, `[B T, C D]`.
    fn to_rows(images: Images, x: &[f32], out: &mut [f32]) = to_rows_pass;
    /// The same, each row normalised, then scaled and shifted by `[C D]`.
    fn normalise_rows(
        images: Images, x: &[f32], affine: Affine, moments: &mut Moments, out: &mut [f32],
    ) = normalise_rows_pass;
    /// Backwards through [`normalise_rows`], given the gradient `d` of its output: adds to `dx`, `[B, C, T, D]`.
    fn normalise_rows_back(
        images: Images, run: (&[f32], &Moments), scale: &[f32], d: &[f32], dx: &mut [f32], gradient: AffineGradient,
    ) = normalise_rows_back_pass;
    /// Adds `bias` to each row of `x`, and writes GELU of that to `out`.
    fn gelu(bias: &[f32], x: &mut [f32], out: &mut [f32]) = gelu_pass;
    /// Backwards through GELU, given its input: makes of `d`, the gradient of its output, that of `x`.
    fn gelu_back(x: &[f32], d: &mut [f32]) = gelu_back_pass;
    /// Each image normalised, then scaled and shifted by its channel's number of `[C]`.
    fn normalise_images(
        images: Images, x: &[f32], affine: Affine, moments: &mut Moments, out: &mut [f32],
    ) = normalise_images_pass;
    /// Backwards through [`normalise_images`], given the gradient `d` of its output: adds to `dx`.
    fn normalise_images_back(
        images: Images, run: (&[f32], &Moments), scale: &[f32], d: &[f32], dx: &mut [f32], gradient: AffineGradient,
    ) = normalise_images_back_pass;
}

#[inline(always)]
fn to_rows_pass(images: Images, x: &[f32], out: &mut [f32]) {
    for (row, out) in out.chunks_exact_mut(images.width()).enumerate() {
        for (out, start) in out.chunks_exact_mut(images.columns).zip(images.parts(row)) {
            out.copy_from_slice(&x[start..][..images.columns]);
        }
    }
}

#[inline(always)]
fn normalise_rows_pass(images: Images, x: &[f32], [scale, shift]: Affine, moments: &mut Moments, out: &mut [f32]) {
    for (row, out) in out.chunks_exact_mut(images.width()).enumerate() {
        for (out, start) in out.chunks_exact_mut(images.columns).zip(images.parts(row)) {
            out.copy_from_slice(&x[start..][..images.columns]);
        }
        let (mean, inverse) = moments.take(row, out);
        for ((out, &scale), &shift) in out.iter_mut().zip(scale).zip(shift) {
            *out = ((*out - mean) * inverse).mul_add(scale, shift);
        }
    }
}

#[inline(always)]
fn normalise_rows_back_pass(
    images: Images,
    (x, moments): (&[f32], &Moments),
    scale: &[f32],
    d: &[f32],
    dx: &mut [f32],
    [d_scale, d_shift]: AffineGradient,
) {
    let width = images.width();
    let (mut normed, mut g) = (vec![0.0; width], vec![0.0; width]);
    d_scale.fill(0.0);
    d_shift.fill(0.0);
    for (row, d) in d.chunks_exact(width).enumerate() {
        let (mean, inverse) = moments.of(row);
        for (normed, start) in normed.chunks_exact_mut(images.columns).zip(images.parts(row)) {
            for (normed, x) in normed.iter_mut().zip(&x[start..]) {
                *normed = (x - mean) * inverse;
            }
        }
        for (((d_scale, d_shift), &d), &normed) in d_scale.iter_mut().zip(&mut *d_shift).zip(d).zip(&normed) {
            *d_scale = d.mul_add(normed, *d_scale);
            *d_shift += d;
        }
        for ((g, d), scale) in g.iter_mut().zip(d).zip(scale) {
            *g = d * scale;
        }
        let plain = sum(&g, |g| g) / width as f32;
        let along = dot(&g, &normed) / width as f32;
        let parts = normed.chunks_exact(images.columns).zip(g.chunks_exact(images.columns));
        for ((normed, g), start) in parts.zip(images.parts(row)) {
            for ((dx, &g), &normed) in dx[start..].iter_mut().zip(g).zip(normed) {
                *dx += inverse * (g - normed.mul_add(along, plain));
            }
        }
    }
}

#[inline(always)]
fn gelu_pass(bias: &[f32], x: &mut [f32], out: &mut [f32]) {
    for (x, out) in x.chunks_exact_mut(bias.len()).zip(out.chunks_exact_mut(bias.len())) {
        for ((x, out), bias) in x.iter_mut().zip(out).zip(bias) {
            *x += bias;
            *out = *x * normal(*x).0;
        }
    }
}

#[inline(always)]
fn gelu_back_pass(x: &[f32], d: &mut [f32]) {
    for (d, &x) in d.iter_mut().zip(x) {
        let (share, density) = normal(x);
        *d *= x.mul_add(density, share);
    }
}

#[inline(always)]
fn normalise_images_pass(images: Images, x: &[f32], [scale, shift]: Affine, moments: &mut Moments, out: &mut [f32]) {
    let size = images.rows * images.columns;
    for (image, (x, out)) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
        let (mean, inverse) = moments.take(image, x);
        let (scale, shift) = (scale[image % images.channels], shift[image % images.channels]);
        for (out, x) in out.iter_mut().zip(x) {
            *out = ((x - mean) * inverse).mul_add(scale, shift);
        }
    }
}

#[inline(always)]
fn normalise_images_back_pass(
    images: Images,
    (x, moments): (&[f32], &Moments),
    scale: &[f32],
    d: &[f32],
    dx: &mut [f32],
    [d_scale, d_shift]: AffineGradient,
) {
    let size = images.rows * images.columns;
    d_scale.fill(0.0);
    d_shift.fill(0.0);
    let all = x.chunks_exact(size).zip(d.chunks_exact(size)).zip(dx.chunks_exact_mut(size));
    for (image, ((x, d), dx)) in all.enumerate() {
        let channel = image % images.channels;
        let (mean, inverse) = moments.of(image);
        let plain = sum(d, |d| d);
        // sum d (x - mean) inverse
        let along = (dot(d, x) - mean * plain) * inverse;
        d_scale[channel] += along;
        d_shift[channel] += plain;
        let (plain, along, factor) = (plain / size as f32, along / size as f32, scale[channel] * inverse);
        for ((dx, &d), &x) in dx.iter_mut().zip(d).zip(x) {
            *dx += factor * (d - ((x - mean) * inverse).mul_add(along, plain));
        }
    }
}

/// The sum of products, in lanes.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 32];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (a, b) in a.iter().zip(b) {
        for k in 0..32 {
            sums[k] = a[k].mul_add(b[k], sums[k]);
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
