//! What the machine offers: which LibTorch, MuJoCo and HDF5 are loaded, whether there is a GPU, how many threads.
//!
//! One binary serves CPU and CUDA. It is linked against LibTorch's CPU half only; [`load_cuda`] looks whether a CUDA half
//! lies beside the LibTorch that was really loaded and adds it while the program runs. Whatever it found, the reason is
//! kept for `gta doctor`.
//!
//! Work on a GPU that repeats the same operations is recorded once and then started as one launch ([`graphs`] says whether
//! it can be). `GTA_GRAPHS=0` in the environment turns that off: then each operation is a launch of its own, as on the CPU.
//!
//! Three things are process-wide in LibTorch and the C library and are set here and nowhere else:
//!
//! - **Devices**: LibTorch asks once whether CUDA is there and remembers the answer, so [`load_cuda`] (which
//!   [`devices`], [`best_device`] and [`DeviceChoice::resolve`] call) must come before the first tensor.
//! - **Memory**: [`keep_large_blocks`] comes first of all in `main`.
//! - **Threads**: [`set_threads`] sets them for one thread and leaves the default of the others as it was.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tch::Device;

mod alone;
mod graph;
mod report;

pub(crate) use alone::{Alone, product_threads};
pub(crate) use graph::Graphed;
pub use graph::{GraphUse, graph_use, graphs, set_graphs};
pub use report::{Gpu, Graphs, Library, Report, report};

/// Which device to compute on, as typed by a user: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU, also where there is a GPU.
    Cpu,
    /// The GPU with this number; an error where it is missing, never a silent CPU.
    Cuda(usize),
}

/// Why a device cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The text is none of `auto`, `cpu`, `cuda`, `cuda:N`.
    #[error("unknown device {0:?}: it is one of auto, cpu, cuda, cuda:0, cuda:1, ..")]
    Unknown(String),
    /// A GPU was asked for, and none can be used.
    #[error("device cuda:{index} was asked for, but {reason}")]
    NoCuda {
        /// The GPU that was asked for.
        index: usize,
        /// Why there is none, and what to do.
        reason: String,
    },
    /// There are GPUs, but not so many.
    #[error("device cuda:{index} was asked for, but there are {found} GPUs (the first is cuda:0)")]
    NoSuchGpu {
        /// The GPU that was asked for.
        index: usize,
        /// How many there are.
        found: usize,
    },
}

impl DeviceChoice {
    /// Turns the choice into a device. Call it before the first tensor operation.
    ///
    /// # Errors
    /// When a GPU is asked for that cannot be used. `auto` and `cpu` never fail.
    pub fn resolve(self) -> Result<Device, DeviceError> {
        match self {
            Self::Auto => Ok(best_device()),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(index) => match load_cuda() {
                Err(reason) => Err(DeviceError::NoCuda { index, reason: reason.clone() }),
                Ok(found) if index < *found => Ok(Device::Cuda(index)),
                Ok(found) => Err(DeviceError::NoSuchGpu { index, found: *found }),
            },
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or_else(|| DeviceError::Unknown(text.to_owned()))
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
        }
    }
}

/// Every usable device, GPUs first.
pub fn devices() -> Vec<Device> {
    let gpus = load_cuda().as_ref().map_or(0, |found| *found);
    (0..gpus).map(Device::Cuda).chain([Device::Cpu]).collect()
}

/// The first GPU if there is one that can be used, else the CPU.
pub fn best_device() -> Device {
    devices().first().copied().unwrap_or(Device::Cpu)
}

/// Loads LibTorch's CUDA half if there is one: how many GPUs can be used (at least one), or why none.
///
/// The work is done on the first call, which must come before the first tensor operation of the process; later calls
/// return the same answer. It looks beside the `libtorch_cpu.so` that is really loaded, so a program that is started
/// with `LD_LIBRARY_PATH` on another PyTorch gets that one's CUDA half.
pub fn load_cuda() -> &'static Result<usize, String> {
    static CUDA: OnceLock<Result<usize, String>> = OnceLock::new();
    CUDA.get_or_init(|| {
        cuda_half().clone()?;
        match usize::try_from(tch::Cuda::device_count()) {
            Ok(found) if found > 0 => Ok(found),
            _ => Err("LibTorch's CUDA half is loaded but sees no GPU; is the driver installed and new enough \
                      (`nvidia-smi`), and is CUDA_VISIBLE_DEVICES right?"
                .to_owned()),
        }
    })
}

