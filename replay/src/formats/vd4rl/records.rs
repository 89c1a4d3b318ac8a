//! Episodes collected record by record.

use crate::{Columns, FrameShape, Frames, Result};

/// Records read so far: frames, and the actions and rewards between them.
#[derive(Default)]
pub(super) struct Records {
    shape: Option<FrameShape>,
    action_dim: usize,
    pub(super) pixels: Vec<u8>,
    columns: Columns,
    breaks: Vec<usize>,
    count: usize,
    /// Whether the episode goes on with the next record.
    open: bool,
}

/// What a record is in its episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Inside,
    Last,
}

impl Records {
    /// Records read.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Fails with a reason where frames of `shape` and actions of `action_dim` numbers are not like those before.
    pub(super) fn agree(&mut self, shape: FrameShape, action_dim: usize) -> Result<(), String> {
        let text = |s: FrameShape, a: usize| {
            format!("frames of {} x {} x {} and actions of {a} numbers", s.channels, s.height, s.width)
        };
        match self.shape {
            None if shape.bytes() == 0 || action_dim == 0 => Err(format!("has {}", text(shape, action_dim))),
            None => {
                (self.shape, self.action_dim) = (Some(shape), action_dim);
                Ok(())
            }
            Some(known) if (known, self.action_dim) == (shape, action_dim) => Ok(()),
            Some(known) => {
                Err(format!("has {}, the files before it {}", text(shape, action_dim), text(known, self.action_dim)))
            }
        }
    }

    /// Appends a record, whose pixels are appended by the caller; `action` and `reward` led to it. Fails with a reason
    /// where it cannot come next.
    pub(super) fn push(&mut self, place: Place, action: &[f32], reward: f32, discount: f32) -> Result<(), String> {
        let rows = self.columns.len();
        match (place, self.open) {
            (Place::First, _) => {
                if self.breaks.last() == Some(&rows) || (self.open && rows == 0) {
                    return Err("is the first of an episode right after the first of another".into());
                }
                if rows > 0 {
                    self.breaks.push(rows);
                }
            }
            (_, false) => return Err("is inside an episode of which no record came before".into()),
            (_, true) => {
                let last = place == Place::Last;
                if discount == 0.0 && !last {
                    return Err("has discount 0, which ends the task, and is not the last of its episode".into());
                }
                self.columns.actions.extend_from_slice(action);
                self.columns.rewards.push(reward);
                self.columns.terminated.push(last && discount == 0.0);
                self.columns.truncated.push(last && discount != 0.0);
            }
        }
        self.open = place != Place::Last;
        self.count += 1;
        Ok(())
    }

    /// The frames; fails where a number is not finite.
    pub(super) fn finish(self) -> Result<Frames> {
        let shape = self.shape.unwrap_or(FrameShape { channels: 0, height: 0, width: 0 });
        Frames::from_columns(shape, self.pixels, self.action_dim, self.columns, &self.breaks)
    }
}
