//! Reading a Minari dataset.

use std::path::{Path, PathBuf};

use super::metadata::Metadata;
use super::space::{self, Bounds};
use super::{DATA_FILE, METADATA_FILE};
use crate::formats::h5::{self, Column, Folder};
use crate::formats::{Format, Goals, LoadReport, Oddity, ReadOptions, RewardTiming, Timeouts, checksum};
use crate::{Columns, Dataset, Error, Result, Spec, States};

/// Reads the Minari dataset at `path`: its folder, its `data` folder or its `main_data.hdf5`; see [`super`].
///
/// # Errors
/// [`Error::Io`] where a file cannot be opened, [`Error::Format`] where the folder holds no dataset, the metadata is not
/// usable (no JSON, no `total_episodes`, another data format, a space of another kind) or the data file is not
/// a complete HDF5 file, [`Error::Data`] with the dataset inside the file and the row where an episode is wrong.
pub fn read(path: impl AsRef<Path>) -> Result<(Dataset, LoadReport)> {
    read_with(path, &ReadOptions::default())
}

/// Reads the Minari dataset at `path` as `options` say; see [`super`].
///
/// # Errors
/// As [`read`]; [`Error::Format`] also where other rewards or timeouts than published are asked for, [`Error::Data`] where
/// goals are to be left out of observations without a part `observation`.
pub fn read_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<(Dataset, LoadReport)> {
    let path = path.as_ref();
    if options.reward_timing != RewardTiming::AsPublished || options.timeouts != Timeouts::End {
        let why = "stores T + 1 observations an episode: its rewards are its steps' own and its truncations are ends";
        return Err(Error::Format { path: path.into(), why: why.into() });
    }
    let folder = data_folder(path)?;
    let metadata = Metadata::read(&folder)?;
    let data_path = folder.join(DATA_FILE);
    let file = h5::open(&data_path)?;
    let root = Folder::root(&data_path, &file)?;

    let mut episodes = Episodes { goals: options.goals, ..Episodes::default() };
    for number in 0..metadata.episodes {
        let name = format!("episode_{number}");
        let episode = root.folder(&name).ok_or_else(|| root.error(&name, "is missing or not a group".into()))?;
        episodes.append(&name, &episode)?;
    }
    let spec = episodes.spec(&metadata)?;
    let Episodes { mut columns, breaks, qpos, qvel, contexts, parts, mut oddities, rows_in_file, flags_inside, .. } =
        episodes;
    if columns.rewards.is_empty() {
        return Err(Error::Data {
            path: data_path,
            dataset: "/".into(),
            row: None,
            why: "no episode has a step".into(),
        });
    }
    if flags_inside > 0 {
        oddities.push(Oddity::FlagsInsideEpisodes { count: flags_inside });
    }
    if let Some(steps) = metadata.steps.filter(|&steps| steps != rows_in_file as u64) {
        let why = format!("it says {steps} where the episodes have {rows_in_file} steps");
        oddities.push(Oddity::Ignored { key: "total_steps".into(), why });
    }
    let rows = columns.rewards.len();
    let mut states = States { nc: contexts.len() / rows, contexts, ..States::default() };
    if let (Some(qpos), Some(qvel)) = (qpos, qvel) {
        (states.nq, states.nv) = (qpos.len() / rows, qvel.len() / rows);
        (states.qpos, states.qvel) = (qpos, qvel);
    }
    let states = (states.has_positions() || states.nc > 0).then_some(states);
    options.offset(&mut columns.rewards, &mut oddities);
    let dataset = Dataset::from_columns(spec, columns, &breaks, states)?;
    let checksum = checksum::sha256(&data_path)?;
    let mut report = LoadReport::new(path, Format::Minari, checksum, rows_in_file, &dataset, oddities);
    report.observation_parts = parts.observations;
    report.provenance = metadata.provenance;
    Ok((dataset, report))
}

/// The folder that holds the two files.
fn data_folder(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.parent().unwrap_or(Path::new("")).into());
    }
    let holds = |folder: &Path| folder.join(METADATA_FILE).exists() || folder.join(DATA_FILE).exists();
    let inside = path.join("data");
    match (holds(path), holds(&inside)) {
        (true, _) => Ok(path.into()),
        (_, true) => Ok(inside),
        _ => {
            let why = format!("holds no Minari dataset: neither {METADATA_FILE} nor {DATA_FILE} in it or in 'data'");
            Err(Error::Format { path: path.into(), why })
        }
    }
}

/// Names and sizes of the parts that make a row.
type Parts = Vec<(String, usize)>;

#[derive(Default)]
struct RowParts {
    observations: Parts,
    actions: Parts,
}

