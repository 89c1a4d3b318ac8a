//! `cargo xtask readers`: what we export is opened by the Python libraries that people open such data with.
//!
//! The program makes a small dataset, augments it into both formats and trains agents; `tests/readers/read.py` then opens
//! everything by h5py, Minari, d3rlpy and TensorBoard, compares their numbers with ours, and its transcript with the one
//! that is committed.

mod environment;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::project;
use crate::python::Python;
use crate::testing;

/// The exports, below the workspace's folder.
const FOLDER: &str = "target/readers";
/// The id of the Minari dataset.
const MINARI_ID: &str = "gta/hopper-v0";
/// Settings of a model that trains in a second: what it makes is worthless, how it is written is the same. Nothing is
/// rejected, so that an untrained model fills the pool, too.
const TINY: [&str; 13] = [
    "denoiser.width=16",
    "denoiser.depth=1",
    "denoiser.channel_hidden=16",
    "denoiser.embedding=16",
    "augment.guide.horizon=7",
    "augment.chunk_windows=16",
    "augment.filter.action_tolerance=1e9",
    "augment.filter.observation_margin=null",
    "augment.filter.reward_margin=null",
    "trainer.batch=16",
    "trainer.steps=30",
    "solver.kind=heun",
    "solver.steps=4",
];

/// Makes the exports and has them read; with `write` the transcript is written instead of compared.
///
/// # Errors
/// When the libraries cannot be installed, the program fails, or a library does not read what was written.
pub fn run(write: bool) -> Result<()> {
    let began = Instant::now();
    let libraries = environment::ready(&Python::find()?)?;
    let installed = began.elapsed();
    let folder = project::root().join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let program = Program::build()?;
    export(&program, &folder)?;
    let made = began.elapsed();
    let mut reading = Command::new(&libraries);
    reading.arg(project::root().join("tests/readers/read.py")).arg(&folder);
    reading.args(write.then_some("--write")).env("MINARI_DATASETS_PATH", folder.join("minari"));
    // torch's threads would spin while they wait for one another, over networks of a few numbers.
    reading.env("OMP_NUM_THREADS", "1");
    project::run("reading by Python's libraries", &mut reading)?;
    eprintln!(
        "readers: all well; {:.0} s for the libraries, {:.0} s to make the data, {:.0} s to read it",
        installed.as_secs_f64(),
        (made - installed).as_secs_f64(),
        (began.elapsed() - made).as_secs_f64()
    );
    Ok(())
}

/// Writes everything that is to be read into `folder`, and what the program says of it: `NAME.json` is what `gta inspect`
/// says of the dataset NAME.
fn export(program: &Program, folder: &Path) -> Result<()> {
    let gta = |arguments: &[&str]| program.run(folder, arguments);
    // Uniform actions soon make the hopper fall: its episodes end by termination, and the last one is cut.
    let collect = ["collect", "--env", "Hopper-v4", "--steps", "700", "--policy", "uniform", "source.hdf5"];
    gta(&collect)?;
    let settings: Vec<&str> = TINY.iter().flat_map(|&setting| ["--set", setting]).collect();
    gta(&[&["train", "source.hdf5", "--out", "model"], &settings[..]].concat())?;
    let augment = ["augment", "source.hdf5", "--folder", "model", "--transitions", "500", "--out"];
    gta(&[&augment[..], &["augmented.hdf5"]].concat())?;
    let minari = folder.join("minari").join(MINARI_ID);
    let minari = minari.to_str().context("the project's folder has no name in Unicode")?;
    gta(&[&augment[..], &[minari]].concat())?;
    for (name, dataset) in [("source", "source.hdf5"), ("augmented", "augmented.hdf5"), ("minari", minari)] {
        let said = gta(&["inspect", dataset, "--json"])?;
        fs::write(folder.join(name).with_extension("json"), said)?;
    }
    let config = project::root().join("tests/readers/run.toml");
    let config = config.to_str().context("the project's folder has no name in Unicode")?;
    gta(&["run", config, "--out", "run"]).map(drop)
}

/// The program `gta`, as the tests have it: another build would take minutes and show nothing more.
struct Program(PathBuf);

impl Program {
    fn build() -> Result<Self> {
        let mut command = project::cargo();
        // A test of the program has the program built, with the packages and features of `cargo xtask test`: with others
        // nearly everything would be built anew.
        let given = ["--test", "cli", "--no-run", "--message-format", "json-render-diagnostics"].map(String::from);
        command.args(testing::arguments(&given));
        command.stderr(std::process::Stdio::inherit());
        let said = project::capture("building the program", &mut command)?;
        match said.lines().find_map(executable) {
            Some(path) => Ok(Self(path.into())),
            None => bail!("cargo does not say where it put the program"),
        }
    }

    /// Runs it in `folder` and returns what it printed.
    fn run(&self, folder: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.0);
        command.arg("--quiet").args(arguments).current_dir(folder);
        command.env("MINARI_DATASETS_PATH", folder.join("minari")).env_remove("RUST_LOG");
        project::capture(&format!("`gta {}`", arguments.join(" ")), &mut command)
    }
}

/// Where the program lies, if this message of cargo's is about it.
fn executable(message: &str) -> Option<&str> {
    let program = message.contains(r#""kind":["bin"]"#) && message.contains(r#""name":"gta""#);
    message.split_once(r#""executable":""#).filter(|_| program)?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let message = |kind: &str, name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"{name}"}},"executable":{executable}}}"#
            )
        };
        assert_eq!(executable(&message("bin", "gta", r#""/a/target/debug/gta""#)), Some("/a/target/debug/gta"));
        assert_eq!(executable(&message("lib", "gta", "null")), None);
        assert_eq!(executable(&message("test", "cli", r#""/a/cli-1""#)), None);
    }
}
