//! Each of the paper's 31 datasets is found by its id and read as its layout has it.

mod paper;

use std::ops::Range;

use npyz::WriterBuilder;
use paper::{RECORDS, ROWS, sizes};
use replay::catalog::{Family, Folders, PAPER, PaperDataset};
use replay::formats::{self, LoadReport, Oddity, ReadOptions, RewardTiming, Timeouts, vd4rl};
use replay::{Dataset, Ending, Frames};

use Ending::{Terminated, Truncated, Unfinished};

/// A folder with the file of `dataset`, and where its id leads.
fn place(dataset: PaperDataset) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = Some(folder.path().to_owned());
    paper::write(dataset, folder.path());
    let path = Folders { d4rl: root.clone(), minari: None, vd4rl: root }.locate(dataset.id).unwrap();
    (folder, path)
}

/// What is expected of a file: the rows that are transitions, the episodes they form, and what is odd.
struct Expected {
    rows: Vec<usize>,
    episodes: Vec<(usize, Ending)>,
    oddities: Vec<Oddity>,
}

fn missing(key: &str, consequence: &str) -> Oddity {
    Oddity::Missing { key: key.into(), consequence: consequence.into() }
}

fn ignored(key: &str, why: &str) -> Oddity {
    Oddity::Ignored { key: key.into(), why: why.into() }
}

fn converted(dataset: &str, from: &str, to: &str) -> Oddity {
    Oddity::Converted { dataset: dataset.into(), from: from.into(), to: to.into() }
}

fn expected(dataset: PaperDataset) -> Expected {
    let without = |dropped: &[usize]| (0..ROWS).filter(|row| !dropped.contains(row)).collect::<Vec<_>>();
    let no_next = missing("next_observations", "the next row's observation is taken inside an episode");
    let goal = ignored("infos/goal", "it is where the collector was heading, not what the rewards are for");
    match dataset.family {
        Family::Locomotion if dataset.id.contains("expert") => Expected {
            rows: without(&[]),
            episodes: vec![(6, Terminated), (12, Truncated), (18, Unfinished), (24, Unfinished)],
            oddities: vec![Oddity::StateJumps { count: 1, first_row: 18, split: true }],
        },
        Family::Locomotion => Expected {
            rows: without(&[]),
            episodes: vec![(6, Terminated), (12, Truncated), (24, Unfinished)],
            oddities: vec![],
        },
        Family::Maze2d => Expected {
            rows: without(&[7, 15, 23]),
            episodes: vec![(7, Truncated), (14, Truncated), (21, Unfinished)],
            oddities: vec![
                no_next,
                goal,
                Oddity::StaleObservations { count: 2, first_row: 8, repaired: false },
                Oddity::LastRowsDropped { count: 3, episodes: 0 },
            ],
        },
        Family::AntMaze => {
            let stays = dataset.id != "antmaze-umaze-diverse-v2";
            let again = [(6, Terminated), (7, Terminated)];
            let mut episodes = vec![(5, Terminated)];
            episodes.extend(again.iter().filter(|_| stays));
            episodes.extend([(12, Truncated), (18, Unfinished), (24, Unfinished)]);
            let mut oddities = if stays { vec![Oddity::TerminatedAgain { count: 2 }] } else { vec![] };
            oddities.extend([
                no_next,
                goal,
                Oddity::NextFromStates { count: 3 },
                Oddity::StatesAfterStep { rebuilt: 3 },
                Oddity::StateJumps { count: 1, first_row: 18, split: true },
            ]);
            Expected { rows: without(&[]), episodes, oddities }
        }
        Family::Adroit => {
            let mut oddities = vec![
                converted("terminals", "uint8", "bool"),
                converted("timeouts", "int8", "bool"),
                no_next,
                Oddity::LastRowsDropped { count: 2, episodes: 0 },
            ];
            if dataset.id.starts_with("pen") {
                oddities.insert(0, converted("observations", "float64", "float32"));
            }
            Expected { rows: without(&[11, 23]), episodes: vec![(11, Truncated), (22, Truncated)], oddities }
        }
        _ => Expected {
            rows: without(&[]),
            episodes: vec![(12, Terminated), (24, Terminated)],
            oddities: vec![
                converted("terminals", "float32", "bool"),
                missing("timeouts", "episodes end where they terminate"),
                no_next,
                ignored("infos", "it is a dataset, not a group"),
                Oddity::OwnSuccessor { count: 2 },
            ],
        },
    }
}

