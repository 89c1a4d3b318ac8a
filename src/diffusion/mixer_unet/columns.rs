//! How a block mixes the rows of each column, forwards and backwards: layer normalisation over the rows, two layers with
//! GELU between them.
//!
//! As tensor operations the hidden numbers, four times the image, are written and read again several times, and images are
//! transposed to and fro; that costs more than everything else that the published network does. Here a few columns at a
//! time go all the way while they lie in the processor's first cache, and the way back makes the hidden numbers again.

use super::passes::Images;
use crate::diffusion::vectors::{exp, on_this_processor};

/// Weights of one block's column mixing: `T` rows, `J` hidden numbers.
pub(super) struct ColumnWeights<'a> {
    /// Scale and shift after the normalisation, `[T]` each.
    pub(super) norm: [&'a [f32]; 2],
    /// Weight `[J, T]` and bias `[J]`.
    pub(super) first: [&'a [f32]; 2],
    /// Weight `[T, J]` and bias `[T]`.
    pub(super) second: [&'a [f32]; 2],
}

/// Gradients of [`ColumnWeights`], to be written.
pub(super) struct ColumnGradient<'a> {
    pub(super) norm: [&'a mut [f32]; 2],
    pub(super) first: [&'a mut [f32]; 2],
    pub(super) second: [&'a mut [f32]; 2],
}

/// What is added to the mixed columns: what mixed the rows' numbers, `[B T, C D]`, and, where the number of channels stays,
/// a shift for each channel, `[B, C]`, and the block's input.
pub(super) struct Mixture<'a> {
    pub(super) by_row: &'a [f32],
    pub(super) shift: Option<&'a [f32]>,
}

on_this_processor! {
    /// Mixes the columns of `x`, `[B, C, T, D]`, and writes the sum with the other parts of `mixture` to `out`.
    fn forward(w: &ColumnWeights, images: Images, x: &[f32], mixture: &Mixture, out: &mut [f32]) = forward_tiles<24, 48>;
    /// Backwards through the mixing of columns: adds to `dx`, given `x` and the mixture's gradient `d`, and writes the weights'.
    fn backward(
        w: &ColumnWeights, images: Images, x: &[f32], d: &[f32], dx: &mut [f32], gradient: &mut ColumnGradient,
    ) = backward_tiles<24, 48>;
}

/// Columns that are worked on together: `count` whole images from `image` on, or of one image those `from` this column.
#[derive(Clone, Copy)]
struct Tile {
    image: usize,
    count: usize,
    from: usize,
    width: usize,
}

impl Tile {
    /// The tiles of at most `most` columns that cover all images.
    fn all(images: Images, most: usize) -> impl Iterator<Item = Tile> {
        let (number, columns) = (images.batch * images.channels, images.columns);
        let together = (most / columns).max(1);
        (0..number).step_by(together).flat_map(move |image| {
            let count = together.min(number - image);
            (0..columns).step_by(most).map(move |from| Tile { image, count, from, width: most.min(columns - from) })
        })
    }

    /// Where each run of neighbouring numbers lies: row, place in the tile's row, image, and place in memory.
    fn runs(self, images: Images) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        let Images { rows, columns, .. } = images;
        (0..self.count).flat_map(move |k| {
            let image = self.image + k;
            (0..rows).map(move |t| (t, k * self.width, image, (image * rows + t) * columns + self.from))
        })
    }

    /// The tile's numbers of `x`, rows of `N`, the rest of each row zero.
    #[inline(always)]
    fn load<const N: usize>(self, images: Images, x: &[f32], out: &mut [f32]) {
        if self.count * self.width < N {
            out.fill(0.0);
        }
        for (t, place, _, start) in self.runs(images) {
            out[t * N + place..][..self.width].copy_from_slice(&x[start..][..self.width]);
        }
    }
}

/// Each column less its mean, times one over its deviation, which is returned.
#[inline(always)]
fn normalise<const N: usize>(x: &mut [f32]) -> [f32; N] {
    let (x, _) = x.as_chunks_mut::<N>();
    let count = x.len() as f32;
    let (mut mean, mut inverse) = ([0.0; N], [0.0; N]);
    for row in x.iter() {
        (0..N).for_each(|n| mean[n] += row[n]);
    }
    mean.iter_mut().for_each(|mean| *mean /= count);
    for row in x.iter_mut() {
        for n in 0..N {
            row[n] -= mean[n];
            inverse[n] = row[n].mul_add(row[n], inverse[n]);
        }
    }
    inverse.iter_mut().for_each(|v| *v = 1.0 / (*v / count + 1e-5).sqrt());
    for row in x.iter_mut() {
        (0..N).for_each(|n| row[n] *= inverse[n]);
    }
    inverse
}

/// Row `t` times `scale[t]` plus `shift[t]`.
#[inline(always)]
fn scale_rows<const N: usize>(x: &[f32], [scale, shift]: [&[f32]; 2], out: &mut [f32]) {
    let rows = x.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<N>().0);
    for ((x, out), (&scale, &shift)) in rows.zip(scale.iter().zip(shift)) {
        (0..N).for_each(|n| out[n] = x[n].mul_add(scale, shift));
    }
}

/// `a b` plus `bias` in each row: `a` is `[bias.len(), K]`, `b` `[K, N]`.
#[inline(always)]
fn product<const N: usize>(a: &[f32], b: &[f32], bias: &[f32], out: &mut [f32]) {
    let (b, _) = b.as_chunks::<N>();
    let (out, _) = out.as_chunks_mut::<N>();
    let (fours, rest) = out.as_chunks_mut::<4>();
    let (bias_of_fours, bias_of_rest) = bias.as_chunks::<4>();
    let (a_of_fours, a_of_rest) = a.split_at(4 * fours.len() * b.len());
    for ((out, bias), a) in fours.iter_mut().zip(bias_of_fours).zip(a_of_fours.chunks_exact(4 * b.len())) {
        // Twelve vectors that stay in registers: a row of `b` is read once for four of `a`.
        let mut sums = bias.map(|bias| [bias; N]);
        let (first, second) = a.split_at(2 * b.len());
        let ((a0, a1), (a2, a3)) = (first.split_at(b.len()), second.split_at(b.len()));
        for ((((b, a0), a1), a2), a3) in b.iter().zip(a0).zip(a1).zip(a2).zip(a3) {
            for n in 0..N {
                sums[0][n] = a0.mul_add(b[n], sums[0][n]);
                sums[1][n] = a1.mul_add(b[n], sums[1][n]);
                sums[2][n] = a2.mul_add(b[n], sums[2][n]);
                sums[3][n] = a3.mul_add(b[n], sums[3][n]);
            }
        }
        *out = sums;
    }
    for ((out, &bias), a) in rest.iter_mut().zip(bias_of_rest).zip(a_of_rest.chunks_exact(b.len())) {
        let mut sums = [bias; N];
        for (b, a) in b.iter().zip(a) {
            (0..N).for_each(|n| sums[n] = a.mul_add(b[n], sums[n]));
        }
        *out = sums;
    }
}

/// Numbers of a row that [`add_product`] adds up side by side.
const PART: usize = 16;

/// Adds `a b'` to `out`: `a` is `[J, N]`, `turned` holds `b` by columns, `[N, P]`, `out` is `[J, P]`; `P` is a multiple of
/// [`PART`].
#[inline(always)]
fn add_product<const N: usize>(a: &[f32], turned: &[f32], out: &mut [f32]) {
    let width = turned.len() / N;
    let (a, _) = a.as_chunks::<N>();
    for (a, out) in a.chunks(4).zip(out.chunks_mut(4 * width)) {
        for part in (0..width).step_by(PART) {
            if let [a0, a1, a2, a3] = a {
                let mut sums = [[0.0; PART]; 4];
                for n in 0..N {
                    let b: &[f32; PART] = turned[n * width + part..].first_chunk().expect("widths are whole parts");
                    for k in 0..PART {
                        sums[0][k] = a0[n].mul_add(b[k], sums[0][k]);
                        sums[1][k] = a1[n].mul_add(b[k], sums[1][k]);
                        sums[2][k] = a2[n].mul_add(b[k], sums[2][k]);
                        sums[3][k] = a3[n].mul_add(b[k], sums[3][k]);
                    }
                }
                for (row, sums) in out.chunks_exact_mut(width).zip(&sums) {
                    row[part..][..PART].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                }
                continue;
            }
            for (row, a) in out.chunks_exact_mut(width).zip(a) {
                let mut sums = [0.0; PART];
                for n in 0..N {
                    let b: &[f32; PART] = turned[n * width + part..].first_chunk().expect("widths are whole parts");
                    (0..PART).for_each(|k| sums[k] = a[n].mul_add(b[k], sums[k]));
                }
                row[part..][..PART].iter_mut().zip(&sums).for_each(|(out, sum)| *out += sum);
            }
        }
    }
}

/// `x`, rows of `N`, by columns of `width` numbers each.
#[inline(always)]
fn turn<const N: usize>(x: &[f32], width: usize, out: &mut [f32]) {
    for (t, row) in x.as_chunks::<N>().0.iter().enumerate() {
        (0..N).for_each(|n| out[n * width + t] = row[n]);
    }
}

/// A matrix of rows of `columns` numbers by columns.
fn transposed(x: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| x.iter().skip(c).step_by(columns).copied()).collect()
}

