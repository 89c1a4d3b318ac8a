//! Makes what a report is about, piece by piece, and goes on after an interruption.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use envs::Oracle;
use replay::{Seed, WindowIndex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

use super::super::augmentation::{Augmentation, Begun, Building, Frozen, Places, drawn};
use super::super::config::{
    AugmentationConfig, OversampleAugmentation, drop_nulls, first_difference, plain, without_decided,
};
use super::super::run::held;
use super::config::{ReportConfig, folder_name};
use super::filters::Filters;
use super::record::{AugmentationReport, DataReport, DatasetReport, Generated, Report, Seconds, Versions};
use super::source::Source;
use crate::augment::{Phase, Pool, Status};
use crate::baselines::S4rl;
use crate::eval::{NoveltyConfig, QualityConfig, QualityMeter, Transitions, spacing, spread};
use crate::method::{Picked, pick};
use crate::training::write_atomically;
use crate::{Conditioning, Error, Result, native};

/// Time between two looks at training and generation.
const TICK: Duration = Duration::from_millis(100);
/// Time between two notes of how long they took, which a kill loses the last of.
const NOTE: Duration = Duration::from_secs(3);

/// A report and its folder, which no other process may use meanwhile.
///
/// ```text
///   report.html, report.md, report.csv, report.json
///   halfcheetah-medium/data.json              what the simulator says of the data
///   halfcheetah-medium/models/                trained models, each for all augmentations that would train the same
///   halfcheetah-medium/gta/settings.json      of the augmentation, and the data's checksum
///   halfcheetah-medium/gta/pool/              what it generated
///   halfcheetah-medium/gta/seconds.json       that this took so far
///   halfcheetah-medium/gta/judged.json        what the simulator says
/// ```
///
/// A report that was killed does the same again: what is there already is not made anew.
#[derive(Debug)]
pub struct ReportRun {
    config: ReportConfig,
    out: PathBuf,
    device: Device,
    versions: Versions,
    _lock: File,
}

/// The files of a finished report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rendered {
    /// The page.
    pub html: PathBuf,
    /// The tables as Markdown.
    pub markdown: PathBuf,
    /// All figures, unrounded.
    pub csv: PathBuf,
    /// The [`Report`] itself.
    pub json: PathBuf,
}

/// What was found out before, and from what.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    from: Value,
    found: T,
}

impl ReportRun {
    /// Makes the folder `out`, or goes on in it.
    ///
    /// # Errors
    /// [`Error::Run`] where another process uses it, or there is no such device.
    pub fn open(config: ReportConfig, out: &Path) -> Result<Self> {
        let device = config.sizes.device.resolve();
        let device = device.map_err(|error| Error::Run { path: out.into(), why: error.to_string() })?;
        let lock = held(out)?;
        let found = native::report();
        let versions = Versions {
            gta: env!("CARGO_PKG_VERSION").into(),
            libtorch: found.libtorch.version,
            mujoco: found.mujoco.version,
        };
        Ok(Self { config, out: out.into(), device, versions, _lock: lock })
    }

    /// The settings.
    pub fn config(&self) -> &ReportConfig {
        &self.config
    }

    /// Judges the data itself, or reads what was found before.
    ///
    /// # Errors
    /// Where the simulator fails or the folder cannot be written.
    pub fn data(&self, source: &Source) -> Result<DataReport> {
        let folder = self.folder(source)?;
        self.known(&folder.join("data.json"), self.origin(source), || {
            let began = Instant::now();
            let meter = self.meter(source, 0)?;
            let index = WindowIndex::new(&source.dataset, super::config::HORIZON)?;
            let picked = self.picked(&index);
            let set = Transitions::of_data(&index, &picked)?.without_states();
            let quality = meter.measure(&set)?.quality;
            let rows: Vec<usize> = picked.iter().flat_map(|&window| rows(&index, window)).collect();
            let spacing = spacing(&source.dataset, &rows, false, &self.novelty())?.summary();
            Ok(DataReport { quality, spacing, seconds: began.elapsed().as_secs_f64() })
        })
    }

