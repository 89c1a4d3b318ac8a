//! Exact nearest neighbours of many rows among many rows.
//!
//! Rows are put together in chunks that lie near one another (`order`). Single precision rules out chunks and rows
//! (`screen`, by the kernels of `kernel` or on a device by `tensors`) with a bound on its errors, and those that could
//! hide the true nearest row are evaluated in double precision. The answer is that of a double-precision search over
//! all pairs.

use super::{Error, Result};

mod index;
mod kernel;
mod order;
mod packed;
mod screen;
mod tensors;

pub use index::{NearestIndex, SearchOptions};

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

    /// Number `dim` of row `index`.
    fn number(&self, index: usize, dim: usize) -> f32 {
        match dim.checked_sub(self.dims[0]) {
            None => self.groups[0][index * self.dims[0] + dim],
            Some(dim) => self.groups[1][index * self.dims[1] + dim],
        }
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
/// not fit, a number is not finite, a weight is not positive, or `data` has no row. A [`NearestIndex`] serves several
/// sets of queries.
pub fn nearest(data: &[f32], queries: &[f32], dim: usize, weights: Option<&[f64]>) -> Result<Vec<Nearest>> {
    NearestIndex::new(data, dim, weights, SearchOptions::default())?.search(queries)
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

#[cfg(test)]
mod tests;
