//! The libraries that read, in a virtual environment of their own below `.native`.
//!
//! d3rlpy imports torch, and torch's wheel for Linux is built for CUDA: with what it asks for it is 3 GB to download, of
//! which reading uses nothing. So torch is installed alone. Its libraries then miss those of CUDA that they are linked to;
//! empty ones of the same names stand in for them ([`EMPTY`]), and functions are looked up when they are called
//! ([`LAZY`]) rather than when a library is loaded, which on a processor is never.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::project;
use crate::python::Python;
use crate::setup::lock;

/// Folder below `.native`.
const NAME: &str = "readers";
/// Says what the environment was made from.
const STAMP: &str = ".pin";
/// Needed to build the one package that has no wheel (gym), so installed before the others.
const BUILD: &str = "tests/readers/build.txt";
/// Everything, exactly pinned, with hashes.
const REQUIREMENTS: &str = "tests/readers/requirements.txt";
/// Libraries of CUDA that those of torch 2.11.0 name as needed, beside its run time, which is installed.
const EMPTY: [&str; 10] = [
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcudnn.so.9",
    "libcufft.so.12",
    "libcufile.so.0",
    "libcurand.so.10",
    "libcusparse.so.12",
    "libcusparseLt.so.0",
    "libnccl.so.2",
    "libnvshmem_host.so.3",
];
/// A line that Python runs at its start.
const LAZY: &str = "import os, sys; sys.setdlopenflags(os.RTLD_LAZY)\n";

/// Python with the libraries; installs them where that was not done yet.
///
/// # Errors
/// When this is no Linux on x86-64, Python is too old, or pip fails; the message says what to do.
pub fn ready(python: &Python) -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        bail!("the readers' libraries are pinned for Linux on x86-64 with glibc only");
    }
    let version = version(python)?;
    let native = project::root().join(".native");
    fs::create_dir_all(&native).with_context(|| format!("cannot create {}", native.display()))?;
    let folder = native.join(NAME);
    let stamp = stamp(&version)?;
    if is_ready(&folder, &stamp) {
        return Ok(program(&folder));
    }
    let _lock = lock(&native)?;
    if !is_ready(&folder, &stamp) {
        eprintln!("readers: h5py, Minari, d3rlpy, TensorBoard (once; 660 MB to download) into {}", folder.display());
        let partial = native.join(format!("{NAME}.partial"));
        for old in [&partial, &folder] {
            if old.exists() {
                fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
            }
        }
        install(python, &partial)?;
        fs::write(partial.join(STAMP), &stamp)?;
        fs::rename(&partial, &folder).with_context(|| format!("cannot move {} into place", partial.display()))?;
    }
    Ok(program(&folder))
}

/// Version of Python, which must be one that the pinned libraries have wheels for.
fn version(python: &Python) -> Result<String> {
    let answer = python.command().args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output()?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if !is_supported(&version) {
        bail!("the readers' libraries need Python 3.11 to 3.13, this is {version}; set PYTHON to another one");
    }
    Ok(version)
}

fn is_supported(version: &str) -> bool {
    version
        .strip_prefix("3.")
        .and_then(|minor| minor.parse::<u32>().ok())
        .is_some_and(|minor| (11..=13).contains(&minor))
}

/// Changes whenever anything pinned changes.
fn stamp(version: &str) -> Result<String> {
    let mut stamp = format!("Python {version}\n{LAZY}{}\n", EMPTY.join(" "));
    for file in [BUILD, REQUIREMENTS] {
        let path = project::root().join(file);
        stamp += &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(stamp)
}

fn is_ready(folder: &Path, stamp: &str) -> bool {
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp) && program(folder).exists()
}

