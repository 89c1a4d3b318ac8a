//! `gta compare`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use gta::experiment::{Comparison, Summary};
use serde_json::json;

use super::args::CompareArgs;
use super::output::{self, Console};

/// What to compare, and how to tell.
pub struct Plan {
    runs: Vec<PathBuf>,
    picture: Option<PathBuf>,
    against: Option<String>,
    by_update: bool,
    csv: bool,
    markdown: bool,
}

impl Plan {
    /// What was asked for.
    pub fn new(args: CompareArgs) -> Result<Self> {
        let svg = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "svg");
        if let Some(path) = args.picture.as_ref().filter(|path| !svg(path)) {
            anyhow::bail!("{}: pictures are SVG; expected a file that ends in .svg", path.display());
        }
        let CompareArgs { runs, picture, against, by_update, csv, markdown } = args;
        Ok(Self { runs, picture, against, by_update, csv, markdown })
    }

    /// Compares.
    pub fn run(self, console: &Console) -> Result<()> {
        self.picture.as_deref().map_or(Ok(()), output::check_folder_of)?;
        let read = |path: &PathBuf| Ok((path.display().to_string(), Summary::read(path)?));
        let runs = self.runs.iter().map(read).collect::<Result<Vec<_>>>()?;
        ensure!(!runs.is_empty(), "there is no run to compare");
        let object = json!({
            "runs": runs.iter().map(|(run, summary)| json!({ "run": run, "summary": summary })).collect::<Vec<_>>(),
        });
        let comparison = Comparison::of(runs, self.against.as_deref())?;
        if let Some(path) = &self.picture {
            output::write_file(path, comparison.picture().to_svg().as_bytes())?;
            console.remark(format_args!("picture: {}", path.display()));
        }
        if self.csv {
            return console.result(&object, comparison.to_csv().trim_end());
        }
        let by_update = self.by_update.then(|| comparison.by_update());
        let tables = comparison.by_dataset().into_iter().chain([comparison.table()]).chain(by_update);
        let form = |table: gta::eval::Table| if self.markdown { table.to_markdown() } else { table.to_text() };
        let text: Vec<String> = tables.map(form).chain([comparison.caption()]).collect();
        console.result(&object, text.join("\n").trim_end())
    }
}
