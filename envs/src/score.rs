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
const TABLE: [(&str, f64, f64); 31] = [
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
    ("ant", -325.6, 3879.7),
    // Version 1 of the open mazes has no references.
    ("maze2d-open-v0", 0.01, 20.66),
    ("maze2d-open-dense-v0", 11.17817, 27.166538620695782),
    ("minigrid-fourrooms", 0.01442, 2.89685),
    ("flow-ring", -165.22, 24.42),
    ("flow-merge", 118.67993, 330.03179),
    ("carla-lane", -0.8503839912088142, 1023.5784385429523),
    ("carla-town", -114.81579500772153, 2440.1772022247314),
    ("bullet-halfcheetah", -1275.766996, 2381.6725),
    ("bullet-hopper", 20.058972, 1441.8059623430963),
    ("bullet-ant", 373.705955, 2650.495),
    ("bullet-walker2d", 16.523877, 1623.6476303317536),
    ("bullet-maze2d-open", 8.75, 64.15),
    ("bullet-maze2d-umaze", 32.46, 153.99),
    ("bullet-maze2d-medium", 14.87, 238.05),
    ("bullet-maze2d-large", 1.82, 285.92),
];

/// Rewards of dm_control's suite lie within 0 and 1, and episodes have 1,000 steps: V-D4RL's scores are returns over 10.
const SUITE: [&str; 2] = ["cheetah-run", "walker-walk"];

impl ReferenceReturns {
    /// The references of a task or of one of its D4RL datasets (`Hopper-v4`, `hopper-medium-v2`), or of a task of
    /// dm_control's suite that V-D4RL has data of (`walker_walk`); `None` where there are none.
    ///
    /// ```
    /// use envs::ReferenceReturns;
    ///
    /// let hopper = ReferenceReturns::of("hopper-medium-replay-v2").unwrap();
    /// assert!((hopper.score(3234.3) - 100.0).abs() < 1e-9);
    /// ```
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let name = name.strip_prefix("dm-control/").unwrap_or(&name);
        let fits =
            |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        if SUITE.into_iter().any(fits) {
            return Some(Self { min: 0.0, max: 1000.0 });
        }
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
        assert_eq!(ReferenceReturns::of("dm_control/walker-walk-v0").unwrap().score(425.0), 42.5);
        assert_eq!(ReferenceReturns::of("cheetah_run").unwrap().max, 1000.0);
        for unknown in ["", "pendulum", "ants-medium-v2", "maze2d-open-v1", "PointMass-v0"] {
            assert_eq!(ReferenceReturns::of(unknown), None, "{unknown}");
        }
    }

    /// Every D4RL dataset, where the published table lies beside the repository.
    #[test]
    fn the_table_agrees_with_the_published_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/reference-scores.json");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let table: serde_json::Value = serde_json::from_str(&text).unwrap();
        let check = |name: &str, row: [&serde_json::Value; 2]| {
            let ours = ReferenceReturns::of(name).unwrap_or_else(|| panic!("{name} is not in the table"));
            for (theirs, ours) in row.into_iter().zip([ours.min, ours.max]) {
                // The JSON reader may round the last bit otherwise than the compiler does.
                assert!((theirs.as_f64().unwrap() - ours).abs() <= 1e-12 * ours.abs(), "{name}: {theirs} and {ours}");
            }
        };
        let scores = table["scores"].as_object().unwrap();
        scores.iter().for_each(|(name, row)| check(name, [&row["ref_min_score"], &row["ref_max_score"]]));
        let all = table["all_min_max"].as_object().unwrap();
        all.iter().for_each(|(name, row)| check(name, [&row[0], &row[1]]));
        assert!(scores.len() > 50 && all.len() > 100, "{} and {}", scores.len(), all.len());
    }
}
