//! The paper's own figures: Tables 21 to 25 of appendix F.4 (Lee et al., NeurIPS 2024, pages 23 and 24).

use replay::formats::Provenance;
use serde::{Deserialize, Serialize};

/// A row of the five tables: S4RL, SynthER and GTA in each, as printed (Table 23 in hundredths).
type Row = (&'static str, [[f64; 3]; 5]);

/// Tables 21 (oracle reward), 22 (novelty), 23 (dynamic MSE), 24 (novelty of the state), 25 (novelty of the action).
const ROWS: [Row; 9] = [
    (
        "halfcheetah-medium-v2",
        [[4.77, 4.78, 6.08], [1.39, 1.41, 1.58], [0.0, 0.73, 0.85], [1.12, 1.14, 1.28], [0.22, 0.22, 0.23]],
    ),
    (
        "halfcheetah-medium-replay-v2",
        [[3.10, 3.09, 3.99], [1.78, 1.88, 1.91], [0.01, 1.58, 1.25], [1.36, 1.44, 1.47], [0.28, 0.29, 0.3]],
    ),
    (
        "halfcheetah-medium-expert-v2",
        [[7.73, 7.7, 10.07], [1.22, 1.22, 1.3], [0.0, 0.91, 0.79], [0.95, 0.94, 1.01], [0.24, 0.23, 0.25]],
    ),
    (
        "hopper-medium-v2",
        [[3.11, 3.10, 3.28], [1.36, 1.37, 2.05], [0.07, 1.56, 0.08], [0.38, 0.39, 0.69], [0.07, 0.07, 0.08]],
    ),
    (
        "hopper-medium-replay-v2",
        [[2.38, 2.37, 2.70], [2.03, 2.10, 2.28], [0.06, 1.35, 0.12], [0.63, 0.66, 0.74], [0.07, 0.07, 0.08]],
    ),
    (
        "hopper-medium-expert-v2",
        [[3.36, 3.35, 3.87], [1.45, 1.46, 1.79], [0.04, 0.76, 0.08], [0.41, 0.41, 0.54], [0.07, 0.07, 0.08]],
    ),
    (
        "walker2d-medium-v2",
        [[3.39, 3.40, 3.51], [1.26, 1.26, 1.31], [1.90, 2.09, 2.98], [0.81, 0.81, 0.85], [0.35, 0.35, 0.36]],
    ),
    (
        "walker2d-medium-replay-v2",
        [[2.47, 2.46, 3.35], [1.84, 1.93, 2.00], [2.59, 3.37, 2.77], [1.21, 1.28, 1.35], [0.41, 0.42, 0.44]],
    ),
    (
        "walker2d-medium-expert-v2",
        [[4.15, 4.17, 4.81], [1.16, 1.18, 1.30], [1.63, 1.73, 3.49], [0.71, 0.73, 0.81], [0.36, 0.36, 0.38]],
    ),
];

/// The columns, as settings name the kinds.
const KINDS: [&str; 3] = ["s4rl", "synther", "gta"];
/// Table 23 is printed in hundredths.
const HUNDREDTHS: u32 = 23;
/// What a file of D4RL's own does not say: who else made it.
const MADE_ELSEWHERE: [&str; 5] = ["generator", "gymnasium", "mujoco", "policies", "env_spec"];

/// A dataset of the paper's tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Its D4RL id.
    pub id: String,
    /// Whether the file seems to be D4RL's own: named as such, and not saying that something else made it.
    pub own: bool,
}

