//! Small files in the layouts of the paper's datasets: names, shapes, types and quirks as their makers write them
//! (D4RL's and V-D4RL's generating scripts), numbers by rules.
//!
//! Number `c` of observation `n` is `n + c / 64`; `n` is the row, and 1000 more for each episode before it. Reward of row
//! `t` is `t / 4`, but 0 or 1 in AntMaze. Byte `c` of a frame is its number.

use std::path::Path;

use hdf5::{Dataset, File, Group, H5Type};
use replay::D4rlDataset;
use replay::catalog::{Family, PaperDataset, Vd4rlDataset};

/// Rows of every D4RL file.
pub const ROWS: usize = 24;
/// Records of every V-D4RL set: two episodes of 5, and one of 4 that is not over.
pub const RECORDS: usize = 14;

/// Sizes: observation, action, positions, velocities, context.
pub fn sizes(dataset: PaperDataset) -> [usize; 5] {
    let name = dataset.id.split('-').next().unwrap();
    match (dataset.family, name) {
        (Family::Locomotion, "hopper") => [11, 3, 6, 6, 0],
        (Family::Locomotion, _) => [17, 6, 9, 9, 0],
        (Family::Maze2d, _) => [4, 2, 2, 2, 0],
        (Family::AntMaze, _) => [29, 8, 15, 14, 0],
        (Family::Adroit, "pen") => [45, 24, 30, 30, 4],
        (Family::Adroit, _) => [39, 28, 30, 30, 3],
        (Family::Kitchen, _) => [60, 9, 0, 0, 0],
        (Family::Pixels, _) => [3 * 84 * 84, 6, 0, 0, 0],
    }
}

/// Writes the file of `dataset` where its id is looked for below `folder`.
pub fn write(dataset: PaperDataset, folder: &Path) {
    if dataset.family == Family::Pixels {
        let folder = folder.join(Vd4rlDataset::of(dataset.id).unwrap().folder());
        std::fs::create_dir_all(&folder).unwrap();
        return pixels(&folder);
    }
    let path = folder.join(D4rlDataset::of(dataset.id).unwrap().file_name());
    let file = File::create(path).unwrap();
    match dataset.family {
        Family::Locomotion => locomotion(dataset, &file),
        Family::Maze2d => maze2d(&file),
        Family::AntMaze => antmaze(dataset, &file),
        Family::Adroit => adroit(dataset, &file),
        _ => kitchen(&file),
    }
    file.close().unwrap();
}

/// `rows` rows of `numbers`, compressed as h5py does it.
fn put<T: H5Type>(group: &Group, name: &str, rows: usize, numbers: &[T]) -> Dataset {
    let shape = if numbers.len() == rows { vec![rows] } else { vec![rows, numbers.len() / rows] };
    let dataset = group.new_dataset::<T>().deflate(4).chunk(shape.clone()).shape(shape).create(name).unwrap();
    dataset.write_raw(numbers).unwrap();
    dataset
}

/// The number of each row's observation, where episodes end after `ends`.
fn numbered(ends: &[usize]) -> Vec<f64> {
    (0..ROWS).map(|row| (row + 1000 * ends.iter().filter(|&&end| end < row).count()) as f64).collect()
}

/// Numbers `from..to` of observations `n`.
fn part(n: &[f64], from: usize, to: usize) -> Vec<f64> {
    n.iter().flat_map(|n| (from..to).map(move |c| n + c as f64 / 64.0)).collect()
}

fn single(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&n| n as f32).collect()
}

fn flags(rows: &[usize]) -> Vec<bool> {
    (0..ROWS).map(|row| rows.contains(&row)).collect()
}

/// Observations, actions and rewards, in 32 bits.
fn columns(file: &File, n: &[f64], obs_dim: usize, action_dim: usize) {
    put(file, "observations", ROWS, &single(&part(n, 0, obs_dim)));
    put(file, "actions", ROWS, &vec![0.25_f32; ROWS * action_dim]);
    put(file, "rewards", ROWS, &(0..ROWS).map(|row| row as f32 / 4.0).collect::<Vec<_>>());
}

/// Terminated at 5, timed out at 11; those of two policies change hands before 18 without a flag. The last is cut.
fn locomotion(dataset: PaperDataset, file: &File) {
    let [obs_dim, action_dim, nq, nv, _] = sizes(dataset);
    let ends: &[usize] = if dataset.id.contains("expert") { &[5, 11, 17] } else { &[5, 11] };
    let n = numbered(ends);
    columns(file, &n, obs_dim, action_dim);
    let next: Vec<f64> = n.iter().map(|n| n + 1.0).collect();
    put(file, "next_observations", ROWS, &single(&part(&next, 0, obs_dim)));
    put(file, "terminals", ROWS, &flags(&[5]));
    put(file, "timeouts", ROWS, &flags(&[11]));
    let infos = file.create_group("infos").unwrap();
    put(&infos, "action_log_probs", ROWS, &[-1.0_f32; ROWS]);
    // The root's x is not observed.
    let positions: Vec<f64> =
        n.iter().flat_map(|n| (0..nq).map(move |c| if c == 0 { 7.0 } else { n + (c - 1) as f64 / 64.0 })).collect();
    put(&infos, "qpos", ROWS, &positions);
    put(&infos, "qvel", ROWS, &part(&n, nq - 1, nq - 1 + nv));
    let metadata = file.create_group("metadata").unwrap();
    metadata.new_dataset::<i64>().create("iteration").unwrap().write_scalar(&250).unwrap();
    let weights = metadata.create_group("policy").unwrap().create_group("fc0").unwrap();
    put(&weights, "weight", 4, &[1.0_f32; 12]);
}

