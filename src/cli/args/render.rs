//! What `gta render` takes.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use gta::envs::EnvId;

/// Draw an episode, windows of data with generated ones beside them, or ways through a maze.
///
/// With --policy, an episode in the task. With data, a window of it; with generated (or augmented) data, too, a generated
/// window and, at its left, the real one that begins most alike. Where files have no simulator states, these are rebuilt from
/// the observations. What is written goes by OUT's ending: a PNG file that moves (browsers play it), a folder of frames, or
/// for mazes an SVG file with the ways of many windows over the map.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta render --env HalfCheetah-v4 --policy sac.safetensors --steps 200 --out episode.png
  gta render original.hdf5 augmented.hdf5 --env HalfCheetah-v4 --out windows.png
  gta render maze2d.hdf5 augmented.hdf5 --env maze2d-umaze-v1 --out ways.svg
  gta render --env cheetah-run --policy uniform --size 84x84 --out frames")]
pub struct RenderArgs {
    /// D4RL file, Minari folder, or the id of either.
    #[arg(value_name = "DATA")]
    pub data: Option<PathBuf>,
    /// Generated or augmented data.
    #[arg(value_name = "GENERATED", requires = "data")]
    pub generated: Option<PathBuf>,
    /// The task; `gta collect --help` lists them.
    #[arg(long, value_name = "ID")]
    pub env: EnvId,
    /// Where to write: FILE.png, FILE.svg or a folder.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Who acts in an episode, as for `gta collect`; without noise on its actions.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<String>,
    /// Steps of an episode [default: until it ends]
    #[arg(long, value_name = "N", requires = "policy")]
    pub steps: Option<NonZeroUsize>,
    /// Windows on a map [default: 100]
    #[arg(long, value_name = "N")]
    pub windows: Option<NonZeroUsize>,
    /// Transitions of a window [default: 31, or what the episode has]
    #[arg(long, value_name = "N")]
    pub horizon: Option<NonZeroUsize>,
    /// Seed of the episode, or of the choice of windows.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Pixels of a frame [default: 320x240]
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub size: Option<Size>,
}

/// Pixels as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub [usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once('x').and_then(|(width, height)| Some([width.parse().ok()?, height.parse().ok()?]));
        sides.map(Self).ok_or_else(|| "expected WIDTHxHEIGHT, such as 320x240".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_two_numbers() {
        assert_eq!("84x96".parse(), Ok(Size([84, 96])));
        for bad in ["84", "x", "84x", "84x9.5", "-1x3"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
