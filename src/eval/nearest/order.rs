//! An order of rows in which those of a chunk lie near one another.

use super::Columns;

/// Rows by whose spread a cut's dimension is chosen.
const SAMPLE: usize = 256;
/// Parts with fewer rows are not worth a thread.
const ROWS_A_THREAD: usize = 1 << 15;

/// All rows of `data`, those of a k-d tree's leaves in a row: each part is cut in half, at a multiple of `chunk` rows,
/// across the dimension in which a sample of it varies most (in weighted units). The same whatever the `threads`.
pub(super) fn order(data: &Columns<'_>, weights: &[f64], chunk: usize, threads: usize) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..data.rows() as u32).collect();
    cut(data, weights, chunk, threads, &mut rows);
    rows
}

fn cut(data: &Columns<'_>, weights: &[f64], chunk: usize, threads: usize, rows: &mut [u32]) {
    if rows.len() <= chunk {
        return;
    }
    let dim = widest(data, weights, rows);
    // Keys beside their rows: selection then reads memory in order.
    let mut keyed: Vec<(f32, u32)> = rows.iter().map(|&row| (data.number(row as usize, dim), row)).collect();
    let middle = rows.len().div_ceil(chunk) / 2 * chunk;
    keyed.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    rows.iter_mut().zip(keyed).for_each(|(row, (_, chosen))| *row = chosen);
    let (left, right) = rows.split_at_mut(middle);
    if threads > 1 && left.len() >= ROWS_A_THREAD {
        std::thread::scope(|scope| {
            scope.spawn(|| cut(data, weights, chunk, threads / 2, left));
            cut(data, weights, chunk, threads - threads / 2, right);
        });
    } else {
        cut(data, weights, chunk, 1, left);
        cut(data, weights, chunk, 1, right);
    }
}

/// The dimension in which a sample of `rows` has the greatest weighted variance.
fn widest(data: &Columns<'_>, weights: &[f64], rows: &[u32]) -> usize {
    let step = rows.len().div_ceil(SAMPLE);
    let (mut sums, mut squares, mut count) = (vec![0.0; weights.len()], vec![0.0; weights.len()], 0.0);
    // Around one of the rows, squares do not drown in a large offset.
    let origin: Vec<f64> = data.numbers(rows[0] as usize).collect();
    for &row in rows.iter().step_by(step) {
        count += 1.0;
        for (dim, (value, origin)) in data.numbers(row as usize).zip(&origin).enumerate() {
            sums[dim] += value - origin;
            squares[dim] += (value - origin).powi(2);
        }
    }
    let variance = |dim: usize| weights[dim] * (squares[dim] / count - (sums[dim] / count).powi(2));
    (0..weights.len()).max_by(|&a, &b| variance(a).total_cmp(&variance(b))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use replay::{Seed, fill_normal};

    use super::*;

    #[test]
    fn every_row_is_there_once_and_threads_change_nothing() {
        let mut values = vec![0.0; 70_001 * 3];
        fill_normal(&mut Seed::new(0).rng(), &mut values);
        let data = Columns::new("rows", [&values, &[]], [3, 0]).unwrap();
        let rows = order(&data, &[1.0; 3], 128, 1);
        assert_eq!(rows, order(&data, &[1.0; 3], 128, 5));
        let mut sorted = rows;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..70_001));
    }

    #[test]
    fn leaves_are_tight_where_the_data_varies() {
        // A line of 1,024 places, shuffled, with small noise beside it: each leaf is a stretch of an eighth of it. Where
        // noise is weighted most, it is what the leaves divide.
        let mut noise = vec![0.0; 1024];
        fill_normal(&mut Seed::new(1).rng(), &mut noise);
        let values: Vec<f32> = (0..1024).flat_map(|i| [noise[i] * 1e-3, (i * 619 % 1024) as f32 + 1e4]).collect();
        let data = Columns::new("rows", [&values, &[]], [2, 0]).unwrap();
        let width = |weights: [f64; 2], dim: usize| {
            let rows = order(&data, &weights, 128, 1);
            let leaves = rows.chunks(128).map(|leaf| {
                let along = || leaf.iter().map(|&row| data.number(row as usize, dim));
                along().fold(f32::MIN, f32::max) - along().fold(f32::MAX, f32::min)
            });
            leaves.fold(0.0, f32::max)
        };
        assert_eq!(width([1.0; 2], 1), 127.0);
        assert!(width([1e12, 1.0], 1) > 512.0 && width([1e12, 1.0], 0) < width([1.0; 2], 0));
    }
}