/// Loads LibTorch's CUDA half, whether or not there is a GPU, or says why it cannot be.
fn cuda_half() -> &'static Result<(), String> {
    static HALF: OnceLock<Result<(), String>> = OnceLock::new();
    HALF.get_or_init(|| {
        // A reference to LibTorch, so that the linker keeps it loaded also for a program that has no tensor yet.
        let _ = tch::get_num_threads();
        let Some(cpu) = loaded_library("libtorch_cpu.so") else {
            return Err("the loaded LibTorch was not found among the loaded files; a GPU needs Linux and LibTorch as \
                        shared libraries"
                .to_owned());
        };
        let cuda = cpu.with_file_name("libtorch_cuda.so");
        if !cuda.exists() {
            return Err(format!(
                "this LibTorch is the CPU one: there is no {}. For a GPU, install PyTorch 2.11.0 with CUDA (`pip install \
                 torch==2.11.0`) and start with LD_LIBRARY_PATH set to its torch/lib folder",
                cuda.display()
            ));
        }
        open_for_everyone(&cuda).map_err(|reason| format!("{} cannot be loaded: {reason}", cuda.display()))?;
        Ok(())
    })
}

/// Path of the first loaded file whose name begins with `name`, as the kernel lists it.
fn loaded_library(name: &str) -> Option<PathBuf> {
    library_in_maps(&std::fs::read_to_string("/proc/self/maps").ok()?, name)
}

fn library_in_maps(maps: &str, name: &str) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        // address permissions offset device inode path; the path may hold spaces.
        let path = Path::new(&line[line.find('/')?..]);
        path.file_name()?.to_str()?.starts_with(name).then(|| path.to_owned())
    })
}

/// Opens a library whose names every library opened later may use; gives its handle.
#[cfg(unix)]
fn open_for_everyone(library: &Path) -> Result<*mut libc::c_void, String> {
    use std::ffi::{CStr, CString};
    use std::os::unix::ffi::OsStrExt;

    let path = CString::new(library.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the path is a C string; the handle is never closed, so nothing that the library registers with LibTorch
    // can dangle. Its initialisers are LibTorch's own, made to be run this way.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: dlerror returns null or a C string that lives until the next dl call of this thread.
    let said = unsafe {
        let message = libc::dlerror();
        (!message.is_null()).then(|| CStr::from_ptr(message).to_string_lossy().into_owned())
    };
    Err(said.unwrap_or_else(|| "no reason was given".to_owned()))
}

#[cfg(not(unix))]
fn open_for_everyone(_library: &Path) -> Result<*mut libc::c_void, String> {
    Err("GPUs are supported on Linux only".to_owned())
}

/// Makes the C library keep large blocks for reuse. Call it first in `main`, while there is one thread.
///
/// glibc gives every block above a threshold back to the kernel when it is freed, and LibTorch frees the tensors of each
/// step: the next step then pays a page fault and a zeroed page for every 4 KiB again. Kept blocks cost no more at the
/// peak, but what the process has touched it keeps until it ends.
///
/// Measured on two cores (shared with other builds, so times are rough; faults are exact), a forward and backward pass
/// of linear, GELU, linear over `[128, 64, 32, 24]`: 65,131 page faults and 181 ms of system time a step without, 6,149
/// and 16 ms with it; 539 ms against 307 ms a step. In a second thread 76,600 faults against 6,553, and 538 ms against
/// 239 ms; without the limit to one arena a second thread gains nothing, because further arenas cannot grow past
/// 64 MiB blocks and give those back. Peak memory was 833 MB against 824 MB.
///
/// On other systems than Linux with glibc it does nothing. Returns whether the settings were taken.
pub fn keep_large_blocks() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const GROW_BY: i32 = 64 << 20;
        let settings = [
            // Never by mmap, which is undone on free ..
            (libc::M_MMAP_MAX, 0),
            // .. from the heap, which is never cut back ..
            (libc::M_TRIM_THRESHOLD, i32::MAX),
            // .. and grows in few steps.
            (libc::M_TOP_PAD, GROW_BY),
            (libc::M_ARENA_MAX, 1),
        ];
        // SAFETY: mallopt takes any numbers and says by its result whether it took them.
        settings.into_iter().all(|(parameter, value)| unsafe { libc::mallopt(parameter, value) } == 1)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        false
    }
}

