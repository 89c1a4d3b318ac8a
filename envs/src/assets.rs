//! Where the models of Adroit and FrankaKitchen lie: files of Python's gymnasium-robotics, read at run time.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The version whose models are accepted. They are what D4RL's own, which MuJoCo 3 does not read, were compared with;
/// other versions were not.
pub(crate) const ASSETS_VERSION: &str = "1.4.2";

/// The variable that names the folder.
const VARIABLE: &str = "GTA_ASSETS";

/// The folder with the models of Adroit (`adroit_hand`) and FrankaKitchen (`kitchen_franka`), which the tasks
/// [`EnvId::needs_assets`](crate::EnvId::needs_assets) names are played with.
///
/// It is looked for where the variable `GTA_ASSETS` says: a folder that `cargo xtask setup --assets` made, or an installed
/// Python package `gymnasium_robotics` 1.4.2, or the `site-packages` that has it. Without the variable, which cargo sets
/// in this project, a `.native/assets` is looked for in the current folder and those above it.
///
/// # Errors
/// If there are no models, or they are of another version.
pub fn assets() -> Result<PathBuf> {
    match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(folder) => models_of(Path::new(&folder)),
        None => models_of(&above(&std::env::current_dir().unwrap_or_default())?),
    }
}

/// The `.native/assets` of `folder` or the next one above it that has one.
fn above(folder: &Path) -> Result<PathBuf> {
    let mut places = folder.ancestors().map(|folder| folder.join(".native/assets"));
    places.find(|place| place.is_dir()).ok_or_else(|| Error::Assets {
        why: format!("{VARIABLE} is not set, and there is no .native/assets in {} or above it", folder.display()),
    })
}

/// The folder of the models that belong to `folder`, whose version is the accepted one.
fn models_of(folder: &Path) -> Result<PathBuf> {
    let fail = |why: String| Error::Assets { why };
    let (models, about) = [
        (folder.to_owned(), folder.join("METADATA")),
        (folder.join("envs/assets"), installed(folder.parent().unwrap_or(folder))),
        (folder.join("gymnasium_robotics/envs/assets"), installed(folder)),
    ]
    .into_iter()
    .find(|(models, _)| models.join("adroit_hand").is_dir())
    .ok_or_else(|| fail(format!("none are in {}", folder.display())))?;
    let text = std::fs::read_to_string(&about)
        .map_err(|error| fail(format!("{} would tell their version: {error}", about.display())))?;
    match text.lines().find_map(|line| line.strip_prefix("Version: ")) {
        Some(ASSETS_VERSION) => Ok(models),
        found => {
            let found = found.unwrap_or("unknown");
            Err(fail(format!("those in {} are of version {found} (says {})", models.display(), about.display())))
        }
    }
}

/// What pip wrote about the package that is installed in `folder`.
fn installed(folder: &Path) -> PathBuf {
    let about = |name: &str| name.starts_with("gymnasium_robotics-") && name.ends_with(".dist-info");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let name = names.into_iter().find(|name| about(name));
    folder.join(name.unwrap_or_else(|| format!("gymnasium_robotics-{ASSETS_VERSION}.dist-info"))).join("METADATA")
}

/// Whether tests can have the models; says so where they cannot.
#[cfg(test)]
pub(crate) fn found() -> bool {
    assets().inspect_err(|error| println!("left out: {error}")).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_set_up_folder_a_package_and_site_packages_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (made, site) = (folder.path().join(".native/assets"), folder.path().join("site-packages"));
        write(&made.join("METADATA"), "Metadata-Version: 2.4\nName: gymnasium-robotics\nVersion: 1.4.2\n");
        fs::create_dir(made.join("adroit_hand")).unwrap();
        write(&site.join("gymnasium_robotics-1.4.2.dist-info/METADATA"), "Version: 1.4.2\n");
        let package = site.join("gymnasium_robotics");
        fs::create_dir_all(package.join("envs/assets/adroit_hand")).unwrap();
        assert_eq!(models_of(&made).unwrap(), made);
        assert_eq!(models_of(&package).unwrap(), package.join("envs/assets"));
        assert_eq!(models_of(&site).unwrap(), package.join("envs/assets"));
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        assert_eq!(above(&folder.path().join("a/b")).unwrap(), made);
    }

    #[test]
    fn what_is_missing_or_of_another_version_is_said_with_the_place_and_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let says = |error: Error, why: &str| {
            let text = error.to_string();
            assert!(text.contains(why) && text.contains(&folder.path().display().to_string()), "{text}");
            assert!(text.contains("cargo xtask setup --assets") && text.contains("GTA_ASSETS"), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        };
        says(above(folder.path()).unwrap_err(), "there is no .native/assets in");
        says(models_of(&folder.path().join("nowhere")).unwrap_err(), "none are in");
        fs::create_dir_all(folder.path().join("adroit_hand")).unwrap();
        says(models_of(folder.path()).unwrap_err(), "would tell their version");
        write(&folder.path().join("METADATA"), "Version: 1.4.3\n");
        says(models_of(folder.path()).unwrap_err(), "of version 1.4.3");
        write(&folder.path().join("METADATA"), "Name: other\n");
        says(models_of(folder.path()).unwrap_err(), "of version unknown");
    }
}
