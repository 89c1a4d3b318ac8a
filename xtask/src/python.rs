//! The one tool that set-up takes from the machine: Python 3 with pip.

use std::process::Command;

use anyhow::{Result, bail};

const ADVICE: &str = "Install Python 3.8 or newer with pip (Debian, Ubuntu: `apt install python3 python3-pip`; Fedora: \
`dnf install python3-pip`), or set PYTHON to one.";

/// A Python interpreter that was asked for its version.
pub struct Python {
    program: String,
}

impl Python {
    /// Takes `PYTHON`, else `python3`, else `python`.
    ///
    /// # Errors
    /// When none of them is Python 3.8 or newer.
    pub fn find() -> Result<Self> {
        let named = std::env::var("PYTHON").ok().filter(|name| !name.is_empty());
        let candidates = match &named {
            Some(name) => vec![name.as_str()],
            None => vec!["python3", "python"],
        };
        for program in &candidates {
            let check = "import sys; sys.exit(0 if sys.version_info >= (3, 8) else 1)";
            let answer = Command::new(program).args(["-c", check]).output();
            if answer.is_ok_and(|output| output.status.success()) {
                return Ok(Self { program: (*program).to_owned() });
            }
        }
        bail!("No Python 3.8 or newer found (tried {}).\n{ADVICE}", candidates.join(", "));
    }

    /// A command of this interpreter.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(std::process::Stdio::null());
        command
    }

    /// Checks that pip is there.
    ///
    /// # Errors
    /// When `python -m pip` does not run.
    pub fn require_pip(&self) -> Result<()> {
        let answer = self.command().args(["-m", "pip", "--version"]).output()?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            bail!("`{} -m pip` does not work: {}\n{ADVICE}", self.program, said.trim());
        }
        Ok(())
    }

    /// Free disk space in bytes where `folder` lies, or `None` where that cannot be told.
    pub fn free_space(&self, folder: &std::path::Path) -> Option<u64> {
        let script = "import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free)";
        let answer = self.command().args(["-c", script]).arg(folder).output().ok()?;
        String::from_utf8_lossy(&answer.stdout).trim().parse().ok()
    }
}
