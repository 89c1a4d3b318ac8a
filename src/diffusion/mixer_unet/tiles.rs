//! Tiles: a few columns of images that are worked on while they lie in the processor's near caches, and what is done with
//! their rows.

use super::passes::Images;
use crate::diffusion::vectors::sum;

/// Columns of a tile: those of all images are counted through, so that only the last tile may have fewer.
pub(super) const TILE: usize = 96;
/// Rows that a product makes at once.
pub(super) const BLOCK: usize = 4;
/// Numbers of a vector: AVX2's.
pub(super) const LANES: usize = 8;

/// A row of a tile.
pub(super) type Row = [f32; TILE];
/// Sums of [`add_products`], still to be added up over the lanes: `[2, LANES]` for each of [`BLOCK`] rows.
pub(super) type Sums = [[[f32; LANES]; 2]; BLOCK];

/// Neighbouring columns of one image in a tile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) image: usize,
    /// Its first column in the image.
    pub(super) from: usize,
    /// And in the tile.
    place: usize,
    pub(super) length: usize,
}

/// The tiles that cover all columns of all images.
pub(super) fn all(images: Images) -> impl Iterator<Item = Vec<Piece>> {
    let Images { batch, channels, columns, .. } = images;
    let end = batch * channels * columns;
    (0..end).step_by(TILE).map(move |start| {
        let end = end.min(start + TILE);
        let mut pieces = Vec::with_capacity(TILE / columns + 2);
        let mut at = start;
        while at < end {
            let (image, from) = (at / columns, at % columns);
            let length = (columns - from).min(end - at);
            pieces.push(Piece { image, from, place: at - start, length });
            at += length;
        }
        pieces
    })
}

impl Piece {
    /// Where its part of each row begins: the row, the place in the tile's rows, and that in memory.
    pub(super) fn rows(self, images: Images) -> impl Iterator<Item = (usize, usize, usize)> {
        let Images { rows, columns, .. } = images;
        (0..rows).map(move |t| (t, t * TILE + self.place, (self.image * rows + t) * columns + self.from))
    }
}

/// The tile's numbers of `x`, `[B, C, T, D]`. What lies behind the last column of all is zero.
#[inline(always)]
pub(super) fn load(pieces: &[Piece], images: Images, x: &[f32], out: &mut [Row]) {
    let out = out.as_flattened_mut();
    if pieces.iter().map(|piece| piece.length).sum::<usize>() < TILE {
        out.fill(0.0);
    }
    for piece in pieces {
        for (_, place, start) in piece.rows(images) {
            out[place..][..piece.length].copy_from_slice(&x[start..][..piece.length]);
        }
    }
}

/// Each column less its mean, times one over its deviation, which is returned.
#[inline(always)]
pub(super) fn normalise(x: &mut [Row]) -> Row {
    let count = x.len() as f32;
    let (mut mean, mut inverse) = ([0.0; TILE], [0.0; TILE]);
    for row in x.iter() {
        for n in 0..TILE {
            mean[n] += row[n];
        }
    }
    for mean in &mut mean {
        *mean /= count;
    }
    for row in x.iter_mut() {
        for n in 0..TILE {
            row[n] -= mean[n];
            inverse[n] = row[n].mul_add(row[n], inverse[n]);
        }
    }
    for inverse in &mut inverse {
        *inverse = 1.0 / (*inverse / count + 1e-5).sqrt();
    }
    for row in x.iter_mut() {
        for n in 0..TILE {
            row[n] *= inverse[n];
        }
    }
    inverse
}

/// Backwards through [`normalise`] and [`scale_rows`]: adds to the scale's gradient, and makes of `dn`, the gradient of the
/// scaled rows, that of the columns.
#[inline(always)]
pub(super) fn normalise_back(normed: &[Row], inverse: &Row, scale: &[f32], dn: &mut [Row], d_scale: &mut [f32]) {
    let (mut plain, mut along) = ([0.0; TILE], [0.0; TILE]);
    for (((dn, normed), &scale), d_scale) in dn.iter_mut().zip(normed).zip(scale).zip(d_scale) {
        let mut products = [0.0; TILE];
        for n in 0..TILE {
            products[n] = dn[n] * normed[n];
            dn[n] *= scale;
            plain[n] += dn[n];
            along[n] = dn[n].mul_add(normed[n], along[n]);
        }
        *d_scale += sum(&products, |x| x);
    }
    let share = 1.0 / normed.len() as f32;
    for (dn, normed) in dn.iter_mut().zip(normed) {
        for n in 0..TILE {
            dn[n] = inverse[n] * (dn[n] - share * normed[n].mul_add(along[n], plain[n]));
        }
    }
}

