//! GTA on whole buffers: lazy, reproducible, resumable, nested. Tiny networks on the point mass.

mod gta_toys;

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use gta::augment::{Phase, Until, dataset_hash};
use gta::diffusion::Guidance;
use gta::eval::{NoveltyConfig, QualityConfig, QualityMeter};
use gta::replay::formats::{self, Provenance};
use gta::replay::{Batch, Dataset, Replay, Seed, Source, Spec, Trajectories, Transition};
use gta::{Contents, GtaBuffer, GtaConfig, Mu, Origin, Target, Terminals, envs};
use tch::Device;

use gta_toys::{point_mass, tiny};

fn build(config: GtaConfig, folder: Option<&Path>) -> GtaBuffer<Dataset> {
    let builder = GtaBuffer::builder(point_mass(1_500)).config(config).device(Device::Cpu);
    match folder {
        Some(folder) => builder.folder(folder).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

#[test]
fn one_worker_and_four_give_the_same_pool() {
    let hash = |workers| {
        let mut buffer = build(tiny(workers), None);
        buffer.wait_filled().unwrap();
        (buffer.pool_hash(), buffer.model().unwrap().snapshot().hash())
    };
    assert_eq!(hash(1), hash(4));
}

#[test]
fn waiting_makes_every_batch_a_function_of_the_seeds() {
    let batches = |workers| {
        let mut config = tiny(workers);
        config.augment.until = Until::Wait;
        let (mut buffer, mut rng) = (build(config, None), Seed::new(9).rng());
        let batches: Vec<Batch> = (0..20).map(|_| buffer.sample(40, &mut rng).unwrap()).collect();
        batches
    };
    let (one, three) = (batches(1), batches(3));
    assert_eq!(one, three);
    let generated = |b: &Batch| b.sources.iter().filter(|s| matches!(s, Source::Generated { .. })).count();
    assert!(one.iter().all(|b| generated(b) == 20 && b.len() == 40));
}

#[test]
fn nothing_is_trained_before_the_first_sample_and_everything_after_it() {
    let mut buffer = build(tiny(1), None);
    assert_eq!(buffer.status().phase, Phase::Idle);
    assert!(buffer.model().is_none());
    let batch = buffer.sample(8, &mut Seed::new(0).rng()).unwrap();
    assert!(batch.sources.iter().all(|s| matches!(s, Source::Real(_))));
    assert!(buffer.wait_ready(Duration::from_secs(120)).unwrap());
    assert!(buffer.model().is_some());
}

#[test]
fn a_folder_resumes_training_and_filling_to_the_same_end() {
    let whole = tempfile::tempdir().unwrap();
    let mut buffer = build(tiny(2), Some(whole.path()));
    buffer.wait_filled().unwrap();
    let expected = (buffer.pool_hash(), std::fs::read(whole.path().join("model.safetensors")).unwrap());
    drop(buffer);

    // Stopped while it trains, then while it fills, then left to end.
    let parts = tempfile::tempdir().unwrap();
    let mut buffer = build(tiny(2), Some(parts.path()));
    buffer.start().unwrap();
    let monitor = buffer.monitor();
    while !matches!(monitor.status().phase, Phase::Learning { step: 25.., .. }) {
        assert!(!matches!(monitor.status().phase, Phase::Failed { .. }), "{}", monitor.status());
        std::thread::yield_now();
    }
    drop(buffer);
    assert!(parts.path().join("model.safetensors").exists());
    let mut buffer = build(tiny(1), Some(parts.path()));
    buffer.fill_to(300).unwrap();
    drop(buffer);
    let mut buffer = build(tiny(3), Some(parts.path()));
    buffer.wait_filled().unwrap();
    let got = (buffer.pool_hash(), std::fs::read(parts.path().join("model.safetensors")).unwrap());
    assert!(expected == got);
}

#[test]
fn exports_load_back_as_plain_datasets_with_their_provenance() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut provenance = Provenance::new();
    provenance.set("env", "PointMass-v0");
    formats::d4rl::write(at("source.hdf5"), &point_mass(1_500), &provenance).unwrap();
    let (_, source) = formats::open(at("source.hdf5")).unwrap();
    let mut buffer = build(tiny(2), None);
    assert!(buffer.export(Target::D4rl(&at("a.hdf5")), Contents::Augmented, &Origin::default()).is_err());
    assert!(!at("a.card.md").exists() && !at("a.hdf5").exists(), "nothing was generated yet");
    buffer.fill_to(500).unwrap();
    let made = buffer.status().transitions as usize;

    let origin = Origin { source: Some(&source), command: Some("gta augment x"), judged: None };
    let written = buffer.export(Target::D4rl(&at("a.hdf5")), Contents::Augmented, &origin).unwrap();
    assert_eq!((written.data, &written.card), (at("a.hdf5"), &at("a.card.md")));
    let (dataset, report) = formats::open(at("a.hdf5")).unwrap();
    assert_eq!(report.generated(), Some(1_500..1_500 + made));
    assert_eq!(dataset.row(700), point_mass(1_500).row(700));
    let config: GtaConfig = serde_json::from_str(report.provenance.get("config").unwrap()).unwrap();
    assert_eq!(&config, buffer.settings());
    assert!(report.provenance.get("model_hash").is_some_and(|h| h.len() == 64));
    for (key, value) in [
        ("env", "PointMass-v0"),
        ("source", "source.hdf5"),
        ("source_checksum", &source.checksum),
        ("seed", "0"),
        ("check", "none"),
        ("command", "gta augment x"),
    ] {
        assert_eq!(report.provenance.get(key), Some(value), "{key}");
    }
    // As a plain dataset, it is augmented like any other.
    let generated = buffer.generated_dataset().unwrap();
    assert_eq!(&dataset.rewards()[1_500..], generated.rewards());
    let card = fs::read_to_string(written.card).unwrap();
    for line in [
        "# a.hdf5\n".to_owned(),
        "| recorded | 1500, which come first |".into(),
        format!("| generated | {made} in "),
        format!("| SHA-256 of the transitions | {} |", dataset_hash(&dataset)),
        format!("| SHA-256 of the file | {} (file) |", report.checksum),
        format!("| SHA-256 | {} |", source.checksum),
        "| task | PointMass-v0 |".into(),
        "| preset | compact, but ".into(),
        format!("| weights | {} |", report.provenance.get("model_hash").unwrap()),
        "| alpha | 1.1 |".into(),
        "| check | none |".into(),
        "\nNot measured.".into(),
        "\n    gta augment x\n".into(),
        "NeurIPS 2024.".into(),
    ] {
        assert!(card.contains(&line), "{line}\n{card}");
    }

    let target = Target::Minari { root: folder.path(), id: "gta/point-mass-v0" };
    let minari = buffer.export(target, Contents::Generated, &Origin::default()).unwrap();
    assert_eq!(minari.card, at("gta/point-mass-v0.card.md"));
    let (dataset, report) = formats::open(minari.data).unwrap();
    assert_eq!((dataset.len(), report.generated()), (made, Some(0..made)));
    assert_eq!(dataset.rewards(), generated.rewards());
    let card = fs::read_to_string(minari.card).unwrap();
    assert!(card.starts_with("# gta/point-mass-v0\n") && card.contains(&report.checksum), "{card}");

    // What is augmented again knows that a part of it was generated.
    let (again, source) = formats::open(at("a.hdf5")).unwrap();
    let mut outer = GtaBuffer::builder(again).config(tiny(2)).device(Device::Cpu).build().unwrap();
    outer.fill_to(100).unwrap();
    let origin = Origin { source: Some(&source), ..Origin::default() };
    outer.export(Target::D4rl(&at("b.hdf5")), Contents::Augmented, &origin).unwrap();
    let (_, report) = formats::open(at("b.hdf5")).unwrap();
    assert_eq!(report.generated().unwrap().start, 1_500 + made);
    assert_eq!(report.provenance.get("source_generated_transitions"), Some(&*made.to_string()));
}

#[test]
fn a_card_never_lies_beside_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut buffer = build(tiny(2), None);
    buffer.fill_to(100).unwrap();
    let (file, card) = (folder.path().join("a.hdf5"), folder.path().join("a.card.md"));
    let export = |to: &Path| buffer.export(Target::D4rl(to), Contents::Generated, &Origin::default());
    export(&file).unwrap();
    export(&file).unwrap();
    let names = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["a.card.md", "a.hdf5"]);
    let before = fs::read(&card).unwrap();
    // Something that cannot be replaced: what lay there stays, its card included.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::write(file.join("in the way"), "").unwrap();
    assert!(export(&file).unwrap_err().to_string().contains("a.hdf5"));
    assert_eq!(fs::read(&card).unwrap(), before);
    assert!(export(&folder.path().join("no/a.hdf5")).unwrap_err().to_string().contains("no/a.hdf5"));
    assert_eq!(names(), ["a.card.md", "a.hdf5"]);
}

