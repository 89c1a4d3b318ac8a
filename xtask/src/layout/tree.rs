//! What the rules look at: the project's files and the packages its members use.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::project;

/// The names by which [`Tree::built`] is asked.
pub const DEFAULT: &str = "default features";
pub const BARE: &str = "no features";
pub const ALL: &str = "all features";

/// Names of all packages in a dependency tree.
fn packages(arguments: &[&str]) -> Result<Vec<String>> {
    let mut cargo = project::cargo();
    cargo.args(["tree", "--prefix", "none", "--format", "{p}"]).args(arguments);
    let listed = project::capture("cargo tree", &mut cargo)?;
    Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The project as the rules see it.
#[derive(Default)]
pub struct Tree {
    /// Path from the root (with `/`) and content, where that is text; `None` for binary files.
    pub files: BTreeMap<String, Option<String>>,
    /// For each member, the names of all packages in its dependency tree, with every feature on.
    pub dependencies: BTreeMap<String, Vec<String>>,
    /// The same of what a user of the whole gets: without tests and build scripts, by the features asked for.
    pub built: BTreeMap<&'static str, Vec<String>>,
}

impl Tree {
    /// Files that git tracks or would track (so a new file is seen before it is added), and cargo's dependency trees.
    ///
    /// # Errors
    /// When git or cargo fail.
    pub fn of_project() -> Result<Self> {
        let root = project::root();
        let mut git = Command::new("git");
        git.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let mut tree = Self::default();
        for path in project::capture("git ls-files", &mut git)?.split('\0').filter(|path| !path.is_empty()) {
            // A file that was removed but not yet committed is still listed.
            if let Ok(bytes) = fs::read(root.join(path)) {
                tree.files.insert(path.to_owned(), String::from_utf8(bytes).ok());
            }
        }
        for package in ["gta-replay", "gta-envs"] {
            tree.dependencies.insert(package.to_owned(), packages(&["--package", package, "--all-features"])?);
        }
        for (features, arguments) in
            [(DEFAULT, &[][..]), (BARE, &["--no-default-features"]), (ALL, &["--all-features"])]
        {
            let whole = [&["--package", "gta-rl", "--edges", "normal"], arguments].concat();
            tree.built.insert(features, packages(&whole)?);
        }
        Ok(tree)
    }

    /// Text files below `folder` (empty for all) with the given ending.
    pub fn texts<'a>(&'a self, folder: &'a str, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(folder) && path.ends_with(ending))
            .filter_map(|(path, text)| text.as_deref().map(|text| (path.as_str(), text)))
    }
}