/// Row `t` times `scale[t]` plus `shift[t]`.
#[inline(always)]
pub(super) fn scale_rows(x: &[Row], [scale, shift]: [&[f32]; 2], out: &mut [Row]) {
    for ((x, out), (&scale, &shift)) in x.iter().zip(out).zip(scale.iter().zip(shift)) {
        for n in 0..TILE {
            out[n] = x[n].mul_add(scale, shift);
        }
    }
}

/// A matrix and a bias as [`product`] reads them: [`BLOCK`] rows side by side, the last ones filled up with zeros.
pub(super) struct Packed {
    values: Vec<[f32; BLOCK]>,
    bias: Vec<[f32; BLOCK]>,
    inner: usize,
}

impl Packed {
    /// The matrix `x`, rows of `inner` numbers.
    pub(super) fn new([x, bias]: [&[f32]; 2], inner: usize) -> Self {
        Self::gather(x.len() / inner, inner, |row, k| x[row * inner + k], |row| bias[row])
    }

    /// The transposed of the matrix `x`, rows of `rows` numbers, without a bias.
    pub(super) fn transposed(x: &[f32], rows: usize) -> Self {
        Self::gather(rows, x.len() / rows, |row, k| x[k * rows + row], |_| 0.0)
    }

    fn gather(rows: usize, inner: usize, x: impl Fn(usize, usize) -> f32, bias: impl Fn(usize) -> f32) -> Self {
        let block = |b: usize, of: &dyn Fn(usize) -> f32| {
            std::array::from_fn(|r| Some(b * BLOCK + r).filter(|&row| row < rows).map_or(0.0, of))
        };
        let blocks = rows.div_ceil(BLOCK);
        let places = (0..blocks * inner).map(|place| (place / inner, place % inner));
        Self {
            values: places.map(|(b, k)| block(b, &|row| x(row, k))).collect(),
            bias: (0..blocks).map(|b| block(b, &bias)).collect(),
            inner,
        }
    }

    /// Rows, those that fill up the last block among them.
    pub(super) fn rows(&self) -> usize {
        self.bias.len() * BLOCK
    }
}

/// `a b` plus the bias in each row, `a.rows()` of them.
#[inline(always)]
pub(super) fn product(a: &Packed, b: &[Row], out: &mut [Row]) {
    let blocks = out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(a.values.chunks_exact(a.inner)).zip(&a.bias);
    for ((out, a), bias) in blocks {
        for part in (0..TILE).step_by(2 * LANES) {
            // Eight vectors that stay in registers.
            let mut low = bias.map(|bias| [bias; LANES]);
            let mut high = low;
            for (a, b) in a.iter().zip(b) {
                let [b_low, b_high]: [&[f32; LANES]; 2] = [part_of(b, part), part_of(b, part + LANES)];
                for r in 0..BLOCK {
                    for n in 0..LANES {
                        low[r][n] = a[r].mul_add(b_low[n], low[r][n]);
                        high[r][n] = a[r].mul_add(b_high[n], high[r][n]);
                    }
                }
            }
            for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(&high)) {
                out[part..][..LANES].copy_from_slice(low);
                out[part + LANES..][..LANES].copy_from_slice(high);
            }
        }
    }
}

/// Adds `a b'` to `sums`: eight vectors for each [`BLOCK`] rows of `a` and two of `b`.
#[inline(always)]
pub(super) fn add_products(a: &[Row], b: &[Row], sums: &mut [Sums]) {
    let pairs = b.as_chunks::<2>().0;
    for (a, sums) in a.as_chunks::<BLOCK>().0.iter().zip(sums.chunks_exact_mut(pairs.len())) {
        for (b, sums) in pairs.iter().zip(sums) {
            let mut own = *sums;
            for part in (0..TILE).step_by(LANES) {
                let b: [&[f32; LANES]; 2] = [part_of(&b[0], part), part_of(&b[1], part)];
                for r in 0..BLOCK {
                    let a: &[f32; LANES] = part_of(&a[r], part);
                    for k in 0..2 {
                        for n in 0..LANES {
                            own[r][k][n] = a[n].mul_add(b[k][n], own[r][k][n]);
                        }
                    }
                }
            }
            *sums = own;
        }
    }
}