/// The normal distribution and its density at `x`: Abramowitz and Stegun's 7.1.26, off by at most 1e-7.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
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

#[inline(always)]
fn forward_tiles<const N: usize>(
    w: &ColumnWeights,
    images: Images,
    x: &[f32],
    Mixture { by_row, shift }: &Mixture,
    out: &mut [f32],
) {
    let (rows, hidden) = (images.rows, w.first[1].len());
    let [mut a, mut b] = [(); 2].map(|()| vec![0.0; rows * N]);
    let mut h = vec![0.0; hidden * N];
    for tile in Tile::all(images, N) {
        tile.load::<N>(images, x, &mut a);
        normalise::<N>(&mut a);
        scale_rows::<N>(&a, w.norm, &mut b);
        product::<N>(w.first[0], &b, w.first[1], &mut h);
        h.iter_mut().for_each(|h| *h *= normal(*h).0);
        product::<N>(w.second[0], &h, w.second[1], &mut a);
        for (t, place, image, start) in tile.runs(images) {
            let by_row = &by_row[images.in_row(image, t) + tile.from..][..tile.width];
            let sums = a[t * N + place..][..tile.width].iter().zip(by_row).map(|(a, b)| a + b);
            let out = &mut out[start..][..tile.width];
            match shift {
                None => out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum),
                Some(shift) => {
                    let shift = shift[image];
                    let x = &x[start..][..tile.width];
                    out.iter_mut().zip(sums).zip(x).for_each(|((out, sum), x)| *out = sum + shift + x);
                }
            }
        }
    }
}

