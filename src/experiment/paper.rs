//! Settings of the GTA paper's experiments, made from one small table.

use std::fmt::Write;

/// A file of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Rows of Table 1's locomotion block, with their names in the paper.
const AGENTS: [(&str, &str); 4] = [("td3_bc", "TD3+BC"), ("cql", "CQL"), ("iql", "IQL"), ("mcq", "MCQ")];

/// Its columns, with the bins of Table 9's reweighting (`N_B`), where there is one.
const DATASETS: [(&str, Option<u32>); 9] = [
    ("halfcheetah-medium-v2", None),
    ("halfcheetah-medium-replay-v2", Some(50)),
    ("halfcheetah-medium-expert-v2", Some(20)),
    ("hopper-medium-v2", Some(50)),
    ("hopper-medium-replay-v2", Some(50)),
    ("hopper-medium-expert-v2", Some(50)),
    ("walker2d-medium-v2", Some(100)),
    ("walker2d-medium-replay-v2", Some(50)),
    ("walker2d-medium-expert-v2", Some(50)),
];

/// Its lines within a row.
const AUGMENTATIONS: [(&str, &str); 4] =
    [("none", "no augmentation"), ("s4rl", "S4RL"), ("synther", "SynthER"), ("gta", "GTA")];

/// A file for each cell of the locomotion block of Table 1.
///
/// What a file does not say is the default of [`RunConfig`](super::RunConfig), which is the paper's: 8 seeds, a million
/// updates of batch 1024, 10 episodes. Of the values that Table 8 searches over, alpha 1.3, mu 0.5 and windows of 32 rows
/// are taken; the paper does not say which were best where. The runs of all algorithms on a dataset share one model and
/// pool.
pub fn table_1() -> Vec<ConfigFile> {
    let mut files = Vec::new();
    for (agent, agent_name) in AGENTS {
        for (dataset, bins) in DATASETS {
            for (augmentation, augmentation_name) in AUGMENTATIONS {
                let mut text = format!(
                    "# Table 1: {agent_name} on {dataset}, {augmentation_name}. Made by `cargo run --example table_1`.\n\
                     dataset.id = \"{dataset}\"\n\
                     agent.kind = \"{agent}\"\n\
                     augmentation.kind = \"{augmentation}\"\n"
                );
                match augmentation {
                    "synther" => text += &synther(dataset),
                    "gta" => text += &gta(dataset, bins),
                    _ => {}
                }
                files.push(ConfigFile { name: format!("{agent}-{dataset}-{augmentation}.toml"), text });
            }
        }
    }
    files
}

/// What is particular to SynthER: five million transitions (the default) in the place of the data.
fn synther(dataset: &str) -> String {
    let mut text = format!(
        "augmentation.preset = \"paper\"\n\
         augmentation.folder = \"runs/synther-{dataset}\"\n"
    );
    if dataset.contains("medium-replay") {
        text += "# The published code's batch below 800,000 transitions.\n\
                 augmentation.settings.trainer.batch = 256\n";
    }
    text
}

/// What is particular to GTA: five million transitions (the default) beside the data, as if they were appended to it.
fn gta(dataset: &str, bins: Option<u32>) -> String {
    let mut text = format!(
        "augmentation.preset = \"paper\"\n\
         augmentation.ratio = \"union\"\n\
         augmentation.folder = \"runs/gta-{dataset}\"\n"
    );
    if let Some(bins) = bins {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "augmentation.settings.augment.guide.reweighting.by_return = {{ bins = {bins}, u = 0.001, q = 5.0 }}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use envs::EnvId;

    use super::*;
    use crate::augment::{Condition, Reweighting};
    use crate::experiment::{AugmentationConfig, RunConfig};

    #[test]
    fn every_cell_is_a_run_of_the_paper() {
        let files = table_1();
        assert_eq!(files.len(), AGENTS.len() * DATASETS.len() * AUGMENTATIONS.len());
        for file in &files {
            let config = RunConfig::parse(Path::new(&file.name), &file.text, &[]).unwrap();
            let name = format!("{}-{}", config.dataset.id.as_deref().unwrap(), config.augmentation.name());
            assert!(file.name.ends_with(&format!("-{name}.toml")), "{}", file.name);
            assert_eq!(config.dataset.id.as_deref().unwrap().parse::<EnvId>().unwrap(), config.env);
            assert_eq!((config.updates, config.seeds.len(), config.evaluation.episodes), (1_000_000, 8, 10));
            let agent = serde_json::to_value(&config.agent).unwrap();
            assert!(file.name.starts_with(agent["kind"].as_str().unwrap()), "{agent}");
            assert_eq!(agent["batch_size"], 1024, "{}", file.name);
            if let AugmentationConfig::SynthEr(synther) = &config.augmentation {
                let trainer = &synther.settings.trainer;
                let batch = if file.name.contains("medium-replay") { 256 } else { 1024 };
                assert_eq!((synther.transitions, trainer.steps, trainer.batch), (5_000_000, 100_000, batch));
                assert_eq!(synther.ratio.of(1, 5), 1.0, "agents see generated transitions only");
            }
            let AugmentationConfig::Gta(gta) = &config.augmentation else { continue };
            assert_eq!((gta.transitions, gta.settings.trainer.steps), (5_000_000, 1_000_000));
            let guide = gta.settings.guide();
            assert_eq!((guide.horizon, guide.alpha.get(), gta.settings.mu.get()), (31, 1.3, 0.5));
            assert_eq!(guide.condition, Condition::ReturnToGo { discount: 0.99 });
            let weighted = matches!(guide.reweighting, Reweighting::ByReturn { .. });
            assert_eq!(weighted, config.dataset.id.as_deref() != Some("halfcheetah-medium-v2"));
        }
    }
}
