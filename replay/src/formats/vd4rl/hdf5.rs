//! Episodes of 84 pixels: many in a file, one record after the other.

use std::path::Path;

use super::records::{Place, Records};
use crate::formats::h5::{self, Column, Folder};
use crate::{FrameShape, Result};

/// Whether the file `path` has the arrays of V-D4RL.
pub(super) fn holds_records(path: &Path) -> bool {
    let Ok(file) = h5::open(path) else { return false };
    Folder::root(path, &file).is_ok_and(|root| is_of_records(&root))
}

/// Whether the file's root has the arrays of V-D4RL.
pub(crate) fn is_of_records(root: &Folder<'_>) -> bool {
    root.has("observation") && root.has("step_type")
}

/// Appends the records of the file `path`.
pub(super) fn append(path: &Path, records: &mut Records) -> Result<()> {
    let file = h5::open(path)?;
    let root = Folder::root(path, &file)?;
    let observation = root.column("observation")?;
    let &[count, channels, height, width] = observation.shape() else {
        let why = format!("expected the shape [F, C, H, W], found {:?}", observation.shape());
        return Err(observation.error(None, why));
    };
    let action = root.column("action")?;
    let (found, action_dim) = action.table()?;
    action.expect_rows(found, count, "observation")?;
    let of_records = |column: Column<'_>| -> Result<Vec<f32>> {
        column.one_a_row(count, "observation")?;
        let mut values = Vec::new();
        column.append_any_to(&mut values)?;
        Ok(values)
    };
    let reward = of_records(root.column("reward")?)?;
    let step_type = of_records(root.column("step_type")?)?;
    let discount = if root.has("discount") { of_records(root.column("discount")?)? } else { vec![1.0; count] };
    let mut actions = Vec::new();
    action.append_any_to(&mut actions)?;

    records.agree(FrameShape { channels, height, width }, action_dim).map_err(|why| observation.error(None, why))?;
    observation.append_bytes_to(&mut records.pixels)?;
    for record in 0..count {
        let refuse = |why: String| root.column("step_type").map_or_else(|error| error, |c| c.error(Some(record), why));
        let place = match step_type[record] {
            0.0 => Place::First,
            1.0 => Place::Inside,
            2.0 => Place::Last,
            other => return Err(refuse(format!("{other} is neither 0 nor 1 nor 2"))),
        };
        records
            .push(place, &actions[record * action_dim..][..action_dim], reward[record], discount[record])
            .map_err(refuse)?;
    }
    Ok(())
}
