//! Columns of numbers with mean 0 and standard deviation 1.

use replay::column_moments;

/// Mean and standard deviation of each of `D` columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub mean: Vec<f64>,
    /// Above 0: a column that does not vary has 1.
    pub std: Vec<f64>,
}

impl Scale {
    /// Of the given rows of a row-major matrix of `dim` columns.
    pub fn of(values: &[f32], dim: usize, rows: &[usize]) -> Self {
        let (mean, mut std) = column_moments(dim, rows.iter().map(|row| &values[row * dim..][..dim]));
        for (s, m) in std.iter_mut().zip(&mean) {
            // What f32 makes of a constant is no variation.
            *s = if *s > 1e-6 * m.abs().max(1e-6) { *s } else { 1.0 };
        }
        Self { mean, std }
    }

    /// Rows in these units.
    pub fn apply(&self, values: &[f32]) -> Vec<f32> {
        let mut scaled = Vec::with_capacity(values.len());
        for row in values.chunks_exact(self.mean.len()) {
            let columns = row.iter().zip(&self.mean).zip(&self.std);
            scaled.extend(columns.map(|((&v, m), s)| ((f64::from(v) - m) / s) as f32));
        }
        scaled
    }

    /// A number of column `column` in the data's units.
    pub fn undo(&self, column: usize, value: f32) -> f64 {
        f64::from(value) * self.std[column] + self.mean[column]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_asked_for_have_mean_0_and_deviation_1() {
        let values = [1.0, 7.0, 100.0, 3.0, 7.0, 200.0, 9.0, 9.0, 900.0];
        let scale = Scale::of(&values, 3, &[0, 1]);
        assert_eq!((scale.mean.as_slice(), scale.std.as_slice()), (&[2.0, 7.0, 150.0][..], &[1.0, 1.0, 50.0][..]));
        assert_eq!(scale.apply(&values[3..6]), [1.0, 0.0, 1.0]);
        assert_eq!(scale.undo(2, 1.0), 200.0);
        assert_eq!(Scale::of(&[0.1; 6], 1, &[0, 1, 2, 3, 4, 5]).std, [1.0]);
    }
}
