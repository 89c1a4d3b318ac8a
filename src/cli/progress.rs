//! Progress of work that may last: a bar on a terminal, a line now and then elsewhere.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::{duration, thousands};

/// Time between two lines where there is no terminal, and before the first: work that is done sooner says so only once.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Time between two looks at work that does not call by itself.
const TICK: Duration = Duration::from_millis(100);

/// All bars, so that nothing else is written into them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Writes to stderr without disturbing the bars.
pub fn above_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Stderr for logs.
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        above_bars(|| io::stderr().write(text))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// How far some work is. Ends with a line that says how long it took.
pub struct Progress {
    label: String,
    unit: &'static str,
    began: Instant,
    look: Look,
    state: Mutex<State>,
}

enum Look {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

#[derive(Default)]
struct State {
    total: Option<u64>,
    /// Where it stood when first heard of: resumed work did not start at zero.
    start: Option<(u64, Instant)>,
    position: u64,
    line: Option<Instant>,
}

impl Progress {
    /// Work called `label`, of `total` units where that is known.
    pub(super) fn new(label: &str, unit: &'static str, total: Option<u64>, shown: bool) -> Self {
        let look = match (shown, io::stderr().is_terminal()) {
            (false, _) => Look::Nothing,
            (true, false) => Look::Lines,
            (true, true) => {
                let bar = BARS.add(ProgressBar::new(total.unwrap_or(0)).with_prefix(label.to_owned()));
                bar.set_style(style(total));
                bar.enable_steady_tick(TICK);
                Look::Bar(bar)
            }
        };
        let state = State { total, ..State::default() };
        Self { label: label.into(), unit, began: Instant::now(), look, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work done so far, in all, with a remark such as the loss.
    pub fn at(&self, position: u64, total: Option<u64>, remark: &str) {
        let mut state = self.lock();
        let now = Instant::now();
        (state.position, state.total) = (position, total);
        let (start, since) = *state.start.get_or_insert((position, now));
        let mut text = match total {
            Some(total) => format!("{} of {} {}", thousands(position), thousands(total), self.unit),
            None if position > 0 => format!("{} {}", thousands(position), self.unit),
            None => String::new(),
        };
        let done = position.saturating_sub(start);
        if let Some(left) = total.and_then(|total| left(done, total.saturating_sub(position), now - since)) {
            text += &format!(", {} left", duration(left));
        }
        if !remark.is_empty() {
            text += if text.is_empty() { "" } else { ", " };
            text += remark;
        }
        match &self.look {
            Look::Bar(bar) => {
                if bar.length() != Some(total.unwrap_or(0)) {
                    bar.set_length(total.unwrap_or(0));
                    bar.set_style(style(total));
                }
                bar.set_position(position);
                bar.set_message(text);
            }
            Look::Lines if now - state.line.unwrap_or(self.began) >= LINE_EVERY => {
                state.line = Some(now);
                eprintln!("{}: {text}", self.label);
            }
            Look::Lines | Look::Nothing => {}
        }
    }

    /// The work is done; `outcome` says with what.
    pub fn finish(self, outcome: impl Display) {
        let line = format!("{}: {outcome} ({})", self.label, duration(self.began.elapsed()));
        match &self.look {
            Look::Bar(bar) => {
                bar.finish_and_clear();
                above_bars(|| eprintln!("{line}"));
            }
            Look::Lines => eprintln!("{line}"),
            Look::Nothing => {}
        }
    }
}

impl Drop for Progress {
    /// Work that failed leaves no bar behind.
    fn drop(&mut self) {
        if let Look::Bar(bar) = &self.look {
            bar.finish_and_clear();
            BARS.remove(bar);
        }
    }
}

/// Runs `work` while `look` is called over and over, from another thread, with what it needs to show.
pub fn while_looking<T>(mut look: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    let (working, ended) = crossbeam::channel::bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Nothing is ever sent: the channel closes when the work is over, even by a panic.
            while ended.recv_timeout(TICK) == Err(crossbeam::channel::RecvTimeoutError::Timeout) {
                look();
            }
            look();
        });
        let result = work();
        drop(working);
        result
    })
}

fn style(total: Option<u64>) -> ProgressStyle {
    let template = match total {
        Some(_) => "{prefix} {bar:28} {percent:>3}%  {msg}",
        None => "{prefix} {spinner} {msg}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well formed").progress_chars("█▉▊▋▌▍▎▏ ")
}

/// Time that what remains will take at the pace so far; nothing before that can be told.
fn left(done: u64, remaining: u64, elapsed: Duration) -> Option<Duration> {
    (done > 0 && elapsed >= Duration::from_secs(1)).then(|| elapsed.mul_f64(remaining as f64 / done as f64))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn the_time_left_follows_the_pace() {
        let seconds = Duration::from_secs;
        assert_eq!(left(10, 30, seconds(5)), Some(seconds(15)));
        assert_eq!(left(10, 0, seconds(5)), Some(seconds(0)));
        assert_eq!(left(0, 30, seconds(5)), None);
        assert_eq!(left(10, 30, Duration::from_millis(900)), None);
    }

    #[test]
    fn the_last_look_sees_the_finished_work() {
        let (done, seen) = (AtomicU32::new(0), AtomicU32::new(0));
        let result = while_looking(
            || seen.store(done.load(Ordering::SeqCst), Ordering::SeqCst),
            || {
                done.store(7, Ordering::SeqCst);
                "result"
            },
        );
        assert_eq!((result, seen.load(Ordering::SeqCst)), ("result", 7));
    }

    #[test]
    fn a_panic_of_the_work_ends_the_looking() {
        let panicked = std::panic::catch_unwind(|| while_looking(|| (), || panic!("on purpose")));
        assert!(panicked.is_err());
    }
}