    /// Makes the windows of an augmentation and judges them, or reads what was found before. While a model is trained
    /// and generates, `look` is called over and over with how far it is, from another thread.
    ///
    /// # Errors
    /// [`Error::Run`] where the folder holds what was made with other settings or from other data; where learning,
    /// generating or the simulator fails.
    pub fn augmentation(
        &self,
        source: &Source,
        augmentation: &AugmentationConfig,
        look: impl FnMut(&Status) + Send,
    ) -> Result<AugmentationReport> {
        let folder = self.folder(source)?.join(folder_name(augmentation.name()));
        let settings = settings(augmentation);
        keep_settings(&folder, json!({ "data": source.report.checksum, "augmentation": settings }))?;
        let mut from = self.origin(source);
        from["ensemble"] = json!(self.config.sizes.ensemble);
        from["augmentation"] = settings.clone();
        self.known(&folder.join("judged.json"), from, || {
            let frozen = self.made(source, augmentation, &folder, look)?;
            self.judged(source, augmentation, &settings, &frozen, &folder)
        })
    }

    /// A dataset with all that was found out about it.
    pub fn dataset(&self, source: &Source, data: DataReport, augmentations: Vec<AugmentationReport>) -> DatasetReport {
        let (report, returns) = (&source.report, source.dataset.episode_returns());
        DatasetReport {
            name: source.name.clone(),
            env: source.env,
            checksum: report.checksum.clone(),
            transitions: report.rows,
            episodes: report.episodes,
            mean_return: crate::eval::mean(&returns),
            provenance: report.provenance.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            oddities: report.oddities.iter().map(ToString::to_string).collect(),
            published: source.published(),
            data,
            augmentations,
        }
    }

    /// Fails where two datasets would have one folder.
    ///
    /// # Errors
    /// [`Error::Run`] with the name that is there twice.
    pub fn check_names(&self, sources: &[Source]) -> Result<()> {
        let mut folders = BTreeSet::new();
        match sources.iter().find(|source| !folders.insert(source.folder())) {
            None => Ok(()),
            Some(twice) => {
                let why = format!("two datasets are called {}; rename the file of one", twice.name);
                Err(Error::Run { path: twice.report.path.clone(), why })
            }
        }
    }

    /// Writes all files of the report.
    ///
    /// # Errors
    /// [`Error::Io`] where one cannot be written.
    pub fn write(&self, datasets: Vec<DatasetReport>) -> Result<(Report, Rendered)> {
        let report = Report { versions: self.versions.clone(), sizes: self.config.sizes.clone(), datasets };
        let write = |name: &str, text: String| {
            let path = self.out.join(name);
            write_atomically(&path, text.as_bytes())?;
            Ok::<_, Error>(path)
        };
        let json = serde_json::to_string_pretty(&report).expect("a report is plain data") + "\n";
        let rendered = Rendered {
            html: write("report.html", report.to_html())?,
            markdown: write("report.md", report.to_markdown())?,
            csv: write("report.csv", report.to_csv())?,
            json: write("report.json", json)?,
        };
        Ok((report, rendered))
    }

    fn folder(&self, source: &Source) -> Result<PathBuf> {
        let folder = self.out.join(source.folder());
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        Ok(folder)
    }

    /// All that figures of a dataset depend on, but for the augmentation.
    fn origin(&self, source: &Source) -> Value {
        let sizes = &self.config.sizes;
        json!({
            "gta": self.versions.gta,
            "mujoco": self.versions.mujoco,
            "data": source.report.checksum,
            "env": source.env,
            "seed": sizes.seed,
            "judged": sizes.judged(),
            "novelty_queries": sizes.novelty_queries,
        })
    }

    /// What `path` says, where that was found from the same; else what `find` finds, which is kept there.
    fn known<T: Serialize + DeserializeOwned>(
        &self,
        path: &Path,
        from: Value,
        find: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let read = || -> Option<T> {
            let kept: Kept<T> = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
            (kept.from == from).then_some(kept.found)
        };
        if let Some(found) = read() {
            return Ok(found);
        }
        let found = find()?;
        let text = serde_json::to_string(&Kept { from: from.clone(), found }).expect("figures are plain data") + "\n";
        write_atomically(path, text.as_bytes())?;
        // Read back: text may hold a number's neighbour, and the next report will be made from that.
        read().ok_or_else(|| Error::Run { path: path.into(), why: "was written and cannot be read back".into() })
    }

