//! Single-precision bounds that say which rows of data cannot be the nearest to a query.

use std::ops::Range;

use super::nearest::Columns;

/// Rows of data that are kept or discarded together.
pub(super) const CHUNK: usize = 128;
/// Rows whose scores are summed at a time: as many as the processor's vector registers hold.
const LANES: usize = 64;
/// Queries farther out than this, in units of the data's extent, would overflow single precision.
const FARTHEST: f64 = (1_u64 << 60) as f64;

/// Where single precision works best: coordinates around the data's mean, weighted, and scaled by a power of two so
/// that no row of data is longer than 1 and no square leaves the range of numbers.
pub(super) struct Frame {
    centre: Vec<f64>,
    stretch: Vec<f64>,
    /// The power of two.
    scale: f64,
}

impl Frame {
    pub(super) fn new(data: &Columns<'_>, weights: &[f64]) -> Self {
        let mut centre = vec![0.0; data.dim()];
        for row in 0..data.rows() {
            centre.iter_mut().zip(data.numbers(row)).for_each(|(c, v)| *c += v / data.rows() as f64);
        }
        let mut frame = Self { centre, stretch: weights.iter().map(|w| w.sqrt()).collect(), scale: 1.0 };
        let longest = (0..data.rows())
            .map(|row| frame.coordinates(data, row).map(|v| v * v).sum::<f64>())
            .fold(0.0, f64::max)
            .sqrt();
        if longest > 0.0 {
            frame.scale = (-longest.log2().ceil()).exp2();
            frame.stretch.iter_mut().for_each(|s| *s *= frame.scale);
        }
        frame
    }

    /// The numbers of a row in this frame.
    fn coordinates(&self, rows: &Columns<'_>, row: usize) -> impl Iterator<Item = f64> {
        rows.numbers(row).zip(&self.centre).zip(&self.stretch).map(|((v, c), s)| (v - c) * s)
    }
}

/// For a block of queries `a`: for each chunk of data, the least score `|b|^2 - 2 a b` of its rows `b`.
///
/// The score is `|a - b|^2 - |a|^2`: lowest where the row is nearest.
pub(super) struct Screen {
    first: usize,
    chunks: usize,
    /// `[block, chunks]`.
    least: Vec<f32>,
    /// Length of each query in the frame, in double precision; infinite where single precision cannot hold it.
    lengths: Vec<f64>,
    /// What turns a squared distance into one of the frame.
    scale: f64,
    dim: usize,
}

impl Screen {
    pub(super) fn new(data: &Columns<'_>, queries: &Columns<'_>, block: Range<usize>, frame: &Frame) -> Self {
        let dim = data.dim();
        let (mut lengths, mut factors) = (Vec::with_capacity(block.len()), Vec::with_capacity(block.len() * dim));
        for query in block.clone() {
            let length = frame.coordinates(queries, query).map(|v| v * v).sum::<f64>().sqrt();
            let held = length < FARTHEST;
            factors.extend(frame.coordinates(queries, query).map(|v| if held { (-2.0 * v) as f32 } else { 0.0 }));
            lengths.push(if held { length } else { f64::INFINITY });
        }
        let chunks = data.rows().div_ceil(CHUNK);
        let mut least = vec![0.0; block.len() * chunks];
        let mut packed = vec![0.0; (dim + 1) * CHUNK];
        for chunk in 0..chunks {
            pack(data, chunk, frame, &mut packed);
            scores(&packed, &factors, &mut least[chunk..], chunks);
        }
        Self { first: block.start, chunks, least, lengths, scale: frame.scale.powi(2), dim }
    }

    /// Number of chunks of the data.
    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// The least score of each chunk.
    fn least(&self, query: usize) -> &[f32] {
        &self.least[(query - self.first) * self.chunks..][..self.chunks]
    }

    /// The chunk with the lowest score.
    pub(super) fn most_promising(&self, query: usize) -> usize {
        let least = self.least(query);
        (0..self.chunks).min_by(|&a, &b| least[a].total_cmp(&least[b])).unwrap_or(0)
    }

    /// Whether a chunk may hold a row as near as a given squared distance, or nearer.
    ///
    /// Let `D` be that squared distance in the frame, `d` its root, `a` the query. A row `b` with `|a - b|^2 <= D` has
    /// a score of at most `D - |a|^2`, and is at most `|a| + d` long. Rounding the inputs and summing `n = dim + 1`
    /// products in single precision, in any order, moves a score by at most `(n + 3) u (2 |a| |b| + |b|^2)` to first
    /// order, with `u = 2^-24`: less than `(n + 8) u (2 |a| + d)^2`, plus what vanishes below the smallest normal
    /// number. So a chunk whose least score exceeds `D - |a|^2` by more than that holds no such row, however far the
    /// rest of the data lies.
    pub(super) fn may_hold(&self, query: usize, chunk: usize, squared_distance: f64) -> bool {
        let length = self.lengths[query - self.first];
        let square = squared_distance * self.scale;
        let terms = (self.dim + 9) as f64;
        let rounding = terms * f64::from(f32::EPSILON) / 2.0 * (2.0 * length + square.sqrt()).powi(2);
        let vanishing = 8.0 * terms * f64::from(f32::MIN_POSITIVE) * (1.0 + length);
        let bound = square - length * length + rounding + vanishing;
        let holds_none = f64::from(self.least(query)[chunk]) > bound;
        // Said this way round, because infinite lengths give a bound that is not a number.
        !holds_none
    }
}

