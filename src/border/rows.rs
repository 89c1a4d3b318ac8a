//! Numbers on their way between a buffer and the tensors of an agent's library.

use anyhow::{Context, Result, ensure};
use border_core::{Act, Obs};

/// `B` rows of `W` numbers, row-major.
///
/// It is itself an observation and an action of border, for agents that need no tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    values: Vec<f32>,
    width: usize,
}

impl Rows {
    /// Rows of `width` numbers, `[B, W]`.
    ///
    /// # Errors
    /// Where `values` are not a whole number of rows, or `width` is 0.
    pub fn new(values: Vec<f32>, width: usize) -> Result<Self> {
        ensure!(width > 0, "a row needs at least one number");
        ensure!(values.len().is_multiple_of(width), "{} numbers are no whole number of rows of {width}", values.len());
        Ok(Self { values, width })
    }

    /// Rows held (`B`).
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether no row is held.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers in a row (`W`).
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `index`, `[W]`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    /// All numbers, `[B, W]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All numbers, `[B, W]`, as they are owned.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Fails unless there are `rows` rows of `width` finite numbers; `what` they are is told.
    pub(super) fn check(&self, what: &str, rows: usize, width: usize) -> Result<()> {
        ensure!(
            (self.len(), self.width) == (rows, width),
            "{what}: expected {rows} rows of {width} numbers, got {} of {}",
            self.len(),
            self.width
        );
        match self.values.iter().position(|value| !value.is_finite()) {
            Some(at) => anyhow::bail!("{what}, row {}: {} is not finite", at / width, self.values[at]),
            None => Ok(()),
        }
    }
}

impl Obs for Rows {
    fn len(&self) -> usize {
        Rows::len(self)
    }
}

impl Act for Rows {
    fn len(&self) -> usize {
        Rows::len(self)
    }
}

/// What an agent's library takes observations or actions as: `B` rows of numbers in a type of its own.
///
/// A few lines make it of any tensor; for one of another crate, which Rust lets nobody else implement traits for, around
/// a type that holds it:
///
/// ```
/// use gta::border::{Numbers, Rows};
///
/// #[derive(Clone, Debug)]
/// struct Doubles(Vec<Vec<f64>>);
///
/// impl Numbers for Doubles {
///     fn from_rows(rows: Rows) -> anyhow::Result<Self> {
///         let row = |index| rows.row(index).iter().map(|&number| f64::from(number)).collect();
///         Ok(Self((0..rows.len()).map(row).collect()))
///     }
///
///     fn to_rows(&self) -> anyhow::Result<Rows> {
///         let width = self.0.first().map_or(0, Vec::len);
///         Rows::new(self.0.iter().flatten().map(|&number| number as f32).collect(), width)
///     }
/// }
///
/// let rows = Rows::new(vec![1.0, 2.0, 3.0, 4.0], 2)?;
/// assert_eq!(Doubles::from_rows(rows.clone())?.to_rows()?, rows);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub trait Numbers: Clone {
    /// These rows, `[B, W]`. Fails where the library refuses them.
    fn from_rows(rows: Rows) -> Result<Self>;

    /// The rows, `[B, W]`. Fails where there are no rows of numbers in it.
    fn to_rows(&self) -> Result<Rows>;
}

impl Numbers for Rows {
    fn from_rows(rows: Rows) -> Result<Self> {
        Ok(rows)
    }

    fn to_rows(&self) -> Result<Rows> {
        Ok(self.clone())
    }
}

/// The two functions of [`Numbers`] as values, for types of other crates that are to be kept as they are.
#[derive(Debug)]
pub struct Conversion<T> {
    /// See [`Numbers::from_rows`].
    pub from_rows: fn(Rows) -> Result<T>,
    /// See [`Numbers::to_rows`].
    pub to_rows: fn(&T) -> Result<Rows>,
}

impl<T> Conversion<T> {
    /// `values` as rows of `width` numbers, as what they are.
    pub(super) fn of_column(&self, what: &'static str, values: Vec<f32>, width: usize) -> Result<T> {
        Rows::new(values, width).and_then(self.from_rows).context(what)
    }
}

impl<T: Numbers> Default for Conversion<T> {
    fn default() -> Self {
        Self { from_rows: T::from_rows, to_rows: T::to_rows }
    }
}

// Not derived: that would ask the same of `T`.
impl<T> Clone for Conversion<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Conversion<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_checks_say_what_is_wrong() {
        let rows = Rows::new((0..6).map(|v| v as f32).collect(), 3).unwrap();
        assert_eq!((rows.len(), rows.width(), rows.row(1)), (2, 3, &[3.0, 4.0, 5.0][..]));
        assert_eq!((Rows::default().len(), Rows::default().is_empty()), (0, true));
        let why = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!(why(Rows::new(vec![0.0; 5], 3).map(|_| ())), "5 numbers are no whole number of rows of 3");
        assert!(Rows::new(Vec::new(), 0).is_err());
        assert_eq!(why(rows.check("action", 1, 3)), "action: expected 1 rows of 3 numbers, got 2 of 3");
        let bad = Rows::new(vec![0.0, 1.0, f32::NAN], 1).unwrap();
        assert_eq!(why(bad.check("action", 3, 1)), "action, row 2: NaN is not finite");
        assert!(rows.check("action", 2, 3).is_ok());
    }
}
