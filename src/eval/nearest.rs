//! Exact nearest neighbours of many rows among many rows.
//!
//! Single precision screens all pairs (see the `screen` module); an error bound says which of them could hide the true
//! nearest row, and those are evaluated in double precision. The answer is that of a double-precision search over all
//! pairs.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::screen::{CHUNK, Frame, Screen};
use super::{Error, Result};

/// Queries that a thread screens together.
const QUERIES: usize = 1024;

/// The nearest row to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// The row; the lowest of equally near ones.
    pub row: usize,
    /// Squared (weighted) L2 distance to it.
    pub squared_distance: f64,
}

/// Rows made of two groups of columns that are stored apart, such as observations and actions; the second may have
/// no columns.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    groups: [&'a [f32]; 2],
    dims: [usize; 2],
    rows: usize,
}

impl<'a> Columns<'a> {
    /// Rows of `dims[0] + dims[1]` finite numbers; `what` names them in errors.
    pub(super) fn new(what: &str, groups: [&'a [f32]; 2], dims: [usize; 2]) -> Result<Self> {
        let mut rows = None;
        for (values, dim) in groups.into_iter().zip(dims) {
            if dim == 0 && values.is_empty() {
                continue;
            }
            if dim == 0 || values.len() % dim != 0 || rows.is_some_and(|r| r != values.len() / dim) {
                let why = format!(
                    "{} numbers are not {} of {dim}",
                    values.len(),
                    rows.map_or("rows".into(), |r| format!("{r} rows"))
                );
                return Err(Error::invalid(what, why));
            }
            if let Some(bad) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::invalid(
                    format!("{what}, row {}", bad / dim),
                    format!("{} is not finite", values[bad]),
                ));
            }
            rows = Some(values.len() / dim);
        }
        match rows {
            Some(rows) => Ok(Self { groups, dims, rows }),
            None => Err(Error::invalid(what, "has no columns")),
        }
    }

    /// Rows held.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub(super) fn dim(&self) -> usize {
        self.dims[0] + self.dims[1]
    }

    /// Row `index`, as its two groups.
    fn row(&self, index: usize) -> [&'a [f32]; 2] {
        [0, 1].map(|g| &self.groups[g][index * self.dims[g]..][..self.dims[g]])
    }

    /// The numbers of row `index`.
    pub(super) fn numbers(&self, index: usize) -> impl Iterator<Item = f64> {
        let [left, right] = self.row(index);
        left.iter().chain(right).map(|&v| f64::from(v))
    }
}

/// The exact nearest row of `data` (`[N, dim]`, row-major) for each row of `queries` (`[Q, dim]`).
///
/// With `weights` (`[dim]`), squared differences of each dimension are multiplied by its weight. Fails where sizes do
/// not fit, a number is not finite, a weight is not positive, or `data` has no row.
pub fn nearest(data: &[f32], queries: &[f32], dim: usize, weights: Option<&[f64]>) -> Result<Vec<Nearest>> {
    let data = Columns::new("data to search", [data, &[]], [dim, 0])?;
    let queries = Columns::new("queries", [queries, &[]], [dim, 0])?;
    let ones = vec![1.0; dim];
    search(&data, &queries, weights.unwrap_or(&ones), |_| 0..0)
}

/// Squared weighted distance, in double precision: what "exact" means here.
fn squared_distance(a: [&[f32]; 2], b: [&[f32]; 2], weights: &[f64]) -> f64 {
    let (left, right) = weights.split_at(a[0].len());
    let mut sum = 0.0;
    for (group, weights) in [left, right].into_iter().enumerate() {
        for ((&x, &y), w) in a[group].iter().zip(b[group]).zip(weights) {
            let difference = f64::from(x) - f64::from(y);
            sum += w * difference * difference;
        }
    }
    sum
}

/// [`nearest`] of rows in two groups, where query `q` does not see the rows `hidden(q)`.
///
/// A query from which every row is hidden is infinitely far from its "nearest" row 0.
pub(super) fn search(
    data: &Columns<'_>,
    queries: &Columns<'_>,
    weights: &[f64],
    hidden: impl Fn(usize) -> Range<usize> + Sync,
) -> Result<Vec<Nearest>> {
    if data.rows == 0 {
        return Err(Error::invalid("data to search", "has no row"));
    }
    if data.dims != queries.dims || weights.len() != data.dim() {
        let why =
            format!("queries of {:?} columns and {} weights for data of {:?}", queries.dims, weights.len(), data.dims);
        return Err(Error::invalid("nearest neighbours", why));
    }
    if let Some(bad) = weights.iter().find(|w| !(**w > 0.0 && w.is_finite())) {
        return Err(Error::invalid("weights of dimensions", format!("{bad} is not positive and finite")));
    }
    let frame = Frame::new(data, weights);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let block = queries.rows.div_ceil(threads).clamp(1, QUERIES);
    let starts = Mutex::new((0..queries.rows).step_by(block));
    let work = || {
        let mut found = Vec::new();
        loop {
            // A name for the block, so that the lock is not held while it is searched.
            let next = starts.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(start) = next else { return found };
            let block = start..queries.rows.min(start + block);
            let screen = Screen::new(data, queries, block.clone(), &frame);
            let resolve = |query| resolve(&screen, data, queries, query, weights, hidden(query));
            found.push((start, block.map(resolve).collect::<Vec<Nearest>>()));
        }
    };
    let mut blocks: Vec<(usize, Vec<Nearest>)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|h| h.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))).collect()
    });
    blocks.sort_unstable_by_key(|(start, _)| *start);
    Ok(blocks.into_iter().flat_map(|(_, found)| found).collect())
}

