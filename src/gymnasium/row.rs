//! Observations and actions of `gymnasium_rs` as rows of numbers, and back.

use envs::{Error, Result};
use gymnasium_rs::core::Space;
use ndarray::Array1;

/// A type of observations or actions that stands for a row of numbers.
///
/// `Array1<f32>` is a member of `Space::Box` and is its own row. `i32` is a member of `Space::Discrete(n)`; its row has
/// `n` numbers, a one where the value is, and any row is read as the value of its largest number (the first of equals),
/// so that a policy may give scores. Implement it for types of your own environments.
pub trait Row: Sized {
    /// The row of this member of `space`.
    ///
    /// # Errors
    /// If it is no member, or `space` is of the other kind.
    fn write(&self, space: &Space) -> Result<Vec<f32>>;

    /// The member of `space` that `row` stands for; bounds are not looked at.
    ///
    /// # Errors
    /// If the row has not the space's size, or `space` is of the other kind.
    fn read(row: &[f32], space: &Space) -> Result<Self>;
}

impl Row for Array1<f32> {
    fn write(&self, space: &Space) -> Result<Vec<f32>> {
        let row = self.to_vec();
        check(boxed(space)?, row.len())?;
        Ok(row)
    }

    fn read(row: &[f32], space: &Space) -> Result<Self> {
        check(boxed(space)?, row.len())?;
        Ok(Self::from(row.to_vec()))
    }
}

impl Row for i32 {
    fn write(&self, space: &Space) -> Result<Vec<f32>> {
        let n = discrete(space)?;
        let place = usize::try_from(*self).ok().filter(|&place| place < n);
        let place = place.ok_or_else(|| invalid("value", format!("{self} is not in 0..{n}")))?;
        let mut row = vec![0.0; n];
        row[place] = 1.0;
        Ok(row)
    }

    fn read(row: &[f32], space: &Space) -> Result<Self> {
        check(discrete(space)?, row.len())?;
        if row.iter().any(|number| number.is_nan()) {
            return Err(invalid("value", "a number of its row is NaN".into()));
        }
        let first_largest = (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        // A space has at most `i32::MAX` values.
        Ok(first_largest as Self)
    }
}

/// Numbers in a row of `space`.
///
/// # Errors
/// If the space is empty, its bounds are not one each, or one is not a number or above the other.
pub(super) fn width(space: &Space) -> Result<usize> {
    match space {
        Space::Discrete(_) => discrete(space),
        Space::Box { low, high } => {
            if low.is_empty() || low.len() != high.len() {
                return Err(invalid("space", format!("{} lower and {} upper bounds", low.len(), high.len())));
            }
            // Written so that NaN fails, too.
            if let Some(i) = (0..low.len()).find(|&i| low[i].is_nan() || high[i].is_nan() || low[i] > high[i]) {
                return Err(invalid("space", format!("bounds {i} are {} and {}", low[i], high[i])));
            }
            Ok(low.len())
        }
    }
}

fn boxed(space: &Space) -> Result<usize> {
    match space {
        Space::Box { low, .. } => Ok(low.len()),
        Space::Discrete(n) => Err(invalid("space", format!("Discrete({n}) has no arrays"))),
    }
}

fn discrete(space: &Space) -> Result<usize> {
    match space {
        Space::Discrete(n) => match usize::try_from(*n) {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(invalid("space", format!("Discrete({n}) is empty"))),
        },
        Space::Box { low, .. } => Err(invalid("space", format!("a Box of {} numbers has no integers", low.len()))),
    }
}

fn check(expected: usize, len: usize) -> Result<()> {
    if len == expected {
        return Ok(());
    }
    Err(invalid("row", format!("expected {expected} numbers, got {len}")))
}

pub(super) fn invalid(what: &str, why: String) -> Error {
    Error::Invalid { what: format!("gymnasium-rs: {what}"), why }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn unit_box(n: usize) -> Space {
        Space::Box { low: Array1::from_elem(n, -1.0), high: Array1::from_elem(n, 1.0) }
    }

    #[test]
    fn arrays_are_their_own_rows() {
        let space = unit_box(2);
        assert_eq!(array![0.5_f32, -3.0].write(&space).unwrap(), [0.5, -3.0]);
        assert_eq!(Array1::read(&[0.5, -3.0], &space).unwrap(), array![0.5, -3.0]);
        for error in [
            array![1.0_f32].write(&space).unwrap_err(),
            Array1::read(&[1.0; 3], &space).unwrap_err(),
            Array1::read(&[1.0; 2], &Space::Discrete(2)).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.contains("expected 2 numbers, got ") || text.contains("Discrete(2) has no arrays"), "{text}");
        }
    }

    #[test]
    fn integers_are_the_place_of_the_largest_number() {
        let space = Space::Discrete(3);
        for value in 0..3 {
            assert_eq!(i32::read(&value.write(&space).unwrap(), &space).unwrap(), value);
        }
        assert_eq!(i32::read(&[-5.0, -1.0, -1.0], &space).unwrap(), 1, "the first of equals");
        assert!(3.write(&space).unwrap_err().to_string().contains("3 is not in 0..3"));
        assert!((-1).write(&space).is_err());
        assert!(i32::read(&[0.0, f32::NAN, 1.0], &space).unwrap_err().to_string().contains("NaN"));
        assert!(i32::read(&[0.0; 2], &space).unwrap_err().to_string().contains("expected 3 numbers, got 2"));
        assert!(i32::read(&[0.0; 2], &unit_box(2)).unwrap_err().to_string().contains("no integers"));
    }

    #[test]
    fn spaces_that_hold_nothing_are_refused() {
        assert_eq!((width(&unit_box(4)).unwrap(), width(&Space::Discrete(7)).unwrap()), (4, 7));
        let of = |low: Array1<f32>, high: Array1<f32>| width(&Space::Box { low, high });
        assert!(width(&Space::Discrete(0)).unwrap_err().to_string().contains("Discrete(0) is empty"));
        assert!(of(array![], array![]).is_err());
        assert!(of(array![0.0, 0.0], array![1.0]).unwrap_err().to_string().contains("2 lower and 1 upper"));
        assert!(of(array![0.0, 2.0], array![1.0, 1.0]).unwrap_err().to_string().contains("bounds 1 are 2 and 1"));
        assert!(of(array![f32::NAN], array![1.0]).is_err());
        assert_eq!(of(array![f32::NEG_INFINITY], array![f32::INFINITY]).unwrap(), 1);
    }
}