/// The number that an observation was made of; checks the others of the row.
fn number(row: &[f32]) -> f32 {
    assert!(row.iter().enumerate().all(|(c, &value)| value == row[0] + c as f32 / 64.0), "{row:?}");
    row[0]
}

fn check(dataset: PaperDataset, data: &Dataset, report: &LoadReport) {
    let Expected { rows, episodes, oddities } = expected(dataset);
    let [obs_dim, action_dim, nq, nv, nc] = sizes(dataset);
    assert_eq!((data.spec().obs_dim, data.spec().action_dim, report.rows_in_file), (obs_dim, action_dim, ROWS));
    assert_eq!((report.states, report.context_dim), ((nq > 0).then_some((nq, nv)), nc));
    assert_eq!(data.episodes().iter().map(|e| (e.rows.end, e.ending)).collect::<Vec<_>>(), episodes);
    assert_eq!(report.oddities, oddities);
    assert_eq!(data.len(), rows.len());
    assert!(data.actions().iter().all(|&action| action == 0.25));
    let ant = dataset.family == Family::AntMaze;
    for (index, &row) in rows.iter().enumerate() {
        let t = data.row(index);
        let (here, next) = (number(t.observation), number(t.next_observation));
        let own = t.terminated && !ant && dataset.family != Family::Locomotion;
        let stale = dataset.family == Family::Maze2d && (row == 8 || row == 16);
        assert_eq!(next - here, if own { 0.0 } else { 1.0 + f32::from(stale) }, "row {row}");
        assert_eq!(here as usize % 1000, row - usize::from(stale));
        let reward = if ant { f32::from(t.terminated) } else { row as f32 / 4.0 };
        assert_eq!(t.reward, reward, "row {row}");
        let Some(states) = data.states() else { continue };
        // Adroit's states are of other numbers than its observations.
        let first = if dataset.family == Family::Adroit { 100.0 / 64.0 } else { 0.0 };
        let at = index * nq + usize::from(dataset.family == Family::Locomotion);
        assert_eq!(states.qpos[at] as f32, here + first + f32::from(stale), "row {row}");
        if let Some(contexts) = states.contexts() {
            assert_eq!(contexts[index * nc], f64::from(here) + 300.0 / 64.0);
        }
    }
}

#[test]
fn every_dataset_of_vectors_is_read_by_its_id() {
    let mut seen = 0;
    for dataset in PAPER.into_iter().filter(|dataset| dataset.family != Family::Pixels) {
        let (_folder, path) = place(dataset);
        let (data, report) = formats::open(&path).unwrap();
        println!("{}: {report}\n", dataset.id);
        check(dataset, &data, &report);
        seen += 1;
    }
    assert_eq!(seen, 23);
}

#[test]
fn every_dataset_of_pixels_is_read_by_its_id() {
    let mut seen = 0;
    for dataset in PAPER.into_iter().filter(|dataset| dataset.family == Family::Pixels) {
        let (_folder, path) = place(dataset);
        let error = formats::open(&path).unwrap_err().to_string();
        assert!(error.contains("formats::vd4rl::read"), "{error}");
        let error = formats::open(path.join("2.hdf5")).unwrap_err().to_string();
        assert!(error.contains("formats::vd4rl::read"), "{error}");
        let (frames, report) = vd4rl::read(&path).unwrap();
        println!("{}: {report}\n", dataset.id);
        check_frames(&frames, [3, 84, 84]);
        assert_eq!((report.rows_in_file, report.rows, report.obs_dim), (RECORDS, 11, 3 * 84 * 84));
        assert_eq!(report.provenance.get("frame"), Some("3 x 84 x 84"));
        seen += 1;
    }
    assert_eq!(seen, 8);
}

