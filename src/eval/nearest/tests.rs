//! The search against all pairs in double precision.

use std::num::NonZeroUsize;
use std::ops::Range;

use proptest::prelude::*;
use rand::RngExt;
use replay::{Seed, fill_normal};
use tch::Device;

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

/// A search of rows in two groups, some of them hidden, by the kernel and by tensors: both must find the same.
fn search(
    data: &Columns<'_>,
    queries: &Columns<'_>,
    weights: &[f64],
    hidden: impl Fn(usize) -> Range<usize> + Sync,
) -> Result<Vec<Nearest>> {
    let found = NearestIndex::of(*data, weights, SearchOptions::default())?.search_unseen(queries, &hidden)?;
    assert_eq!(found, NearestIndex::build(*data, weights, None, Some(Device::Cpu))?.search_unseen(queries, &hidden)?);
    Ok(found)
}

fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut values = vec![0.0; count];
    fill_normal(&mut Seed::new(seed).rng(), &mut values);
    values
}

/// Rows of `dim` numbers that follow five factors, and a little noise of each number's own.
fn correlated(seed: u64, rows: usize, dim: usize) -> Vec<f32> {
    let loadings = normal(99, 5 * dim);
    let (factors, noise) = (normal(seed, 5 * rows), normal(seed + 1, rows * dim));
    let value = |i: usize| {
        let (row, column) = (i / dim, i % dim);
        (0..5).map(|f| factors[5 * row + f] * loadings[5 * column + f]).sum::<f32>() + 0.1 * noise[i]
    };
    (0..rows * dim).map(value).collect()
}

#[test]
fn agrees_with_brute_force_on_10000_rows() {
    const ROWS: usize = 10_000;
    let agrees = |data: &[f32], queries: &[f32]| {
        assert_exact(data, queries, 23, None);
        let weights: Vec<f64> = (0..23).map(|i| 10_f64.powi(i % 7 - 3)).collect();
        assert_exact(data, &queries[..23 * 200], 23, Some(&weights));
    };
    let data = normal(0, ROWS * 23);
    agrees(&data, &normal(1, 2_000 * 23));
    // Data in few directions, queries beside it and rows of it.
    let data = correlated(2, ROWS, 23);
    let mut beside = data[..600 * 23].to_vec();
    beside[..500 * 23].iter_mut().zip(normal(4, 500 * 23)).for_each(|(v, noise)| *v += 0.05 * noise);
    agrees(&data, &beside);
    // A spread of the size of single precision's steps at this offset, so that most numbers are equal to others.
    let far = |seed, rows| normal(seed, rows * 23).into_iter().map(|v| 1e4 + 1e-3 * v).collect::<Vec<f32>>();
    agrees(&far(5, ROWS), &far(6, 500));
    // Every row ten times, far apart.
    let repeated: Vec<f32> = data[..1_000 * 23].iter().copied().cycle().take(ROWS * 23).collect();
    agrees(&repeated, &[&data[..300 * 23], &normal(7, 200 * 23)].concat());
}

#[test]
fn agrees_with_brute_force_for_odd_numbers_of_columns_and_rows() {
    for (dim, rows) in [(1, 10_000), (3, 4_999), (17, 10_001), (24, 127), (31, 129), (64, 3_000)] {
        assert_exact(&normal(dim as u64, rows * dim), &normal(100, 301 * dim), dim, None);
        assert_exact(&correlated(dim as u64, rows, dim), &correlated(200, 301, dim), dim, None);
    }
}

#[test]
fn neither_threads_nor_tensors_change_what_is_found() {
    let (data, queries) = (correlated(0, 20_000, 23), correlated(8, 3_000, 23));
    let columns = Columns::new("data", [&data, &[]], [23, 0]).unwrap();
    let expected = nearest(&data, &queries, 23, None).unwrap();
    for threads in [1, 3, 7] {
        for device in [None, Some(Device::Cpu)] {
            let index = NearestIndex::build(columns, &[1.0; 23], NonZeroUsize::new(threads), device).unwrap();
            assert_eq!(index.search(&queries).unwrap(), expected);
        }
    }
}

#[test]
fn a_device_that_multiplies_with_fewer_digits_is_found_out() {
    let data = normal(0, 5_000 * 23);
    let columns = Columns::new("data", [&data, &[]], [23, 0]).unwrap();
    let mut index = NearestIndex::build(columns, &[1.0; 23], None, Some(Device::Cpu)).unwrap();
    let truncated = index.tensors.as_ref().unwrap().lock().unwrap().truncated();
    index.tensors = Some(truncated.into());
    let error = index.search(&normal(1, 10 * 23)).unwrap_err();
    assert!(error.to_string().contains("is TF32 allowed?"), "{error}");
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
