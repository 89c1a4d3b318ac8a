//! `cargo xtask gpu-bundle`: a folder that runs on a machine with a GPU and Python's torch, without Rust or anything to build.
//!
//! The program links LibTorch's CPU half only and takes everything of it from the torch of that machine, so the folder holds
//! just the program, MuJoCo's library and a script that starts the one with the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::pins::{LIBTORCH_VERSION, MUJOCO, MUJOCO_LIBRARY};
use crate::project;

const RUN: &str = include_str!("bundle/run");
const README: &str = include_str!("bundle/README.txt");

/// Builds the release program and puts the folder at `target`, or where such folders go.
///
/// # Errors
/// When the build fails, a file cannot be copied, or `target` holds something else.
pub fn run(target: Option<&str>) -> Result<()> {
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project::root().join("target"), PathBuf::from);
    // What was typed is meant from where the user is.
    let folder = match target {
        Some(folder) => std::env::current_dir()?.join(folder),
        None => built.join("gpu-bundle"),
    };
    refuse_foreign(&folder)?;
    let mut build = project::cargo();
    project::run("the release build", build.args(["build", "--release", "--package", "gta-rl", "--bin", "gta"]))?;
    let mujoco = std::env::var_os(MUJOCO.variable).map(PathBuf::from);
    let mujoco = mujoco.unwrap_or_else(|| project::root().join(".native").join(MUJOCO.value));
    put_together(&folder, &built.join("release/gta"), &mujoco.join(MUJOCO_LIBRARY), strip)?;
    eprintln!("gpu-bundle: ready, {}; carry it over and start `run doctor` there", folder.display());
    Ok(())
}

/// A folder is replaced only if it is empty or an older one of ours.
fn refuse_foreign(folder: &Path) -> Result<()> {
    let ours = folder.join("run").exists() && folder.join("gta").exists();
    if folder.exists() && !ours && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} holds something that is no bundle; name another folder", folder.display());
    }
    Ok(())
}

/// Makes the folder beside its place and renames it, so that it is whole or not there.
fn put_together(folder: &Path, program: &Path, mujoco: &Path, strip: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(partial.join("lib")).with_context(|| format!("cannot create {}", partial.display()))?;
    let copy = |from: &Path, to: PathBuf| {
        fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
    };
    copy(program, partial.join("gta"))?;
    strip(&partial.join("gta"))?;
    copy(mujoco, partial.join("lib").join(MUJOCO_LIBRARY))?;
    fs::write(partial.join("run"), RUN.replace("@TORCH@", LIBTORCH_VERSION))?;
    make_executable(&partial.join("run"))?;
    fs::write(partial.join("README.txt"), README.replace("@TORCH@", LIBTORCH_VERSION))?;
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    fs::rename(&partial, folder).with_context(|| format!("cannot move {} into place", partial.display()))
}

/// Takes away what only a debugger reads. A program that stays as it is runs as well, so a machine without `strip` will do.
fn strip(program: &Path) -> Result<()> {
    match Command::new("strip").arg(program).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("strip failed ({status})"),
        Err(error) => {
            eprintln!("gpu-bundle: the program is not stripped: {error}");
            Ok(())
        }
    }
}

#[cfg(unix)]
fn make_executable(script: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(script, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn make_executable(_script: &Path) -> Result<()> {
    bail!("only Linux is supported")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bundle whose program prints what it was started with, and a Python package folder beside it.
    fn bundle(name: &str) -> (PathBuf, PathBuf) {
        let scratch = std::env::temp_dir().join(format!("xtask-bundle-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).unwrap();
        let (program, mujoco) = (scratch.join("program"), scratch.join("mujoco"));
        fs::write(&program, "#!/usr/bin/env bash\necho \"$LD_LIBRARY_PATH\"\nprintf '%s|' \"$@\"\n").unwrap();
        make_executable(&program).unwrap();
        fs::write(&mujoco, "a library").unwrap();
        let folder = scratch.join("bundle");
        put_together(&folder, &program, &mujoco, |_| Ok(())).unwrap();
        (folder, scratch)
    }

    /// A torch that may be found and not imported.
    fn torch(packages: &Path, version: &str) {
        fs::create_dir_all(packages.join("torch/lib")).unwrap();
        fs::write(packages.join("torch/__init__.py"), "raise SystemExit('it was imported')\n").unwrap();
        let text = format!("from typing import Optional\n__version__ = '{version}'\ndebug = False\n");
        fs::write(packages.join("torch/version.py"), text).unwrap();
    }

    /// Exit status, output and errors of the script.
    fn start(folder: &Path, packages: &Path) -> (bool, String, String) {
        let mut command = Command::new("bash");
        command.arg(folder.join("run")).args(["bench", "two words"]);
        // Nothing but these packages, so that no torch of this machine is found.
        command.env("PYTHONPATH", packages).env("PYTHONNOUSERSITE", "1").env("PYTHON", python(packages));
        command.env("LD_LIBRARY_PATH", "before");
        let answer = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (answer.status.success(), text(answer.stdout), text(answer.stderr))
    }

    /// A Python that does not look into the machine's own packages.
    fn python(packages: &Path) -> PathBuf {
        let path = packages.join("python");
        fs::create_dir_all(packages).unwrap();
        fs::write(&path, "#!/usr/bin/env bash\nexec python3 -S \"$@\"\n").unwrap();
        make_executable(&path).unwrap();
        path
    }

    #[test]
    fn the_folder_is_whole_and_an_older_one_is_replaced() {
        let (folder, scratch) = bundle("whole");
        for name in ["gta", "run", "README.txt", "lib/libmujoco.so.3.17.0"] {
            assert!(folder.join(name).exists(), "{name}");
        }
        assert!(!scratch.join("bundle.partial").exists());
        for name in ["run", "README.txt"] {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            assert!(text.contains(LIBTORCH_VERSION) && !text.contains("@TORCH@"), "{text}");
        }
        refuse_foreign(&folder).unwrap();
        fs::remove_file(folder.join("gta")).unwrap();
        assert!(refuse_foreign(&folder).unwrap_err().to_string().contains("no bundle"));
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn the_script_starts_the_program_with_the_libraries_of_a_torch_that_it_does_not_import() {
        let (folder, scratch) = bundle("starts");
        let packages = scratch.join("packages");
        torch(&packages, "2.11.0+cu130");
        let (well, said, errors) = start(&folder, &packages);
        let lib = packages.join("torch/lib");
        assert!(well, "{errors}");
        assert_eq!(said, format!("{}:before\nbench|two words|", lib.display()));
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn a_torch_that_is_missing_or_of_another_version_is_an_error_that_says_so() {
        let (folder, scratch) = bundle("refuses");
        let (none, other) = (scratch.join("none"), scratch.join("other"));
        torch(&other, "2.10.0+cu128");
        for (packages, expected) in [(&none, "has no torch"), (&other, "torch 2.10.0+cu128, gta needs 2.11.0")] {
            let (well, said, errors) = start(&folder, packages);
            assert!(!well && said.is_empty() && errors.contains(expected), "{errors}");
            assert_eq!(errors.lines().count(), 1, "{errors}");
        }
        fs::remove_dir_all(scratch).unwrap();
    }
}