/// Three episodes, the last of which is not over.
fn check_frames(frames: &Frames, shape: [usize; 3]) {
    let of = frames.shape();
    assert_eq!([of.channels, of.height, of.width], shape);
    let episodes: Vec<(Range<usize>, Ending)> = frames.episodes().iter().map(|e| (e.rows.clone(), e.ending)).collect();
    assert_eq!(episodes, [(0..4, Truncated), (4..8, Truncated), (8..11, Unfinished)]);
    assert!(frames.terminated().iter().all(|&terminated| !terminated));
    for row in 0..frames.len() {
        let record = frames.frame_of(row);
        assert!(frames.frame(record).iter().all(|&byte| usize::from(byte) == record));
        // The reward and the action that lead to the next record.
        assert_eq!(frames.rewards()[row], (record + 1) as f32 / 4.0);
        assert_eq!(frames.actions()[row * 6..][..6], [(record + 1) as f32 / 64.0; 6]);
    }
    let latents = frames.encode(3, 4, |stacks, out| {
        let newest = stacks.chunks_exact(3 * of.bytes()).map(|stack| f32::from(stack[2 * of.bytes()]));
        out.extend(newest);
        Ok::<(), std::convert::Infallible>(())
    });
    let latents = latents.unwrap();
    assert_eq!(latents.observations(), [0., 1., 2., 3., 5., 6., 7., 8., 10., 11., 12.]);
    assert_eq!(latents.next_observations(), [1., 2., 3., 4., 6., 7., 8., 9., 11., 12., 13.]);
}

/// An archive of the records `records` as V-D4RL's script writes one for an episode, by another library than ours.
fn archive(path: &std::path::Path, records: Range<usize>, is_last: bool) {
    let mut archive = npyz::npz::NpzWriter::create(path).unwrap();
    let deflated = || zip::write::FileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let count = records.len() as u64;
    macro_rules! put {
        ($name:literal, $type:ty, $shape:expr, $values:expr) => {
            let array = archive.array::<$type>($name, deflated()).unwrap();
            let mut writer = array.default_dtype().shape(&$shape).begin_nd().unwrap();
            writer.extend($values).unwrap();
            writer.finish().unwrap();
        };
    }
    put!("image", u8, [count, 64, 64, 3], records.clone().flat_map(|r| vec![r as u8; 64 * 64 * 3]));
    put!("action", f32, [count, 6], records.clone().flat_map(|r| [r as f32 / 64.0; 6]));
    put!("reward", f64, [count], records.clone().map(|r| r as f64 / 4.0));
    put!("discount", f32, [count], records.clone().map(|_| 1.0_f32));
    put!("is_last", bool, [count], records.clone().map(|r| is_last && r + 1 == records.end));
}

#[test]
fn archives_of_64_pixels_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    archive(&at("20220101T000000-b-5.npz"), 0..5, true);
    archive(&at("20220101T000001-a-5.npz"), 5..10, true);
    archive(&at("20220101T000002-c-4.npz"), 10..14, false);
    let (frames, report) = vd4rl::read(folder.path()).unwrap();
    println!("{report}");
    check_frames(&frames, [3, 64, 64]);
    let (first, _) = vd4rl::read(at("20220101T000000-b-5.npz")).unwrap();
    assert_eq!(first.episodes().len(), 1);
}

