//! The report behind `gta doctor`: what was found on this machine.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{graphs, load_cuda, loaded_library, threads};

/// What this process runs on.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The neural-network library.
    pub libtorch: Library,
    /// The physics library.
    pub mujoco: Library,
    /// The library behind `.hdf5` files; it is linked in, so it has no path.
    pub hdf5: Library,
    /// The GPU, or why there is none.
    pub gpu: Gpu,
    /// Whether a GPU's work can be recorded and repeated as one launch.
    pub graphs: Graphs,
    /// Cores that this process may use.
    pub cores: usize,
    /// Threads that LibTorch uses inside one operation.
    pub threads: usize,
    /// Vector instructions of the processor that LibTorch and MuJoCo make use of.
    pub cpu_features: Vec<&'static str>,
}

/// One native library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    /// Version, as the library or the files beside it tell it.
    pub version: Option<String>,
    /// The loaded file.
    pub path: Option<PathBuf>,
    /// What does not fit and what to do, `None` when all is well.
    pub problem: Option<String>,
}

/// GPUs that can be used, or why none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Gpu {
    /// At least one.
    Found {
        /// How many.
        count: usize,
        /// Their names where the driver tells them, in the driver's order.
        names: Vec<String>,
    },
    /// None, so the CPU is used.
    Missing {
        /// Why, and what to do.
        reason: String,
        /// Names of GPUs that the driver lists although LibTorch cannot use them.
        names: Vec<String>,
    },
}

/// CUDA graphs, or why none. Without them a GPU computes the same, more slowly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Graphs {
    /// The layer over LibTorch's graphs is loaded and turned on.
    Ready,
    /// Each operation is a launch of its own.
    Missing {
        /// Why, and what to do.
        reason: String,
    },
}

impl Report {
    /// Whether every library has the version this program was built for. A missing GPU is not a problem.
    pub fn is_well(&self) -> bool {
        [&self.libtorch, &self.mujoco, &self.hdf5].iter().all(|library| library.problem.is_none())
    }
}

/// Looks at everything. The first call must come before the first tensor operation (see [`load_cuda`]).
pub fn report() -> Report {
    let names = gpu_names(Path::new("/proc/driver/nvidia/gpus"));
    let gpu = match load_cuda() {
        Ok(count) => Gpu::Found { count: *count, names },
        Err(reason) => Gpu::Missing { reason: reason.clone(), names },
    };
    Report {
        libtorch: libtorch(),
        mujoco: mujoco(),
        hdf5: hdf5(),
        gpu,
        graphs: graphs().map_or_else(|reason| Graphs::Missing { reason }, |()| Graphs::Ready),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        threads: threads(),
        cpu_features: cpu_features(),
    }
}

fn libtorch() -> Library {
    // The bindings are generated for one version; another one would fail in ways that are hard to read.
    const NEEDED: &str = "2.11.0";
    let path = loaded_library("libtorch_cpu.so");
    let version = path.as_deref().and_then(Path::parent).and_then(Path::parent).and_then(libtorch_version);
    let problem = match &version {
        Some(found) if found.split('+').next() != Some(NEEDED) => Some(format!(
            "this is LibTorch {found}, the program was built for {NEEDED}; unset LIBTORCH and LD_LIBRARY_PATH or point \
             them to that version"
        )),
        _ => None,
    };
    Library { version, path, problem }
}

/// From LibTorch's own `build-version` or from the `version.py` of a PyTorch installation.
fn libtorch_version(folder: &Path) -> Option<String> {
    if let Ok(text) = std::fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = std::fs::read_to_string(folder.join("version.py")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(value.trim().trim_matches(['\'', '"']).to_owned())
}

fn mujoco() -> Library {
    const NEEDED: &str = "3.17.0";
    let version = mujoco_rs::mujoco_version().to_owned();
    let problem = (version != NEEDED).then(|| {
        format!(
            "this is MuJoCo {version}, the program was built for {NEEDED}; unset MUJOCO_DYNAMIC_LINK_DIR and \
             LD_LIBRARY_PATH or point them to that version"
        )
    });
    Library { version: Some(version), path: loaded_library("libmujoco.so"), problem }
}

fn hdf5() -> Library {
    let (major, minor, patch) = hdf5::library_version();
    Library { version: Some(format!("{major}.{minor}.{patch}")), path: loaded_library("libhdf5.so"), problem: None }
}

/// What NVIDIA's driver lists, one folder per GPU; empty where there is no such driver.
fn gpu_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let name = |folder: &PathBuf| {
        let text = std::fs::read_to_string(folder.join("information")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Model:")).map(|name| name.trim().to_owned())
    };
    folders.iter().filter_map(name).collect()
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let all = [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("avx", std::arch::is_x86_feature_detected!("avx")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
    ];
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_on_what_it_was_built_for() {
        let report = report();
        assert!(report.is_well(), "{report:?}");
        assert_eq!(report.mujoco.version.as_deref(), Some("3.17.0"));
        assert!(report.cores >= 1 && report.threads >= 1);
        if cfg!(target_os = "linux") {
            assert!(report.libtorch.path.is_some_and(|path| path.exists()));
            assert!(report.mujoco.path.is_some_and(|path| path.exists()));
        }
    }

    #[test]
    fn libtorchs_version_is_read_from_either_kind_of_installation() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(libtorch_version(folder.path()), None);
        std::fs::write(folder.path().join("version.py"), "from x import y\n__version__ = '2.11.0+cu130'\n").unwrap();
        assert_eq!(libtorch_version(folder.path()).as_deref(), Some("2.11.0+cu130"));
        std::fs::write(folder.path().join("build-version"), "2.10.0+cpu\n").unwrap();
        assert_eq!(libtorch_version(folder.path()).as_deref(), Some("2.10.0+cpu"));
    }

    #[test]
    fn gpus_are_named_as_the_driver_names_them() {
        let folder = tempfile::tempdir().unwrap();
        for (slot, name) in [("0000:02:00.0", "NVIDIA B"), ("0000:01:00.0", "NVIDIA A")] {
            std::fs::create_dir(folder.path().join(slot)).unwrap();
            let text = format!("Model: \t\t {name}\nIRQ:   \t\t 11\n");
            std::fs::write(folder.path().join(slot).join("information"), text).unwrap();
        }
        assert_eq!(gpu_names(folder.path()), ["NVIDIA A", "NVIDIA B"]);
        assert_eq!(gpu_names(&folder.path().join("nothing")), Vec::<String>::new());
    }
}
