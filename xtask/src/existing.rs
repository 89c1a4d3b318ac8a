//! Native parts that the machine has already and the user points to. They are checked, never changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::pins::{
    ASSETS, CARGO_DENY, CMAKE, CMAKE_MINIMUM, CUDA_HEADERS, LIBTORCH, LIBTORCH_VERSION, MUJOCO, MUJOCO_LIBRARY, NINJA,
    Part,
};
use crate::python::Python;

/// Says which installation of `part` the user has chosen, or `None` when set-up has to provide it.
///
/// # Errors
/// When what the user chose does not exist or has another version.
pub fn find(part: &Part, native: &Path) -> Result<Option<String>> {
    if part.name == LIBTORCH.name && std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return pytorch().map(Some);
    }
    let Some(value) = chosen(part, native) else { return Ok(None) };
    let checked = match part.name {
        name if name == LIBTORCH.name => libtorch(&value),
        name if name == MUJOCO.name => mujoco(&value),
        name if name == CMAKE.name => cmake(&value),
        name if name == NINJA.name => Ok(()),
        // Any CUDA is the user's choice; where it has no headers the build goes on without and says so.
        name if name == CUDA_HEADERS.name => Ok(()),
        // The check says so itself where the program is missing.
        name if name == CARGO_DENY.name => Ok(()),
        // `envs` looks at their version when it reads them, and says what is wrong.
        name if name == ASSETS.name => Ok(()),
        name => bail!("no check for the part {name}"),
    };
    if let Err(error) = checked {
        bail!(
            "{} is set to {}, but {error:#}. Set it right, or unset it to have the pinned one installed.",
            part.variable,
            value.display()
        );
    }
    Ok(Some(format!("{} ({})", value.display(), part.variable)))
}

/// The user's value of the part's variable. cargo itself sets the variables of `.cargo/config.toml` for what it runs,
/// so a value that names our own folder is no choice of the user.
fn chosen(part: &Part, native: &Path) -> Option<PathBuf> {
    if part.name == NINJA.name && std::env::var("CMAKE_GENERATOR").is_ok_and(|name| name != "Ninja") {
        return std::env::var_os("CMAKE_GENERATOR").map(PathBuf::from);
    }
    let value = std::env::var_os(part.variable).filter(|value| !value.is_empty()).map(PathBuf::from)?;
    (!same_place(&value, &native.join(part.value))).then_some(value)
}

fn same_place(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| path.components().collect::<PathBuf>();
    if plain(a) == plain(b) {
        return true;
    }
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn libtorch(folder: &Path) -> Result<()> {
    if folder.is_relative() {
        bail!("the path must be absolute: build scripts run in other folders");
    }
    let library = std::env::var_os("LIBTORCH_LIB").map_or_else(|| folder.to_owned(), PathBuf::from).join("lib");
    if !library.join("libtorch_cpu.so").exists() {
        bail!("there is no {}", library.join("libtorch_cpu.so").display());
    }
    if std::env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some() {
        return Ok(());
    }
    let include = std::env::var_os("LIBTORCH_INCLUDE").map_or_else(|| folder.to_owned(), PathBuf::from).join("include");
    match libtorch_version(folder, &include) {
        Some(version) if version == LIBTORCH_VERSION => Ok(()),
        Some(version) => bail!("that is LibTorch {version}; the bindings need exactly {LIBTORCH_VERSION}"),
        None => {
            bail!("its version cannot be told: neither build-version nor include/torch/headeronly/version.h is there")
        }
    }
}

/// From `build-version` (LibTorch's archive) or the headers (a PyTorch wheel), without the `+cu130` behind it.
fn libtorch_version(folder: &Path, include: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().split('+').next().unwrap_or_default().to_owned());
    }
    let header = fs::read_to_string(include.join("torch/headeronly/version.h")).ok()?;
    let number = |name: &str| {
        let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define TORCH_VERSION_{name} ")))?;
        line.trim().parse::<u32>().ok()
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

fn pytorch() -> Result<String> {
    let script = "import torch; print(torch.__version__)";
    let answer = Python::find()?.command().args(["-c", script]).output()?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if !answer.status.success() || version.split('+').next() != Some(LIBTORCH_VERSION) {
        bail!(
            "LIBTORCH_USE_PYTORCH is set, but Python's torch is {}, not {LIBTORCH_VERSION}. Unset it to have the pinned \
             one installed.",
            if version.is_empty() { "missing" } else { &version }
        );
    }
    Ok(format!("Python's torch {version} (LIBTORCH_USE_PYTORCH)"))
}

fn mujoco(folder: &Path) -> Result<()> {
    if folder.is_relative() {
        bail!("the path must be absolute: build scripts run in other folders");
    }
    for file in [MUJOCO_LIBRARY, "libmujoco.so"] {
        if !folder.join(file).exists() {
            bail!("there is no {}; MuJoCo's lib folder of that very version is needed", folder.join(file).display());
        }
    }
    Ok(())
}

fn cmake(program: &Path) -> Result<()> {
    let answer = Command::new(program).arg("--version").output().context("it does not start")?;
    let said = String::from_utf8_lossy(&answer.stdout);
    let version = cmake_version(&said).context("it does not tell its version")?;
    if version < CMAKE_MINIMUM {
        bail!("that is CMake {}.{}; HDF5 needs {}.{}", version.0, version.1, CMAKE_MINIMUM.0, CMAKE_MINIMUM.1);
    }
    Ok(())
}

fn cmake_version(said: &str) -> Option<(u32, u32)> {
    let version = said.lines().next()?.strip_prefix("cmake version ")?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(cmake_version("cmake version 3.31.6\n\nCMake suite"), Some((3, 31)));
        assert_eq!(cmake_version("cmake version 4.0.2-rc1"), Some((4, 0)));
        assert_eq!(cmake_version("sh: not found"), None);
    }

    #[test]
    fn libtorch_of_another_version_is_refused() {
        let folder = std::env::temp_dir().join(format!("xtask-existing-{}", std::process::id()));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::create_dir_all(folder.join("include/torch/headeronly")).unwrap();
        assert!(libtorch(&folder).unwrap_err().to_string().contains("there is no"));
        fs::write(folder.join("lib/libtorch_cpu.so"), "").unwrap();
        assert!(libtorch(&folder).unwrap_err().to_string().contains("cannot be told"));
        let header = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n";
        fs::write(folder.join("include/torch/headeronly/version.h"), header).unwrap();
        libtorch(&folder).unwrap();
        fs::write(folder.join("build-version"), "2.9.1+cpu\n").unwrap();
        assert!(libtorch(&folder).unwrap_err().to_string().contains("2.9.1"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(libtorch(Path::new("relative/libtorch")).unwrap_err().to_string().contains("absolute"));
    }
}
