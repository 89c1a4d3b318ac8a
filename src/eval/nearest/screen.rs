//! A block of queries searched: single precision rules rows out, double precision decides among the rest.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::index::NearestIndex;
use super::packed::{Balls, CHUNK};
use super::tensors::Tensors;
use super::{Columns, Nearest, kernel, squared_distance};
use crate::eval::{Error, Result};

/// Queries farther out than this, in units of the data's extent, would overflow single precision.
const FARTHEST: f64 = (1_u64 << 60) as f64;

/// Up to which score a row may be as near to a query as a given distance, or nearer.
///
/// The score of a row `b` for a query `a` is `|b|^2 - 2 a b = |a - b|^2 - |a|^2`. Let `d` be the distance in the frame.
/// A row with `|a - b| <= d` has a score of at most `d^2 - |a|^2`, and is at most `|a| + d` long. Rounding the inputs and
/// summing `n = dim + 1` products in IEEE single precision, in any order, with or without fused operations, moves a
/// score by at most `(n + 3) u (2 |a| |b| + |b|^2)` to first order, with `u = 2^-24`: less than `k (2 |a| + d)^2`, with
/// `k = (n + 8) u`, plus what vanishes below the smallest normal number. So a row whose score exceeds `d^2 - |a|^2` by
/// more than that is farther than `d`, however far the rest of the data lies.
///
/// Rows in a ball around `c` of radius `r` are farther than `d` where `c` is farther than `d + r`: the same bound with
/// that in place of `d`, a polynomial in `r`.
#[derive(Clone, Copy, Debug)]
struct Reach {
    constant: f64,
    linear: f64,
    quadratic: f64,
}

/// How far rounding may move a score: the bound above for a query of a `length` and rows at a `distance`.
fn rounding(dim: usize, length: f64, distance: f64) -> f64 {
    let vanishing = 8.0 * (dim + 9) as f64 * f64::from(f32::MIN_POSITIVE) * (1.0 + length);
    share(dim) * (2.0 * length + distance).powi(2) + vanishing
}

/// `k` of the bound above, and one rounding more.
fn share(dim: usize) -> f64 {
    (dim + 9) as f64 * f64::from(f32::EPSILON) / 2.0
}

impl Reach {
    /// For a query of a `length`, and the `square` of the distance, both in the frame.
    fn new(dim: usize, length: f64, square: f64) -> Self {
        let distance = square.sqrt();
        Self {
            constant: square - length * length + rounding(dim, length, distance),
            linear: 2.0 * (distance + share(dim) * (2.0 * length + distance)),
            quadratic: 1.0 + share(dim),
        }
    }

    /// Whether a row with this score may be as near.
    fn admits(&self, score: f32) -> bool {
        let beyond = f64::from(score) > self.constant;
        // Said this way round, because infinite lengths give a bound that is not a number.
        !beyond
    }

    /// Whether a ball may hold such a row, by its centre's score.
    fn admits_ball(&self, score: f32, radius: f64) -> bool {
        let beyond = f64::from(score) > self.constant + radius * (self.linear + radius * self.quadratic);
        !beyond
    }
}

/// A query, and the nearest row found so far.
struct Target<'a> {
    numbers: [&'a [f32]; 2],
    /// In the frame, in double precision; infinite where single precision cannot hold it.
    length: f64,
    hidden: Range<usize>,
    best: Nearest,
    /// As far as `best`.
    reach: Reach,
}

/// Queries searched together. Beyond what it holds for each of them a search needs four bytes for each 16,384 rows.
pub(super) struct Block<'a> {
    index: &'a NearestIndex<'a>,
    targets: Vec<Target<'a>>,
    /// The queries times -2 (`[block, dim]`), in the frame.
    factors: Vec<f32>,
}

impl<'a> Block<'a> {
    /// The queries `block`, each of which does not see the rows `hidden(query)`.
    pub(super) fn new(
        index: &'a NearestIndex<'a>,
        queries: &Columns<'a>,
        block: Range<usize>,
        hidden: &impl Fn(usize) -> Range<usize>,
    ) -> Self {
        let (dim, frame) = (index.data.dim(), &index.frame);
        let mut factors = Vec::with_capacity(block.len() * dim);
        let target = |query: usize| {
            let length = frame.coordinates(queries, query).map(|v| v * v).sum::<f64>().sqrt();
            let held = length < FARTHEST;
            factors.extend(frame.coordinates(queries, query).map(|v| if held { (-2.0 * v) as f32 } else { 0.0 }));
            let length = if held { length } else { f64::INFINITY };
            Target {
                numbers: queries.row(query),
                length,
                hidden: hidden(query),
                best: Nearest { row: 0, squared_distance: f64::INFINITY },
                reach: Reach::new(dim, length, f64::INFINITY),
            }
        };
        let targets = block.map(target).collect();
        Self { index, targets, factors }
    }

