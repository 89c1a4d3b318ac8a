//! `gta quickstart`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use gta::augment::{Alpha, AugmentConfig, GuideConfig};
use gta::diffusion::{Guidance, TrainerConfig};
use gta::envs::{Collect, EnvId, Oracle};
use gta::eval::{
    Change, DynamicsChange, Measured, NamedQuality, NoveltyConfig, Picture, Quality, QualityConfig, QualityMeter,
    QualityReport, Transitions,
};
use gta::replay::Seed;
use gta::replay::formats::{self, d4rl};
use gta::{Behaviour, Contents, GtaConfig, Mu, Origin, Recording, Target, dynamics_check};
use serde_json::json;

use super::args::QuickstartArgs;
use super::collect;
use super::comparison::Sets;
use super::output::{self, Console, duration, thousands};
use super::settings::{self, Settings};
use super::{train, watch};

/// What is done, with sizes so that all of it takes less than six minutes on two cores.
pub struct QuickstartPlan {
    /// Folder for all results.
    out: PathBuf,
    /// What the data is recorded from.
    recording: Recording,
    /// The model and its prompts.
    settings: Settings,
    /// Transitions to generate.
    transitions: u64,
    /// Generated windows to judge.
    windows: usize,
    /// Transitions whose novelty is measured.
    novelty_queries: usize,
    /// Dynamic MSE of a window beyond which the simulator rejects it.
    most_error: f64,
}

impl QuickstartPlan {
    /// The task.
    const ENV: EnvId = EnvId::HalfCheetah;
    /// Transitions to collect.
    const COLLECT_STEPS: usize = 60_000;
    /// Standard deviation of the noise on the policies' actions.
    const ACTION_NOISE: f32 = 0.15;
    /// Training steps.
    const TRAIN_STEPS: u64 = 3_500;
    /// Transitions to generate.
    const TRANSITIONS: u64 = 30_000;
    /// Generated windows to judge.
    const WINDOWS: usize = 800;
    /// Transitions whose novelty is measured.
    const NOVELTY_QUERIES: usize = 4_000;
    /// Share of the noise schedule that prompts are noised to.
    const MU: f64 = 0.5;
    /// Multiplier of the return asked for.
    const ALPHA: f64 = 1.1;
    /// Quantile of the data's returns beyond which nothing is asked for.
    const CEILING: f64 = 0.99;
    /// Weight of the guidance.
    const GUIDANCE: f64 = 1.0;
    /// Noise level from which upwards it is guided.
    const GUIDE_ABOVE: f64 = 1.0;
    /// Share of the windows, the best, that prompts are drawn from.
    const PREFER_TOP: f64 = 0.2;
    /// Dynamic MSE of a window beyond which the simulator rejects it.
    const MOST_ERROR: f64 = 0.06;

    /// What was asked for.
    pub fn new(args: QuickstartArgs) -> Result<Self> {
        let steps = args.collect_steps.unwrap_or(Self::COLLECT_STEPS);
        let transitions = args.transitions.unwrap_or(Self::TRANSITIONS);
        let windows = args.windows.unwrap_or(Self::WINDOWS);
        ensure!(steps > 0 && transitions > 0 && windows > 0, "sizes must be at least 1");
        let default = GtaConfig::default();
        let guide = GuideConfig {
            alpha: Alpha::new(Self::ALPHA)?,
            ceiling: Some(Self::CEILING),
            prefer_top: Some(Self::PREFER_TOP),
            ..default.augment.guide.clone()
        };
        let config = GtaConfig {
            augment: AugmentConfig { seed: args.seed, guide, ..default.augment.clone() },
            trainer: TrainerConfig { steps: args.train_steps.unwrap_or(Self::TRAIN_STEPS), ..default.trainer.clone() },
            mu: Mu::new(Self::MU)?,
            guidance: Guidance { weight: Self::GUIDANCE, above: Self::GUIDE_ABOVE, ..default.guidance },
            checkpoint_every: 200,
            ..default
        };
        config.validate()?;
        let collect = Collect { id: Self::ENV, steps, seed: args.seed, threads: None };
        Ok(Self {
            out: args.out,
            recording: Recording {
                collect,
                behaviours: vec![Behaviour::BuiltIn],
                noise: Some(Self::ACTION_NOISE),
                as_published: false,
            },
            settings: Settings { config, from_folder: None, device: args.device.resolve()? },
            transitions,
            windows,
            novelty_queries: Self::NOVELTY_QUERIES,
            most_error: args.most_error.unwrap_or(Self::MOST_ERROR),
        })
    }