/// Sets how many threads LibTorch uses inside one operation, for operations started by the calling thread only.
///
/// LibTorch's own setting is half per thread and half process-wide: it sets the calling thread, and it becomes the
/// default that every thread takes over at its first operation. A worker that asks for one thread would so slow down a
/// trainer that is started after it. This function therefore puts the default back, through a thread that lives only for
/// that. Threads that have run an operation before keep what they have. (Seen with LibTorch 2.11.0 by comparing the
/// process's processor time with the thread's, for matrix products and elementwise operations.)
///
/// # Panics
/// When `threads` is zero, or when the system cannot start a thread.
pub fn set_threads(threads: usize) {
    assert!(threads > 0, "an operation needs at least one thread");
    // Two callers at once must not take each other's setting for the default.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let default = on_new_thread(tch::get_num_threads);
    // Asking makes this thread take over the default now. Otherwise it would at its first operation, and lose the setting.
    let _ = tch::get_num_threads();
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    on_new_thread(move || tch::set_num_threads(default));
}

/// How many threads LibTorch uses inside one operation that the calling thread starts.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Runs `work` in a thread of its own with one LibTorch thread, and waits for it: what it computes does not depend on how
/// many threads the caller has, whose setting stays what it is.
///
/// # Panics
/// When `work` does, or the system cannot start a thread.
pub(crate) fn on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // Before the first tensor, or no GPU would be found afterwards.
    let _ = load_cuda();
    let run = || {
        set_threads(1);
        work()
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A new thread is the only one that shows and sets the default alone.
fn on_new_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match std::thread::Builder::new().name("gta-threads".to_owned()).spawn(work).map(std::thread::JoinHandle::join) {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => panic!("cannot start a thread: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_written() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:12", DeviceChoice::Cuda(12)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(serde_json::from_str::<DeviceChoice>(&json).unwrap(), choice);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:-1", "CPU", "cuda:1x"] {
            assert_eq!(text.parse::<DeviceChoice>(), Err(DeviceError::Unknown(text.to_owned())));
        }
        assert!(serde_json::from_str::<DeviceChoice>("\"tpu\"").unwrap_err().to_string().contains("auto, cpu, cuda"));
    }

    #[test]
    fn the_best_device_is_the_first_of_those_there_are() {
        let devices = devices();
        assert_eq!(devices.last(), Some(&Device::Cpu));
        assert_eq!(best_device(), devices[0]);
        assert_eq!(DeviceChoice::Auto.resolve(), Ok(devices[0]));
        assert_eq!(DeviceChoice::Cpu.resolve(), Ok(Device::Cpu));
        // More GPUs than any machine has: the error says whether there are fewer or none.
        match (load_cuda(), DeviceChoice::Cuda(10_000).resolve()) {
            (Ok(found), Err(DeviceError::NoSuchGpu { index: 10_000, found: said })) => assert_eq!(*found, said),
            (Err(reason), Err(DeviceError::NoCuda { index: 10_000, reason: said })) => assert_eq!(*reason, said),
            (_, other) => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn libraries_are_found_in_the_kernels_list() {
        let maps = "7f00-7f01 r--p 00000000 08:01 42                         /opt/a b/lib/libtorch_cpu.so\n\
                    7f02-7f03 r--p 00000000 08:01 43                         /opt/libtorch.so\n\
                    7f04-7f05 rw-p 00000000 00:00 0                          [heap]\n\
                    7f06-7f07 rw-p 00000000 00:00 0 \n";
        assert_eq!(library_in_maps(maps, "libtorch_cpu.so"), Some(PathBuf::from("/opt/a b/lib/libtorch_cpu.so")));
        assert_eq!(library_in_maps(maps, "libmujoco.so"), None);
        assert_eq!(library_in_maps("", "libtorch_cpu.so"), None);
    }

    #[test]
    fn a_library_that_cannot_be_loaded_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("libtorch_cuda.so");
        std::fs::write(&broken, "not a library").unwrap();
        let reason = open_for_everyone(&broken).unwrap_err();
        assert!(reason.contains("libtorch_cuda.so"), "{reason}");
    }

    #[test]
    fn threads_are_set_for_the_calling_thread_only() {
        // Other tests of this process leave the default alone too, by the very function under test.
        let default = on_new_thread(threads);
        let other = default + 3;
        let seen = on_new_thread(move || {
            set_threads(other);
            // Large enough to be split among threads, so that LibTorch looks at its setting.
            let _ = tch::Tensor::ones([1 << 18], (tch::Kind::Float, Device::Cpu)).tanh();
            (threads(), on_new_thread(threads))
        });
        assert_eq!(seen, (other, default));
        assert_eq!(on_new_thread(threads), default);
    }
}
