//! Progress on standard error: one line that is redrawn on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Progress of one step that is measured in bytes.
pub struct Progress {
    label: String,
    total: u64,
    started: Instant,
    terminal: bool,
    shown: Instant,
    shown_tenths: u64,
}

impl Progress {
    /// Starts a step of `total` bytes.
    pub fn new(label: impl Into<String>, total: u64) -> Self {
        Self {
            label: label.into(),
            total,
            started: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
            shown: Instant::now(),
            shown_tenths: 0,
        }
    }

    /// Shows that `done` bytes are there, if enough has changed since the last line.
    pub fn update(&mut self, done: u64) {
        let done = done.min(self.total);
        let tenths = (done * 10).checked_div(self.total).unwrap_or(10);
        let waited = self.shown.elapsed();
        let due = if self.terminal {
            waited >= Duration::from_millis(100)
        } else {
            // In a log each line stays: a line per tenth, and one now and then so that a slow network does not look dead.
            (tenths > self.shown_tenths && waited >= Duration::from_secs(1)) || waited >= Duration::from_secs(20)
        };
        if !due {
            return;
        }
        self.shown = Instant::now();
        self.shown_tenths = tenths;
        let line = line(&self.label, done, self.total, self.started.elapsed());
        if self.terminal {
            eprint!("\r\x1b[K{line}");
        } else {
            eprintln!("{line}");
        }
        // A closed standard error must not end the set-up.
        let _ = std::io::stderr().flush();
    }

    /// Ends the step with what was done in how long.
    pub fn finish(self, what: &str) {
        let erase = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{erase}{}: {what} in {:.1} s", self.label, self.started.elapsed().as_secs_f64());
    }

    /// Ends the step without a word; the error that follows says what happened.
    pub fn abandon(self) {
        if self.terminal {
            eprintln!();
        }
    }
}

fn line(label: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let percent = (done * 100).checked_div(total).unwrap_or(100);
    let seconds = elapsed.as_secs_f64();
    // The first bytes say nothing about the rest.
    let speed = if seconds > 0.5 && percent > 0 {
        let rate = done as f64 / seconds;
        let left = (total - done) as f64 / rate;
        format!(", {:.1} MB/s, {left:.0} s left", rate / 1e6)
    } else {
        String::new()
    };
    format!("{label}: {percent:3} % of {}{speed}", megabytes(total))
}

/// Bytes as people read them.
pub fn megabytes(bytes: u64) -> String {
    if bytes < 10_000_000 { format!("{:.1} MB", bytes as f64 / 1e6) } else { format!("{} MB", bytes / 1_000_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_share_size_speed_and_time_left() {
        let text = line("torch", 50_000_000, 200_000_000, Duration::from_secs(5));
        assert_eq!(text, "torch:  25 % of 200 MB, 10.0 MB/s, 15 s left");
        assert_eq!(line("torch", 0, 200_000_000, Duration::ZERO), "torch:   0 % of 200 MB");
        assert_eq!(line("empty", 0, 0, Duration::ZERO), "empty: 100 % of 0.0 MB");
    }
}
