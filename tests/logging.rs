//! What a run writes to the log (`tracing`): a span for each stage, and in it what it came to.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gta::experiment::{Augmentation, Begun, EventFile, Log, Run, RunConfig};
use tracing_subscriber::fmt::format::FmtSpan;

/// What was logged so far.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_stage_of_a_run_is_a_span_and_every_figure_stands_in_both_logs() {
    let logged = Logged::default();
    let writer = logged.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let folder = tempfile::tempdir().unwrap();
    let mut config = RunConfig::parse(Path::new("run.toml"), include_str!("readers/run.toml"), &[]).unwrap();
    config.out = folder.path().join("run");
    let run = Run::open(config, false).unwrap();
    let _span = tracing::info_span!("whole").entered();
    let data = run.data(&|_, _| ()).unwrap();
    let augmentation: Augmentation = match run.augment(&data).unwrap() {
        Begun::Ready(augmentation) => augmentation,
        Begun::Building(building) => building.fill().unwrap(),
    };
    run.train(&data, &augmentation, &|_| ()).unwrap();

    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    let has = |parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    // Threads log under the span that started them.
    for parts in [
        &["whole:training{method=\"GTA", "steps=30}", "model trained"][..],
        &["whole:training{", "close time.busy"],
        &["whole:filling{worker=0}:chunk{number=0}", "generated"],
        &["whole:filling{worker=0}", "close"],
        &["whole:agent{seed=1}:updates{from=40}", "close"],
        &["whole:agent{seed=0}:evaluation{update=60}", "evaluated", "score="],
        &["whole:agent{seed=0}:evaluation{update=20}", "close"],
        &["whole:agent{seed=1}", "close"],
    ] {
        assert!(has(parts), "{parts:?}\n{text}");
    }
    assert!(!has(&["updates{from=60}"]), "nothing comes after the last evaluation");

    for seed in ["seed-0", "seed-1"] {
        let folder = folder.path().join("run").join(seed);
        let csv = Log::open(&folder.join("metrics.csv"), u64::MAX).unwrap();
        let scalars = EventFile::read(&folder.join(EventFile::NAME)).unwrap();
        assert!(csv.columns().iter().any(|name| name.starts_with("train/")), "{:?}", csv.columns());
        for name in csv.columns() {
            let ours: Vec<(u64, f32)> =
                csv.column(name).into_iter().map(|(update, value)| (update, value as f32)).collect();
            let theirs = scalars.iter().filter(|scalar| scalar.tag == *name);
            let theirs: Vec<(u64, f32)> = theirs.map(|scalar| (scalar.step, scalar.value)).collect();
            assert_eq!(ours, theirs, "{name}");
            assert_eq!(ours.iter().map(|(update, _)| *update).collect::<Vec<_>>(), [20, 40, 60], "{name}");
        }
    }
}
