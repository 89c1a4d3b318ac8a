//! Settings of the GTA paper's experiments, made from one small table.

use replay::catalog::{Family, PAPER, PaperDataset};

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

/// The other tasks are learned by IQL alone.
const IQL: [(&str, &str); 1] = [AGENTS[2]];

/// The lines within a row.
const AUGMENTATIONS: [(&str, &str); 4] =
    [("none", "no augmentation"), ("s4rl", "S4RL"), ("synther", "SynthER"), ("gta", "GTA")];

/// A file for each cell of tables 1 and 2, in the folders `table-1` and `table-2`.
///
/// What a file does not say is the default of [`RunConfig`](super::RunConfig), which is the paper's for the dataset: 8
/// seeds, a million updates of batch 1024, 10 episodes in locomotion and 100 elsewhere, GTA as
/// [`GtaConfig::paper_for`](crate::GtaConfig::paper_for) has it. The runs of all algorithms on a dataset share one model
/// and pool. Table 3, of pixels, has no files: there is no DrQ+BC here.
pub fn tables() -> Vec<ConfigFile> {
    let mut files = Vec::new();
    for PaperDataset { id, family } in PAPER {
        let (table, agents) = match family {
            Family::Locomotion => (1, &AGENTS[..]),
            Family::Maze2d | Family::AntMaze => (1, &IQL[..]),
            Family::Adroit | Family::Kitchen => (2, &IQL[..]),
            Family::Pixels => continue,
        };
        for (agent, agent_name) in agents {
            for (augmentation, augmentation_name) in AUGMENTATIONS {
                let mut text = format!(
                    "# Table {table}: {agent_name} on {id}, {augmentation_name}. Made by `cargo run --example paper_tables`.\n\
                     dataset.id = \"{id}\"\n\
                     agent.kind = \"{agent}\"\n\
                     augmentation.kind = \"{augmentation}\"\n"
                );
                match augmentation {
                    "synther" => text += &synther(id),
                    "gta" => text += &gta(id),
                    _ => {}
                }
                files.push(ConfigFile { name: format!("table-{table}/{agent}-{id}-{augmentation}.toml"), text });
            }
        }
    }
    files
}

/// What is particular to SynthER: five million transitions (the default) in the place of the data.
fn synther(id: &str) -> String {
    let mut text = format!(
        "augmentation.preset = \"paper\"\n\
         augmentation.folder = \"runs/synther-{id}\"\n"
    );
    if ["medium-replay", "human", "kitchen"].iter().any(|small| id.contains(small)) {
        text += "# The published code's batch below 800,000 transitions.\n\
                 augmentation.settings.trainer.batch = 256\n";
    }
    text
}

/// What is particular to GTA: five million transitions (the default) beside the data, as if they were appended to it.
fn gta(id: &str) -> String {
    format!(
        "augmentation.preset = \"paper\"\n\
         augmentation.ratio = \"union\"\n\
         augmentation.folder = \"runs/gta-{id}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use envs::EnvId;

    use super::*;
    use crate::GtaConfig;
    use crate::augment::Condition;
    use crate::experiment::{AugmentationConfig, RunConfig};

    #[test]
    fn every_cell_is_a_run_of_the_paper() {
        let files = tables();
        assert_eq!(files.len(), (9 * AGENTS.len() + 9 + 5) * AUGMENTATIONS.len());
        for file in &files {
            let config = RunConfig::parse(Path::new(&file.name), &file.text, &[]).unwrap();
            let id = config.dataset.id.as_deref().unwrap();
            assert!(file.name.ends_with(&format!("-{id}-{}.toml", config.augmentation.name())), "{}", file.name);
            assert_eq!(id.parse::<EnvId>().unwrap(), config.env);
            let episodes = if file.name.contains("-v2-") && !id.starts_with("antmaze") { 10 } else { 100 };
            assert_eq!((config.updates, config.seeds.len()), (1_000_000, 8));
            assert_eq!(config.evaluation.episodes, episodes, "{}", file.name);
            let agent = serde_json::to_value(&config.agent).unwrap();
            assert!(file.name[8..].starts_with(agent["kind"].as_str().unwrap()), "{agent}");
            assert_eq!(agent["batch_size"], 1024, "{}", file.name);
            if let AugmentationConfig::SynthEr(synther) = &config.augmentation {
                let trainer = &synther.settings.trainer;
                let small = ["medium-replay", "human", "kitchen"].iter().any(|small| id.contains(small));
                let batch = if small { 256 } else { 1024 };
                assert_eq!((synther.transitions, trainer.steps, trainer.batch), (5_000_000, 100_000, batch));
                assert_eq!(synther.ratio.of(1, 5), 1.0, "agents see generated transitions only");
            }
            let AugmentationConfig::Gta(gta) = &config.augmentation else { continue };
            assert_eq!((gta.transitions, gta.settings.trainer.steps), (5_000_000, 1_000_000));
            let (ours, paper) = (gta.settings.guide(), GtaConfig::paper_for(id));
            assert_eq!((ours, gta.settings.mu), (paper.guide(), paper.mu), "{}", file.name);
            assert_eq!((ours.horizon, ours.condition), (31, Condition::ReturnToGo { discount: 0.99 }));
        }
    }
}
