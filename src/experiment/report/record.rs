//! What a report says, as plain data.

use envs::EnvId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::ReportSizes;
use super::filters::Filters;
use super::paper::Published;
use crate::augment::{Amendments, Rejections};
use crate::eval::{Novelty, Quality, WindowReturn};

/// All of a report. Everything that is written is made from it alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What made it.
    pub versions: Versions,
    /// With what sizes.
    pub sizes: ReportSizes,
    /// Of what, in the order asked for.
    pub datasets: Vec<DatasetReport>,
}

/// Versions of the programs behind the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// This program.
    pub gta: String,
    /// LibTorch.
    pub libtorch: Option<String>,
    /// MuJoCo.
    pub mujoco: Option<String>,
}

/// A dataset, and what was made from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetReport {
    /// Its name: that of its file, without the ending.
    pub name: String,
    /// The task that judged it.
    pub env: EnvId,
    /// SHA-256 of its file.
    pub checksum: String,
    /// Transitions.
    pub transitions: usize,
    /// Episodes.
    pub episodes: usize,
    /// Mean of the episodes' returns.
    pub mean_return: f64,
    /// What the file says of itself.
    pub provenance: Vec<(String, String)>,
    /// What was odd about it.
    pub oddities: Vec<String>,
    /// The set of the paper's tables that it stands beside, where there is one.
    pub published: Option<Published>,
    /// The data itself.
    pub data: DataReport,
    /// What was made from it, in the order of the columns.
    pub augmentations: Vec<AugmentationReport>,
}

/// What the simulator says of the data itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataReport {
    /// Judged from observations, as generated transitions are, and without novelty: the data is not new to itself.
    pub quality: Quality,
    /// The novelty that its rows would have, were they not in it: the distances to their nearest neighbours.
    pub spacing: Option<Novelty>,
    /// Seconds that judging took.
    pub seconds: f64,
}

/// An augmentation of one dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentationReport {
    /// Its name.
    pub label: String,
    /// Its kind, as settings name it.
    pub kind: String,
    /// All its settings.
    pub settings: Value,
    /// Most transitions of a window.
    pub horizon: usize,
    /// What was generated.
    pub generated: Generated,
    /// Training steps of its model, where it has one.
    pub training_steps: Option<u64>,
    /// What the simulator says.
    pub quality: Quality,
    /// Returns of as many windows of the data, of the same length.
    pub original_returns: Vec<f64>,
    /// Returns of the windows that were judged. Asked ones are there where the augmentation aims at a return.
    pub returns: Vec<WindowReturn>,
    /// What filters would leave of them; absent where nothing can be learned from the data, or judged.
    pub filters: Option<Filters>,
    /// How long it took.
    pub seconds: Seconds,
}

/// What an augmentation generated; a part of it is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generated {
    /// Generated windows of which anything was kept.
    pub windows: u64,
    /// Their transitions.
    pub transitions: u64,
    /// Windows that were not kept.
    pub rejected: Rejections,
    /// What a check changed of those kept.
    #[serde(default, skip_serializing_if = "Amendments::is_empty")]
    pub amended: Amendments,
    /// Fingerprint of the model; `none` where there is none.
    pub model: String,
    /// SHA-256 of the windows.
    pub pool_sha256: String,
}

impl Generated {
    /// Share of all windows that were rejected, for `count` of them.
    pub fn share(&self, count: u64) -> f64 {
        count as f64 / (self.windows + self.rejected.total()).max(1) as f64
    }

    /// Share of the transitions of windows that were kept, for `count` that a check changed or left out.
    pub fn share_amended(&self, count: u64) -> f64 {
        count as f64 / (self.transitions + self.amended.dropped).max(1) as f64
    }
}

/// How long an augmentation took here, summed over all starts of the report. The only numbers of a report that other
/// machines do not repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// Training the model.
    pub training: f64,
    /// Generating windows.
    pub generating: f64,
    /// Judging them.
    pub judging: f64,
}

impl Report {
    /// The names of all augmentations, in the order in which they first appear.
    pub fn labels(&self) -> Vec<&str> {
        let mut labels = Vec::new();
        for augmentation in self.datasets.iter().flat_map(|dataset| &dataset.augmentations) {
            if !labels.contains(&augmentation.label.as_str()) {
                labels.push(&augmentation.label);
            }
        }
        labels
    }
}

impl DatasetReport {
    /// The augmentation of this name.
    pub fn augmentation(&self, label: &str) -> Option<&AugmentationReport> {
        self.augmentations.iter().find(|augmentation| augmentation.label == label)
    }
}