/// Episodes read so far.
#[derive(Default)]
struct Episodes {
    columns: Columns,
    breaks: Vec<usize>,
    parts: RowParts,
    /// `None` once an episode came without states.
    qpos: Option<Vec<f64>>,
    qvel: Option<Vec<f64>>,
    /// The `desired_goal` of each step; nothing where observations have none.
    contexts: Vec<f64>,
    goals: Goals,
    started: bool,
    rows_in_file: usize,
    flags_inside: usize,
    oddities: Vec<Oddity>,
    /// Space for one episode's observations.
    trajectory: Vec<f32>,
}

impl Episodes {
    /// Appends the episode called `name`.
    fn append(&mut self, name: &str, episode: &Folder<'_>) -> Result<()> {
        let rewards = episode.column("rewards")?;
        let &[steps] = rewards.shape() else {
            return Err(rewards.error(None, format!("expected the shape [steps], found {:?}", rewards.shape())));
        };
        if steps == 0 {
            self.oddities.push(Oddity::Ignored { key: name.into(), why: "it has no step".into() });
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.started, true);

        let mut leaves = leaves(episode, "observations")?;
        self.append_goals(episode, &leaves, steps)?;
        if self.goals == Goals::InContext {
            leaves.retain(|(name, _)| name.is_empty() || name.split('/').next() == Some("observation"));
            if leaves.is_empty() {
                return Err(episode.error("observations", "has no part 'observation' to leave goals out of".into()));
            }
        }
        self.trajectory.clear();
        let parts = weave(&leaves, steps + 1, "steps + 1", &mut self.trajectory)?;
        agree(episode, "observations", first, &mut self.parts.observations, parts)?;
        note_conversion(first, &leaves, &mut self.oddities);
        let leaves = self::leaves(episode, "actions")?;
        let parts = weave(&leaves, steps, "steps", &mut self.columns.actions)?;
        agree(episode, "actions", first, &mut self.parts.actions, parts)?;
        note_conversion(first, &leaves, &mut self.oddities);

        let obs_dim = self.trajectory.len() / (steps + 1);
        let start = self.columns.rewards.len();
        let c = &mut self.columns;
        c.observations.extend_from_slice(&self.trajectory[..steps * obs_dim]);
        c.next_observations.extend_from_slice(&self.trajectory[obs_dim..]);
        rewards.append_to(&mut c.rewards, 1)?;
        note_conversion(first, &[(String::new(), rewards)], &mut self.oddities);
        for (key, flags) in [("terminations", &mut c.terminated), ("truncations", &mut c.truncated)] {
            let column = episode.column(key)?;
            column.one_a_row(steps, "rewards")?;
            column.append_flags_to(flags)?;
        }
        let inside = start..start + steps - 1;
        self.flags_inside +=
            usize::from(c.terminated[inside.clone()].contains(&true) || c.truncated[inside].contains(&true));
        self.rows_in_file += steps;
        self.breaks.push(start + steps);
        self.append_states(episode, steps, first)
    }

    /// Appends the goal of each step, which is that of the observation it starts from.
    fn append_goals(&mut self, episode: &Folder<'_>, leaves: &[(String, Column<'_>)], steps: usize) -> Result<()> {
        let is_goal = |(name, _): &&(String, Column<'_>)| name.split('/').next() == Some("desired_goal");
        let goals: Vec<&Column<'_>> = leaves.iter().filter(is_goal).map(|(_, column)| column).collect();
        let mut parts = Vec::with_capacity(goals.len());
        for column in goals {
            let width = column.shape().iter().skip(1).product::<usize>();
            if column.shape().first() != Some(&(steps + 1)) {
                return Err(column.error(None, format!("has the shape {:?} for {steps} steps", column.shape())));
            }
            parts.push((column.read_f64(width)?, width));
        }
        let (rows, width) = (self.columns.rewards.len(), parts.iter().map(|(_, width)| width).sum::<usize>());
        if self.contexts.len() != rows * width {
            let why = format!("has goals of {width} numbers, unlike the episodes before it");
            return Err(episode.error("observations", why));
        }
        for step in 0..steps {
            for (values, width) in &parts {
                self.contexts.extend_from_slice(&values[step * width..][..*width]);
            }
        }
        Ok(())
    }

    /// Appends the simulator states where all episodes so far have them.
    fn append_states(&mut self, episode: &Folder<'_>, steps: usize, first: bool) -> Result<()> {
        let infos = episode.folder("infos");
        for (key, values) in [("qpos", &mut self.qpos), ("qvel", &mut self.qvel)] {
            if first {
                *values = Some(Vec::new());
            }
            let Some(earlier) = values else { continue };
            let column = infos.as_ref().filter(|infos| infos.has(key)).map(|infos| infos.column(key)).transpose()?;
            let rows = self.columns.rewards.len() - steps;
            match column.map(|column| (column.table(), column)) {
                Some((Ok((found, width)), column))
                    if found == steps + 1 && (first || earlier.len() == rows * width) =>
                {
                    let states = column.read_f64(width)?;
                    earlier.extend_from_slice(&states[..steps * width]);
                }
                Some((_, column)) => {
                    let why = format!("'{}' has the shape {:?} for {steps} steps", column.name(), column.shape());
                    self.oddities.push(Oddity::Ignored { key: format!("infos/{key}"), why });
                    *values = None;
                }
                None => {
                    if !first {
                        let why = "not every episode has it".into();
                        self.oddities.push(Oddity::Ignored { key: format!("infos/{key}"), why });
                    }
                    *values = None;
                }
            }
        }
        Ok(())
    }

    /// Sizes as the data has them, and the actions' bounds as the metadata has them.
    fn spec(&mut self, metadata: &Metadata) -> Result<Spec> {
        let size = |parts: &Parts| parts.iter().map(|(_, size)| size).sum::<usize>();
        let (obs_dim, action_dim) = (size(&self.parts.observations), size(&self.parts.actions));
        let spec = Spec::new(obs_dim, action_dim);
        match &metadata.actions {
            Some(bounds) => {
                let Bounds { low, high } = bounds.clone();
                spec.with_action_bounds(low, high)
                    .map_err(|e| Error::Format { path: metadata.path.clone(), why: format!("'action_space': {e}") })
            }
            None => {
                let consequence = "actions are taken to be in [-1, 1]".into();
                self.oddities.push(Oddity::Missing { key: "action_space".into(), consequence });
                Ok(spec)
            }
        }
    }
}

