//! Finds the Postgres programs installed on this machine.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::ClusterError;

/// Environment variable with the directory of `postgres` and `initdb`. It replaces the search.
const OVERRIDE: &str = "PORTAL_POSTGRES_BIN";

/// The oldest major version that the portal's migrations support.
const OLDEST_MAJOR: u32 = 15;

/// One installed Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    directory: PathBuf,
    major: u32,
}

impl Binaries {
    pub(super) fn major(&self) -> u32 {
        self.major
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }
}

/// Finds the Postgres to use. With `cluster`, the directory and major version of an existing cluster: the one with this
/// version. Otherwise the first that is new enough.
pub(super) async fn find(cluster: Option<(&Path, u32)>) -> Result<Binaries, ClusterError> {
    if let Some(directory) = env::var_os(OVERRIDE).filter(|value| !value.is_empty()) {
        let directory = PathBuf::from(directory);
        // Absolute, because the programs do not run in the portal's working directory.
        let directory = fs::canonicalize(&directory).unwrap_or(directory);
        let found = inspect(&directory).await;
        let installed = found.ok_or(ClusterError::OverrideUnusable { directory })?;
        return choose(&[installed], cluster);
    }
    let mut installed = Vec::new();
    for directory in candidates().await {
        installed.extend(inspect(&directory).await);
    }
    choose(&installed, cluster)
}

/// Chooses one of the installed versions, which are in order of preference.
fn choose(installed: &[Binaries], cluster: Option<(&Path, u32)>) -> Result<Binaries, ClusterError> {
    let Some(newest) = installed.iter().max_by_key(|binaries| binaries.major) else {
        return Err(ClusterError::BinariesMissing);
    };
    let Some(new_enough) = installed.iter().find(|binaries| binaries.major >= OLDEST_MAJOR) else {
        return Err(ClusterError::TooOld {
            found: newest.major,
            directory: newest.directory.clone(),
        });
    };
    let Some((directory, cluster)) = cluster else {
        return Ok(new_enough.clone());
    };
    let same_version = installed.iter().find(|binaries| binaries.major == cluster);
    same_version.cloned().ok_or_else(|| {
        let majors: BTreeSet<_> = installed.iter().map(|binaries| binaries.major).collect();
        let majors: Vec<_> = majors.iter().map(u32::to_string).collect();
        ClusterError::VersionMismatch {
            directory: directory.to_path_buf(),
            cluster,
            installed: majors.join(" and "),
        }
    })
}

/// Returns the directories with both programs in order of preference, without duplicates.
async fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let configured = Command::new("pg_config")
        .arg("--bindir")
        .kill_on_drop(true)
        .output()
        .await;
    if let Ok(output) = configured
        && let Ok(directory) = String::from_utf8(output.stdout)
        && output.status.success()
    {
        found.push(PathBuf::from(directory.trim()));
    }
    if let Some(path) = env::var_os("PATH") {
        found.extend(env::split_paths(&path));
    }
    found.extend(versions_in(Path::new("/usr/lib/postgresql"), ""));
    found.extend(versions_in(Path::new("/opt/homebrew/opt"), "postgresql@"));
    found.extend(versions_in(Path::new("/usr/local/opt"), "postgresql@"));

    let mut distinct: Vec<PathBuf> = Vec::new();
    for directory in found {
        // Follow symbolic links such as /usr/local/bin/postgres, because initdb expects postgres in its own directory.
        let Ok(postgres) = fs::canonicalize(directory.join("postgres")) else {
            continue;
        };
        let Some(directory) = postgres.parent() else {
            continue;
        };
        if directory.join("initdb").is_file() && !distinct.iter().any(|known| known == directory) {
            distinct.push(directory.to_path_buf());
        }
    }
    distinct
}

/// Returns the `bin` directories of `<base>/<prefix><version>`, newest version first.
fn versions_in(base: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = leading_number(name.to_str()?.strip_prefix(prefix)?)?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, directory)| directory).collect()
}

/// Reads the version of the `postgres` in a directory. `None`: it cannot be used.
async fn inspect(directory: &Path) -> Option<Binaries> {
    if !directory.join("initdb").is_file() {
        return None;
    }
    // Also works as root, unlike everything else that `postgres` does.
    let output = Command::new(directory.join("postgres"))
        .arg("--version")
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries {
        directory: directory.to_path_buf(),
        major,
    })
}

/// Returns the major version in a line such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(line: &str) -> Option<u32> {
    leading_number(line.split_whitespace().nth(2)?)
}

/// Returns the number at the start of a text: 17 for `17`, `17.2` and `17beta1`.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(majors: &[u32]) -> Vec<Binaries> {
        majors
            .iter()
            .map(|&major| Binaries {
                directory: PathBuf::from(format!("/opt/pg{major}/bin")),
                major,
            })
            .collect()
    }

    #[test]
    fn versions_parse_from_postgres_output() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("sh: not found"), None);
        assert_eq!(leading_number("@15"), None);
    }

    #[test]
    fn preferred_supported_version_is_chosen() {
        let chosen = choose(&installed(&[14, 15, 17]), None).expect("15");
        assert_eq!(chosen.major, 15);
    }

    #[test]
    fn existing_cluster_keeps_its_version() {
        let cluster = Some((Path::new("/data"), 16));
        let chosen = choose(&installed(&[17, 16, 15]), cluster).expect("16");
        assert_eq!(chosen.major, 16);
        let error = choose(&installed(&[17, 15]), cluster)
            .expect_err("16 is not installed")
            .to_string();
        assert!(
            error.contains("created by Postgres 16, but this machine has only Postgres 15 and 17."),
            "{error}"
        );
    }

    #[test]
    fn missing_and_old_versions_name_the_package() {
        let missing = choose(&[], None).expect_err("nothing is installed").to_string();
        assert!(
            missing.starts_with("Postgres 15 or newer was not found. Install it"),
            "{missing}"
        );
        let old = choose(&installed(&[13, 14]), None)
            .expect_err("all are old")
            .to_string();
        assert!(
            old.starts_with("Postgres 14 in /opt/pg14/bin is too old."),
            "{old}"
        );
    }
}