    /// The nearest row to each query.
    pub(super) fn search(mut self) -> Result<Vec<Nearest>> {
        let least_of_centres = self.begin();
        match &self.index.tensors {
            Some(tensors) => self.by_device(tensors)?,
            None => self.by_kernel(&least_of_centres),
        }
        Ok(self.targets.into_iter().map(|target| target.best).collect())
    }

    /// Looks where each query's nearest row may well be: among the rows around the nearest centre.
    ///
    /// Returns the least scores of centres, for each segment (as many chunks as rows in a chunk) those of all queries.
    fn begin(&mut self) -> Vec<f32> {
        let centres = &self.index.balls.centres;
        let (queries, dim) = (self.targets.len(), self.index.data.dim());
        let all: Vec<u32> = (0..queries as u32).collect();
        let mut least = vec![0.0; centres.chunks() * queries];
        for (segment, least) in least.chunks_exact_mut(queries).enumerate() {
            kernel::least(centres.chunk(segment), &self.factors, dim, &all, least);
        }
        let mut scores = [0.0; CHUNK];
        let lowest =
            |of: &dyn Fn(usize) -> f32, count: usize| (0..count).min_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(0);
        for query in 0..queries {
            let segment = lowest(&|segment| least[segment * queries + query], centres.chunks());
            kernel::scores(centres.chunk(segment), self.factors_of(query), &mut scores);
            let place = lowest(&|place| scores[place], centres.rows_of(segment));
            self.visit(query, segment * CHUNK + place);
        }
        least
    }

    /// Rules out segments and chunks by their balls, then chunks by the least score of their rows.
    fn by_kernel(&mut self, least_of_centres: &[f32]) {
        let Balls { centres, radii } = &self.index.balls;
        let (rows, dim, queries) = (&self.index.rows, self.index.data.dim(), self.targets.len());
        let mut scores = [0.0; CHUNK];
        let mut asking: Vec<Vec<u32>> = vec![Vec::new(); CHUNK];
        let mut least = vec![0.0; queries];
        for (segment, least_of_centres) in least_of_centres.chunks_exact(queries).enumerate() {
            let radii = &radii[segment * CHUNK..][..centres.rows_of(segment)];
            let widest = radii.iter().copied().fold(0.0, f64::max);
            for (query, target) in self.targets.iter().enumerate() {
                if !target.reach.admits_ball(least_of_centres[query], widest) {
                    continue;
                }
                kernel::scores(centres.chunk(segment), self.factors_of(query), &mut scores);
                for ((score, radius), asking) in scores.iter().zip(radii).zip(&mut asking) {
                    if target.reach.admits_ball(*score, *radius) {
                        asking.push(query as u32);
                    }
                }
            }
            for (place, asking) in asking.iter_mut().enumerate().filter(|(_, asking)| !asking.is_empty()) {
                let chunk = segment * CHUNK + place;
                let least = &mut least[..asking.len()];
                kernel::least(rows.chunk(chunk), &self.factors, dim, asking, least);
                for (query, least) in asking.drain(..).zip(least) {
                    if self.targets[query as usize].reach.admits(*least) {
                        self.visit(query as usize, chunk);
                    }
                }
            }
        }
    }

    /// Rules out chunks by the least score of their rows, which a device finds for all chunks.
    ///
    /// Fails where the device's scores and the kernel's, found again for each chunk that is visited, are farther apart
    /// than rounding explains: a device that multiplies with fewer digits (TF32) would rule out too much.
    fn by_device(&mut self, tensors: &Mutex<Tensors>) -> Result<()> {
        // Held for one product at a time: meanwhile other threads decide what theirs left.
        let tensors = || tensors.lock().unwrap_or_else(PoisonError::into_inner);
        let dim = self.index.data.dim();
        let factors = tensors().of_queries(&self.factors, dim)?;
        let (chunks, queries) = (self.index.rows.chunks(), self.targets.len());
        for start in (0..chunks).step_by(CHUNK) {
            let segment = start..chunks.min(start + CHUNK);
            let least = tensors().least(segment.clone(), &factors)?;
            for (chunk, least) in segment.zip(least.chunks_exact(queries)) {
                for (query, &least) in least.iter().enumerate() {
                    if !self.targets[query].reach.admits(least) {
                        continue;
                    }
                    let ours = self.visit(query, chunk);
                    // Rows are at most 1 long in the frame.
                    let allowed = 2.0 * rounding(dim, self.targets[query].length, 1.0);
                    if (f64::from(least) - f64::from(ours)).abs() > allowed {
                        let why = format!("{least} where single precision gives {ours}: is TF32 allowed?");
                        return Err(Error::invalid(format!("scores by {:?}", tensors().device()), why));
                    }
                }
            }
        }
        Ok(())
    }

    fn factors_of(&self, query: usize) -> &[f32] {
        let dim = self.index.data.dim();
        &self.factors[query * dim..][..dim]
    }

