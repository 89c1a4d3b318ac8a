//! Normalised scores, as D4RL defines them.

/// Returns of a random and of an expert policy, between which scores are normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceReturns {
    /// Return that scores 0.
    pub min: f64,
    /// Return that scores 100.
    pub max: f64,
}

/// D4RL's `infos.py` at commit 89141a6. All datasets and versions of a task share one pair, so the table is by the
/// beginning of the name; the longest one that fits counts.
const TABLE: [(&str, f64, f64); 15] = [
    ("halfcheetah", -280.178953, 12135.0),
    ("hopper", -20.272305, 3234.3),
    ("walker2d", 1.629008, 4592.3),
    ("maze2d-umaze", 23.85, 161.86),
    ("maze2d-medium", 13.13, 277.39),
    ("maze2d-large", 6.7, 273.99),
    ("maze2d-umaze-dense", 68.537689, 193.66285642381482),
    ("maze2d-medium-dense", 44.264742, 297.4552547777125),
    ("maze2d-large-dense", 30.569041, 303.4857382709002),
    ("antmaze", 0.0, 1.0),
    ("pen", 96.262799, 3076.8331017826877),
    ("door", -56.512833, 2880.5693087298737),
    ("hammer", -274.856578, 12794.134825156867),
    ("relocate", -6.425911, 4233.877797728884),
    ("kitchen", 0.0, 4.0),
];

impl ReferenceReturns {
    /// The references of a task or of one of its D4RL datasets (`Hopper-v4`, `hopper-medium-v2`); `None` where D4RL
    /// has none.
    ///
    /// ```
    /// use envs::ReferenceReturns;
    ///
    /// let hopper = ReferenceReturns::of("hopper-medium-replay-v2").unwrap();
    /// assert!((hopper.score(3234.3) - 100.0).abs() < 1e-9);
    /// ```
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let fits =
            |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let (_, min, max) = TABLE.iter().filter(|row| fits(row.0)).max_by_key(|row| row.0.len())?;
        Some(Self { min: *min, max: *max })
    }

    /// `100 (return - min) / (max - min)`.
    pub fn score(&self, total_reward: f64) -> f64 {
        100.0 * (total_reward - self.min) / (self.max - self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_0_and_100_at_the_references() {
        for (name, min, max) in TABLE {
            let reference = ReferenceReturns::of(name).unwrap();
            assert_eq!(reference, ReferenceReturns { min, max }, "{name}");
            assert!(reference.score(min) == 0.0 && (reference.score(max) - 100.0).abs() < 1e-9);
        }
        let cheetah = ReferenceReturns::of("HalfCheetah-v4").unwrap();
        assert!((cheetah.score(5000.0) - 42.53).abs() < 0.01);
        assert_eq!(ReferenceReturns::of("maze2d-umaze-dense-v1").unwrap().min, 68.537689);
        for unknown in ["", "pendulum", "ant-medium-v2", "maze2d-open-v1", "PointMass-v0"] {
            assert_eq!(ReferenceReturns::of(unknown), None, "{unknown}");
        }
    }

    /// Every D4RL dataset, where the published table lies beside the repository.
    #[test]
    fn the_table_agrees_with_the_published_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/reference-scores.json");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let table: serde_json::Value = serde_json::from_str(&text).unwrap();
        let scores = table["scores"].as_object().unwrap();
        assert!(scores.len() > 50);
        for (name, row) in scores {
            let ours = ReferenceReturns::of(name).unwrap();
            for (key, ours) in [("ref_min_score", ours.min), ("ref_max_score", ours.max)] {
                // The JSON reader may round the last bit otherwise than the compiler does.
                assert!((row[key].as_f64().unwrap() - ours).abs() <= 1e-12 * ours.abs(), "{name} {key}");
            }
        }
    }
}
