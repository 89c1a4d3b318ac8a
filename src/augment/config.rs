//! Settings of an augmented buffer.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use replay::{Error, Result, Seed};
use serde::{Deserialize, Serialize};

use super::{FilterConfig, Guide, GuideConfig, Pacing};

/// What a sample does before the pool has its minimum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Hands out real rows only, and afterwards whatever windows are there: sampling never waits for generation.
    #[default]
    RealRows,
    /// Waits for as many windows as the rows handed out so far demand ([`Pacing::demanded`]) and uses exactly those:
    /// every batch is a function of the seeds, whatever the machine and the number of workers.
    Wait,
}

/// Settings of an [`Augmented`](super::Augmented) buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Share of generated rows in a batch, in `[0, 1]`: of `B` rows, `round(ratio * B)` are generated. Half by
    /// default: in trials at CPU scale, batches of half generated rows did better than of four fifths (which is what
    /// adding the paper's 5 million transitions to 1 million real ones gives).
    pub ratio: f64,
    /// Root of all randomness of learning and generating. (Sampling draws from the caller's stream.)
    pub seed: u64,
    /// Threads that generate; one for each core by default. The pool's content does not depend on it.
    pub workers: Option<NonZeroUsize>,
    /// Windows generated together. A worker that is asked to stop finishes its chunk first (unless its generator looks
    /// at its stop flag), so a chunk should take less than a second.
    pub chunk_windows: usize,
    /// What a sample does before the pool has its minimum.
    pub until: Until,
    /// Which windows become prompts and which return is asked for.
    pub guide: GuideConfig,
    /// Share of the episodes that the model learns from (appendix E.3), in (0, 1]; prompts are drawn from all of them.
    pub learn_from: f64,
    /// How much is generated for how much is sampled.
    pub pacing: Pacing,
    /// Which generated windows are kept.
    pub filter: FilterConfig,
    /// A folder that keeps the pool, so that another run of the same data, settings and model goes on from there.
    pub store: Option<PathBuf>,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            ratio: 0.5,
            seed: 0,
            workers: None,
            chunk_windows: 128,
            until: Until::default(),
            guide: GuideConfig::default(),
            learn_from: 1.0,
            pacing: Pacing::default(),
            filter: FilterConfig::default(),
            store: None,
        }
    }
}

impl AugmentConfig {
    /// Fails where a number lies outside of what its field's documentation allows.
    pub fn validate(&self) -> Result<()> {
        let invalid = |what: &str, why: String| Err(Error::Invalid { what: what.into(), why });
        if !(0.0..=1.0).contains(&self.ratio) {
            return invalid("ratio", format!("{} is not in [0, 1]", self.ratio));
        }
        if self.chunk_windows == 0 {
            return invalid("chunk_windows", "must be at least 1".into());
        }
        if !(self.learn_from > 0.0 && self.learn_from <= 1.0) {
            return invalid("learn_from", format!("{} is not in (0, 1]", self.learn_from));
        }
        self.guide.validate()?;
        // Transitions of a chunk are counted in 32 bits.
        if self.chunk_windows.checked_mul(self.guide.horizon).is_none_or(|n| n > u32::MAX as usize) {
            let why = format!("{} windows of {} transitions are too many", self.chunk_windows, self.guide.horizon);
            return invalid("chunk_windows", why);
        }
        self.pacing.validate()?;
        self.filter.validate()
    }

    /// What the guide of a buffer with these settings draws prompts by.
    pub fn guide_seed(&self) -> Seed {
        Seed::new(self.seed).fork("guide", 0)
    }

    /// What the learner of a buffer with these settings learns by. Learning outside of a buffer by it gives the model
    /// that the buffer would learn.
    pub fn learning_seed(&self) -> Seed {
        Seed::new(self.seed).fork("learn", 0)
    }

    /// What a model learns from, where that is not all that `guide` knows.
    ///
    /// # Errors
    /// Where the share is out of range.
    pub fn learned(&self, guide: &Guide) -> Result<Option<Guide>> {
        let seed = Seed::new(self.seed).fork("learn_from", 0);
        (self.learn_from != 1.0).then(|| guide.part(self.learn_from, seed)).transpose()
    }

    /// Threads that generate.
    pub fn workers(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.workers.map_or_else(cores, NonZeroUsize::get)
    }

    /// Generated rows in a batch of `rows`.
    pub fn generated_rows(&self, rows: usize) -> usize {
        (self.ratio * rows as f64).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_a_file() {
        let config = AugmentConfig::default();
        config.validate().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<AugmentConfig>(&text).unwrap(), config);
        assert_eq!(serde_json::from_str::<AugmentConfig>("{}").unwrap(), config);
    }

    #[test]
    fn unknown_and_senseless_settings_are_refused() {
        for text in [r#"{"rato": 0.5}"#, r#"{"pacing": {"targte": 1}}"#, r#"{"filter": {"x": 1}}"#, r#"{"workers": 0}"#]
        {
            assert!(serde_json::from_str::<AugmentConfig>(text).is_err(), "{text}");
        }
        let good = AugmentConfig::default();
        for bad in [
            AugmentConfig { ratio: 1.5, ..good.clone() },
            AugmentConfig { ratio: f64::NAN, ..good.clone() },
            AugmentConfig { chunk_windows: 0, ..good.clone() },
            AugmentConfig { chunk_windows: usize::MAX, ..good },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
