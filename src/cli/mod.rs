//! The command line: what was typed becomes a plan, which is checked before anything is done, and then carried out.
//!
//! One file a subcommand. Each has a plan with `new(args)`, whose errors are the user's (exit status 2), and
//! `run(console)`, whose errors are the world's (exit status 1).

mod args;
mod augment;
mod bench;
mod collect;
mod compare;
mod comparison;
mod doctor;
#[cfg(feature = "fetch")]
mod fetch;
mod inspect;
mod output;
mod progress;
mod quality;
mod quickstart;
mod render;
mod report;
mod run;
mod settings;
mod suggest;
mod train;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use output::Console;

/// Exit status for a command that cannot be carried out as it was typed.
const USAGE: u8 = 2;

/// Why a command ended without its result.
enum Failure {
    /// It asks for something impossible.
    Usage(anyhow::Error),
    /// It was begun and failed.
    Runtime(anyhow::Error),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    // Before anything is allocated: threads that start later take it over.
    gta::native::keep_large_blocks();
    let cli = Cli::parse();
    // What ends a command is printed at its end; the library's log of the same would say it twice.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,gta::augment::exchange=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| progress::LogWriter).init();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            eprintln!("{}\n\nFor more, try '--help'.", describe(&error));
            ExitCode::from(USAGE)
        }
        Err(Failure::Runtime(error)) => {
            eprintln!("{}", describe(&error));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let console = Console::new(cli.console);
    macro_rules! carry_out {
        ($plan:ty, $args:expr) => {
            <$plan>::new($args).map_err(Failure::Usage)?.run(&console)
        };
    }
    let done = match cli.command {
        Command::Quickstart(args) => carry_out!(quickstart::QuickstartPlan, args),
        Command::Collect(args) => carry_out!(collect::Plan, args),
        #[cfg(feature = "fetch")]
        Command::Fetch(args) => carry_out!(fetch::Plan, args),
        Command::Inspect(args) => carry_out!(inspect::Plan, args),
        Command::Suggest(args) => carry_out!(suggest::Plan, args),
        Command::Train(args) => carry_out!(train::Plan, args),
        Command::Augment(args) => carry_out!(augment::Plan, args),
        Command::Quality(args) => carry_out!(quality::Plan, args),
        Command::Run(args) => carry_out!(run::Plan, args),
        Command::Compare(args) => carry_out!(compare::Plan, args),
        Command::Report(args) => carry_out!(report::Plan, args),
        Command::Render(args) => carry_out!(render::Plan, args),
        Command::Bench(args) => carry_out!(bench::Plan, args),
        Command::Doctor => doctor::run(console.json()),
    };
    done.map_err(Failure::Runtime)
}

/// An error with its causes, one a line. A cause that its effect already quotes is not repeated.
fn describe(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut quoted = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !quoted.contains(&cause) {
            text += &format!("\n  because: {cause}");
        }
        quoted = cause;
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("no space").context("cannot write x: no space").context("exporting");
        assert_eq!(describe(&error), "error: exporting\n  because: cannot write x: no space");
    }
}