/// The exact answer for one query: the chunk with the lowest score, then every other that could hold a nearer row.
fn resolve(
    screen: &Screen,
    data: &Columns<'_>,
    queries: &Columns<'_>,
    query: usize,
    weights: &[f64],
    hidden: Range<usize>,
) -> Nearest {
    let target = queries.row(query);
    let mut best = Nearest { row: 0, squared_distance: f64::INFINITY };
    let visit = |chunk: usize, best: &mut Nearest| {
        for row in (chunk * CHUNK..data.rows.min((chunk + 1) * CHUNK)).filter(|r| !hidden.contains(r)) {
            let squared_distance = squared_distance(target, data.row(row), weights);
            let nearer = squared_distance < best.squared_distance;
            if nearer || (squared_distance == best.squared_distance && row < best.row) {
                *best = Nearest { row, squared_distance };
            }
        }
    };
    let promising = screen.most_promising(query);
    visit(promising, &mut best);
    for chunk in (0..screen.chunks()).filter(|&c| c != promising) {
        if screen.may_hold(query, chunk, best.squared_distance) {
            visit(chunk, &mut best);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;
    use replay::{Seed, fill_normal};

    use super::*;

    /// All pairs in double precision.
    fn brute_force(data: &[f32], queries: &[f32], dim: usize, weights: &[f64]) -> Vec<Nearest> {
        let distance = |a: &[f32], b: &[f32]| -> f64 {
            let squares = a.iter().zip(b).zip(weights).map(|((&x, &y), w)| w * (f64::from(x) - f64::from(y)).powi(2));
            squares.sum()
        };
        let nearest_to = |query: &[f32]| {
            let mut best = Nearest { row: 0, squared_distance: f64::INFINITY };
            for (row, candidate) in data.chunks_exact(dim).enumerate() {
                let squared_distance = distance(query, candidate);
                if squared_distance < best.squared_distance {
                    best = Nearest { row, squared_distance };
                }
            }
            best
        };
        queries.chunks_exact(dim).map(nearest_to).collect()
    }

    #[track_caller]
    fn assert_exact(data: &[f32], queries: &[f32], dim: usize, weights: Option<&[f64]>) {
        let expected = brute_force(data, queries, dim, weights.unwrap_or(&vec![1.0; dim]));
        let found = nearest(data, queries, dim, weights).unwrap();
        assert_eq!(found.len(), expected.len());
        for (query, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.row, expected.row, "query {query}: {found:?} but {expected:?}");
            let error = (found.squared_distance - expected.squared_distance).abs();
            assert!(error <= 1e-13 * expected.squared_distance, "query {query}: {found:?} but {expected:?}");
        }
    }

    fn normal(seed: u64, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        fill_normal(&mut Seed::new(seed).rng(), &mut values);
        values
    }

    #[test]
    fn agrees_with_brute_force_on_2000_by_2000() {
        let (data, queries) = (normal(0, 2000 * 23), normal(1, 2000 * 23));
        assert_exact(&data, &queries, 23, None);
        let weights: Vec<f64> = (0..23).map(|i| 10_f64.powi(i % 7 - 3)).collect();
        assert_exact(&data, &queries, 23, Some(&weights));
    }

    #[test]
    fn duplicates_give_the_lowest_row_and_no_distance() {
        // Every row stands six times, in scattered places, and half of the queries are rows.
        let distinct = normal(2, 333 * 6);
        let data: Vec<f32> = distinct.iter().copied().cycle().take(1998 * 6).collect();
        let mut queries = distinct[..200 * 6].to_vec();
        queries.extend(normal(3, 200 * 6));
        assert_exact(&data, &queries, 6, None);
        let found = nearest(&data, &queries, 6, None).unwrap();
        assert!(found[..200].iter().enumerate().all(|(i, n)| *n == Nearest { row: i, squared_distance: 0.0 }));
    }

    #[test]
    fn rounding_far_from_the_centre_hides_nothing() {
        // Two tight clouds far apart: the mean is far from both, and |a|^2 + |b|^2 - 2 a b in single precision is off by
        // more than the distances inside a cloud.
        let (mut data, mut queries) = (normal(4, 2000 * 5), normal(5, 2000 * 5));
        for values in [&mut data, &mut queries] {
            for (i, v) in values.iter_mut().enumerate() {
                *v = if (i / 5) % 2 == 0 { 1000.0 } else { -3000.0 } + 0.01 * *v;
            }
        }
        assert_exact(&data, &queries, 5, None);
        // One row so far away that it decides the scale of all others.
        data[7] = 3e18;
        queries[12] = -1e19;
        assert_exact(&data, &queries, 5, None);
    }

    #[test]
    fn extreme_sizes_stay_exact() {
        for scale in [1e-30_f32, 1e-18, 1e18] {
            let scaled = |seed| normal(seed, 700 * 3).iter().map(|v| v * scale).collect::<Vec<f32>>();
            assert_exact(&scaled(6), &scaled(7), 3, None);
        }
        // Queries beyond what the data's scale can hold in single precision.
        let tiny: Vec<f32> = normal(8, 300 * 3).iter().map(|v| v * 1e-30).collect();
        assert_exact(&tiny, &normal(9, 50 * 3), 3, None);
        let large: Vec<f32> = normal(9, 50 * 3).iter().map(|v| v * 1e30).collect();
        assert_exact(&tiny, &large, 3, None);
        assert_exact(&[2.0; 12], &[2.5, 2.0, 2.0], 3, None);
    }

    #[test]
    fn hidden_rows_are_not_found() {
        let data = normal(10, 600 * 4);
        let columns = Columns::new("rows", [&data, &[]], [4, 0]).unwrap();
        let found = search(&columns, &columns, &[1.0; 4], |row| row..row + 1).unwrap();
        for (row, found) in found.iter().enumerate() {
            let mut others = data.clone();
            others[row * 4] = 1e6;
            let expected = brute_force(&others, &data[row * 4..][..4], 4, &[1.0; 4])[0];
            assert_eq!(found.row, expected.row);
            assert!((found.squared_distance - expected.squared_distance).abs() <= 1e-13 * expected.squared_distance);
        }
        let alone = search(&columns, &columns, &[1.0; 4], |_| 0..600).unwrap();
        assert!(alone.iter().all(|n| n.squared_distance == f64::INFINITY));
    }

    #[test]
    fn two_groups_of_columns_are_one_row() {
        let (left, right, whole) = {
            let (left, right) = (normal(11, 500 * 3), normal(12, 500 * 2));
            let rows = left.chunks_exact(3).zip(right.chunks_exact(2));
            let whole: Vec<f32> = rows.flat_map(|(l, r)| l.iter().chain(r).copied()).collect();
            (left, right, whole)
        };
        let data = Columns::new("rows", [&left[..1200], &right[..800]], [3, 2]).unwrap();
        let queries = Columns::new("rows", [&left[1200..], &right[800..]], [3, 2]).unwrap();
        let found = search(&data, &queries, &[1.0; 5], |_| 0..0).unwrap();
        assert_eq!(found, nearest(&whole[..2000], &whole[2000..], 5, None).unwrap());
    }

    #[test]
    fn bad_input_is_named() {
        let message = |r: Result<Vec<Nearest>>| r.unwrap_err().to_string();
        assert_eq!(message(nearest(&[1.0; 5], &[1.0; 4], 2, None)), "data to search: 5 numbers are not rows of 2");
        assert_eq!(message(nearest(&[1.0; 4], &[1.0, f32::NAN], 2, None)), "queries, row 0: NaN is not finite");
        assert_eq!(message(nearest(&[], &[1.0, 2.0], 2, None)), "data to search: has no row");
        assert!(message(nearest(&[1.0], &[1.0], 1, Some(&[0.0]))).contains("not positive"));
        assert!(message(nearest(&[1.0], &[1.0], 1, Some(&[1.0, 1.0]))).contains("2 weights"));
        assert_eq!(nearest(&[1.0], &[], 1, None).unwrap(), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn always_agrees_with_brute_force(
            seed in 0_u64..1000, rows in 1_usize..700, queries in 1_usize..40, dim in 1_usize..9,
            centre in prop::sample::select(vec![0.0_f32, 1.0, 300.0, -1e5]), spread in prop::sample::select(vec![1e-3_f32, 1.0, 40.0]),
            steps in prop::sample::select(vec![0.0_f32, 0.5, 2.0]),
        ) {
            // Rounded to steps, many rows and many distances are equal.
            let place = |v: f32| centre + spread * if steps > 0.0 { (v / steps).round() * steps } else { v };
            let data: Vec<f32> = normal(seed, rows * dim).into_iter().map(place).collect();
            let mut asked: Vec<f32> = normal(seed + 1, queries * dim).into_iter().map(place).collect();
            let mut rng = Seed::new(seed).fork("copies", 0).rng();
            let copied = rng.random_range(0..rows);
            asked.extend_from_slice(&data[copied * dim..][..dim]);
            assert_exact(&data, &asked, dim, None);
        }
    }
}