    fn novelty(&self) -> NoveltyConfig {
        NoveltyConfig { most_queries: self.config.sizes.novelty_queries, ..NoveltyConfig::default() }
    }

    fn meter(&self, source: &Source, novelty_queries: usize) -> Result<QualityMeter<Oracle>> {
        let novelty = NoveltyConfig { most_queries: novelty_queries, ..NoveltyConfig::default() };
        let config = QualityConfig { seed: self.config.sizes.seed, novelty, ..QualityConfig::default() };
        Ok(QualityMeter::new(&source.dataset, Oracle::new(source.env, None)?, config)?)
    }

    fn seed(&self, name: &str) -> Seed {
        Seed::new(self.config.sizes.seed).fork(name, 0)
    }

    /// Windows of the data that hold about as many transitions as are judged.
    fn picked(&self, index: &WindowIndex) -> Vec<usize> {
        let rows: usize = (0..index.len()).map(|window| index.span(window).1).sum();
        let count = (self.config.sizes.judged() * index.len()).div_ceil(rows.max(1));
        spread(index.len(), count, &self.seed("report-data"))
    }

    /// The windows of an augmentation, made or read.
    fn made(
        &self,
        source: &Source,
        augmentation: &AugmentationConfig,
        folder: &Path,
        look: impl FnMut(&Status) + Send,
    ) -> Result<Frozen> {
        if let AugmentationConfig::S4rl(s4rl) = augmentation {
            // Windows of their own, which agents do not get: they see fresh noise in every batch.
            let sizes = &self.config.sizes;
            let prompts =
                OversampleAugmentation { transitions: sizes.transitions, seed: sizes.seed, ..Default::default() };
            return drawn(&prompts, S4rl::new(s4rl.std as f32), &source.dataset);
        }
        let models = self.folder(source)?.join("models");
        let places = Places { own: folder, models: Some(&models) };
        let made = match Begun::new(augmentation, &source.dataset, source.env, places, self.device)? {
            Begun::Ready(made) => made,
            Begun::Building(building) => filled(*building, &folder.join("seconds.json"), look)?,
        };
        let Augmentation::Pooled(frozen) = made else {
            let why = format!("{} makes no windows to judge", augmentation.name());
            return Err(Error::Run { path: folder.into(), why });
        };
        Ok(frozen)
    }

    fn judged(
        &self,
        source: &Source,
        augmentation: &AugmentationConfig,
        settings: &Value,
        frozen: &Frozen,
        folder: &Path,
    ) -> Result<AugmentationReport> {
        // Learned once for all augmentations of a dataset, so no part of what judging this one takes.
        let ensemble = source.ensemble(&self.config.sizes.ensemble, self.seed("report-ensemble"))?;
        let began = Instant::now();
        let meter = self.meter(source, self.config.sizes.novelty_queries)?;
        let mut picked = enough(&frozen.pool, self.config.sizes.judged(), self.seed("report-windows"))?;
        let (training_steps, scale) = match augmentation {
            AugmentationConfig::SynthEr(model) => (Some(model.settings.trainer.steps), None),
            AugmentationConfig::Gta(model) => {
                let asks = model.settings.conditioning == Conditioning::Return;
                (Some(model.settings.trainer.steps), asks.then_some(model.settings.guide().scale))
            }
            _ => (None, None),
        };
        let set = match scale {
            Some(scale) => {
                // From condition units to the reward's.
                picked.windows.returns.iter_mut().for_each(|asked| *asked /= scale as f32);
                picked.transitions()
            }
            // Nothing was asked of these: their returns are those of the windows they were copied from.
            None => picked.transitions().unasked(),
        };
        let measured = meter.measure(&set)?;
        let filters = match ensemble {
            Some(ensemble) => Filters::of(&picked.windows, &set, &measured.transitions, ensemble)?,
            None => None,
        };
        let index = WindowIndex::new(&source.dataset, frozen.horizon)?;
        let rewards = source.dataset.rewards();
        let sum = |window: usize| rows(&index, window).map(|row| f64::from(rewards[row])).sum();
        let noted: Seconds = noted(&folder.join("seconds.json"));
        Ok(AugmentationReport {
            label: augmentation.name().to_owned(),
            kind: settings["kind"].as_str().unwrap_or_default().to_owned(),
            settings: settings.clone(),
            horizon: frozen.horizon,
            generated: Generated {
                windows: frozen.pool.sources() as u64,
                transitions: frozen.pool.transitions(),
                rejected: frozen.rejected,
                amended: frozen.amended,
                model: frozen.model.clone(),
                pool_sha256: frozen.pool.hash(),
            },
            training_steps,
            quality: measured.quality,
            original_returns: self.picked(&index).into_iter().map(sum).collect(),
            returns: measured.window_returns,
            filters,
            seconds: Seconds { judging: began.elapsed().as_secs_f64(), ..noted },
        })
    }
}