#[inline(always)]
fn backward_tiles<const N: usize>(
    w: &ColumnWeights,
    images: Images,
    x: &[f32],
    d: &[f32],
    dx: &mut [f32],
    gradient: &mut ColumnGradient,
) {
    let (rows, hidden) = (images.rows, w.first[1].len());
    let padded = rows.next_multiple_of(PART);
    let (first_turned, second_turned) = (transposed(w.first[0], rows), transposed(w.second[0], hidden));
    let no_bias = vec![0.0; hidden.max(rows)];
    let [mut normed, mut scaled, mut dy, mut dn] = [(); 4].map(|()| vec![0.0; rows * N]);
    let [mut h, mut dh] = [(); 2].map(|()| vec![0.0; hidden * N]);
    let mut turned = vec![0.0; padded * N];
    // Of both weights as `[J, P]`: the second's by columns.
    let [mut d_first, mut d_second] = [(); 2].map(|()| vec![0.0; hidden * padded]);
    let ColumnGradient { norm: [d_scale, d_shift], first: [d_first_weight, d_first_bias], second } = gradient;
    let [d_second_weight, d_second_bias] = second;
    for sums in [&mut **d_scale, d_shift, d_first_bias, d_second_bias] {
        sums.fill(0.0);
    }
    for tile in Tile::all(images, N) {
        tile.load::<N>(images, x, &mut normed);
        tile.load::<N>(images, d, &mut dy);
        let inverse = normalise::<N>(&mut normed);
        scale_rows::<N>(&normed, w.norm, &mut scaled);
        product::<N>(w.first[0], &scaled, w.first[1], &mut h);
        product::<N>(&second_turned, &dy, &no_bias[..hidden], &mut dh);
        for (h, dh) in h.iter_mut().zip(&mut dh) {
            let (share, density) = normal(*h);
            *dh *= h.mul_add(density, share);
            *h *= share;
        }
        turn::<N>(&dy, padded, &mut turned);
        add_product::<N>(&h, &turned, &mut d_second);
        add_rows::<N>(&dy, d_second_bias);
        turn::<N>(&scaled, padded, &mut turned);
        add_product::<N>(&dh, &turned, &mut d_first);
        add_rows::<N>(&dh, d_first_bias);
        product::<N>(&first_turned, &dh, &no_bias[..rows], &mut dn);
        add_rows::<N>(&dn, d_shift);
        normalise_back::<N>(&normed, &inverse, w.norm[0], &mut dn, d_scale);
        for (t, place, _, start) in tile.runs(images) {
            let own = &dn[t * N + place..][..tile.width];
            dx[start..][..tile.width].iter_mut().zip(own).for_each(|(dx, own)| *dx += own);
        }
    }
    for (out, sums) in d_first_weight.chunks_exact_mut(rows).zip(d_first.chunks_exact(padded)) {
        out.copy_from_slice(&sums[..rows]);
    }
    for (t, out) in d_second_weight.chunks_exact_mut(hidden).enumerate() {
        out.iter_mut().zip(d_second.chunks_exact(padded)).for_each(|(out, sums)| *out = sums[t]);
    }
}

