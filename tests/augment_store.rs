//! A store survives the end of the process, at whatever moment it comes, and refuses what is not its own.

mod augment_toys;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use augment_toys::*;
use gta::augment::{Amendments, AugmentConfig, Augmented, Check, Error, Failure, Pacing, Parts};
use replay::{Replay, Seed};

fn stored(folder: &Path) -> AugmentConfig {
    AugmentConfig { store: Some(folder.into()), ..config(2) }
}

/// Fills a pool that keeps its chunks in `folder`: its hash and how many chunks had to be generated.
fn fill(toy: &Toy, config: AugmentConfig) -> Result<(String, usize), replay::Error> {
    let before = toy.count();
    let mut buffer = toy.wrap(config);
    buffer.wait_filled()?;
    Ok((buffer.pool_hash(), toy.count() - before))
}

fn chunk_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("chunk-{number:08}.safetensors"))
}

fn cause(error: &replay::Error) -> &Error {
    let replay::Error::Source { source, .. } = error else { panic!("{error:?}") };
    source.downcast_ref::<Failure>().unwrap().cause().downcast_ref().unwrap()
}

#[test]
fn filling_goes_on_where_it_ended() {
    let (folder, toy) = (tempfile::tempdir().unwrap(), Toy::new(jitter));
    let (uninterrupted, 20) = fill(&toy, config(2)).unwrap() else { panic!("20 chunks of 12 fill a pool of 240") };
    let mut first = toy.wrap(stored(folder.path()));
    first.fill_to(80).unwrap();
    drop(first);
    let there = (0..20).filter(|&n| chunk_path(folder.path(), n).exists()).count();
    assert!((7..20).contains(&there), "{there}");
    assert_eq!(fill(&toy, stored(folder.path())).unwrap(), (uninterrupted.clone(), 20 - there));
    // And a third time everything is there, whatever the number of workers: no generator is even built.
    let built = toy.built.load(std::sync::atomic::Ordering::SeqCst);
    let config = AugmentConfig { store: Some(folder.path().into()), ..config(4) };
    assert_eq!(fill(&toy, config).unwrap(), (uninterrupted, 0));
    assert_eq!(toy.built.load(std::sync::atomic::Ordering::SeqCst), built);
}

#[test]
fn rejections_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let wrap = |toy: &Toy| {
        let odd = Check::new("odd", |w: &replay::Windows| Ok(w.origins.iter().map(|o| o % 2 == 1).collect()));
        toy.wrap(stored(folder.path())).with_check(odd)
    };
    let toy = Toy::new(jitter);
    let status = |mut buffer: Augmented<replay::Dataset>| {
        buffer.wait_filled().unwrap();
        wait_resting(&buffer);
        (buffer.status().rejected, buffer.status().windows, buffer.pool_hash())
    };
    let (first, generated) = (status(wrap(&toy)), toy.count());
    assert!(first.0.check > 0);
    assert_eq!(status(wrap(&toy)), first);
    assert_eq!(toy.count(), generated);
}

#[test]
fn windows_that_a_check_took_apart_come_back_as_they_were_left() {
    let folder = tempfile::tempdir().unwrap();
    let wrap = |toy: &Toy| {
        let parted = Check::amending("without the second step", |windows: &replay::Windows| {
            let mut parts = Parts::none_of(windows);
            for index in 0..windows.len() {
                let length = windows.lengths[index] as usize;
                parts.push(windows, index, 0, 1);
                if length > 2 {
                    parts.push(windows, index, 2, length - 2);
                }
            }
            parts.windows.window_mut(0)[0] += 0.5;
            Ok(parts)
        });
        toy.wrap(stored(folder.path())).with_check(parted)
    };
    let toy = Toy::new(jitter);
    let status = |mut buffer: Augmented<replay::Dataset>| {
        buffer.wait_filled().unwrap();
        wait_resting(&buffer);
        let starts: Vec<u32> = buffer.pool().chunks().flat_map(|chunk| chunk.starts().to_vec()).collect();
        (buffer.status().amended, starts, buffer.pool_hash())
    };
    let (first, generated) = (status(wrap(&toy)), toy.count());
    let Amendments { windows, replaced, dropped } = first.0;
    assert!(windows > 0 && dropped == windows && replaced == generated as u64, "{:?}", first.0);
    assert!(first.1.contains(&0) && first.1.contains(&2), "{:?}", first.1);
    assert_eq!(status(wrap(&toy)), first);
    assert_eq!(toy.count(), generated);
}