fn program(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

fn install(python: &Python, folder: &Path) -> Result<()> {
    python.require_pip()?;
    let made = python.command().args(["-m", "venv", "--without-pip"]).arg(folder).output()?;
    if !made.status.success() {
        bail!("`python -m venv` failed: {}", said(&made));
    }
    let pip = |file: &str, options: &[&str]| -> Result<()> {
        let mut command = python.command();
        command.args(["-m", "pip", "--python"]).arg(program(folder)).args(["install", "--quiet", "--no-input"]);
        command.args(["--disable-pip-version-check", "--progress-bar", "off", "--no-deps", "--no-compile"]);
        command.args(["--require-hashes", "--only-binary=:all:"]).args(options);
        let answer = command.arg("--requirement").arg(project::root().join(file)).output()?;
        if answer.status.success() { Ok(()) } else { bail!("{}", pip_error(&said(&answer))) }
    };
    pip(BUILD, &[])?;
    pip(REQUIREMENTS, &["--no-build-isolation", "--no-binary=gym"])?;
    let packages = packages(folder)?;
    fs::write(packages.join("lazy.pth"), LAZY)?;
    let cuda = packages.join("nvidia/cu13/lib");
    EMPTY.iter().try_for_each(|name| empty_library(&cuda.join(name)))
}

/// What went wrong, and what to do.
fn pip_error(said: &str) -> String {
    let tail: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).rev().take(8).collect();
    let tail: String = tail.iter().rev().map(|line| format!("    {line}\n")).collect();
    let cause = if said.contains("No space left") {
        "The disk is full: 3 GB are needed."
    } else {
        "Check the network and pip's settings (`python3 -m pip config list`, PIP_INDEX_URL, proxies), then run the command \
         again."
    };
    format!("pip could not install the libraries that read our files.\n{tail}{cause}")
}

/// The folder of the environment's packages.
fn packages(folder: &Path) -> Result<PathBuf> {
    let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let said = project::capture("Python", Command::new(program(folder)).args(["-c", script]))?;
    Ok(said.trim().into())
}

/// Links a shared library of nothing.
fn empty_library(path: &Path) -> Result<()> {
    let name = path.file_name().context("a library has a name")?.to_string_lossy().into_owned();
    let set = std::env::var("CC").ok().filter(|value| !value.trim().is_empty()).unwrap_or_else(|| "cc".into());
    let mut words = set.split_whitespace();
    let mut compiler = Command::new(words.next().unwrap_or("cc"));
    compiler.args(words).args(["-shared", "-o"]).arg(path).arg(format!("-Wl,-soname,{name}"));
    let answer = compiler.args(["-x", "c", "/dev/null"]).output().context("cannot start the C compiler")?;
    if !answer.status.success() {
        bail!("{}: the C compiler could not link it: {}", path.display(), said(&answer));
    }
    Ok(())
}

fn said(answer: &Output) -> String {
    let both = [&answer.stdout, &answer.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    both.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_that_have_wheels_are_told() {
        let all = ["3.11", "3.12", "3.13", "3.8", "3.14", "2.7", ""].map(is_supported);
        assert_eq!(all, [true, true, true, false, false, false, false]);
    }

    #[test]
    fn every_requirement_is_pinned_and_hashed() {
        for file in [BUILD, REQUIREMENTS] {
            let text = fs::read_to_string(project::root().join(file)).unwrap();
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
            let starts = |line: &&&str| !line.starts_with(' ');
            assert!(lines.iter().filter(starts).all(|line| line.contains("==")), "{file}");
            let unhashed =
                lines.windows(2).find(|pair| starts(&&pair[0]) && !pair[1].trim().starts_with("--hash=sha256:"));
            assert_eq!(unhashed, None, "{file}");
        }
        let text = fs::read_to_string(project::root().join(REQUIREMENTS)).unwrap();
        for name in ["d3rlpy", "h5py", "minari", "tensorboard", "torch"] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{name}=="))), "{name}");
        }
        assert!(!text.contains("\nnvidia-cublas"), "CUDA's libraries are not to be downloaded");
    }

    #[test]
    fn a_library_of_nothing_can_be_linked() {
        let folder = std::env::temp_dir().join(format!("xtask-readers-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let library = folder.join("libnothing.so.1");
        empty_library(&library).unwrap();
        assert!(fs::read(&library).unwrap().starts_with(b"\x7fELF"));
        assert!(empty_library(&folder.join("no/libnothing.so.1")).unwrap_err().to_string().contains("libnothing.so.1"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn errors_of_pip_say_what_to_do() {
        assert!(pip_error("ERROR: No matching distribution found for torch==2.11.0").contains("PIP_INDEX_URL"));
        assert!(pip_error("OSError: [Errno 28] No space left on device").contains("disk is full"));
    }
}