#[test]
fn quality_is_measured_on_demand_and_on_schedule() {
    let data = point_mass(1_500);
    let meter = || {
        let oracle = envs::Oracle::new(envs::EnvId::PointMass, Some(1)).unwrap();
        let novelty = NoveltyConfig { most_queries: 0, ..NoveltyConfig::default() };
        QualityMeter::new(&data, oracle, QualityConfig { novelty, ..QualityConfig::default() }).unwrap()
    };
    let mut config = tiny(2);
    config.augment.until = Until::Wait;
    let mut buffer = build(config, None);
    assert!(buffer.quality(&meter(), 10, Seed::new(0)).is_err(), "nothing is generated yet");
    let (sender, records) = mpsc::channel();
    buffer.watch_quality(meter(), 100, 8, move |record| sender.send(record).unwrap()).unwrap();
    let mut rng = Seed::new(1).rng();
    buffer.sample(99, &mut rng).unwrap();
    buffer.sample(1, &mut rng).unwrap();
    let record = records.recv().unwrap();
    assert_eq!((record.rows, record.quality.unwrap().windows), (100, 8));
    let quality = buffer.quality(&meter(), 10, Seed::new(0)).unwrap().quality;
    assert_eq!(quality.windows, 10);
    assert!(quality.dynamic_mse.mean.is_finite() && quality.oracle_reward.mean.is_finite());
}

