//! How a block mixes the rows of each column, forwards and backwards: layer normalisation over the rows, two layers with
//! GELU between them.
//!
//! As tensor operations the hidden numbers, four times the image, are written and read again several times, and images are
//! transposed to and fro; that costs more than everything else that the published network does. Here a few columns at a
//! time go all the way while they lie in the processor's near caches ([`tiles`]), and the way back makes the hidden numbers again.

use super::passes::Images;
use super::tiles::{self, BLOCK, LANES, Packed, TILE};
use crate::diffusion::vectors::{normal, on_narrow_vectors};

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

/// What is added to the mixed columns: what mixed the rows' numbers, `[B T, C D]`, with its bias, `[C D]`, and, where the
/// number of channels stays, a shift for each channel, `[B, C]`, and the block's input.
pub(super) struct Mixture<'a> {
    pub(super) by_row: &'a [f32],
    pub(super) row_bias: &'a [f32],
    pub(super) shift: Option<&'a [f32]>,
}

on_narrow_vectors! {
    /// Mixes the columns of `x`, `[B, C, T, D]`, and writes the sum with the other parts of `mixture` to `out`.
    fn forward(w: &ColumnWeights, images: Images, x: &[f32], mixture: &Mixture, out: &mut [f32]) = forward_tiles;
    /// Backwards through the mixing of columns: adds to `dx`, given `x` and the mixture's gradient `d`, and writes the weights'.
    fn backward(
        w: &ColumnWeights, images: Images, x: &[f32], d: &[f32], dx: &mut [f32], gradient: &mut ColumnGradient,
    ) = backward_tiles;
}

#[inline(always)]
fn forward_tiles(w: &ColumnWeights, images: Images, x: &[f32], mixture: &Mixture, out: &mut [f32]) {
    let (rows, hidden) = (images.rows, w.first[1].len());
    let (first, second) = (Packed::new(w.first, rows), Packed::new(w.second, hidden));
    let [mut a, mut b] = [(); 2].map(|()| vec![[0.0; TILE]; second.rows()]);
    let mut h = vec![[0.0; TILE]; first.rows()];
    for pieces in tiles::all(images) {
        tiles::load(&pieces, images, x, &mut a);
        tiles::normalise(&mut a[..rows]);
        tiles::scale_rows(&a[..rows], w.norm, &mut b);
        tiles::product(&first, &b, &mut h);
        for h in h.as_flattened_mut() {
            *h *= normal(*h).0;
        }
        tiles::product(&second, &h, &mut a);
        for piece in &pieces {
            let bias = &mixture.row_bias[images.in_channels(piece.image) + piece.from..][..piece.length];
            for (t, place, start) in piece.rows(images) {
                let by_row = &mixture.by_row[images.in_row(piece.image, t) + piece.from..][..piece.length];
                let by_column = &a.as_flattened()[place..][..piece.length];
                let out = &mut out[start..][..piece.length];
                for (((out, a), b), bias) in out.iter_mut().zip(by_column).zip(by_row).zip(bias) {
                    *out = a + b + bias;
                }
                if let Some(shift) = mixture.shift {
                    let shift = shift[piece.image];
                    for (out, x) in out.iter_mut().zip(&x[start..]) {
                        *out += shift + x;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn backward_tiles(
    w: &ColumnWeights,
    images: Images,
    x: &[f32],
    d: &[f32],
    dx: &mut [f32],
    gradient: &mut ColumnGradient,
) {
    let (rows, hidden) = (images.rows, w.first[1].len());
    let first = Packed::new(w.first, rows);
    let (first_back, second_back) = (Packed::transposed(w.first[0], rows), Packed::transposed(w.second[0], hidden));
    let padded = first_back.rows();
    let [mut normed, mut scaled, mut dy, mut dn] = [(); 4].map(|()| vec![[0.0; TILE]; padded]);
    let [mut h, mut dh] = [(); 2].map(|()| vec![[0.0; TILE]; first.rows()]);
    // Of both weights as `[J, T]`: the second's by columns.
    let [mut d_first, mut d_second] =
        [(); 2].map(|()| vec![[[[0.0; LANES]; 2]; BLOCK]; first.rows() / BLOCK * padded / 2]);
    let ColumnGradient { norm: [d_scale, d_shift], first: [d_first_weight, d_first_bias], second } = gradient;
    let [d_second_weight, d_second_bias] = second;
    for sums in [&mut **d_scale, d_shift, d_first_bias, d_second_bias] {
        sums.fill(0.0);
    }
    for pieces in tiles::all(images) {
        tiles::load(&pieces, images, x, &mut normed);
        tiles::load(&pieces, images, d, &mut dy);
        let inverse = tiles::normalise(&mut normed[..rows]);
        tiles::scale_rows(&normed[..rows], w.norm, &mut scaled);
        tiles::product(&first, &scaled, &mut h);
        tiles::product(&second_back, &dy, &mut dh);
        for (h, dh) in h.as_flattened_mut().iter_mut().zip(dh.as_flattened_mut()) {
            let (share, density) = normal(*h);
            *dh *= h.mul_add(density, share);
            *h *= share;
        }
        tiles::add_products(&h, &dy, &mut d_second);
        tiles::add_rows(&dy, d_second_bias);
        tiles::add_products(&dh, &scaled, &mut d_first);
        tiles::add_rows(&dh, d_first_bias);
        tiles::product(&first_back, &dh, &mut dn);
        tiles::add_rows(&dn, d_shift);
        tiles::normalise_back(&normed[..rows], &inverse, w.norm[0], &mut dn[..rows], d_scale);
        for piece in &pieces {
            for (_, place, start) in piece.rows(images) {
                let own = &dn.as_flattened()[place..][..piece.length];
                for (dx, own) in dx[start..].iter_mut().zip(own) {
                    *dx += own;
                }
            }
        }
    }
    for j in 0..hidden {
        for t in 0..rows {
            d_first_weight[j * rows + t] = tiles::sum_of(&d_first, padded, j, t);
            d_second_weight[t * hidden + j] = tiles::sum_of(&d_second, padded, j, t);
        }
    }
}
