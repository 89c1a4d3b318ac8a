//! V-D4RL's datasets of pixels.

use std::path::PathBuf;

use crate::formats::vd4rl;

/// Where V-D4RL publishes them, as a repository of Git LFS.
const ADDRESS: &str = "https://huggingface.co/datasets/conglu/vd4rl";
/// What its ids begin with. They have no version, so that none is taken for one of Minari's.
const PREFIX: &str = "vd4rl/";
const TASKS: [&str; 3] = ["walker_walk", "cheetah_run", "humanoid_walk"];
const DATA: [&str; 5] = ["random", "medium_replay", "medium", "medium_expert", "expert"];

/// One of V-D4RL's datasets without distractions, by its id: `vd4rl/cheetah-run-medium` is that of 84 pixels, which
/// DrQ+BC learns from, `vd4rl/cheetah-run-medium-64px` that of 64.
///
/// ```
/// use replay::catalog::Vd4rlDataset;
///
/// let dataset = Vd4rlDataset::of("vd4rl/walker-walk-medium-expert").unwrap();
/// assert_eq!(dataset.folder(), "main/walker_walk/medium_expert/84px");
/// assert_eq!(dataset.id(), "vd4rl/walker-walk-medium-expert");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vd4rlDataset {
    task: &'static str,
    data: &'static str,
    pixels: u32,
}

impl Vd4rlDataset {
    /// All of them: three tasks, five kinds of data, two sizes of frames.
    pub fn all() -> impl Iterator<Item = Self> {
        let sizes = |(task, data)| [84, 64].map(|pixels| Self { task, data, pixels });
        TASKS.into_iter().flat_map(|task| DATA.map(|data| (task, data))).flat_map(sizes)
    }

    /// The one of this id; `None` where there is none.
    pub fn of(id: &str) -> Option<Self> {
        Self::all().find(|dataset| dataset.id() == id)
    }

    /// Its id.
    pub fn id(self) -> String {
        let size = if self.pixels == 84 { "" } else { "-64px" };
        format!("{PREFIX}{}-{}{size}", self.task.replace('_', "-"), self.data.replace('_', "-"))
    }

    /// Its folder below V-D4RL's.
    pub fn folder(self) -> String {
        format!("main/{}/{}/{}px", self.task, self.data, self.pixels)
    }

    /// Where it is published.
    pub fn url(self) -> String {
        format!("{ADDRESS}/tree/main/{}", self.folder())
    }

    /// Where it lies, or would lie, on this machine; `None` where neither a folder is set nor the home folder known.
    pub fn path(self) -> Option<PathBuf> {
        vd4rl::root().map(|root| root.join(self.folder()))
    }

    /// The command that gets all of them.
    pub(super) fn command() -> String {
        format!("git clone {ADDRESS}")
    }
}

/// Whether `text` is meant as an id of V-D4RL, known or not.
pub(super) fn like_an_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '\\', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::minari;

    #[test]
    fn ids_are_unique_and_nobody_elses() {
        let ids: std::collections::BTreeSet<String> = Vd4rlDataset::all().map(Vd4rlDataset::id).collect();
        assert_eq!((ids.len(), Vd4rlDataset::all().count()), (30, 30));
        for id in &ids {
            assert!(!minari::is_id(id) && crate::D4rlDataset::of(id).is_none() && like_an_id(id), "{id}");
        }
        let small = Vd4rlDataset::of("vd4rl/cheetah-run-medium-replay-64px").unwrap();
        assert_eq!(small.url(), format!("{ADDRESS}/tree/main/main/cheetah_run/medium_replay/64px"));
        assert_eq!(Vd4rlDataset::of("cheetah-run-medium"), None);
    }
}
