//! Scores of packed rows in single precision, by the processor's best instructions.

/// Rows whose scores are summed side by side: two of AVX2's registers.
pub(super) const LANES: usize = 16;
/// One number of [`LANES`] rows, on a cache line of its own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

/// Least scores of a chunk for many queries.
///
/// `chunk` is groups of `dim + 1` [`Lanes`]: squared lengths of rows, then each of their coordinates. `factors` is
/// `[_, dim]`, of which the rows `picked` are meant; their least scores go to `least`, in the same order.
pub(super) fn least(chunk: &[Lanes], factors: &[f32], dim: usize, picked: &[u32], least: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the function is safe but for its instructions, which this processor has.
        unsafe { avx2::least(chunk, factors, dim, picked, least) };
        return;
    }
    least_portable(chunk, factors, dim, picked, least);
}

/// [`least`] without special instructions, and without fused ones, which are slow where they are not instructions.
fn least_portable(chunk: &[Lanes], factors: &[f32], dim: usize, picked: &[u32], least: &mut [f32]) {
    for (&query, least) in picked.iter().zip(least) {
        let factors = &factors[query as usize * dim..][..dim];
        let mut lowest = [f32::INFINITY; LANES];
        for group in chunk.chunks_exact(dim + 1) {
            let sums = sums::<false>(group, factors);
            for lane in 0..LANES {
                lowest[lane] = if sums[lane] < lowest[lane] { sums[lane] } else { lowest[lane] };
            }
        }
        *least = lowest.into_iter().fold(f32::INFINITY, |a, b| if b < a { b } else { a });
    }
}

/// All scores of a chunk for one query: `factors` is `[dim]`, `scores` has a place for each row of the chunk.
pub(super) fn scores(chunk: &[Lanes], factors: &[f32], scores: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the function is safe but for its instructions, which this processor has.
        unsafe { avx2::scores(chunk, factors, scores) };
        return;
    }
    scores_by::<false>(chunk, factors, scores);
}

#[inline(always)]
fn scores_by<const FUSED: bool>(chunk: &[Lanes], factors: &[f32], scores: &mut [f32]) {
    for (group, scores) in chunk.chunks_exact(factors.len() + 1).zip(scores.chunks_exact_mut(LANES)) {
        scores.copy_from_slice(&sums::<FUSED>(group, factors));
    }
}

/// Scores of a group for one query.
#[inline(always)]
fn sums<const FUSED: bool>(group: &[Lanes], factors: &[f32]) -> [f32; LANES] {
    let mut sums = group[0].0;
    for (factor, Lanes(column)) in factors.iter().zip(&group[1..]) {
        for lane in 0..LANES {
            let (value, sum) = (column[lane], sums[lane]);
            sums[lane] = if FUSED { factor.mul_add(value, sum) } else { factor * value + sum };
        }
    }
    sums
}