/// Lays out a chunk by dimension: squared lengths of its rows, then each coordinate of all its rows.
fn pack(data: &Columns<'_>, chunk: usize, frame: &Frame, packed: &mut [f32]) {
    let start = chunk * CHUNK;
    let end = data.rows().min(start + CHUNK);
    for row in start..end {
        let mut square = 0.0;
        for (dim, v) in frame.coordinates(data, row).enumerate() {
            square += v * v;
            packed[(dim + 1) * CHUNK + row - start] = v as f32;
        }
        packed[row - start] = square as f32;
    }
    // Places after the last row hold nothing near, whatever the chunk before left in them.
    packed[end - start..CHUNK].fill(f32::MAX / 4.0);
}

/// Writes the least score of a chunk for each query to `least`, `stride` apart, with the processor's best instructions.
fn scores(packed: &[f32], factors: &[f32], least: &mut [f32], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the function is safe but for its instructions, which this processor has.
        unsafe { scores_avx2(packed, factors, least, stride) };
        return;
    }
    scores_by::<false>(packed, factors, least, stride);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn scores_avx2(packed: &[f32], factors: &[f32], least: &mut [f32], stride: usize) {
    scores_by::<true>(packed, factors, least, stride);
}

/// [`scores`], with or without fused multiplication and addition (which is slow where it is not an instruction).
#[inline(always)]
fn scores_by<const FUSED: bool>(packed: &[f32], factors: &[f32], least: &mut [f32], stride: usize) {
    let (squares, coordinates) = packed.split_at(CHUNK);
    let dim = coordinates.len() / CHUNK;
    for (factors, least) in factors.chunks_exact(dim).zip(least.iter_mut().step_by(stride)) {
        let mut lowest = [f32::INFINITY; LANES];
        for start in (0..CHUNK).step_by(LANES) {
            let mut sums = [0.0; LANES];
            sums.copy_from_slice(&squares[start..][..LANES]);
            for (factor, column) in factors.iter().zip(coordinates.chunks_exact(CHUNK)) {
                let column = &column[start..][..LANES];
                for lane in 0..LANES {
                    sums[lane] = match FUSED {
                        true => factor.mul_add(column[lane], sums[lane]),
                        false => factor * column[lane] + sums[lane],
                    };
                }
            }
            for lane in 0..LANES {
                lowest[lane] = if sums[lane] < lowest[lane] { sums[lane] } else { lowest[lane] };
            }
        }
        *least = lowest.into_iter().fold(f32::INFINITY, |a, b| if b < a { b } else { a });
    }
}

#[cfg(test)]
mod tests {
    use replay::{Seed, fill_normal};

    use super::*;

    /// Least scores of each chunk for each query, in double precision.
    fn exact_scores(data: &Columns<'_>, queries: &Columns<'_>, query: usize, frame: &Frame) -> Vec<f64> {
        let a: Vec<f64> = frame.coordinates(queries, query).collect();
        let score = |row| frame.coordinates(data, row).zip(&a).map(|(b, a)| b * b - 2.0 * a * b).sum::<f64>();
        let chunks = (0..data.rows()).step_by(CHUNK);
        chunks.map(|c| (c..data.rows().min(c + CHUNK)).map(score).fold(f64::INFINITY, f64::min)).collect()
    }

    #[test]
    fn scores_are_within_their_bound_with_and_without_fused_operations() {
        let (mut data, mut queries) = (vec![0.0; 1000 * 11], vec![0.0; 40 * 11]);
        fill_normal(&mut Seed::new(0).rng(), &mut data);
        fill_normal(&mut Seed::new(1).rng(), &mut queries);
        data.iter_mut().for_each(|v| *v += 50.0);
        let data = Columns::new("data", [&data[..6000], &data[6000..]], [6, 5]).unwrap();
        let queries = Columns::new("queries", [&queries[..240], &queries[240..]], [6, 5]).unwrap();
        let frame = Frame::new(&data, &[2.0; 11]);
        let screen = Screen::new(&data, &queries, 10..40, &frame);
        let chunks = screen.chunks();
        assert_eq!(chunks, 8);
        let mut packed = vec![0.0; 12 * CHUNK];
        for query in 10..40 {
            let exact = exact_scores(&data, &queries, query, &frame);
            let length = screen.lengths[query - 10];
            // All rows of data are at most 1 long in the frame.
            let bound = 15.0 * f64::from(f32::EPSILON) / 2.0 * (length + 1.0).powi(2);
            let factors: Vec<f32> = frame.coordinates(&queries, query).map(|v| (-2.0 * v) as f32).collect();
            let mut plain = [0.0];
            for (chunk, &exact) in exact.iter().enumerate() {
                pack(&data, chunk, &frame, &mut packed);
                scores_by::<false>(&packed, &factors, &mut plain, 1);
                for found in [screen.least(query)[chunk], plain[0]] {
                    assert!((f64::from(found) - exact).abs() <= bound, "{found} but {exact}");
                }
            }
            let nearest = (0..chunks).min_by(|&a, &b| exact[a].total_cmp(&exact[b])).unwrap();
            let squared_distance = (exact[nearest] + length * length) / screen.scale;
            assert!(screen.may_hold(query, nearest, squared_distance));
            assert!(!screen.may_hold(query, nearest, 0.5 * squared_distance), "the bound is tight enough to be of use");
            assert!((0..chunks).all(|chunk| screen.may_hold(query, chunk, f64::INFINITY)));
        }
    }

    #[test]
    fn nothing_is_ruled_out_for_queries_out_of_range() {
        let data = Columns::new("data", [&[1.0, 2.0, 3.0], &[]], [1, 0]).unwrap();
        let queries = Columns::new("queries", [&[3e38], &[]], [1, 0]).unwrap();
        let screen = Screen::new(&data, &queries, 0..1, &Frame::new(&data, &[1.0]));
        assert!(screen.may_hold(0, 0, 1.0) && screen.may_hold(0, 0, f64::INFINITY));
    }
}
