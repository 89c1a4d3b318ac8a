//! Records where LibTorch and MuJoCo lie, so that binaries, tests and examples start without any variable set, and compiles
//! the layer over LibTorch's CUDA graphs where CUDA's headers are.
//!
//! What a library's build script says to the linker does not reach the programs of others. They say it themselves: cargo hands
//! their build scripts `DEP_GTA_LINK_ARG` (README, "In your own crate").

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    let mut link_arg = "-Wl".to_owned();
    for variable in ["DEP_TCH_LIBTORCH_LIB", "MUJOCO_DYNAMIC_LINK_DIR"] {
        if let Ok(directory) = std::env::var(variable) {
            link_arg += &format!(",-rpath,{directory}");
        }
    }
    // A binary that is carried to another machine finds what lies in `lib` beside it.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        link_arg += ",-rpath,$ORIGIN/lib";
    }
    // Without any path it would be an option without a value.
    if link_arg != "-Wl" {
        println!("cargo:rustc-link-arg={link_arg}");
        println!("cargo:link_arg={link_arg}");
    }

    println!("cargo::rustc-check-cfg=cfg(cuda_graphs)");
    // Without the layer all works as well, slower on a GPU; `gta doctor` says why it is not there.
    let missing = match cuda_graphs() {
        Ok(()) => {
            println!("cargo:rustc-cfg=cuda_graphs");
            String::new()
        }
        Err(why) => why.replace('\n', " "),
    };
    println!("cargo:rustc-env=GTA_GRAPHS_MISSING={missing}");
}

/// Compiles the layer to `libgta_graph.so` among the build's own files, or says why it cannot be.
fn cuda_graphs() -> Result<(), String> {
    const SOURCE: &str = "src/native/graph.cpp";
    println!("cargo:rerun-if-changed={SOURCE}");
    for variable in ["CUDA_HOME", "CXX", "LIBTORCH_INCLUDE"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let set = |variable: &str| std::env::var(variable).ok().filter(|value| !value.is_empty());
    if set("CARGO_CFG_TARGET_OS").as_deref() != Some("linux") || set("TARGET") != set("HOST") {
        return Err("it is compiled for the machine that compiles it, and on Linux only".to_owned());
    }
    let home = set("CUDA_HOME").ok_or("CUDA_HOME was not set")?;
    let cuda = Path::new(&home).join("include");
    for header in ["cuda_runtime_api.h", "crt/host_defines.h"] {
        let header = cuda.join(header);
        if !header.exists() {
            return Err(format!("there was no {}; `cargo xtask setup` gets it", header.display()));
        }
        println!("cargo:rerun-if-changed={}", header.display());
    }
    let beside = set("DEP_TCH_LIBTORCH_LIB").and_then(|lib| Some(Path::new(&lib).parent()?.to_owned()));
    let torch = set("LIBTORCH_INCLUDE").map(PathBuf::from).or(beside).ok_or("LibTorch's headers were not found")?;
    let out = PathBuf::from(set("OUT_DIR").ok_or("cargo gave no OUT_DIR")?).join("libgta_graph.so");
    // The variable may hold a wrapper and flags, as in "ccache g++".
    let compiler = set("CXX").unwrap_or_else(|| "c++".to_owned());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("c++"));
    command.args(words).args(["-std=c++17", "-O2", "-fPIC", "-shared", "-s"]);
    // Warnings of headers that are not ours are of no use here.
    command.arg("-isystem").arg(torch.join("include")).arg("-isystem").arg(&cuda);
    let answer = command.arg(SOURCE).arg("-o").arg(&out).output().map_err(|error| format!("{compiler}: {error}"))?;
    if answer.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    let line = said.lines().find(|line| line.contains("error")).or(said.lines().last());
    Err(format!("{compiler} could not compile {SOURCE}: {}", line.unwrap_or_default()))
}
