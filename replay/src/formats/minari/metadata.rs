//! `metadata.json` of a Minari dataset.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::METADATA_FILE;
use super::space::{self, Bounds};
use crate::formats::Provenance;
use crate::{Error, Result};

/// What `metadata.json` says.
pub(super) struct Metadata {
    pub(super) path: PathBuf,
    pub(super) episodes: u64,
    pub(super) steps: Option<u64>,
    pub(super) actions: Option<Bounds>,
    pub(super) provenance: Provenance,
}

impl Metadata {
    /// Reads it from `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(METADATA_FILE);
        let format = |why: String| Error::Format { path: path.clone(), why };
        let text = fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let Value::Object(entries) = space::parse(&text).map_err(|e| format(format!("is not JSON: {e}")))? else {
            return Err(format("is not a JSON object".into()));
        };
        if let Some(other) = entries.get("data_format").filter(|&f| f != "hdf5") {
            return Err(format(format!("data_format {other} is not supported, only \"hdf5\"")));
        }
        let episodes = entries.get("total_episodes").and_then(Value::as_u64);
        let episodes = episodes.ok_or_else(|| format("'total_episodes' is missing or not a number".into()))?;
        if episodes == 0 {
            return Err(format("'total_episodes' is 0: there is no data".into()));
        }
        let bounds = |key: &str| match entries.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let space = space::parse(text).map_err(|e| format(format!("'{key}' is not JSON: {e}")))?;
                space::bounds(&space).map(Some).map_err(|why| format(format!("'{key}': {why}")))
            }
            Some(_) => Err(format(format!("'{key}' is not a string with JSON in it"))),
        };
        bounds("observation_space")?; // only to refuse what cannot be held; sizes are the data's
        let actions = bounds("action_space")?;
        let steps = entries.get("total_steps").and_then(Value::as_u64);
        Ok(Self { episodes, steps, actions, provenance: provenance(&entries), path })
    }
}

/// All entries as text; those that we wrote ourselves come without the name they lie under.
fn provenance(entries: &Map<String, Value>) -> Provenance {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut provenance = Provenance::new();
    for (key, value) in entries {
        match value {
            Value::Object(own) if key == "provenance" => {
                for (key, value) in own {
                    provenance.set(key, text(value));
                }
            }
            _ => {
                provenance.set(key, text(value));
            }
        }
    }
    provenance
}