#[test]
fn damaged_missing_foreign_and_half_written_chunks_are_made_again() {
    let (folder, other, toy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Toy::new(jitter));
    let (hash, _) = fill(&toy, stored(folder.path())).unwrap();
    fill(&toy, AugmentConfig { seed: 1, ..stored(other.path()) }).unwrap();
    let path = |number| chunk_path(folder.path(), number);

    // One bit of the content, in the last column and so past every length that is checked.
    let mut bytes = fs::read(path(3)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path(3), bytes).unwrap();
    // Cut short, empty, no safetensors at all.
    let bytes = fs::read(path(5)).unwrap();
    fs::write(path(5), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(path(6), []).unwrap();
    fs::write(path(7), "not a chunk, but long enough to be taken for one").unwrap();
    // Whole, but another pool's; whole, but another number's.
    fs::copy(chunk_path(other.path(), 9), path(9)).unwrap();
    fs::copy(path(11), path(10)).unwrap();
    // Gone; and killed between writing and renaming.
    fs::remove_file(path(13)).unwrap();
    fs::rename(path(15), folder.path().join("chunk-00000015.safetensors.tmp")).unwrap();

    assert_eq!(fill(&toy, stored(folder.path())).unwrap(), (hash.clone(), 8));
    assert_eq!(fill(&toy, stored(folder.path())).unwrap(), (hash, 0), "and kept again");
    let left =
        fs::read_dir(folder.path()).unwrap().filter(|e| e.as_ref().unwrap().path().extension() == Some("tmp".as_ref()));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_store_of_something_else_is_refused_by_name() {
    let (folder, toy) = (tempfile::tempdir().unwrap(), Toy::new(jitter));
    fill(&toy, stored(folder.path())).unwrap();
    let base = stored(folder.path());
    let mut guide = base.guide.clone();
    guide.terminal_penalty = 5.0;
    let mut filter = base.filter;
    filter.reward_margin = None;
    for (config, says) in [
        (AugmentConfig { seed: 1, ..base.clone() }, ("seed", "0", "1")),
        (AugmentConfig { chunk_windows: 8, ..base.clone() }, ("chunk_windows", "4", "8")),
        (AugmentConfig { guide, ..base.clone() }, ("guide.terminal_penalty", "100.0", "5.0")),
        (AugmentConfig { filter, ..base.clone() }, ("filter.reward_margin", "0.5", "null")),
    ] {
        let error = fill(&toy, config).unwrap_err();
        let Error::ForeignStore { what, stored, ours, .. } = cause(&error) else { panic!("{error}") };
        assert_eq!((what.as_str(), stored.as_str(), ours.as_str()), says);
    }
    // Another model is known only after learning.
    let error = fill(&toy.clone().named("other"), base.clone()).unwrap_err();
    assert!(matches!(cause(&error), Error::ForeignStore { what, .. } if what == "model"), "{error}");
    // Other data; here the same transitions with one episode's end moved.
    let mut builder = replay::Dataset::builder(dataset().spec().clone());
    (0..60).for_each(|row| {
        builder.push(dataset().row(row)).unwrap();
        if row == 30 {
            builder.end_episode();
        }
    });
    let mut buffer = Augmented::new(builder.build().unwrap(), toy.learner(), base.clone()).unwrap();
    let error = buffer.wait_filled().unwrap_err();
    assert!(matches!(cause(&error), Error::ForeignStore { what, .. } if what == "dataset"), "{error}");
    // An external check is part of what the chunks are.
    let mut buffer = toy.wrap(base).with_check(Check::new("all", |w: &replay::Windows| Ok(vec![true; w.len()])));
    let error = buffer.wait_filled().unwrap_err();
    assert!(matches!(cause(&error), Error::ForeignStore { what, .. } if what == "check"), "{error}");
}

#[test]
fn one_store_serves_one_buffer_at_a_time() {
    let (folder, toy) = (tempfile::tempdir().unwrap(), Toy::new(jitter));
    let mut first = toy.wrap(stored(folder.path()));
    first.wait_filled().unwrap();
    let error = fill(&toy, stored(folder.path())).unwrap_err();
    assert!(matches!(cause(&error), Error::StoreInUse { .. }), "{error}");
    drop(first);
    fill(&toy, stored(folder.path())).unwrap();
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let toy = Toy::new(jitter);
    let occupied = folder.path().join("file");
    fs::write(&occupied, "").unwrap();
    let error = fill(&toy, stored(&occupied)).unwrap_err();
    assert!(matches!(cause(&error), Error::Io { path, .. } if *path == occupied), "{error}");
    // A folder in the place of a chunk: neither readable nor replaceable.
    let here = folder.path().join("store");
    fs::create_dir_all(chunk_path(&here, 2)).unwrap();
    let error = fill(&toy, stored(&here)).unwrap_err();
    assert!(matches!(cause(&error), Error::Io { path, .. } if *path == chunk_path(&here, 2)), "{error}");
    let broken = folder.path().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("manifest.json"), "{").unwrap();
    let error = fill(&toy, stored(&broken)).unwrap_err();
    assert!(matches!(cause(&error), Error::Damaged { path, .. } if *path == broken.join("manifest.json")), "{error}");
}

#[test]
fn evicted_chunks_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let pacing = Pacing { target: 60, refresh: true, per_row: 1.0, ..config(1).pacing };
    let mut buffer = Toy::new(jitter).wrap(AugmentConfig { pacing, ..stored(folder.path()) });
    let mut rng = Seed::new(0).rng();
    for _ in 0..10 {
        buffer.sample(20, &mut rng).unwrap();
    }
    wait_resting(&buffer);
    let held: Vec<u64> = buffer.pool().chunks().map(|chunk| chunk.number()).collect();
    assert_eq!(held, [16, 17, 18, 19, 20]);
    drop(buffer);
    let there: Vec<u64> = (0..40).filter(|&n| chunk_path(folder.path(), n).exists()).collect();
    assert_eq!(there, held);
}