/// The rows of a window.
fn rows(index: &WindowIndex, window: usize) -> std::ops::Range<usize> {
    let (start, length) = index.span(window);
    start..start + length
}

/// All settings of an augmentation as a file has them.
fn settings(augmentation: &AugmentationConfig) -> Value {
    let mut settings = without_decided(plain(augmentation));
    drop_nulls(&mut settings);
    settings
}

/// Writes what a folder's content is made from; fails where that was something else.
fn keep_settings(folder: &Path, ours: Value) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join("settings.json");
    if let Ok(text) = fs::read_to_string(&path) {
        // How much is generated changes nothing that was generated before.
        let rest = |mut value: Value| {
            value["augmentation"]["transitions"].take();
            value
        };
        let theirs: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(difference) = first_difference("", &rest(ours.clone()), &rest(theirs)) {
            let why =
                format!("was made with other settings: {difference}; choose another folder by --out, or delete it");
            return Err(Error::Run { path: folder.into(), why });
        }
    }
    let text = serde_json::to_string_pretty(&ours).expect("settings are plain data") + "\n";
    write_atomically(&path, text.as_bytes())
}

/// Up to `transitions` transitions in whole windows of a pool, drawn at random: the last window reaches the number.
fn enough(pool: &Pool, transitions: usize, seed: Seed) -> Result<Picked> {
    let share = transitions as f64 / pool.transitions().max(1) as f64;
    // Windows are of different lengths; a few more are drawn than are needed on average.
    let count = (1.1 * share * pool.sources() as f64).ceil() as usize + 10;
    let mut picked = pick(pool, count, seed)?;
    picked.truncate(transitions);
    Ok(picked)
}

/// The seconds noted in a file; none where there is no such file.
fn noted(path: &Path) -> Seconds {
    fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Trains and generates while `look` is told how far it is; notes in a file how long it takes, adding to what it says.
fn filled(building: Building, file: &Path, mut look: impl FnMut(&Status) + Send) -> Result<Augmentation> {
    let monitor = building.monitor();
    let (working, ended) = crossbeam::channel::bounded::<()>(0);
    let mut seconds = noted(file);
    let note = |seconds: &Seconds| {
        let text = serde_json::to_string(seconds).expect("seconds are plain data") + "\n";
        write_atomically(file, text.as_bytes())
    };
    let watch = move || -> Result<()> {
        let (mut last, mut written) = (Instant::now(), Instant::now());
        loop {
            // Nothing is ever sent: the channel closes when the work is over, even by a panic.
            let done = ended.recv_timeout(TICK) != Err(crossbeam::channel::RecvTimeoutError::Timeout);
            let (status, now) = (monitor.status(), Instant::now());
            let passed = (now - last).as_secs_f64();
            match status.phase {
                Phase::Idle | Phase::Learning { .. } => seconds.training += passed,
                _ => seconds.generating += passed,
            }
            last = now;
            look(&status);
            if done || now - written >= NOTE {
                written = now;
                note(&seconds)?;
            }
            if done {
                return Ok(());
            }
        }
    };
    std::thread::scope(|scope| {
        let watching = scope.spawn(watch);
        let made = building.fill();
        drop(working);
        let watched = watching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let made = made?;
        watched?;
        Ok(made)
    })
}