    /// Does all of it.
    pub fn run(self, console: &Console) -> Result<()> {
        let began = Instant::now();
        let out = &self.out;
        output::make_folder(out)?;

        console.remark(format_args!("1/4 a {} dataset", self.recording.collect.id));
        let original = out.join("original.hdf5");
        self.collect(console, &original)?;
        let (dataset, report) = train::load(console, &original)?;

        console.remark(format_args!("2/4 training GTA and generating; Ctrl-C is safe: run it again to go on"));
        self.check_config()?;
        let check = dynamics_check(&dataset, Oracle::new(self.recording.collect.id, None)?, self.most_error)?;
        let folder = out.join("model");
        let mut buffer = train::open(console, dataset.clone(), &self.settings, &folder, self.transitions, Some(check))?;
        let (filled, seen) = watch::during(console, buffer.monitor(), || buffer.fill_to(self.transitions));
        filled.context("generating failed")?;
        settings::keep(&self.settings.config, out)?;
        let model = buffer.model().context("the buffer is filled but has no model")?;

        console.remark("3/4 judging by MuJoCo");
        let config = &self.settings.config;
        let seed = Seed::new(config.augment.seed).fork("quickstart", 0);
        let sets = Sets::new(console, &dataset, &buffer.pool(), model, config, self.windows, &seed)?;
        let judged = self.judge(console, &dataset, sets)?;

        console.remark("4/4 writing");
        let command = output::command_line();
        let origin = Origin { source: Some(&report), command: Some(&command), judged: Some(judged.quality("GTA")) };
        let target = out.join("augmented.hdf5");
        let augmented = buffer.export(Target::D4rl(&target), Contents::Augmented, &origin)?.data;
        let status = buffer.status();
        let table = judged.report.table();
        let sentence = judged.sentence();
        output::write_file(&out.join("picture.svg"), judged.picture.to_svg().as_bytes())?;
        let markdown = format!("# GTA on {}\n\n{}\n{sentence}\n", self.recording.collect.id, table.to_markdown());
        output::write_file(&out.join("quality.md"), markdown.as_bytes())?;
        let object = json!({
            "env": self.recording.collect.id,
            "seed": config.augment.seed,
            "augmented": augmented,
            "original_transitions": dataset.len(),
            "generated_transitions": status.transitions,
            "rejected": status.rejected,
            "amended": status.amended,
            "pool_sha256": buffer.pool_hash(),
            "training_steps": config.trainer.steps,
            "training_steps_now": seen.steps,
            "oracle_reward_gain_over_data": judged.gain("data"),
            "oracle_reward_gain_over_prompts": judged.gain("prompts"),
            "guidance_changes_dynamic_mse": judged.guidance,
            "data_from_states": judged.exact,
            "quality": judged.report.rows,
            "seconds": began.elapsed().as_secs_f64(),
        });
        let text = serde_json::to_string_pretty(&object).context("the figures cannot be written as JSON")?;
        output::write_file(&out.join("quality.json"), text.as_bytes())?;

        let (real, made) = (thousands(dataset.len() as u64), thousands(status.transitions));
        let closing = format!(
            "\n{}\n{sentence}\n\n\
             The augmented data, {real} real and {made} generated transitions, lies in {}\n\
             (D4RL's layout); table, picture and settings lie beside it. It took {}.\n\
             Next: gta augment YOUR.hdf5 --folder runs/yours --out yours-gta.hdf5 --transitions 100000",
            table.to_text(),
            augmented.display(),
            duration(began.elapsed()),
        );
        console.result(&object, closing)
    }

    /// Records the dataset, unless it is there already.
    fn collect(&self, console: &Console, path: &Path) -> Result<()> {
        let ours = self.recording.provenance();
        if path.exists() {
            let (_, report) = formats::open(path)?;
            for (key, value) in ours.iter() {
                let theirs = report.provenance.get(key).unwrap_or("not known");
                if theirs != value {
                    bail!(
                        "{}: its {key} is {theirs}, now it would be {value}; choose another folder by --out, or delete this one",
                        path.display()
                    );
                }
            }
            console.remark(format_args!("found {}", path.display()));
            return Ok(());
        }
        Ok(d4rl::write(path, &collect::record(console, &self.recording)?.dataset, &ours)?)
    }

    /// Fails where the folder's model is being trained with other settings.
    fn check_config(&self) -> Result<()> {
        let folder = self.out.join("model");
        let kept = folder.join(settings::FILE);
        let differs = kept.exists() && settings::read(&kept)? != self.settings.config;
        ensure!(
            !differs,
            "{}: holds other settings than these; choose another folder by --out, or delete {}",
            kept.display(),
            folder.display()
        );
        Ok(())
    }

