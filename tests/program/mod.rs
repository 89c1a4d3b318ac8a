//! The program `gta` as a child process.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `gta` with `arguments`, in `folder`.
pub fn gta(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gta"));
    // LibTorch's threads otherwise spin while they wait for one another, five times slower where tests share the cores.
    command.current_dir(folder).args(arguments).env_remove("RUST_LOG").env("OMP_WAIT_POLICY", "passive");
    command
}

/// What the program wrote.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program writes UTF-8")
}

/// Runs a command that must end with `status`.
pub fn run(mut command: Command, status: i32) -> Output {
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(status), "{command:?}: {}", text(&output.stderr));
    output
}

/// Kills a command by SIGKILL as soon as `file` exists; it must not have ended by itself before.
pub fn kill_once_there(mut command: Command, file: &Path) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    while !file.exists() {
        assert_eq!(child.try_wait().unwrap(), None, "{command:?} ended before {} was there", file.display());
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "{command:?} was done before it was killed");
}
