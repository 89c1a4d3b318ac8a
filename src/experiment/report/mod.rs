//! The paper's quality tables and figures for any datasets and augmentations, by one command.
//!
//! ```text
//!   report.toml ── ReportConfig ─▶ ReportRun ── each dataset, each augmentation ─▶ windows ─▶ judged.json
//!                                                                                              │
//!                            report.html, report.md, report.csv, report.json ◀── Report ◀──────┘
//! ```
//!
//! What is made and judged lies in a folder for each dataset and augmentation and is not made again: a report that was
//! killed goes on, and a finished one is only written anew. All that is written is a function of the [`Report`], which
//! holds plain numbers; the numbers are functions of the settings, but for the seconds.

mod config;
mod csv;
mod figures;
mod filters;
mod markdown;
mod metric;
mod page;
mod paper;
mod record;
mod run;
mod source;
mod table;

pub use config::{ReportConfig, ReportSizes};
pub use filters::{Filtering, Filters};
pub use metric::Metric;
pub use paper::Published;
pub use record::{AugmentationReport, DataReport, DatasetReport, Generated, Report, Seconds, Versions};
pub use run::{Rendered, ReportRun};
pub use source::Source;

#[cfg(test)]
pub(super) mod tests;