    /// Evaluates exactly the rows of a chunk whose scores admit it. Returns the least score.
    fn visit(&mut self, query: usize, chunk: usize) -> f32 {
        let index = self.index;
        let mut scores = [0.0; CHUNK];
        kernel::scores(index.rows.chunk(chunk), self.factors_of(query), &mut scores);
        let rows = &index.order[chunk * CHUNK..][..index.rows.rows_of(chunk)];
        let target = &mut self.targets[query];
        for (&row, &score) in rows.iter().zip(&scores) {
            let row = row as usize;
            if !target.reach.admits(score) || target.hidden.contains(&row) {
                continue;
            }
            let squared_distance = squared_distance(target.numbers, index.data.row(row), &index.weights);
            let best = &mut target.best;
            if squared_distance < best.squared_distance {
                target.reach = Reach::new(index.data.dim(), target.length, index.frame.squared(squared_distance));
                *best = Nearest { row, squared_distance };
            } else if squared_distance == best.squared_distance {
                // Of equally near rows the lowest, in whatever order they are seen.
                best.row = best.row.min(row);
            }
        }
        scores.into_iter().fold(f32::INFINITY, f32::min)
    }
}

#[cfg(test)]
mod tests {
    use replay::{Seed, fill_normal};

    use super::*;
    use crate::eval::SearchOptions;

    fn normal(seed: u64, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        fill_normal(&mut Seed::new(seed).rng(), &mut values);
        values
    }

    #[test]
    fn scores_are_within_their_bound_and_distances_within_their_reach() {
        let data: Vec<f32> = normal(0, 1000 * 11).into_iter().map(|v| v + 50.0).collect();
        let queries: Vec<f32> = normal(1, 40 * 11).into_iter().map(|v| 50.0 + 3.0 * v).collect();
        let index = NearestIndex::new(&data, 11, Some(&[2.0; 11]), SearchOptions::default()).unwrap();
        let queries = Columns::new("queries", [&queries, &[]], [11, 0]).unwrap();
        let block = Block::new(&index, &queries, 10..40, &|_| 0..0);
        let (mut rows, mut centres) = ([0.0; CHUNK], [0.0; CHUNK]);
        for (query, target) in block.targets.iter().enumerate() {
            let a: Vec<f64> = index.frame.coordinates(&queries, 10 + query).collect();
            kernel::scores(index.balls.centres.chunk(0), block.factors_of(query), &mut centres);
            for chunk in 0..index.rows.chunks() {
                kernel::scores(index.rows.chunk(chunk), block.factors_of(query), &mut rows);
                for (place, &found) in rows[..index.rows.rows_of(chunk)].iter().enumerate() {
                    let row = index.order[chunk * CHUNK + place] as usize;
                    let b: Vec<f64> = index.frame.coordinates(&index.data, row).collect();
                    let score: f64 = b.iter().zip(&a).map(|(b, a)| b * b - 2.0 * a * b).sum();
                    let bound = rounding(11, target.length, 1.0);
                    assert!((f64::from(found) - score).abs() <= bound, "{found} but {score}");
                    let exact = squared_distance(target.numbers, index.data.row(row), &index.weights);
                    let reach = |share: f64| Reach::new(11, target.length, index.frame.squared(share * exact));
                    assert!(
                        reach(1.0).admits(found) && reach(1.0).admits_ball(centres[chunk], index.balls.radii[chunk])
                    );
                    assert!(!reach(0.99).admits(found), "the bound is tight enough to be of use");
                    assert!(reach(f64::INFINITY).admits(found));
                }
            }
        }
    }

    #[test]
    fn balls_far_away_are_ruled_out() {
        // Sixteen places on a line: a query near one of them needs its chunk only.
        let data: Vec<f32> = normal(2, 16 * CHUNK * 3).chunks(3).enumerate().flat_map(place).collect();
        fn place((row, noise): (usize, &[f32])) -> [f32; 3] {
            [(row % 16) as f32 + 0.01 * noise[0], 0.01 * noise[1], 0.01 * noise[2]]
        }
        let index = NearestIndex::new(&data, 3, None, SearchOptions::default()).unwrap();
        let queries = Columns::new("queries", [&[5.02, 0.01, 0.0], &[]], [3, 0]).unwrap();
        let mut block = Block::new(&index, &queries, 0..1, &|_| 0..0);
        block.begin();
        let mut scores = [0.0; CHUNK];
        kernel::scores(index.balls.centres.chunk(0), block.factors_of(0), &mut scores);
        let reach = block.targets[0].reach;
        let admitted =
            scores.iter().zip(&index.balls.radii).filter(|(score, radius)| reach.admits_ball(**score, **radius));
        assert_eq!(admitted.count(), 1);
    }

    #[test]
    fn nothing_is_ruled_out_for_queries_out_of_range() {
        let reach = Reach::new(1, f64::INFINITY, 1.0);
        assert!(
            [f32::MIN, 0.0, f32::MAX].into_iter().all(|score| reach.admits(score) && reach.admits_ball(score, 0.1))
        );
    }
}