/// The sum that [`add_products`] has in its lanes for row `j` of `a` and row `t` of `b`, which has `rows`.
pub(super) fn sum_of(sums: &[Sums], rows: usize, j: usize, t: usize) -> f32 {
    sums[j / BLOCK * (rows / 2) + t / 2][j % BLOCK][t % 2].iter().sum()
}

/// Adds the sum of each row to its number of `sums`.
#[inline(always)]
pub(super) fn add_rows(x: &[Row], sums: &mut [f32]) {
    for (row, own) in x.iter().zip(sums) {
        *own += sum(row, |x| x);
    }
}

#[inline(always)]
fn part_of(row: &Row, from: usize) -> &[f32; LANES] {
    row[from..].first_chunk().expect("a tile is whole parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_number_once() {
        for (batch, channels, rows, columns) in
            [(2, 3, 4, 5), (1, 7, 2, 24), (2, 1, 3, 161), (4, 1, 2, 24), (1, 1, 1, 1)]
        {
            let images = Images { batch, channels, rows, columns };
            let mut seen = vec![0; batch * channels * rows * columns];
            for pieces in all(images) {
                let mut places = [0; TILE];
                for piece in pieces {
                    places[piece.place..][..piece.length].iter_mut().for_each(|n| *n += 1);
                    for (_, _, start) in piece.rows(images) {
                        seen[start..start + piece.length].iter_mut().for_each(|n| *n += 1);
                    }
                }
                assert!(places.iter().all(|&n| n <= 1), "{images:?}: columns share a place");
            }
            assert!(seen.iter().all(|&n| n == 1), "{images:?}");
        }
    }

    fn wave(rows: usize, phase: usize) -> Vec<Row> {
        (0..rows).map(|row| std::array::from_fn(|n| ((row * 7 + n * 5 + phase) % 23) as f32 - 11.0)).collect()
    }

    #[test]
    fn products_are_those_of_the_definition() {
        // Whole numbers this small multiply and add up exactly, in whatever order.
        for (rows, inner) in [(4, 1), (8, 5), (3, 2), (6, 4), (1, 7)] {
            let a: Vec<f32> = (0..rows * inner).map(|i| (i % 9) as f32 - 4.0).collect();
            let bias: Vec<f32> = (0..rows).map(|i| i as f32).collect();
            let b = wave(inner, 3);
            let turned: Vec<f32> = (0..inner)
                .flat_map(|k| (0..rows).map(move |row| (row, k)))
                .map(|(row, k)| a[row * inner + k])
                .collect();
            for (packed, bias) in
                [(Packed::new([&a, &bias], inner), &bias[..]), (Packed::transposed(&turned, rows), &vec![0.0; rows])]
            {
                let mut out = vec![[f32::NAN; TILE]; packed.rows()];
                product(&packed, &b, &mut out);
                for (row, out) in out.iter().enumerate() {
                    for n in 0..TILE {
                        let expected = (row < rows)
                            .then(|| bias[row] + (0..inner).map(|k| a[row * inner + k] * b[k][n]).sum::<f32>());
                        assert_eq!(out[n], expected.unwrap_or(0.0), "{rows} x {inner}, row {row}");
                    }
                }
            }
        }
    }

    #[test]
    fn sums_of_products_go_over_all_columns_and_add_up() {
        let (a, b) = (wave(8, 0), wave(6, 4));
        let mut sums = vec![[[[0.0; 8]; 2]; BLOCK]; 2 * 3];
        for _ in 0..2 {
            add_products(&a, &b, &mut sums);
        }
        for (j, a) in a.iter().enumerate() {
            for (t, b) in b.iter().enumerate() {
                let expected: f32 = a.iter().zip(b).map(|(a, b)| 2.0 * a * b).sum();
                assert_eq!(sum_of(&sums, 6, j, t), expected, "{j}, {t}");
            }
        }
    }
}