/// Adds to the scale's gradient, and makes of `dn`, the gradient of the scaled columns, that of the columns.
#[inline(always)]
fn normalise_back<const N: usize>(
    normed: &[f32],
    inverse: &[f32; N],
    scale: &[f32],
    dn: &mut [f32],
    d_scale: &mut [f32],
) {
    let (normed, _) = normed.as_chunks::<N>();
    let (dn, _) = dn.as_chunks_mut::<N>();
    let (mut plain, mut along) = ([0.0; N], [0.0; N]);
    for (((dn, normed), &scale), d_scale) in dn.iter_mut().zip(normed).zip(scale).zip(d_scale) {
        let mut products = [0.0; N];
        for n in 0..N {
            products[n] = dn[n] * normed[n];
            dn[n] *= scale;
            plain[n] += dn[n];
            along[n] = dn[n].mul_add(normed[n], along[n]);
        }
        *d_scale += products.iter().sum::<f32>();
    }
    let share = 1.0 / normed.len() as f32;
    for (dn, normed) in dn.iter_mut().zip(normed) {
        for n in 0..N {
            dn[n] = inverse[n] * (dn[n] - share * normed[n].mul_add(along[n], plain[n]));
        }
    }
}

/// Adds the sum of each row to its number of `sums`.
#[inline(always)]
fn add_rows<const N: usize>(x: &[f32], sums: &mut [f32]) {
    for (row, sum) in x.as_chunks::<N>().0.iter().zip(sums) {
        // Eight sums side by side, then one.
        let mut lanes = [0.0; 8];
        for part in row.as_chunks::<8>().0 {
            (0..8).for_each(|k| lanes[k] += part[k]);
        }
        *sum += lanes.iter().sum::<f32>();
    }
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
    fn tiles_cover_every_number_once() {
        for (batch, channels, rows, columns) in [(2, 3, 4, 5), (1, 7, 2, 24), (2, 1, 3, 61)] {
            let images = Images { batch, channels, rows, columns };
            let mut seen = vec![0; batch * channels * rows * columns];
            for tile in Tile::all(images, 24) {
                assert!(tile.count * tile.width <= 24);
                for (_, place, _, start) in tile.runs(images) {
                    assert!(place + tile.width <= 24);
                    seen[start..start + tile.width].iter_mut().for_each(|n| *n += 1);
                }
            }
            assert!(seen.iter().all(|&n| n == 1), "{images:?}");
        }
    }
}
