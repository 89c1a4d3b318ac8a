//! Episodes of 64 pixels: one archive each.

use std::path::Path;

use super::records::{Place, Records};
use crate::formats::npz::{Archive, Array};
use crate::{FrameShape, Result};

/// Appends the episode in the archive `path`.
pub(super) fn append(path: &Path, records: &mut Records) -> Result<()> {
    let mut archive = Archive::open(path)?;
    let image = archive.array("image")?;
    let &[count, height, width, channels] = image.shape() else {
        return Err(image.error(None, format!("expected the shape [T + 1, H, W, C], found {:?}", image.shape())));
    };
    if count < 2 {
        return Err(image.error(None, format!("has {count} frames: an episode has at least 2")));
    }
    let action = archive.array("action")?;
    let &[_, action_dim] = action.shape() else {
        return Err(action.error(None, format!("expected the shape [T + 1, A], found {:?}", action.shape())));
    };
    expect(&action, &[count, action_dim])?;
    let reward = archive.array("reward")?;
    expect(&reward, &[count])?;
    let optional = |array: Option<Array>| -> Result<Option<Vec<f32>>> {
        array.map(|array| expect(&array, &[count]).map(|()| array.numbers())).transpose()
    };
    let discount = optional(archive.get("discount")?)?;
    let is_last = optional(archive.get("is_last")?)?;

    records.agree(FrameShape { channels, height, width }, action_dim).map_err(|why| image.error(None, why))?;
    append_transposed(image.bytes()?, channels, height * width, &mut records.pixels);
    let (actions, rewards) = (action.numbers(), reward.numbers());
    for record in 0..count {
        let ends = record + 1 == count && is_last.as_ref().is_none_or(|flags| flags[record] != 0.0);
        let place = match record {
            0 => Place::First,
            _ if ends => Place::Last,
            _ => Place::Inside,
        };
        let discount = discount.as_ref().map_or(1.0, |discount| discount[record]);
        records
            .push(place, &actions[record * action_dim..][..action_dim], rewards[record], discount)
            .map_err(|why| image.error(Some(record), why))?;
    }
    Ok(())
}

fn expect(array: &Array, shape: &[usize]) -> Result<()> {
    if array.shape() != shape {
        return Err(array.error(None, format!("expected the shape {shape:?}, found {:?}", array.shape())));
    }
    Ok(())
}

/// Appends frames `[F, H, W, C]` as `[F, C, H, W]`; `area` is `H * W`.
fn append_transposed(frames: &[u8], channels: usize, area: usize, out: &mut Vec<u8>) {
    out.reserve(frames.len());
    for frame in frames.chunks_exact(channels * area) {
        for channel in 0..channels {
            out.extend(frame.iter().skip(channel).step_by(channels));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_first() {
        let mut out = vec![9];
        append_transposed(&[1, 10, 2, 20, 3, 30, 4, 40], 2, 2, &mut out);
        assert_eq!(out, [9, 1, 2, 10, 20, 3, 4, 30, 40]);
    }
}
