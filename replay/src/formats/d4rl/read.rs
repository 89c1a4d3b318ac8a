//! Reading a D4RL file.

use std::path::Path;

use super::EPISODE_ENDS;
use super::states::{self, Alignment, Shown, move_to_start};
use super::successors::{Rows, succeed};
use super::timeouts;
use crate::formats::h5::{self, Column, Folder};
use crate::formats::{Format, JUMP, LoadReport, Oddity, ReadOptions, RewardTiming, Timeouts, checksum, differ, vd4rl};
use crate::{Columns, Dataset, Error, Result, Spec, States};

/// Reads the D4RL file at `path` as it is published; see [`super`] for what is read and where episodes end.
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
    read_with(path, &ReadOptions::default())
}

/// Reads the D4RL file at `path` as `options` say; see [`super`]. Where goals go makes no difference: there are none in
/// D4RL's observations.
///
/// # Errors
/// As [`read`]; [`Error::Data`] also where the file does not allow what was asked, as [`RewardTiming`] and [`Timeouts`]
/// say.
pub fn read_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<(Dataset, LoadReport)> {
    let path = path.as_ref();
    let file = h5::open(path)?;
    let root = Folder::root(path, &file)?;
    if root.has("episode_0") && !root.has("observations") {
        let why = "holds Minari episodes: open its folder, where metadata.json lies beside it";
        return Err(Error::Format { path: path.into(), why: why.into() });
    }
    if vd4rl::is_of_records(&root) {
        let why = "holds pixels as V-D4RL keeps them: formats::vd4rl::read reads them";
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
    note_terminated_again(&rows.terminated, &mut oddities);
    let declared = episode_ends(&root, count)?;
    let stored_next = stored_next(&root, count, obs_dim, &mut oddities)?;
    let next = add_states(&root, &mut rows, stored_next, obs_dim, declared.as_deref(), options, &mut oddities)?;
    if options.reward_timing == RewardTiming::NextObservation {
        check_timing(&root, &rows, next.is_some())?;
        oddities.push(Oddity::RewardsOfNext);
    }
    let declared =
        match options.timeouts {
            Timeouts::End => declared,
            Timeouts::GoOn => {
                timeouts::pass(&mut rows, next.as_deref(), obs_dim, &mut oddities)
                    .map_err(|(row, why)| Error::Data { path: path.into(), dataset: "timeouts".into(), row, why })?;
                None
            }
        };

    let (next_observations, breaks) = match next {
        Some(next) => {
            let jumps = jumps(&rows, &next, obs_dim, declared.as_deref().unwrap_or_default());
            if let Some(&first_row) = jumps.first() {
                oddities.push(Oddity::StateJumps { count: jumps.len(), first_row, split: declared.is_none() });
            }
            (next, declared.unwrap_or(jumps))
        }
        None => {
            let (next, outcome) = succeed(&mut rows, obs_dim, action_dim, options.reward_timing);
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

    options.offset(&mut rows.rewards, &mut oddities);
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

/// Adds the simulator states at the start of each row, where the file has them. Returns the next observations: those
/// `stored`, or else those that states recorded after each step are.
fn add_states(
    root: &Folder<'_>,
    rows: &mut Rows,
    stored: Option<Vec<f32>>,
    obs_dim: usize,
    declared: Option<&[usize]>,
    options: &ReadOptions,
    oddities: &mut Vec<Oddity>,
) -> Result<Option<Vec<f32>>> {
    let count = rows.rewards.len();
    let Some(mut states) = states::read(root, count, oddities)? else { return Ok(stored) };
    let mut next = stored;
    if let Some(shown) = Shown::new(&states, &rows.observations, obs_dim) {
        let declared = declared.unwrap_or_default();
        let ends =
            |row: usize| rows.terminated[row] || rows.truncated[row] || declared.binary_search(&(row + 1)).is_ok();
        match shown.alignment(ends) {
            Alignment::Before if next.is_none() && shown.is_whole() => {
                let stale: Vec<usize> = (0..count).filter(|&row| !shown.shows(row, row)).collect();
                if let Some(&first_row) = stale.first() {
                    // Where timeouts are no ends, the row before would lead to its own observation.
                    let repaired = options.timeouts == Timeouts::GoOn;
                    let of_states = |&row: &usize| shown.numbers(row).map(|number| number as f32);
                    let numbers: Vec<f32> = stale.iter().flat_map(of_states).collect();
                    for (&row, numbers) in stale.iter().zip(numbers.chunks_exact(obs_dim)).filter(|_| repaired) {
                        rows.observations[row * obs_dim..][..obs_dim].copy_from_slice(numbers);
                    }
                    oddities.push(Oddity::StaleObservations { count: stale.len(), first_row, repaired });
                }
            }
            Alignment::Before | Alignment::Unknown => {}
            Alignment::After => {
                if next.is_none() && shown.is_whole() {
                    let (successors, last) = shown.successors();
                    oddities.push(Oddity::NextFromStates { count: last.len() });
                    next = Some(successors);
                }
                let rebuilt = move_to_start(&mut states, &rows.observations, obs_dim);
                oddities.push(Oddity::StatesAfterStep { rebuilt });
            }
            Alignment::Neither => {
                let why = "it is neither the state that the row's observation shows nor the next row's".into();
                oddities.push(Oddity::Ignored { key: "infos/qpos".into(), why });
                states = States { contexts: states.contexts, nc: states.nc, ..States::default() };
            }
        }
    }
    rows.states = (states.has_positions() || states.nc > 0).then_some(states);
    Ok(next)
}

/// Fails unless the rows hold the rewards of their own observations, as far as can be told.
fn check_timing(root: &Folder<'_>, rows: &Rows, next_is_known: bool) -> Result<()> {
    let refuse = |name: &str, row, why: &str| {
        let why = format!("{why}: rewards of the next observation are for files of rows that never end a task");
        Err(Error::Data { path: root.path().into(), dataset: name.into(), row, why })
    };
    if next_is_known {
        return refuse("rewards", None, "next states are stored, so each reward is its transition's own");
    }
    match rows.terminated.iter().position(|&terminated| terminated) {
        Some(row) => refuse("terminals", Some(row), "is set"),
        None => Ok(()),
    }
}

/// Notes terminated rows that follow one.
fn note_terminated_again(terminated: &[bool], oddities: &mut Vec<Oddity>) {
    let count = terminated.windows(2).filter(|pair| pair[0] && pair[1]).count();
    if count > 0 {
        oddities.push(Oddity::TerminatedAgain { count });
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