#[test]
fn episodes_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = || vd4rl::read(folder.path()).unwrap_err().to_string();
    assert!(refusal().contains("neither npz nor hdf5"), "{}", refusal());
    archive(&folder.path().join("a.npz"), 0..1, true);
    assert!(refusal().ends_with("a.npz: dataset 'image': has 1 frames: an episode has at least 2"), "{}", refusal());
    std::fs::write(folder.path().join("a.npz"), "text").unwrap();
    assert!(refusal().contains("a.npz: is not a complete npz archive"), "{}", refusal());
    std::fs::write(folder.path().join("b.hdf5"), "text").unwrap();
    assert!(refusal().contains("both npz and hdf5"), "{}", refusal());
    std::fs::remove_file(folder.path().join("a.npz")).unwrap();
    assert!(refusal().contains("b.hdf5: is not a complete HDF5 file"), "{}", refusal());

    let set = PAPER[PAPER.len() - 1];
    let changed = |change: &dyn Fn(&hdf5::File)| {
        let (_folder, path) = place(set);
        let file = hdf5::File::open_rw(path.join("2.hdf5")).unwrap();
        change(&file);
        file.close().unwrap();
        vd4rl::read(&path).unwrap_err().to_string()
    };
    let put = |file: &hdf5::File, name: &str, values: &[f32]| {
        file.unlink(name).unwrap();
        file.new_dataset::<f32>().shape(values.len()).create(name).unwrap().write_raw(values).unwrap();
    };
    for (name, values, expected) in [
        ("step_type", vec![1.0; 8], "2.hdf5: dataset 'step_type', row 0: is inside an episode of which no record"),
        ("step_type", vec![0., 0., 1., 1., 1., 1., 1., 1.], "row 1: is the first of an episode right after the first"),
        ("step_type", vec![0., 3., 1., 1., 1., 1., 1., 1.], "row 1: 3 is neither 0 nor 1 nor 2"),
        ("discount", vec![1., 0., 1., 1., 1., 1., 1., 1.], "row 1: has discount 0, which ends the task"),
        ("reward", vec![1.0; 7], "dataset 'reward': has 7 rows where 'observation' has 8"),
        ("observation", vec![1.0; 8], "dataset 'observation': expected the shape [F, C, H, W], found [8]"),
        ("action", vec![1.0; 8], "dataset 'action': expected the shape [rows, numbers], found [8]"),
    ] {
        let error = changed(&|file| put(file, name, &values));
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
    assert!(changed(&|file| file.unlink("action").unwrap()).contains("dataset 'action': is missing"));
}

#[test]
fn mazes_have_options_for_their_rewards_and_timeouts() {
    let maze = PAPER.into_iter().find(|dataset| dataset.family == Family::Maze2d).unwrap();
    let (_folder, path) = place(maze);
    let options = ReadOptions {
        reward_timing: RewardTiming::NextObservation,
        timeouts: Timeouts::GoOn,
        ..ReadOptions::default()
    };
    let (data, _) = formats::open_with(&path, &options).unwrap();
    assert_eq!((data.len(), data.episodes().len()), (ROWS - 1, 1));
    for row in 0..data.len() {
        let t = data.row(row);
        assert_eq!((number(t.observation), number(t.next_observation)), (row as f32, row as f32 + 1.0));
        assert_eq!(t.reward, (row + 1) as f32 / 4.0);
    }
    let ant = PAPER.into_iter().find(|dataset| dataset.family == Family::AntMaze).unwrap();
    let (_folder, path) = place(ant);
    let (data, _) = formats::open_with(&path, &ReadOptions { reward_offset: -1.0, ..ReadOptions::default() }).unwrap();
    assert!(data.rewards().iter().zip(data.terminated()).all(|(&reward, &at)| reward == if at { 0.0 } else { -1.0 }));
    // A timeout with a leap after it is an end whatever is asked.
    let options = ReadOptions { timeouts: Timeouts::GoOn, ..ReadOptions::default() };
    let (data, report) = formats::open_with(&path, &options).unwrap();
    assert!(data.truncated()[11] && report.oddities.contains(&Oddity::TimeoutsPassed { count: 0, kept: 1 }));
}
