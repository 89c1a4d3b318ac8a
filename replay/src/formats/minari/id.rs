//! Names of Minari datasets.

use crate::{Error, Result};

/// Whether `text` has the form of an id.
pub(crate) fn is_id(text: &str) -> bool {
    check(text).is_ok()
}

/// Fails unless `id` is `<namespace>/<name>-v<version>` as the library reads it; the namespace may be missing or nested.
pub(super) fn check(id: &str) -> Result<()> {
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let (namespace, last) = id.rsplit_once('/').map_or((None, id), |(namespace, last)| (Some(namespace), last));
    let named = last.rsplit_once("-v").is_some_and(|(name, version)| {
        word(name) && !version.is_empty() && version.len() <= 9 && version.bytes().all(|b| b.is_ascii_digit())
    });
    if named && namespace.is_none_or(|n| n.len() > 1 && n.split('/').all(word)) {
        return Ok(());
    }
    let why = "expected (namespace/)name-v(version) of letters, digits, '_' and '-', such as 'gta/hopper-v0'";
    Err(Error::Invalid { what: format!("Minari id '{id}'"), why: why.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_names() {
        for good in ["hopper-v0", "gta/hopper-medium-v12", "a/b/c_d-v1", "D4RL/door/human-v2"] {
            check(good).unwrap();
        }
        for bad in [
            "",
            "hopper",
            "hopper-v",
            "hopper-vx",
            "-v0",
            "a/hopper-v0",
            "/hopper-v0",
            "a//b-v0",
            "../x-v0",
            "ab/x y-v0",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