/// The datasets below `name` with their names, in flat order: one without a name, or those of a dictionary.
fn leaves<'a>(folder: &Folder<'a>, name: &str) -> Result<Vec<(String, Column<'a>)>> {
    let Some(group) = folder.folder(name) else { return Ok(vec![(String::new(), folder.column(name)?)]) };
    let mut names = group.names()?;
    names.sort_by(|a, b| space::flat_order(a, b));
    let mut all = Vec::new();
    for name in names {
        for (inner, column) in leaves(&group, &name)? {
            let path = if inner.is_empty() { name.clone() } else { format!("{name}/{inner}") };
            all.push((path, column));
        }
    }
    if all.is_empty() {
        return Err(folder.error(name, "is an empty group".into()));
    }
    Ok(all)
}

/// Appends `rows` rows to `out`, each made of one row of every leaf; returns the parts of a row.
fn weave(leaves: &[(String, Column<'_>)], rows: usize, of: &str, out: &mut Vec<f32>) -> Result<Parts> {
    let mut parts = Vec::with_capacity(leaves.len());
    for (name, column) in leaves {
        let (found, width) = match column.shape() {
            [] => return Err(column.error(None, "is a single value".into())),
            [found, rest @ ..] => (*found, rest.iter().product::<usize>()),
        };
        if found != rows {
            return Err(column.error(None, format!("has {found} rows, expected {rows} ({of})")));
        }
        if width == 0 {
            return Err(column.error(None, "has rows of no numbers".into()));
        }
        parts.push((name.clone(), width));
    }
    if let [(_, column)] = leaves {
        column.append_to(out, parts[0].1)?;
        return Ok(parts);
    }
    let row: usize = parts.iter().map(|(_, width)| width).sum();
    let start = out.len();
    out.resize(start + rows * row, 0.0);
    let (mut offset, mut values) = (start, Vec::new());
    for ((_, column), (_, width)) in leaves.iter().zip(&parts) {
        values.clear();
        column.append_to(&mut values, *width)?;
        for (index, numbers) in values.chunks_exact(*width).enumerate() {
            out[offset + index * row..][..*width].copy_from_slice(numbers);
        }
        offset += width;
    }
    Ok(parts)
}

/// Fails where an episode's row is made of other parts than the first episode's.
fn agree(episode: &Folder<'_>, name: &str, first: bool, expected: &mut Parts, found: Parts) -> Result<()> {
    if first {
        *expected = found;
    } else if *expected != found {
        let why = format!("rows are made of {found:?}, those of the first episode of {expected:?}");
        return Err(episode.error(name, why));
    }
    Ok(())
}

/// Notes conversions once, for the first episode.
fn note_conversion(first: bool, leaves: &[(String, Column<'_>)], oddities: &mut Vec<Oddity>) {
    for (_, column) in leaves.iter().filter(|_| first) {
        let from = column.stored();
        if from != "float32" {
            let dataset = column.name().replacen("episode_0", "episode_*", 1);
            oddities.push(Oddity::Converted { dataset, from, to: "float32".into() });
        }
    }
}
