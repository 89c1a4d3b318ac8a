//! Bad D4RL files: each gives a typed error that names the file, the dataset and the row.

use std::path::{Path, PathBuf};

use hdf5::types::VarLenUnicode;
use replay::formats::{self, Provenance, d4rl};
use replay::{Dataset, Error, Spec, Transition};

const ROWS: usize = 6;

fn transitions(rows: usize) -> Dataset {
    let mut builder = Dataset::builder(Spec::new(3, 2));
    for row in 0..rows {
        let n = row as f32;
        let transition = Transition {
            observation: &[n, n + 0.25, n + 0.5],
            action: &[0.5, -0.5],
            reward: n,
            next_observation: &[n + 1.0, n + 1.25, n + 1.5],
            terminated: row == 3,
            truncated: false,
        };
        builder.push(transition).unwrap();
    }
    builder.build().unwrap()
}

/// A good file, changed by `change`, and the error it then gives.
fn refusal(change: impl FnOnce(&hdf5::File)) -> (PathBuf, Error) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.hdf5");
    d4rl::write(&path, &transitions(ROWS), &Provenance::new()).unwrap();
    let file = hdf5::File::open_rw(&path).unwrap();
    change(&file);
    file.close().unwrap();
    let error = formats::open(&path).unwrap_err();
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    (path, error)
}

/// The dataset and row that an error names, and its text.
fn data(error: &Error) -> (&str, Option<usize>, &str) {
    let Error::Data { dataset, row, why, .. } = error else { panic!("{error:?}") };
    (dataset, *row, why)
}

/// Puts other values in the place of a dataset.
fn put<T: hdf5::H5Type>(file: &hdf5::File, name: &str, shape: impl Into<hdf5::Extents>, values: &[T]) {
    file.unlink(name).unwrap();
    file.new_dataset::<T>().shape(shape).create(name).unwrap().write_raw(values).unwrap();
}

#[test]
fn missing_datasets() {
    for name in ["observations", "actions", "rewards", "terminals"] {
        let (_, error) = refusal(|file| file.unlink(name).unwrap());
        assert_eq!(data(&error), (name, None, "is missing"));
    }
}

#[test]
fn ragged_columns() {
    let (_, error) = refusal(|file| put(file, "rewards", 5, &[0.0_f32; 5]));
    assert_eq!(data(&error), ("rewards", None, "has 5 rows where 'observations' has 6"));
    let (_, error) = refusal(|file| put(file, "actions", (7, 2), &[0.0_f32; 14]));
    assert_eq!(data(&error), ("actions", None, "has 7 rows where 'observations' has 6"));
    let (_, error) = refusal(|file| put(file, "timeouts", 1, &[false]));
    assert_eq!(data(&error), ("timeouts", None, "has 1 rows where 'observations' has 6"));
    let (_, error) = refusal(|file| put(file, "next_observations", (6, 4), &[0.0_f32; 24]));
    assert_eq!(data(&error), ("next_observations", None, "has 4 numbers a row where 'observations' has 3"));
}

#[test]
fn wrong_ranks_and_no_rows() {
    let (_, error) = refusal(|file| put(file, "observations", 6, &[0.0_f32; 6]));
    assert_eq!(data(&error), ("observations", None, "expected the shape [rows, numbers], found [6]"));
    let (_, error) = refusal(|file| put(file, "actions", (6, 1, 2), &[0.0_f32; 12]));
    assert_eq!(data(&error), ("actions", None, "expected the shape [rows, numbers], found [6, 1, 2]"));
    let (_, error) = refusal(|file| put(file, "rewards", (6, 2), &[0.0_f32; 12]));
    assert_eq!(data(&error), ("rewards", None, "expected the shape [rows], found [6, 2]"));
    let (_, error) = refusal(|file| put::<f32>(file, "observations", (0, 3), &[]));
    assert_eq!(data(&error), ("observations", None, "has no rows"));
    let (_, error) = refusal(|file| put::<f32>(file, "observations", (6, 0), &[]));
    assert_eq!(data(&error), ("observations", None, "has rows of no numbers"));
}

#[test]
fn one_column_rewards_and_terminals_are_fine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("column.hdf5");
    let dataset = transitions(ROWS);
    d4rl::write(&path, &dataset, &Provenance::new()).unwrap();
    let file = hdf5::File::open_rw(&path).unwrap();
    put(&file, "rewards", (6, 1), dataset.rewards());
    put(&file, "terminals", (6, 1), dataset.terminated());
    file.close().unwrap();
    let (again, _) = formats::open(&path).unwrap();
    assert_eq!((again.rewards(), again.terminated()), (dataset.rewards(), dataset.terminated()));
}

#[test]
fn numbers_that_are_not_finite() {
    for (name, width) in [("observations", 3), ("next_observations", 3), ("actions", 2)] {
        let (_, error) = refusal(|file| {
            let mut values = vec![0.0_f32; ROWS * width];
            values[4 * width + 1] = f32::NAN;
            put(file, name, (ROWS, width), &values);
        });
        assert_eq!(data(&error), (name, Some(4), "NaN is not a finite 32-bit number"));
    }
    let (_, error) = refusal(|file| put(file, "rewards", 6, &[0.0, 1.0, f32::NEG_INFINITY, 0.0, 0.0, 0.0]));
    assert_eq!(data(&error), ("rewards", Some(2), "-inf is not a finite 32-bit number"));
    // Finite in the file's 64 bits, but not in 32.
    let (_, error) = refusal(|file| put(file, "rewards", 6, &[0.0, 1e39, 0.0, 0.0, 0.0, 0.0]));
    assert_eq!(data(&error), ("rewards", Some(1), "inf is not a finite 32-bit number"));
    let (_, error) = refusal(|file| {
        let infos = file.create_group("infos").unwrap();
        let new = |name| infos.new_dataset::<f64>().shape((6, 1)).create(name).unwrap();
        new("qpos").write_raw(&[0.0; 6]).unwrap();
        new("qvel").write_raw(&[0.0, 0.0, 0.0, f64::NAN, 0.0, 0.0]).unwrap();
    });
    assert_eq!(data(&error), ("infos/qvel", Some(3), "NaN is not finite"));
}

