//! Records where LibTorch and MuJoCo lie, so that binaries, tests and examples start without any variable set.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    for variable in ["DEP_TCH_LIBTORCH_LIB", "MUJOCO_DYNAMIC_LINK_DIR"] {
        if let Ok(directory) = std::env::var(variable) {
            println!("cargo:rustc-link-arg=-Wl,-rpath,{directory}");
        }
    }
    // A binary that is carried to another machine finds what lies in `lib` beside it.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
    }
}
