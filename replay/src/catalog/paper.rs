//! The datasets of the GTA paper's tables 1 to 3.

use super::{D4rlDataset, Vd4rlDataset};

/// A kind of tasks whose files share a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// HalfCheetah, Hopper, Walker2d.
    Locomotion,
    /// A point mass in a maze.
    Maze2d,
    /// An ant in a maze.
    AntMaze,
    /// A hand with 24 joints.
    Adroit,
    /// An arm in a kitchen.
    Kitchen,
    /// dm_control's tasks seen by a camera.
    Pixels,
}

/// A dataset of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PaperDataset {
    /// Its id, which [`locate`](super::locate) takes.
    pub id: &'static str,
    /// What it is about.
    pub family: Family,
}

impl PaperDataset {
    /// Where its file is published; of pixels the folder.
    pub fn url(self) -> String {
        let d4rl = D4rlDataset::of(self.id).map(|dataset| dataset.url().to_owned());
        d4rl.or_else(|| Vd4rlDataset::of(self.id).map(Vd4rlDataset::url)).expect("the tables have the paper's ids")
    }
}

const fn of(family: Family, id: &'static str) -> PaperDataset {
    PaperDataset { id, family }
}

/// All 31, in the order of the tables. Those of [`Family::Pixels`] are read by
/// [`formats::vd4rl::read`](crate::formats::vd4rl::read), all others by [`formats::open`](crate::formats::open).
pub const PAPER: [PaperDataset; 31] = [
    of(Family::Locomotion, "halfcheetah-medium-v2"),
    of(Family::Locomotion, "halfcheetah-medium-replay-v2"),
    of(Family::Locomotion, "halfcheetah-medium-expert-v2"),
    of(Family::Locomotion, "hopper-medium-v2"),
    of(Family::Locomotion, "hopper-medium-replay-v2"),
    of(Family::Locomotion, "hopper-medium-expert-v2"),
    of(Family::Locomotion, "walker2d-medium-v2"),
    of(Family::Locomotion, "walker2d-medium-replay-v2"),
    of(Family::Locomotion, "walker2d-medium-expert-v2"),
    of(Family::Maze2d, "maze2d-umaze-v1"),
    of(Family::Maze2d, "maze2d-medium-v1"),
    of(Family::Maze2d, "maze2d-large-v1"),
    of(Family::AntMaze, "antmaze-umaze-v2"),
    of(Family::AntMaze, "antmaze-umaze-diverse-v2"),
    of(Family::AntMaze, "antmaze-medium-play-v2"),
    of(Family::AntMaze, "antmaze-medium-diverse-v2"),
    of(Family::AntMaze, "antmaze-large-play-v2"),
    of(Family::AntMaze, "antmaze-large-diverse-v2"),
    of(Family::Adroit, "pen-human-v0"),
    of(Family::Adroit, "door-human-v0"),
    of(Family::Kitchen, "kitchen-partial-v0"),
    of(Family::Kitchen, "kitchen-mixed-v0"),
    of(Family::Kitchen, "kitchen-complete-v0"),
    of(Family::Pixels, "vd4rl/cheetah-run-medium"),
    of(Family::Pixels, "vd4rl/cheetah-run-medium-replay"),
    of(Family::Pixels, "vd4rl/cheetah-run-medium-expert"),
    of(Family::Pixels, "vd4rl/cheetah-run-expert"),
    of(Family::Pixels, "vd4rl/walker-walk-medium"),
    of(Family::Pixels, "vd4rl/walker-walk-medium-replay"),
    of(Family::Pixels, "vd4rl/walker-walk-medium-expert"),
    of(Family::Pixels, "vd4rl/walker-walk-expert"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dataset_is_published_somewhere_else() {
        let urls: std::collections::BTreeSet<String> = PAPER.iter().map(|dataset| dataset.url()).collect();
        assert_eq!(urls.len(), 31);
        assert!(PAPER.iter().all(|dataset| super::super::is_id(dataset.id.as_ref())));
    }
}
