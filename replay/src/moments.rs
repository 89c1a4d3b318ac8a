//! Means and deviations of columns of numbers.

/// Mean and (population) standard deviation of each of `dim` columns over `rows`, in two passes in f64; zeros for no rows.
///
/// ```
/// let values = [1.0, 7.0, 3.0, 7.0];
/// assert_eq!(replay::column_moments(2, values.chunks(2)), (vec![2.0, 7.0], vec![1.0, 0.0]));
/// ```
pub fn column_moments<'a>(dim: usize, rows: impl Iterator<Item = &'a [f32]> + Clone) -> (Vec<f64>, Vec<f64>) {
    let (mut count, mut means, mut squares) = (0usize, vec![0.0; dim], vec![0.0; dim]);
    for row in rows.clone() {
        count += 1;
        means.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    let count = count.max(1) as f64;
    means.iter_mut().for_each(|mean| *mean /= count);
    for row in rows {
        for ((sum, &v), mean) in squares.iter_mut().zip(row).zip(&means) {
            *sum += (f64::from(v) - mean).powi(2);
        }
    }
    squares.iter_mut().for_each(|square| *square = (*square / count).sqrt());
    (means, squares)
}

/// Brings rows of as many numbers as `mean` has into units in which `mean` is 0 and `std` is 1, in place: each number less
/// its column's mean, divided by its column's deviation.
///
/// # Panics
/// If there are not as many deviations as means, or `values` are not whole rows.
///
/// ```
/// let mut values = [1.0, 7.0, 3.0, 8.0];
/// replay::standardise(&mut values, &[2.0, 7.0], &[1.0, 0.5]);
/// assert_eq!(values, [-1.0, 0.0, 1.0, 2.0]);
/// ```
pub fn standardise(values: &mut [f32], mean: &[f32], std: &[f32]) {
    assert!(
        mean.len() == std.len() && values.len().is_multiple_of(mean.len().max(1)),
        "rows of {} numbers",
        mean.len()
    );
    if mean.is_empty() {
        return;
    }
    // Several rows at once: few widths of a row are multiples of what a processor does in one go.
    const ROWS: usize = 16;
    let (mean, std) = (mean.repeat(ROWS), std.repeat(ROWS));
    for rows in values.chunks_mut(mean.len()) {
        rows.iter_mut().zip(&mean).zip(&std).for_each(|((value, mean), std)| *value = (*value - mean) / std);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_agree_with_plain_ones(values in prop::collection::vec(-1e3_f32..1e3, 2..40)) {
            let rows: Vec<f32> = values.iter().flat_map(|&v| [v, 7.0 - 2.0 * v]).collect();
            let (means, deviations) = column_moments(2, rows.chunks(2));
            for column in 0..2 {
                let plain: Vec<f64> = rows.iter().skip(column).step_by(2).map(|&v| f64::from(v)).collect();
                let mean = plain.iter().sum::<f64>() / plain.len() as f64;
                let variance = plain.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / plain.len() as f64;
                prop_assert!((means[column] - mean).abs() < 1e-9);
                prop_assert!((deviations[column] - variance.sqrt()).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn any_number_of_rows_is_brought_into_units() {
        for rows in [0, 1, 15, 16, 17, 40] {
            let mut values: Vec<f32> = (0..3 * rows).map(|v| v as f32).collect();
            standardise(&mut values, &[1.0, 2.0, 3.0], &[0.5, 3.0, 7.0]);
            for (row, got) in values.chunks(3).enumerate() {
                let v = 3.0 * row as f32;
                assert_eq!(got, [(v - 1.0) / 0.5, (v + 1.0 - 2.0) / 3.0, (v + 2.0 - 3.0) / 7.0]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows of 2 numbers")]
    fn parts_of_rows_have_no_units() {
        standardise(&mut [1.0; 3], &[0.0; 2], &[1.0; 2]);
    }

    #[test]
    fn no_rows_have_none() {
        assert_eq!(column_moments(1, std::iter::empty()), (vec![0.0], vec![0.0]));
    }
}
