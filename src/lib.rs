//! gta.

pub mod augment;
pub mod baselines;
pub mod diffusion;
mod error;
pub mod eval;
mod gta;
pub mod native;
mod oracle;
mod tensor;

pub use envs;
pub use replay;

pub use crate::gta::{
    ConditionUnits, Contents, GtaBlueprint, GtaBuffer, GtaBuilder, GtaConfig, GtaGenerator, GtaLearner, Mu,
    QualityRecord, QualityWatch, Target, Terminals,
};
pub use error::{Error, Result};
