//! Reading a D4RL file.

use std::path::Path;

use super::EPISODE_ENDS;
use super::states::{Alignment, alignment, move_to_start};
use super::successors::{Rows, succeed};
use crate::formats::h5::{self, Column, Folder};
use crate::formats::{Format, JUMP, LoadReport, Oddity, checksum, differ};
use crate::{Columns, Dataset, Error, Result, Spec, States};

/// Reads the D4RL file at `path`; see [`super`] for what is read and where episodes end.
///
/// The actions' bounds are not in the file and taken to be `[-1, 1]`, as in all of D4RL's tasks; actions outside are
/// kept and reported.
///
/// # Errors
/// [`Error::Io`] where the file cannot be opened, [`Error::Format`] where it is not a complete HDF5 file,
/// [`Error::Data`] with the dataset and, where one is at fault, the row: a missing or unreadable dataset, another shape
/// or number of rows than expected, no rows, a size that the file cannot hold, a number that is not finite, a flag that
/// is neither 0 nor 1.
pub fn read(path: impl AsRef<Path>) -> Result<(Dataset, LoadReport)> {
    let path = path.as_ref();
    let file = h5::open(path)?;
    let root = Folder::root(path, &file)?;
    if root.has("episode_0") && !root.has("observations") {
        let why = "holds Minari episodes: open its folder, where metadata.json lies beside it";
        return Err(Error::Format { path: path.into(), why: why.into() });
    }
    let mut oddities = Vec::new();

    let observations = root.column("observations")?;
    let (count, obs_dim) = observations.table()?;
    if count == 0 {
        return Err(observations.error(None, "has no rows".into()));
    }
    let actions = root.column("actions")?;
    let (action_rows, action_dim) = actions.table()?;
    actions.expect_rows(action_rows, count, "observations")?;
    let rewards = root.column("rewards")?;
    rewards.one_a_row(count, "observations")?;
    let mut rows = Rows {
        observations: numbers(&observations, obs_dim, &mut oddities)?,
        actions: numbers(&actions, action_dim, &mut oddities)?,
        rewards: numbers(&rewards, 1, &mut oddities)?,
        terminated: flags(&root.column("terminals")?, count, &mut oddities)?,
        truncated: if root.has("timeouts") {
            flags(&root.column("timeouts")?, count, &mut oddities)?
        } else {
            let consequence = "episodes end where they terminate".into();
            oddities.push(Oddity::Missing { key: "timeouts".into(), consequence });
            vec![false; count]
        },
        states: None,
    };
    let declared = episode_ends(&root, count)?;
    let stored_next = stored_next(&root, count, obs_dim, &mut oddities)?;
    let breaks = match (declared, &stored_next) {
        (declared, Some(next)) => {
            let jumps = jumps(&rows, next, obs_dim, declared.as_deref().unwrap_or_default());
            if let Some(&first_row) = jumps.first() {
                oddities.push(Oddity::StateJumps { count: jumps.len(), first_row, split: declared.is_none() });
            }
            declared.unwrap_or(jumps)
        }
        (declared, None) => declared.unwrap_or_default(),
    };
    rows.states = states(&root, &rows, obs_dim, &breaks, &mut oddities)?;

    let (next_observations, breaks) = match stored_next {
        Some(next) => (next, breaks),
        None => {
            let (next, outcome) = succeed(&mut rows, obs_dim, action_dim);
            if outcome.dropped > 0 {
                oddities.push(Oddity::LastRowsDropped { count: outcome.dropped, episodes: outcome.vanished });
            }
            if outcome.own > 0 {
                oddities.push(Oddity::OwnSuccessor { count: outcome.own });
            }
            if rows.rewards.is_empty() {
                return Err(observations.error(None, "has no two rows in one episode: there is no transition".into()));
            }
            (next, outcome.breaks)
        }
    };

    let Rows { observations, actions, rewards, terminated, truncated, states } = rows;
    let columns = Columns { observations, actions, rewards, next_observations, terminated, truncated };
    let dataset = Dataset::from_columns(Spec::new(obs_dim, action_dim), columns, &breaks, states)?;
    let mut report = LoadReport::new(path, Format::D4rl, checksum::sha256(path)?, count, &dataset, oddities);
    for (key, value) in root.texts().into_iter().chain(root.folder("metadata").iter().flat_map(Folder::texts)) {
        report.provenance.set(&key, value);
    }
    Ok((dataset, report))
}

/// All numbers of `column` in 32 bits.
fn numbers(column: &Column<'_>, width: usize, oddities: &mut Vec<Oddity>) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    column.append_to(&mut values, width)?;
    note_conversion(column, "float32", oddities);
    Ok(values)
}

