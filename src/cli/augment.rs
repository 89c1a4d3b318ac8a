//! `gta augment`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gta::augment::Check;
use gta::dynamics::{EnsembleConfig, RewardConfig};
use gta::replay::formats::minari;
use gta::replay::{Dataset, Seed};
use gta::{Checks, Contents, Exported, Origin, Repair, Target};
use serde_json::json;

use super::args::{AugmentArgs, SettingsArgs};
use super::inspect::task;
use super::output::{self, Console, thousands};
use super::progress::Progress;
use super::settings::{self, Settings};
use super::{train, watch};

/// What to augment, and where to write it.
pub struct Plan {
    data: PathBuf,
    folder: PathBuf,
    destination: Destination,
    transitions: u64,
    contents: Contents,
    checks: Checks,
    asked: SettingsArgs,
}

/// What the checks learn from the data, with progress.
fn learned(checks: &Checks, console: &Console, dataset: &Dataset, seed: Seed) -> Result<Option<Check>> {
    let mut under_way = None;
    let mut finish = |next: Option<&str>| {
        let next = next.map(|what| {
            let progress = console.progress("learning", "steps", None);
            progress.at(0, None, what);
            (progress, what.to_owned())
        });
        if let Some((progress, what)) = std::mem::replace(&mut under_way, next) {
            Progress::finish(progress, what);
        }
    };
    let check =
        checks.learned(dataset, seed, &mut |what| finish(Some(what))).context("the checks of generated windows")?;
    finish(None);
    Ok(check)
}

impl Plan {
    /// What was asked for; fails for settings that make no sense.
    pub fn new(args: AugmentArgs) -> Result<Self> {
        ensure!(args.transitions > 0, "--transitions must be at least 1");
        Settings::new(&args.settings, &args.folder)?;
        let contents = if args.generated_only { Contents::Generated } else { Contents::Augmented };
        let destination = Destination::new(&args.out)?;
        let ensemble = args.ensemble.map(|quantile| EnsembleConfig { quantile, ..EnsembleConfig::default() });
        ensemble.as_ref().map(EnsembleConfig::validate).transpose().context("--ensemble")?;
        let checks = Checks {
            reward_proxy: args.reward_proxy.then(RewardConfig::default),
            ensemble,
            simulator: args.check_env.map(|env| (env, args.most_error, args.repair.map(Repair::from))),
        };
        Ok(Self {
            data: args.data,
            folder: args.folder,
            destination,
            transitions: args.transitions,
            contents,
            checks,
            asked: args.settings,
        })
    }

    /// Trains where need be, generates, writes.
    pub fn run(self, console: &Console) -> Result<()> {
        // Before the long part, not after it.
        if let Destination::D4rl(path) = &self.destination {
            output::check_folder_of(path)?;
        }
        let (dataset, report) = train::load(console, &self.data)?;
        let real = report.rows;
        let settings = Settings::suited(&self.asked, &self.folder, &task(&report))?;
        let check = learned(&self.checks, console, &dataset, Seed::new(settings.config.augment.seed))?;
        let mut buffer = train::open(console, dataset, &settings, &self.folder, self.transitions, check)?;
        let monitor = buffer.monitor();
        let (filled, seen) = watch::during(console, monitor, || buffer.fill_to(self.transitions));
        filled.context("generating failed")?;
        settings::keep(&settings.config, &self.folder)?;

        let status = buffer.status();
        let hash = buffer.pool_hash();
        let progress = console.progress("writing", "bytes", None);
        let command = output::command_line();
        let origin = Origin { source: Some(&report), command: Some(&command), judged: None };
        let Exported { data: path, card } = buffer.export(self.destination.target(), self.contents, &origin)?;
        progress.finish(path.display());
        let written = match self.contents {
            Contents::Augmented => real as u64 + status.transitions,
            Contents::Generated => status.transitions,
        };
        let object = json!({
            "path": path,
            "card": card,
            "transitions": written,
            "generated": status.transitions,
            "windows": status.windows,
            "rejected": status.rejected,
            "amended": status.amended,
            "pool_sha256": hash,
            "training_steps_now": seen.steps,
        });
        let generated = thousands(status.transitions);
        let contents = match self.contents {
            Contents::Augmented => format!("{} real and {generated} generated transitions", thousands(real as u64)),
            Contents::Generated => format!("{generated} generated transitions"),
        };
        let rejected = match status.rejected.total() {
            0 => "none".into(),
            count => format!("{} windows ({})", thousands(count), status.rejected),
        };
        let amended = match status.amended.windows {
            0 => "none".into(),
            _ => {
                let share = |count: u64| 100.0 * count as f64 / (status.generated + status.amended.dropped) as f64;
                let (replaced, dropped) = (share(status.amended.replaced), share(status.amended.dropped));
                format!("{} ({replaced:.1}% and {dropped:.1}% of the transitions)", status.amended)
            }
        };
        let text = format!(
            "{}\n  contents  {contents}\n  rejected  {rejected}\n  amended   {amended}\n  pool      sha256 {hash}\n  card      {}",
            path.display(),
            card.display()
        );
        console.result(&object, text)
    }
}

/// Where a dataset is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    D4rl(PathBuf),
    Minari { root: PathBuf, id: String },
}

impl Destination {
    /// A D4RL file by its ending, else a Minari folder. One below Minari's own folder is named as Minari will look for
    /// it, any other by its last part.
    fn new(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|e| e == "hdf5" || e == "h5") {
            return Ok(Self::D4rl(path.into()));
        }
        let below_root = minari::root().and_then(|root| Some((path.strip_prefix(&root).ok()?.to_owned(), root)));
        let (id, root) = match below_root {
            Some(found) => found,
            None => {
                let name = path.file_name().map(PathBuf::from);
                let name = name.with_context(|| format!("{}: not the name of a file or folder", path.display()))?;
                (name, path.parent().unwrap_or(Path::new("")).to_owned())
            }
        };
        let id = id.to_str().with_context(|| format!("{}: not a name in Unicode", path.display()))?.to_owned();
        let why = format!(
            "{}: expected a file that ends in .hdf5 or .h5, or a Minari folder with a version, such as {}-v0",
            path.display(),
            path.display()
        );
        let version = id.rsplit_once("-v").map(|(_, version)| version);
        ensure!(version.is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit())), why);
        Ok(Self::Minari { root, id })
    }

    fn target(&self) -> Target<'_> {
        match self {
            Self::D4rl(path) => Target::D4rl(path),
            Self::Minari { root, id } => Target::Minari { root, id },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_told_by_their_names() {
        let minari = |root: &str, id: &str| Destination::Minari { root: root.into(), id: id.into() };
        let of = |path: &str| Destination::new(Path::new(path)).unwrap();
        assert_eq!(of("a/b.hdf5"), Destination::D4rl("a/b.hdf5".into()));
        assert_eq!(of("b.h5"), Destination::D4rl("b.h5".into()));
        assert_eq!(of("sets/cheetah-v0"), minari("sets", "cheetah-v0"));
        assert_eq!(of("cheetah-v12"), minari("", "cheetah-v12"));
        if let Some(root) = minari::root() {
            let path = root.join("gta/cheetah-v0");
            assert_eq!(Destination::new(&path).unwrap(), Destination::Minari { root, id: "gta/cheetah-v0".into() });
        }
        for bad in ["out", "out.hdf", "out-v", "..", "out-vx"] {
            assert!(Destination::new(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
