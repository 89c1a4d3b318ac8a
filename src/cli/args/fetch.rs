//! What can be typed of datasets to be fetched.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

/// Download one of D4RL's datasets.
///
/// The file is put where D4RL and all commands of this program look for it, $D4RL_DATASET_DIR or ~/.d4rl/datasets; its id
/// then serves wherever a dataset is asked for. What is there already is not fetched again. No other command downloads
/// anything.
///
/// An interrupted download goes on when the same command is run again. The file is read from start to end before it takes
/// its place; a wrong one is kept as NAME.rejected. Its SHA-256 is printed and written to NAME.sha256; where that file, or
/// --sha256, gives one already, the download must have it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta fetch halfcheetah-medium-v2
  gta fetch --list                                        which ids there are, and which are here
  gta fetch hopper-medium-v2 --dir data --url http://mirror.example/d4rl/
  gta fetch pen-human-v1 --json | jq -r .path

Proxies: ALL_PROXY, HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Certificates other than Mozilla's: SSL_CERT_FILE.
Minari's datasets are other data under similar names: `minari download mujoco/halfcheetah/medium-v0` fetches those.
D4RL's datasets are published under CC BY 4.0.")]
pub struct FetchArgs {
    /// Its D4RL id, such as halfcheetah-medium-v2.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Say which ids there are, where each is published, and which are here.
    #[arg(long, conflicts_with_all = ["id", "url", "sha256"])]
    pub list: bool,
    /// Folder for the file, instead of D4RL's; it is made where it is missing.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Where to fetch it from, instead of D4RL's own address: a file's, or with / at its end that of a folder with D4RL's
    /// file names. Given several times, they are tried in this order.
    #[arg(long, value_name = "MIRROR")]
    pub url: Vec<String>,
    /// SHA-256 that the file must have.
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Seconds without a byte after which a connection is given up.
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    pub stall: f64,
    /// Tries in a row, with growing waits, before the next mirror is taken; those that brought a mebibyte do not count.
    #[arg(long, value_name = "N", default_value = "5")]
    pub tries: NonZeroU32,
}