impl Published {
    /// The dataset of the paper that one called `name` stands beside: that of the same task and the same policies, such
    /// as `halfcheetah-medium-v2` for `halfcheetah_medium-v2`, `halfcheetah-medium` and `mujoco/halfcheetah/medium-v0`.
    pub fn beside(name: &str, provenance: &Provenance) -> Option<Self> {
        let plain = name.to_lowercase().replace(['_', '/', ' '], "-");
        let plain = plain.strip_prefix("mujoco-").unwrap_or(&plain);
        let (stem, version) = match plain.rsplit_once("-v") {
            Some((stem, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                (stem, Some(digits))
            }
            _ => (plain, None),
        };
        let (id, _) = ROWS.iter().find(|(id, _)| id.strip_suffix("-v2") == Some(stem))?;
        let elsewhere = MADE_ELSEWHERE.iter().any(|key| provenance.get(key).is_some());
        Some(Self { id: (*id).to_owned(), own: version == Some("2") && !elsewhere })
    }
}

/// The figure of a table for a dataset and a kind of augmentation, in plain units.
pub(super) fn published(table: u32, id: &str, kind: &str) -> Option<f64> {
    let (_, tables) = ROWS.iter().find(|(row, _)| *row == id)?;
    let column = KINDS.iter().position(|known| *known == kind)?;
    let printed = tables.get(table.checked_sub(21)? as usize)?[column];
    Some(if table == HUNDREDTHS { printed / 100.0 } else { printed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_table_set_and_kind() {
        assert_eq!(published(21, "halfcheetah-medium-v2", "gta"), Some(6.08));
        assert_eq!(published(22, "walker2d-medium-expert-v2", "s4rl"), Some(1.16));
        assert!((published(23, "hopper-medium-v2", "synther").unwrap() - 0.0156).abs() < 1e-15);
        assert_eq!(published(24, "hopper-medium-replay-v2", "gta"), Some(0.74));
        assert_eq!(published(25, "halfcheetah-medium-replay-v2", "synther"), Some(0.29));
        for (table, id, kind) in [
            (20, ROWS[0].0, "gta"),
            (26, ROWS[0].0, "gta"),
            (21, "ant-medium-v2", "gta"),
            (21, ROWS[0].0, "oversample"),
        ] {
            assert_eq!(published(table, id, kind), None);
        }
    }

    /// What the paper says of its own tables: GTA has the highest oracle reward and novelty everywhere.
    #[test]
    fn gta_leads_where_the_paper_says_so() {
        for (id, tables) in ROWS {
            for (at, [s4rl, synther, gta]) in tables.into_iter().enumerate().filter(|(at, _)| *at != 2) {
                assert!(gta > s4rl && gta > synther, "{id}, table {}", 21 + at);
            }
        }
    }

    #[test]
    fn datasets_are_told_by_their_names_and_what_they_say_of_themselves() {
        let nothing = Provenance::new();
        let beside = |name: &str| Published::beside(name, &nothing).map(|p| (p.id, p.own));
        let medium = |own| Some(("halfcheetah-medium-v2".to_owned(), own));
        assert_eq!(beside("halfcheetah_medium-v2"), medium(true));
        assert_eq!(beside("halfcheetah-medium-v2"), medium(true));
        assert_eq!(beside("halfcheetah-medium"), medium(false));
        assert_eq!(beside("HalfCheetah_medium-v0"), medium(false));
        assert_eq!(beside("mujoco/halfcheetah/medium-v0"), medium(false));
        assert_eq!(beside("walker2d_medium_replay-v2"), Some(("walker2d-medium-replay-v2".to_owned(), true)));
        assert_eq!((beside("halfcheetah-random-v2"), beside("original"), beside("-v")), (None, None, None));
        let mut ours = Provenance::new();
        ours.set("gymnasium", "1.4.0");
        assert!(!Published::beside("halfcheetah_medium-v2", &ours).unwrap().own);
    }

    /// The text of the paper, where it lies beside the repository.
    #[test]
    fn figures_are_those_of_the_papers_text() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/paper/gta-neurips-2024.txt");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        for table in 21..=25 {
            let start = text.find(&format!("Table {table}: Comparison")).expect("the table is there");
            for (id, tables) in ROWS {
                let line = text[start..].lines().find(|line| line.to_lowercase().starts_with(&format!("{id} ")));
                let printed: Vec<f64> =
                    line.unwrap().split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
                assert_eq!(printed, tables[table - 21], "table {table}, {id}");
            }
        }
    }
}