/// By AVX2 and its fused multiplication and addition, with intrinsics: left to itself, the compiler keeps the sums of a
/// tile in memory, which is twenty times slower.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_load_ps, _mm256_min_ps, _mm256_set1_ps, _mm256_storeu_ps};

    use super::Lanes;

    /// Queries that share each number loaded. With two registers of lanes each they hold twelve of the sixteen there
    /// are, which leaves room for the numbers, and gives both multiplying units as many independent sums as they need.
    const TILE: usize = 6;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn least(chunk: &[Lanes], factors: &[f32], dim: usize, picked: &[u32], least: &mut [f32]) {
        // Rows of a tile's factors side by side, so that they are read in order.
        let mut tile = vec![0.0; dim * TILE];
        for (picked, least) in picked.chunks(TILE).zip(least.chunks_mut(TILE)) {
            for t in 0..TILE {
                // The last tile is filled up with its last query.
                let query = picked[t.min(picked.len() - 1)] as usize;
                let row = &factors[query * dim..][..dim];
                tile.iter_mut().skip(t).step_by(TILE).zip(row).for_each(|(to, factor)| *to = *factor);
            }
            let mut lowest = [_mm256_set1_ps(f32::INFINITY); TILE];
            for group in chunk.chunks_exact(dim + 1) {
                let (left, right) = halves(&group[0]);
                let (mut lefts, mut rights) = ([left; TILE], [right; TILE]);
                for (numbers, factors) in group[1..].iter().zip(tile.as_chunks::<TILE>().0) {
                    let (left, right) = halves(numbers);
                    for t in 0..TILE {
                        let factor = _mm256_set1_ps(factors[t]);
                        lefts[t] = _mm256_fmadd_ps(factor, left, lefts[t]);
                        rights[t] = _mm256_fmadd_ps(factor, right, rights[t]);
                    }
                }
                for t in 0..TILE {
                    lowest[t] = _mm256_min_ps(lowest[t], _mm256_min_ps(lefts[t], rights[t]));
                }
            }
            for (least, lowest) in least.iter_mut().zip(lowest) {
                let mut lanes = [0.0; 8];
                // SAFETY: eight numbers are written to a place for eight.
                unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), lowest) };
                *least = lanes.into_iter().fold(f32::INFINITY, f32::min);
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn scores(chunk: &[Lanes], factors: &[f32], scores: &mut [f32]) {
        super::scores_by::<true>(chunk, factors, scores);
    }

    /// One number of sixteen rows.
    #[target_feature(enable = "avx2,fma")]
    fn halves(Lanes(numbers): &Lanes) -> (__m256, __m256) {
        // SAFETY: these are sixteen numbers, and the type is aligned to 64 bytes.
        unsafe { (_mm256_load_ps(numbers.as_ptr()), _mm256_load_ps(numbers.as_ptr().add(8))) }
    }
}

#[cfg(test)]
mod tests {
    use replay::{Seed, fill_normal};

    use super::*;

    #[test]
    fn all_forms_agree_with_sums_in_double_precision() {
        for dim in [1, 2, 7, 23] {
            let mut numbers = vec![0.0; 4 * (dim + 1) * LANES + 9 * dim];
            fill_normal(&mut Seed::new(dim as u64).rng(), &mut numbers);
            let (packed, factors) = numbers.split_at(4 * (dim + 1) * LANES);
            let chunk: Vec<Lanes> = packed.chunks_exact(LANES).map(|l| Lanes(l.try_into().unwrap())).collect();
            let exact = |query: usize, row: usize| -> f64 {
                let group = &chunk[row / LANES * (dim + 1)..][..dim + 1];
                let number = |place: usize| f64::from(group[place].0[row % LANES]);
                number(0) + (0..dim).map(|d| f64::from(factors[query * dim + d]) * number(d + 1)).sum::<f64>()
            };
            // More than a tile and less than two; out of order, and one of them twice.
            let picked = [8, 0, 3, 3, 5, 1, 7];
            let mut found = [[0.0; 7]; 2];
            least(&chunk, factors, dim, &picked, &mut found[0]);
            least_portable(&chunk, factors, dim, &picked, &mut found[1]);
            for (place, &query) in picked.iter().enumerate() {
                let (mut best, mut plain) = ([0.0; 4 * LANES], [0.0; 4 * LANES]);
                let factors = &factors[query as usize * dim..][..dim];
                scores(&chunk, factors, &mut best);
                scores_by::<false>(&chunk, factors, &mut plain);
                let truth: Vec<f64> = (0..4 * LANES).map(|row| exact(query as usize, row)).collect();
                let tolerance = 1e-5 * dim as f64;
                for (row, truth) in truth.iter().enumerate() {
                    for found in [best[row], plain[row]] {
                        assert!((f64::from(found) - truth).abs() < tolerance, "{found} but {truth}");
                    }
                }
                let lowest = truth.into_iter().fold(f64::INFINITY, f64::min);
                assert!(found.iter().all(|found| (f64::from(found[place]) - lowest).abs() < tolerance));
            }
        }
    }
}