/// Where the process that is to be killed keeps its chunks.
const VICTIM: &str = "GTA_AUGMENT_STORE_VICTIM";

#[test]
fn killed_while_filling_it_ends_with_the_same_pool() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        // The process to be killed: it never gets beyond its eighth chunk.
        let toy = Toy::new(|prompts| {
            if chunk_of(prompts) >= 8 {
                println!("eighth");
                Gate::default().wait_for(1);
            }
            jitter(prompts)
        });
        fill(&toy, stored(Path::new(&folder))).unwrap();
        unreachable!("it waits at its gate");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_while_filling_it_ends_with_the_same_pool", "--nocapture"])
        .env(VICTIM, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(victim.stdout.take().unwrap()));
    let reached = lines.any(|line| line.unwrap().contains("eighth"));
    victim.kill().unwrap();
    assert!(reached && !victim.wait().unwrap().success());
    let toy = Toy::new(jitter);
    let (hash, generated) = fill(&toy, stored(folder.path())).unwrap();
    assert!((1..=13).contains(&generated), "{generated}: at least seven chunks were kept");
    assert_eq!(hash, fill(&toy, config(2)).unwrap().0);
}

#[test]
fn a_store_is_free_as_soon_as_its_buffer_is_dropped() {
    // A process that is being started holds copies of all open files for a moment, and with them the store's lock.
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..200).for_each(|_| drop(Command::new("true").status())));
        for _ in 0..100 {
            fill(&Toy::new(jitter), stored(folder.path())).unwrap();
        }
    });
}