#[test]
fn flags_that_are_neither_0_nor_1() {
    let (_, error) = refusal(|file| put(file, "terminals", 6, &[0.0_f32, 0.0, 1.0, 0.5, 0.0, 0.0]));
    assert_eq!(data(&error), ("terminals", Some(3), "0.5 is neither 0 nor 1"));
    let (_, error) = refusal(|file| put(file, "timeouts", 6, &[0_u8, 2, 0, 0, 0, 0]));
    assert_eq!(data(&error), ("timeouts", Some(1), "2 is neither 0 nor 1"));
    let (_, error) = refusal(|file| put(file, "terminals", 6, &[f32::NAN; 6]));
    assert_eq!(data(&error), ("terminals", Some(0), "NaN is neither 0 nor 1"));
}

#[test]
fn sizes_that_the_file_cannot_hold_are_not_allocated() {
    for shape in [(1_usize << 40, 3_usize), (1 << 61, 1 << 2), (1 << 26, 3)] {
        let (_, error) = refusal(|file| {
            file.unlink("observations").unwrap();
            file.new_dataset::<f32>().chunk((16, 3)).shape(shape).create("observations").unwrap();
        });
        let (dataset, row, why) = data(&error);
        assert_eq!((dataset, row), ("observations", None));
        assert!(why.starts_with(&format!("claims the shape [{}, {}], which a file of ", shape.0, shape.1)), "{why}");
    }
}

#[test]
fn things_that_are_not_numbers() {
    let (_, error) = refusal(|file| {
        let texts: Vec<VarLenUnicode> = vec!["x".parse().unwrap(); 6];
        put(file, "rewards", 6, &texts);
    });
    let (dataset, _, why) = data(&error);
    assert_eq!((dataset, why.starts_with("expected numbers, found ")), ("rewards", true), "{why}");
    let (_, error) = refusal(|file| {
        file.unlink("actions").unwrap();
        file.create_group("actions").unwrap();
    });
    assert_eq!(data(&error), ("actions", None, "is not a dataset"));
}

#[test]
fn episode_ends_that_are_none() {
    let (_, error) = refusal(|file| put(file, "metadata/episode_ends", 2, &[4_u64, 5]));
    assert_eq!(data(&error), ("metadata/episode_ends", None, "expected ascending numbers, the last 6"));
}

#[test]
fn files_that_are_cut_short_or_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.hdf5");
    d4rl::write(&good, &transitions(20_000), &Provenance::new()).unwrap();
    let content = std::fs::read(&good).unwrap();
    for sixteenth in 0..16 {
        let path = folder.path().join("cut.hdf5");
        std::fs::write(&path, &content[..content.len() * sixteenth / 16]).unwrap();
        let error = formats::open(&path).unwrap_err();
        assert!(matches!(&error, Error::Format { path: p, why } if *p == path && why.contains("HDF5")), "{error}");
    }
    let text = folder.path().join("text.hdf5");
    std::fs::write(&text, "observations,actions\n".repeat(1000)).unwrap();
    assert!(matches!(formats::open(&text).unwrap_err(), Error::Format { .. }));
    let missing = folder.path().join("missing.hdf5");
    assert!(matches!(formats::open(&missing).unwrap_err(), Error::Io { path, .. } if path == missing));
    assert!(matches!(d4rl::read(folder.path()).unwrap_err(), Error::Format { .. }));
}

#[test]
fn damaged_content_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.hdf5");
    d4rl::write(&path, &transitions(20_000), &Provenance::new()).unwrap();
    let at = {
        let file = hdf5::File::open(&path).unwrap();
        file.dataset("observations").unwrap().chunk_info(0).unwrap()
    };
    let mut content = std::fs::read(&path).unwrap();
    let (start, size) = (at.addr as usize, at.size as usize);
    content[start + size / 4..start + size / 2].fill(0xff);
    std::fs::write(&path, content).unwrap();
    let error = formats::open(&path).unwrap_err();
    let (dataset, _, why) = data(&error);
    assert_eq!((dataset, why.starts_with("cannot be read: ")), ("observations", true), "{why}");
}

#[test]
fn places_that_cannot_be_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.join("x.hdf5"), folder.path().join("no/such/x.hdf5")] {
        let error = d4rl::write(&path, &transitions(4), &Provenance::new()).unwrap_err();
        assert!(matches!(&error, Error::Io { path: p, .. } if *p == path), "{error}");
    }
    // The target is a folder: what was written cannot take its place.
    let occupied = folder.path().join("occupied.hdf5");
    std::fs::create_dir(&occupied).unwrap();
    assert!(matches!(d4rl::write(&occupied, &transitions(4), &Provenance::new()), Err(Error::Io { .. })));
    assert!(matches!(d4rl::write(Path::new("/"), &transitions(4), &Provenance::new()), Err(Error::Format { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn provenance_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.hdf5");
    for (key, value) in [("a/b", "x"), ("", "x"), ("episode_ends", "x"), ("a", "nul \0")] {
        let mut provenance = Provenance::new();
        provenance.set(key, value);
        let error = d4rl::write(&path, &transitions(4), &provenance).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
