//! One TOML file is one run: data, augmentation, agents with several seeds, evaluation. One command is a [`Report`] of
//! the quality of what augmentations make.
//!
//! ```text
//!   run.toml ── RunConfig ──▶ Run ── data ──▶ augment ──▶ train: one thread a seed ──▶ Summary
//!                                              │                 │
//!                                 model, pool (frozen, shared)   └─▶ metrics.csv, TensorBoard events, checkpoints
//! ```
//!
//! The augmentation is made once and then frozen, so every agent of a run, and every run that shares its folder, learns
//! from the same transitions, and differences between runs are not those between two models. Everything a run writes but
//! its times is a function of its settings, also when it was killed and went on.

mod augmentation;
mod compare;
mod config;
mod curves;
mod data;
mod events;
mod log;
mod paper;
mod report;
mod run;
mod summary;
mod training;
mod written;

pub use augmentation::{Augmentation, Begun, Building, Figures, Frozen, OracleFigures};
pub use compare::Comparison;
pub use config::{
    AugmentationConfig, EvaluationConfig, ModelAugmentation, NoAugmentation, OversampleAugmentation, Preset, Ratio,
    RunConfig, S4rlAugmentation,
};
pub use data::{Addition, CollectConfig, Data, DataConfig};
pub use events::{EventFile, Scalar};
pub use log::Log;
pub use paper::{ConfigFile, tables};
pub use report::{
    AugmentationReport, DataReport, DatasetReport, Filtering, Filters, Generated, Metric, Published, Rendered, Report,
    ReportConfig, ReportRun, ReportSizes, Seconds, Source, Versions,
};
pub use run::Run;
pub use summary::{DataSummary, GeneratedSummary, SeedSummary, Summary};
pub use training::Progress;
pub use written::Change;
