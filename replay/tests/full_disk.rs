//! A disk that is full while a file is written: an error, nothing left behind, the old file as it was.
//!
//! The test runs itself again under `ulimit -f`, with which writing fails beyond that size, as on a full disk.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use replay::formats::{self, Provenance, d4rl, minari};
use replay::{Dataset, Error, Rng, Seed, Spec, Transition, fill_normal};

const FOLDER: &str = "REPLAY_FULL_DISK_FOLDER";

/// Numbers that do not compress.
fn noise(rows: usize) -> Dataset {
    let mut rng: Rng = Seed::new(0).rng();
    let mut observations = vec![0.0; (rows + 1) * 8];
    fill_normal(&mut rng, &mut observations);
    let mut builder = Dataset::builder(Spec::new(8, 1));
    for row in 0..rows {
        let transition = Transition {
            observation: &observations[row * 8..][..8],
            action: &[0.0],
            reward: 0.0,
            next_observation: &observations[(row + 1) * 8..][..8],
            terminated: false,
            truncated: row % 100 == 99,
        };
        builder.push(transition).unwrap();
    }
    builder.build().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_full_disk_loses_nothing() {
    match std::env::var_os(FOLDER) {
        Some(folder) => write_too_much(Path::new(&folder)),
        None => limited(),
    }
}

/// Writes small files, then runs this test again where no file can grow beyond 64 KiB.
fn limited() {
    let folder = tempfile::tempdir().unwrap();
    let old = noise(50);
    d4rl::write(folder.path().join("data.hdf5"), &old, &Provenance::new()).unwrap();
    minari::write(folder.path(), "gta/set-v0", &old, &Provenance::new()).unwrap();
    let before = std::fs::read(folder.path().join("data.hdf5")).unwrap();

    // 128 blocks of 512 bytes; the signal that would end the process is ignored, so that writing fails instead.
    let script = r#"trap '' XFSZ; ulimit -f 128; exec "$0" --exact a_full_disk_loses_nothing --nocapture"#;
    let own = std::env::current_exe().unwrap();
    let output = Command::new("sh").args(["-c", script]).arg(own).env(FOLDER, folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("refused: ").count(), 6, "{text}");

    assert_eq!(std::fs::read(folder.path().join("data.hdf5")).unwrap(), before);
    assert_eq!(names(folder.path()), ["data.hdf5", "gta"]);
    assert_eq!(names(&folder.path().join("gta")), ["namespace_metadata.json", "set-v0"]);
    let (again, _) = formats::open(folder.path().join("gta/set-v0")).unwrap();
    assert_eq!(again.observations(), old.observations());
}

fn write_too_much(folder: &Path) {
    // Some datasets fail while they are written, others only when the file is closed.
    for rows in [1_000, 2_500, 50_000] {
        let dataset = noise(rows);
        for result in [
            d4rl::write(folder.join("data.hdf5"), &dataset, &Provenance::new()),
            minari::write(folder, "gta/set-v0", &dataset, &Provenance::new()).map(drop),
        ] {
            let error = result.unwrap_err();
            let Error::Io { source, .. } = &error else { panic!("{error:?}") };
            assert!(matches!(source.kind(), ErrorKind::FileTooLarge | ErrorKind::StorageFull), "{error}");
            println!("refused: {error}");
        }
    }
    // The library still works after that.
    d4rl::write(folder.join("small.hdf5"), &noise(50), &Provenance::new()).unwrap();
    formats::open(folder.join("small.hdf5")).unwrap();
    std::fs::remove_file(folder.join("small.hdf5")).unwrap();
}
