//! `gta render`.

#[cfg(feature = "render")]
mod frames;
mod windows;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use gta::Behaviour;
use gta::envs::EnvId;

use super::args::RenderArgs;
use super::output::{self, Console};
use windows::Windows;

/// Pixels of a frame, where none were asked for.
const SIZE: [usize; 2] = [320, 240];

/// What to draw, and where.
pub struct Plan {
    env: EnvId,
    subject: Subject,
    out: PathBuf,
    form: Form,
}

/// What is drawn.
enum Subject {
    /// An episode of a policy, of at most so many steps.
    #[cfg_attr(not(feature = "render"), expect(dead_code, reason = "maps show windows only"))]
    Episode { behaviour: Behaviour, seed: u64, steps: Option<usize> },
    /// Windows of data, and of generated data beside them.
    Windows(Windows),
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Ways over the map of a maze, as SVG.
    Map,
    /// A PNG file that moves, with frames of this size.
    Moving([usize; 2]),
    /// A folder of PNG files.
    Stills([usize; 2]),
}

impl Plan {
    /// What was asked for; fails for what cannot be drawn.
    pub fn new(args: RenderArgs) -> Result<Self> {
        let size = args.size.map_or(SIZE, |size| size.0);
        let ending = args.out.extension().and_then(|ending| ending.to_str());
        let form = match ending {
            Some("svg") => Form::Map,
            Some("png" | "apng") => Form::Moving(size),
            None => Form::Stills(size),
            Some(other) => bail!("{}: expected .svg, .png or a folder, not .{other}", args.out.display()),
        };
        let on_map = form != Form::Map || args.env.maze().is_some();
        ensure!(on_map, "{} is no maze: there is no map to draw on", args.env);
        let subject = match args.data {
            Some(data) => {
                ensure!(args.policy.is_none(), "--policy: windows of data are drawn, not an episode");
                let count = args.windows.map_or(if form == Form::Map { 100 } else { 1 }, usize::from);
                ensure!(form == Form::Map || count == 1, "--windows {count}: frames are those of one window");
                let horizon = args.horizon.map(usize::from);
                Subject::Windows(Windows { data, generated: args.generated, count, horizon, seed: args.seed })
            }
            None => {
                ensure!(form != Form::Map, "an .svg file shows windows of data: name a file");
                let Some(policy) = args.policy else { bail!("name data, or a policy by --policy") };
                let behaviour = policy.parse()?;
                Subject::Episode { behaviour, seed: args.seed, steps: args.steps.map(usize::from) }
            }
        };
        Ok(Self { env: args.env, subject, out: args.out, form })
    }

    /// Draws.
    pub fn run(self, console: &Console) -> Result<()> {
        output::check_folder_of(&self.out)?;
        match (&self.subject, self.form) {
            (Subject::Windows(windows), Form::Map) => windows.map(console, self.env, &self.out),
            _ => self.frames(console),
        }
    }

    #[cfg(not(feature = "render"))]
    fn frames(&self, _: &Console) -> Result<()> {
        bail!("this program was built without frames; build it with `--features render` (and see `gta doctor`)")
    }

    #[cfg(feature = "render")]
    fn frames(&self, console: &Console) -> Result<()> {
        let (size, moving) = match self.form {
            Form::Moving(size) => (size, true),
            Form::Stills(size) => (size, false),
            Form::Map => unreachable!("maps are drawn without frames"),
        };
        let animation = match &self.subject {
            Subject::Episode { behaviour, seed, steps } => {
                frames::episode(console, self.env, behaviour, *seed, *steps, size)?
            }
            Subject::Windows(windows) => frames::windows(console, self.env, windows, size)?,
        };
        frames::write(console, &animation, &self.out, moving)
    }
}