/// One trajectory; goals reached at 7 and 15, the observation after which is one step old.
fn maze2d(file: &File) {
    let n: Vec<f64> = (0..ROWS).map(|row| row as f64).collect();
    let seen: Vec<f64> = n.iter().map(|&n| if n == 8.0 || n == 16.0 { n - 1.0 } else { n }).collect();
    columns(file, &seen, 4, 2);
    put(file, "terminals", ROWS, &flags(&[]));
    put(file, "timeouts", ROWS, &flags(&[7, 15]));
    let infos = file.create_group("infos").unwrap();
    put(&infos, "goal", ROWS, &[0.5_f32; 2 * ROWS]);
    put(&infos, "qpos", ROWS, &single(&part(&n, 0, 2)));
    put(&infos, "qvel", ROWS, &single(&part(&n, 2, 4)));
}

/// Timed out at 11 and, without a flag, put back after 17; at the goal from 4 to 6, in `umaze-diverse` in 4 alone. States
/// are those after the step.
fn antmaze(dataset: PaperDataset, file: &File) {
    let n = numbered(&[11, 17]);
    columns(file, &n, 29, 8);
    let goal: &[usize] = if dataset.id == "antmaze-umaze-diverse-v2" { &[4] } else { &[4, 5, 6] };
    let rewards: Vec<f32> = flags(goal).into_iter().map(f32::from).collect();
    file.unlink("rewards").unwrap();
    put(file, "rewards", ROWS, &rewards);
    put(file, "terminals", ROWS, &flags(goal));
    put(file, "timeouts", ROWS, &flags(&[11]));
    let after: Vec<f64> = n.iter().map(|n| n + 1.0).collect();
    let infos = file.create_group("infos").unwrap();
    put(&infos, "goal", ROWS, &[8.0_f32; 2 * ROWS]);
    put(&infos, "qpos", ROWS, &part(&after, 0, 15));
    put(&infos, "qvel", ROWS, &part(&after, 15, 29));
}

/// Two demonstrations, which end after 11 and 23 by timeouts; flags as bytes, observations of the pen in 64 bits.
fn adroit(dataset: PaperDataset, file: &File) {
    let [obs_dim, action_dim, nq, nv, nc] = sizes(dataset);
    let n = numbered(&[11]);
    columns(file, &n, obs_dim, action_dim);
    if obs_dim == 45 {
        file.unlink("observations").unwrap();
        put(file, "observations", ROWS, &part(&n, 0, obs_dim));
    }
    put(file, "terminals", ROWS, &[0_u8; ROWS]);
    put(file, "timeouts", ROWS, &flags(&[11, 23]).into_iter().map(i8::from).collect::<Vec<_>>());
    let infos = file.create_group("infos").unwrap();
    put(&infos, "qpos", ROWS, &part(&n, 100, 100 + nq));
    put(&infos, "qvel", ROWS, &part(&n, 200, 200 + nv));
    let name = if nc == 4 { "desired_orien" } else { "door_body_pos" };
    put(&infos, name, ROWS, &part(&n, 300, 300 + nc));
}

/// Demonstrations end after 11 and 23 by terminals, which are numbers; no timeouts; `infos` is a dataset.
fn kitchen(file: &File) {
    columns(file, &numbered(&[11]), 60, 9);
    put(file, "terminals", ROWS, &flags(&[11, 23]).into_iter().map(f32::from).collect::<Vec<_>>());
    put(file, "infos", ROWS, &[0_u8; ROWS]);
}

/// Two files of which the second begins inside an episode. The first record of an episode has a dummy action and reward.
fn pixels(folder: &Path) {
    let step_type: [f64; RECORDS] = [0., 1., 1., 1., 2., 0., 1., 1., 1., 2., 0., 1., 1., 1.];
    // Ten files in the order of their names would come before the second.
    for (name, records) in [("2.hdf5", 0..8), ("10.hdf5", 8..RECORDS)] {
        let file = File::create(folder.join(name)).unwrap();
        let count = records.len();
        let frames: Vec<u8> = records.clone().flat_map(|record| [record as u8; 3 * 84 * 84]).collect();
        let frame = [count, 3, 84, 84];
        let observation = file.new_dataset::<u8>().deflate(4).chunk(frame).shape(frame).create("observation").unwrap();
        observation.write_raw(&frames).unwrap();
        let dummy = |record: &usize| step_type[*record] == 0.0;
        let action = |r: usize| if dummy(&r) { [f32::NAN; 6] } else { [r as f32 / 64.0; 6] };
        put(&file, "action", count, &records.clone().flat_map(action).collect::<Vec<_>>());
        let reward = |r: usize| if dummy(&r) { f32::NAN } else { r as f32 / 4.0 };
        put(&file, "reward", count, &records.clone().map(reward).collect::<Vec<_>>());
        put(&file, "discount", count, &vec![1.0_f32; count]);
        put(&file, "step_type", count, &step_type[records]);
        file.close().unwrap();
    }
}