#[test]
fn decorators_nest() {
    let inner = build(tiny(1), None);
    let mut config = tiny(1);
    config.augment.until = Until::Wait;
    let mut outer = GtaBuffer::builder(inner).config(config).device(Device::Cpu).build().unwrap();
    let batch = outer.sample(10, &mut Seed::new(0).rng()).unwrap();
    assert_eq!((batch.len(), Replay::len(&outer)), (10, 1_500));
    assert_eq!(outer.dataset().unwrap().len(), 1_500);
}

#[test]
fn training_that_diverges_surfaces_at_the_next_sample() {
    let mut config = tiny(1);
    config.augment.until = Until::Wait;
    config.trainer.learning_rate = 1e30;
    let mut buffer = build(config, None);
    let error = buffer.sample(4, &mut Seed::new(0).rng()).unwrap_err().to_string();
    assert!(error.contains("training stopped at step"), "{error}");
    assert!(matches!(buffer.status().phase, Phase::Failed { .. }));
    assert_eq!(error, buffer.sample(4, &mut Seed::new(0).rng()).unwrap_err().to_string());
}

/// A point on a circle; every second episode ends the task after 30 steps.
fn circle() -> Dataset {
    let mut builder = Dataset::builder(Spec::new(2, 1));
    let at = |t: usize| [(t as f32 / 5.0).sin(), (t as f32 / 5.0).cos()];
    for episode in 0..40 {
        for t in 0..30 {
            let end = t == 29;
            let row = Transition {
                observation: &at(t),
                action: &[0.5],
                reward: at(t)[0],
                next_observation: &at(t + 1),
                terminated: end && episode % 2 == 0,
                truncated: end && episode % 2 == 1,
            };
            builder.push(row).unwrap();
        }
    }
    builder.build().unwrap()
}

#[test]
fn a_window_keeps_its_prompts_end_when_it_is_lightly_noised() {
    let data = circle();
    let lowest = data.rewards().iter().copied().fold(f32::INFINITY, f32::min);
    for terminals in [Terminals::Marked { deviations: 5.0 }, Terminals::Copied] {
        let mut config = tiny(2);
        (config.terminals, config.mu, config.guidance) = (terminals, Mu::new(0.1).unwrap(), Guidance::none());
        let mut buffer = GtaBuffer::builder(data.clone()).config(config).device(Device::Cpu).build().unwrap();
        buffer.wait_filled().unwrap();
        let pool = buffer.pool();
        let (mut agree, mut count, mut ends) = (0, 0, 0);
        for chunk in pool.chunks() {
            let windows = chunk.windows();
            for w in 0..windows.len() {
                let length = windows.lengths[w] as usize;
                let ended = data.terminated()[windows.origins[w] + length - 1];
                (count, ends) = (count + 1, ends + i32::from(ended));
                agree += i32::from(windows.terminated[w] == ended);
                let reward = windows.transition(w, length - 1).reward;
                assert!(reward > lowest - 1.5, "{terminals:?}: a mark was left in reward {reward}");
            }
        }
        assert!(ends > 0 && ends < count, "{ends} of {count} prompts ended");
        assert!(f64::from(agree) > 0.95 * f64::from(count), "{terminals:?}: {agree} of {count}");
    }
}
