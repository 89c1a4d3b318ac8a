//! How busy a GPU is while something is measured, as NVIDIA's `nvidia-smi` tells.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tch::Device;

/// Time between two looks; the driver's own figures are means over a sixth of a second and more.
const PERIOD: Duration = Duration::from_millis(100);

/// A thread that looks at a GPU until it is asked what it saw.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
}

impl Watch {
    /// Watches `device`, if it is a GPU.
    pub(super) fn on(device: Device) -> Option<Self> {
        let Device::Cuda(index) = device else { return None };
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        Some(Self::by("nvidia-smi", id(index, visible.as_deref())))
    }

    fn by(program: &str, id: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (program, seen) = (program.to_owned(), Arc::clone(&stop));
        let work = move || {
            let mut percents = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                // Without the program there is nothing to see, now or later.
                let Some(percent) = look(&program, &id) else { break };
                percents.push(percent);
                std::thread::sleep(PERIOD);
            }
            percents
        };
        Self { stop, thread: std::thread::spawn(work) }
    }

    /// Mean over the looks since the start, in percent; nothing where the driver's program is missing.
    pub(super) fn mean(self) -> Option<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let percents = self.thread.join().ok().filter(|percents| !percents.is_empty())?;
        Some(percents.iter().sum::<f64>() / percents.len() as f64)
    }
}

/// The driver's name of the GPU that this process calls `index`.
fn id(index: usize, visible: Option<&str>) -> String {
    let named = visible.and_then(|list| list.split(',').map(str::trim).nth(index)).filter(|name| !name.is_empty());
    named.map_or_else(|| index.to_string(), str::to_owned)
}

fn look(program: &str, id: &str) -> Option<f64> {
    let mut command = Command::new(program);
    command.args(["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id", id]).stderr(Stdio::null());
    String::from_utf8(command.output().ok()?.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_have_the_drivers_names() {
        assert_eq!(id(1, None), "1");
        assert_eq!(id(1, Some("3, GPU-5a")), "GPU-5a");
        assert_eq!(id(2, Some("3,5")), "2");
        assert_eq!(id(0, Some("")), "0");
    }

    #[test]
    fn what_is_printed_is_read_and_what_is_missing_is_nothing() {
        assert!(Watch::on(Device::Cpu).is_none());
        assert_eq!(Watch::by("a-program-that-is-nowhere", "0".to_owned()).mean(), None);
        // `echo` prints the options it is given, which are no number.
        assert_eq!(look("echo", "0"), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let folder = tempfile::tempdir().unwrap();
            let program = folder.path().join("smi");
            std::fs::write(&program, "#!/bin/sh\n[ \"$4\" = 7 ] && echo 42\n").unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let program = program.to_str().unwrap();
            assert_eq!((look(program, "7"), look(program, "8")), (Some(42.0), None));
            let watch = Watch::by(program, "7".to_owned());
            std::thread::sleep(2 * PERIOD);
            assert_eq!(watch.mean(), Some(42.0));
        }
    }
}
