//! Scores: which references a return is normalised by, and what the scores of several seeds say together.

use envs::{EnvId, ReferenceReturns};
use replay::Seed;
use replay::formats::Provenance;
use serde::{Deserialize, Deserializer, Serialize};

use super::stats::{Bootstrap, Interval, mean, standard_deviation};

/// The returns that score 0 and 100 on a dataset: those that its own file gives (Minari's `ref_min_score` and
/// `ref_max_score`), else those of its D4RL id, else those of the task. `None` where nobody has defined any.
///
/// Minari's `mujoco/*` sets give none of their own; D4RL's references of the same task serve for them, as is the
/// field's habit, although the data is another.
pub fn references(id: Option<&str>, env: EnvId, file: &Provenance) -> Option<ReferenceReturns> {
    let own = |key| file.get(key).and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
    let own = own("ref_min_score").zip(own("ref_max_score")).map(|(min, max)| ReferenceReturns { min, max });
    // Equal references would make every score infinite.
    let own = own.filter(|references| references.min != references.max);
    own.or_else(|| id.and_then(ReferenceReturns::of)).or_else(|| ReferenceReturns::of(env.name()))
}

/// What one number a seed says together: mean, spread between seeds, and how sure the mean is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverSeeds {
    /// Seeds.
    pub count: usize,
    /// Their mean; not a number where one of them is not.
    #[serde(deserialize_with = "number")]
    pub mean: f64,
    /// Their sample standard deviation (`n - 1`), what the paper's tables print behind the sign ±: Table 20's p-values
    /// follow from those figures only if they are sample deviations. `None` for a single seed.
    pub standard_deviation: Option<f64>,
    /// Bootstrap interval of the mean over seeds; `None` for a single seed. With three seeds it can only be rough.
    pub interval: Option<Interval>,
}

/// Reads a number from JSON, which writes those that are not finite as null.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl OverSeeds {
    /// Of one value a seed; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let deviation = standard_deviation(values, 1);
        let seed = Seed::new(0).fork("over-seeds", 0);
        Some(Self {
            count: values.len(),
            mean: mean(values),
            standard_deviation: (values.len() > 1 && deviation.is_finite()).then_some(deviation),
            interval: Bootstrap::default()
                .mean_over_clusters(values, &vec![1; values.len()], &seed)
                .filter(|interval| interval.low.is_finite() && interval.high.is_finite()),
        })
    }

    /// The average over tasks as the paper computes it (appendix F.2): first each seed's mean over the tasks, then mean
    /// and standard deviation of those. `tasks[t][s]` is what seed `s` reached on task `t`.
    ///
    /// `None` where there is no task or not every task has the same number of seeds.
    pub fn of_average(tasks: &[Vec<f64>]) -> Option<Self> {
        let seeds = tasks.first()?.len();
        if tasks.iter().any(|task| task.len() != seeds) {
            return None;
        }
        let by_seed: Vec<f64> =
            (0..seeds).map(|seed| mean(&tasks.iter().map(|task| task[seed]).collect::<Vec<f64>>())).collect();
        Self::of(&by_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_own_references_come_first_then_its_ids_then_the_tasks() {
        let mut minari = Provenance::new();
        let of = |id, env, file: &Provenance| references(id, env, file).map(|r| (r.min, r.max));
        let hopper = Some((-20.272305, 3234.3));
        assert_eq!(of(Some("hopper-medium-v2"), EnvId::Hopper, &minari), hopper);
        assert_eq!(of(Some("mujoco/hopper/medium-v0"), EnvId::Hopper, &minari), hopper);
        assert_eq!(of(None, EnvId::Hopper, &minari), hopper);
        assert_eq!(of(None, EnvId::PointMass, &minari), None);
        minari.set("ref_min_score", "-1.5").set("ref_max_score", "2e3");
        assert_eq!(of(Some("hopper-medium-v2"), EnvId::Hopper, &minari), Some((-1.5, 2000.0)));
        for unusable in ["-1.5", "NaN", "no number"] {
            minari.set("ref_max_score", unusable);
            assert_eq!(of(None, EnvId::Hopper, &minari), hopper, "{unusable}");
        }
    }

    #[test]
    fn seeds_are_summarised_with_their_sample_deviation() {
        let scores = OverSeeds::of(&[37.0, 38.5, 40.0]).unwrap();
        assert_eq!((scores.count, scores.mean, scores.standard_deviation), (3, 38.5, Some(1.5)));
        let interval = scores.interval.unwrap();
        assert!(interval.low >= 37.0 && interval.high <= 40.0 && interval.low < 38.5);
        let single = OverSeeds::of(&[37.0]).unwrap();
        assert_eq!((single.standard_deviation, single.interval), (None, None));
        assert_eq!(OverSeeds::of(&[]), None);
    }

    #[test]
    fn the_average_over_tasks_is_taken_within_seeds_first() {
        // Two tasks whose seeds vary against one another: the average of every seed is 50.
        let average = OverSeeds::of_average(&[vec![40.0, 50.0, 60.0], vec![60.0, 50.0, 40.0]]).unwrap();
        assert_eq!((average.mean, average.standard_deviation), (50.0, Some(0.0)));
        assert_eq!(OverSeeds::of_average(&[vec![1.0], vec![1.0, 2.0]]), None);
        assert_eq!(OverSeeds::of_average(&[]), None);
    }

    /// The mean of the paper's own row (TD3BC with GTA, Table 1) is the average it prints.
    #[test]
    fn the_papers_average_is_the_mean_over_tasks() {
        let cells = [57.84, 50.04, 93.13, 69.57, 89.31, 110.40, 86.69, 93.82, 110.86];
        let average = OverSeeds::of_average(&cells.map(|cell| vec![cell])).unwrap();
        assert!((average.mean - 84.63).abs() < 0.005, "{}", average.mean);
    }

    /// The published code's scores and p-values, where they lie beside the repository.
    #[test]
    fn scores_and_p_values_are_those_of_the_published_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/golden/agents/eval.json");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
        let scores = golden["normalised_score"].as_array().unwrap();
        assert!(scores.len() > 5);
        for row in scores {
            let id = row["env"].as_str().unwrap();
            let ours = references(Some(id), id.parse().unwrap(), &Provenance::new()).unwrap();
            let number = |key: &str| row[key].as_f64().unwrap();
            let (score, expected) = (ours.score(number("ret")), number("normalised"));
            assert!((score - expected).abs() < 1e-9, "{id}: {score}, expected {expected}");
        }
        for (agent, row) in golden["welch_table20"].as_object().unwrap() {
            let moments = |key: &str| crate::eval::Moments {
                count: row["n"].as_u64().unwrap() as usize,
                mean: row[key][0].as_f64().unwrap(),
                standard_deviation: row[key][1].as_f64().unwrap(),
            };
            let p = crate::eval::welch(&moments("gta"), &moments("synther")).unwrap().p;
            let expected = row["std_ddof1"]["p_two_sided"].as_f64().unwrap();
            assert!((p - expected).abs() < 1e-9 * expected.max(1e-4), "{agent}: {p}, expected {expected}");
        }
    }
}
