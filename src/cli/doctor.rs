//! `gta doctor`: which LibTorch, MuJoCo, HDF5 and GPU were found, or why not and what to do.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use anyhow::{Result, bail};
use gta::native::{Gpu, Graphs, Library, Report, report};

/// Prints the report: aligned lines for people, or one JSON object.
///
/// # Errors
/// When a library has another version than this program was built for, after printing; a missing GPU is no error.
pub fn run(json: bool) -> Result<()> {
    let report = report();
    let text = if json { serde_json::to_string_pretty(&report)? + "\n" } else { lines(&report) };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads may stop early, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    if !report.is_well() {
        bail!("a native library does not fit; see above");
    }
    Ok(())
}

fn lines(report: &Report) -> String {
    let mut rows = vec![
        ("LibTorch", library(&report.libtorch)),
        ("MuJoCo", library(&report.mujoco)),
        ("HDF5", library(&report.hdf5)),
    ];
    rows.push(("GPU", gpu(&report.gpu)));
    rows.push(("Graphs", graphs(&report.graphs)));
    let features =
        if report.cpu_features.is_empty() { String::new() } else { format!(", {}", report.cpu_features.join(" ")) };
    rows.push(("CPU", format!("{} cores, {} threads per operation{features}", report.cores, report.threads)));
    rows.into_iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10}{value}");
        text
    })
}

fn library(library: &Library) -> String {
    let version = library.version.as_deref().unwrap_or("of unknown version");
    let place = match &library.path {
        Some(path) => format!(" ({})", path.display()),
        None => " (built in)".to_owned(),
    };
    let problem = library.problem.as_ref().map_or(String::new(), |problem| format!("\n          PROBLEM: {problem}"));
    format!("{version}{place}{problem}")
}

fn gpu(gpu: &Gpu) -> String {
    match gpu {
        Gpu::Found { count, names } if names.is_empty() => format!("{count} found"),
        Gpu::Found { count, names } => format!("{count} found ({})", names.join(", ")),
        Gpu::Missing { reason, names } if names.is_empty() => format!("none in use, the CPU computes: {reason}"),
        Gpu::Missing { reason, names } => {
            format!("none in use although the driver lists {}: {reason}", names.join(", "))
        }
    }
}

fn graphs(graphs: &Graphs) -> String {
    match graphs {
        Graphs::Ready => "ready: repeated work on a GPU is one launch".to_owned(),
        Graphs::Missing { reason } => format!("none: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Report {
        Report {
            libtorch: Library {
                version: Some("2.11.0".into()),
                path: Some("lib/libtorch_cpu.so".into()),
                problem: None,
            },
            mujoco: Library { version: Some("3.16.0".into()), path: None, problem: Some("wrong version".into()) },
            hdf5: Library { version: None, path: None, problem: None },
            gpu: Gpu::Missing { reason: "no driver".into(), names: vec![] },
            graphs: Graphs::Missing { reason: "no headers".into() },
            cores: 2,
            threads: 1,
            cpu_features: vec!["avx2", "fma"],
        }
    }

    #[test]
    fn people_get_aligned_lines() {
        let expected = "\
LibTorch  2.11.0 (lib/libtorch_cpu.so)
MuJoCo    3.16.0 (built in)
          PROBLEM: wrong version
HDF5      of unknown version (built in)
GPU       none in use, the CPU computes: no driver
Graphs    none: no headers
CPU       2 cores, 1 threads per operation, avx2 fma
";
        assert_eq!(lines(&example()), expected);
    }

    #[test]
    fn machines_get_named_fields() {
        let json = serde_json::to_value(example()).unwrap();
        assert_eq!(json["gpu"]["status"], "missing");
        assert_eq!(json["graphs"]["reason"], "no headers");
        assert_eq!(json["libtorch"]["version"], "2.11.0");
        assert_eq!(json["mujoco"]["problem"], "wrong version");
    }
}