/// The stored next observations, where the file has them.
fn stored_next(root: &Folder<'_>, rows: usize, obs_dim: usize, oddities: &mut Vec<Oddity>) -> Result<Option<Vec<f32>>> {
    if !root.has("next_observations") {
        let consequence = "the next row's observation is taken inside an episode".into();
        oddities.push(Oddity::Missing { key: "next_observations".into(), consequence });
        return Ok(None);
    }
    let column = root.column("next_observations")?;
    let (next_rows, next_dim) = column.table()?;
    column.expect_rows(next_rows, rows, "observations")?;
    if next_dim != obs_dim {
        return Err(column.error(None, format!("has {next_dim} numbers a row where 'observations' has {obs_dim}")));
    }
    numbers(&column, obs_dim, oddities).map(Some)
}

/// All flags of `column`.
fn flags(column: &Column<'_>, rows: usize, oddities: &mut Vec<Oddity>) -> Result<Vec<bool>> {
    column.one_a_row(rows, "observations")?;
    let mut values = Vec::new();
    column.append_flags_to(&mut values)?;
    note_conversion(column, "bool", oddities);
    Ok(values)
}

fn note_conversion(column: &Column<'_>, to: &str, oddities: &mut Vec<Oddity>) {
    let from = column.stored();
    if from != to {
        oddities.push(Oddity::Converted { dataset: column.name().into(), from, to: to.into() });
    }
}

/// The simulator states at the start of each row, where the file has them.
fn states(
    root: &Folder<'_>,
    rows: &Rows,
    obs_dim: usize,
    breaks: &[usize],
    oddities: &mut Vec<Oddity>,
) -> Result<Option<States>> {
    let mut ignore = |key: &str, why: &str| oddities.push(Oddity::Ignored { key: key.into(), why: why.into() });
    if !root.has("infos") {
        return Ok(None);
    }
    let Some(infos) = root.folder("infos") else {
        ignore("infos", "it is a dataset, not a group");
        return Ok(None);
    };
    if !infos.has("qpos") || !infos.has("qvel") {
        return Ok(None);
    }
    let (qpos, qvel) = (infos.column("qpos")?, infos.column("qvel")?);
    let ((q_rows, nq), (v_rows, nv)) = (qpos.table()?, qvel.table()?);
    let count = rows.rewards.len();
    if (q_rows, v_rows) != (count, count) {
        ignore("infos/qpos", "it is not one a row");
        return Ok(None);
    }
    let mut states = States { qpos: qpos.read_f64(nq)?, qvel: qvel.read_f64(nv)?, nq, nv };
    let ends = |row: usize| rows.terminated[row] || rows.truncated[row] || breaks.binary_search(&(row + 1)).is_ok();
    match alignment(&states, &rows.observations, obs_dim, ends) {
        Alignment::Before | Alignment::Unknown => Ok(Some(states)),
        Alignment::After => {
            let rebuilt = move_to_start(&mut states, &rows.observations, obs_dim, ends);
            oddities.push(Oddity::StatesAfterStep { rebuilt });
            Ok(Some(states))
        }
        Alignment::Neither => {
            ignore("infos/qpos", "it is neither the state that the row's observation shows nor the next row's");
            Ok(None)
        }
    }
}

/// The row after each episode, where the file is one of ours.
fn episode_ends(root: &Folder<'_>, rows: usize) -> Result<Option<Vec<usize>>> {
    let Some(metadata) = root.folder("metadata").filter(|m| m.has(EPISODE_ENDS)) else { return Ok(None) };
    let column = metadata.column(EPISODE_ENDS)?;
    let ends: Vec<usize> = column.read_u64()?.into_iter().map(|end| end as usize).collect();
    if !ends.is_sorted() || ends.last() != Some(&rows) {
        return Err(column.error(None, format!("expected ascending numbers, the last {rows}")));
    }
    Ok(Some(ends))
}

/// Rows whose observation is not the next observation of the row before, although neither a flag nor `ends` parts them.
fn jumps(rows: &Rows, next: &[f32], obs_dim: usize, ends: &[usize]) -> Vec<usize> {
    let parted = |row: usize| rows.terminated[row - 1] || rows.truncated[row - 1] || ends.binary_search(&row).is_ok();
    let jumps = |row: &usize| {
        let (reached, found) =
            (&next[(row - 1) * obs_dim..][..obs_dim], &rows.observations[row * obs_dim..][..obs_dim]);
        differ(reached, found, JUMP)
    };
    (1..rows.rewards.len()).filter(|&row| !parted(row)).filter(jumps).collect()
}
