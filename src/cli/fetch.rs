//! `gta fetch`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gta::replay::fetch::{Fetch, Patience};
use gta::replay::{D4rlDataset, formats};
use serde_json::json;

use super::args::FetchArgs;
use super::output::{Console, thousands};

/// What to fetch, and where to.
pub enum Plan {
    /// A dataset.
    Fetch(Fetch),
    /// What could be fetched.
    List(Option<PathBuf>),
}

impl Plan {
    /// What was asked for; fails for an id, an address or a checksum that is none.
    pub fn new(args: FetchArgs) -> Result<Self> {
        if args.list {
            return Ok(Self::List(args.dir.or_else(formats::d4rl::root)));
        }
        let id = args.id.context("name a dataset, such as halfcheetah-medium-v2; --list has them all")?;
        let stall = Duration::try_from_secs_f64(args.stall).ok().filter(|stall| !stall.is_zero());
        let stall = stall.with_context(|| format!("--stall: {} is no time to wait", args.stall))?;
        let mut fetch = Fetch::new(&id)?.patience(Patience { stall, tries: args.tries, ..Patience::default() });
        if !args.url.is_empty() {
            fetch = fetch.urls(&args.url).context("--url")?;
        }
        if let Some(sha256) = &args.sha256 {
            fetch = fetch.sha256(sha256).context("--sha256")?;
        }
        if let Some(dir) = args.dir {
            ensure!(!dir.is_file(), "--dir: {} is a file", dir.display());
            fetch = fetch.folder(dir);
        }
        fetch.target()?;
        Ok(Self::Fetch(fetch))
    }

    /// Fetches it, or lists.
    pub fn run(self, console: &Console) -> Result<()> {
        match self {
            Self::Fetch(fetch) => run(&fetch, console),
            Self::List(folder) => list(folder.as_deref(), console),
        }
    }
}

fn run(fetch: &Fetch, console: &Console) -> Result<()> {
    let progress = console.progress("fetching", "bytes", None);
    let fetched = fetch.run(&|bytes, total, remark| progress.at(bytes, total, remark))?;
    match (&fetched.url, fetched.resumed_from) {
        (None, _) => progress.finish(format_args!("{} is there already", fetched.path.display())),
        (Some(url), 0) => progress.finish(format_args!("{} bytes from {url}", thousands(fetched.bytes))),
        (Some(url), held) => {
            let (now, held) = (thousands(fetched.bytes - held), thousands(held));
            progress.finish(format_args!("{now} bytes from {url}, after {held} of an earlier try"));
        }
    }
    let kept = formats::d4rl::root().is_some_and(|root| fetched.path.parent() == Some(root.as_path()));
    if !kept {
        let folder = fetched.path.parent().unwrap_or(Path::new(".")).display();
        console.remark(format_args!("to be found by its id only with D4RL_DATASET_DIR={folder}"));
    }
    console.result(&fetched, &fetched.report)
}

fn list(folder: Option<&Path>, console: &Console) -> Result<()> {
    let place = |dataset: &D4rlDataset| folder.map(|folder| folder.join(dataset.file_name())).filter(|p| p.exists());
    let rows = D4rlDataset::all().iter().map(|dataset| (dataset, place(dataset)));
    let object: Vec<_> =
        rows.clone().map(|(dataset, path)| json!({"id": dataset.id(), "url": dataset.url(), "path": path})).collect();
    let text: Vec<_> = rows
        .map(|(dataset, path)| {
            let here = if path.is_some() { "here" } else { "" };
            format!("{:<28} {here:<5}{}", dataset.id(), dataset.url())
        })
        .collect();
    console.result(&json!({ "folder": folder, "datasets": object }), text.join("\n"))
}