    fn judge(&self, console: &Console, dataset: &gta::replay::Dataset, sets: Sets) -> Result<Judged> {
        let oracle = Oracle::new(self.recording.collect.id, None)?;
        let novelty = NoveltyConfig { most_queries: self.novelty_queries, ..NoveltyConfig::default() };
        let config = QualityConfig { seed: self.settings.config.augment.seed, novelty, ..QualityConfig::default() };
        let meter = QualityMeter::new(dataset, oracle, config)?;
        let progress = console.progress("judging", "sets", Some(7));
        let mut done = 0;
        let mut measure = |name: &str, set: &Transitions| -> Result<Measured> {
            progress.at(done, Some(7), name);
            done += 1;
            meter.measure(set).with_context(|| format!("judging {name}"))
        };
        let exact = measure("data, exact states", &sets.data)?;
        let data = measure("data", &sets.data.clone().without_states())?;
        let prompts = measure("prompts", &sets.prompts.clone().without_states())?;
        let s4rl = measure("S4RL noise", &sets.s4rl)?;
        let unguided = measure("GTA without guidance", &sets.unguided)?;
        let unchecked = measure("GTA before the simulator's check", &sets.unchecked)?;
        let gta = measure("GTA", &sets.gta)?;
        progress.finish(format_args!("{} transitions each", thousands(sets.gta.len() as u64)));

        let seed = Seed::new(self.settings.config.augment.seed).fork("guidance", 0);
        let bootstrap = &meter.config().bootstrap;
        let guidance =
            DynamicsChange::between((&sets.unguided, &unguided), (&sets.unchecked, &unchecked), bootstrap, &seed);
        let title = format!("GTA on {}, {} windows", self.recording.collect.id, sets.gta.window_count());
        let picture = Picture::of_quality(title, &data, &gta);
        let named = |name: &str, measured: Measured| NamedQuality { name: name.into(), quality: measured.quality };
        let rows = vec![
            named("data", data),
            named("prompts", prompts),
            named("S4RL noise", s4rl),
            named("no guidance", unguided),
            named("GTA unchecked", unchecked),
            named("GTA", gta),
        ];
        Ok(Judged { exact: exact.quality, report: QualityReport { floor: None, rows }, guidance, picture })
    }
}

/// What MuJoCo says.
struct Judged {
    /// The data again, from recorded simulator states: the simulator's own error.
    exact: Quality,
    report: QualityReport,
    /// What asking for more changes of the dynamic MSE, prompt by prompt and with nothing rejected.
    guidance: Option<DynamicsChange>,
    picture: Picture,
}

impl Judged {
    fn quality(&self, name: &str) -> &Quality {
        let row = self.report.rows.iter().find(|row| row.name == name);
        &row.expect("the set was measured above").quality
    }

    /// How much more GTA's transitions really pay than those of another set, as a share.
    fn gain(&self, over: &str) -> f64 {
        let (before, after) = (self.quality(over).oracle_reward.mean, self.quality("GTA").oracle_reward.mean);
        (after - before) / before.abs()
    }

    /// The table in one sentence.
    fn sentence(&self) -> String {
        let (data, unguided, gta) = (self.quality("data"), self.quality("no guidance"), self.quality("GTA"));
        let reward = |quality: &Quality| {
            let mean = quality.oracle_reward.mean;
            quality
                .oracle_reward_interval
                .map_or(format!("{mean:.2}"), |i| format!("{mean:.2} [{:.2}, {:.2}]", i.low, i.high))
        };
        format!(
            "By MuJoCo, a transition of GTA pays {}, one of the data {} ({:+.0}%); the windows that GTA's grew from pay\n\
             {:.2} ({:+.0}%). Its dynamic MSE is {:.4} in the median; without guidance and check it is {:.4}.{}",
            reward(gta),
            reward(data),
            100.0 * self.gain("data"),
            self.quality("prompts").oracle_reward.mean,
            100.0 * self.gain("prompts"),
            gta.dynamic_mse.median,
            unguided.dynamic_mse.median,
            self.guidance.as_ref().map_or(String::new(), guidance_sentence),
        )
    }
}

/// What guidance costs, like for like.
fn guidance_sentence(change: &DynamicsChange) -> String {
    let figure = |change: &Change| {
        let range = change.interval.map(|i| format!(" [{:+.1}, {:+.1}]", 100.0 * i.low, 100.0 * i.high));
        format!("{:+.1}%{}", 100.0 * change.relative, range.unwrap_or_default())
    };
    format!(
        "\nLike for like (same prompts, nothing rejected), guidance changes the dynamic MSE by {} in the mean,\n\
         {} in the median and {} in the 90% quantile, with 95% intervals over pairs of windows.",
        figure(&change.mean),
        figure(&change.median),
        figure(&change.quantile_90),
    )
}
