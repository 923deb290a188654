//! Finds the Postgres programs installed on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::ClusterError;

/// Names the folder with `postgres` and `initdb` and ends every search.
const OVERRIDE: &str = "PORTAL_POSTGRES_BIN";

/// The oldest major version the portal's migrations are written for.
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

/// The Postgres to use: the one matching `cluster` (an existing cluster's folder and major version) if there
/// is one, else the first that is new enough.
pub(super) async fn find(cluster: Option<(&Path, u32)>) -> Result<Binaries, ClusterError> {
    if let Some(directory) = env::var_os(OVERRIDE).filter(|value| !value.is_empty()) {
        let directory = PathBuf::from(directory);
        // Made absolute, because the programs are not run in the portal's working directory.
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

/// Picks among the installed versions, which come in the order of preference.
fn choose(installed: &[Binaries], cluster: Option<(&Path, u32)>) -> Result<Binaries, ClusterError> {
    let Some(newest) = installed.iter().max_by_key(|binaries| binaries.major) else {
        return Err(ClusterError::BinariesMissing);
    };
    if newest.major < OLDEST_MAJOR {
        return Err(ClusterError::TooOld {
            found: newest.major,
            directory: newest.directory.clone(),
        });
    }
    let Some((directory, cluster)) = cluster else {
        let new_enough = installed.iter().find(|binaries| binaries.major >= OLDEST_MAJOR);
        return Ok(new_enough.unwrap_or(newest).clone());
    };
    installed
        .iter()
        .find(|binaries| binaries.major == cluster)
        .cloned()
        .ok_or_else(|| {
            let mut majors: Vec<_> = installed.iter().map(|binaries| binaries.major).collect();
            majors.sort_unstable();
            majors.dedup();
            let majors: Vec<_> = majors.iter().map(u32::to_string).collect();
            ClusterError::VersionMismatch {
                directory: directory.to_path_buf(),
                cluster,
                installed: majors.join(" and "),
            }
        })
}

/// Folders that may hold the programs, the preferred first, each once.
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
        // Symbolic links such as /usr/local/bin/postgres are followed: initdb looks for its postgres next to itself.
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

/// The `bin` folders of `<base>/<prefix><version>`, newest version first.
fn versions_in(base: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let major = entry
                .file_name()
                .to_str()?
                .strip_prefix(prefix)
                .and_then(leading_number)?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, directory)| directory).collect()
}

/// Asks the `postgres` in a folder for its version; `None` if it cannot be used.
async fn inspect(directory: &Path) -> Option<Binaries> {
    if !directory.join("initdb").is_file() {
        return None;
    }
    // Postgres refuses to do anything else as root, but tells its version to everybody.
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

/// The major version in a line such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(line: &str) -> Option<u32> {
    leading_number(line.split_whitespace().nth(2)?)
}

/// The number a text begins with: 17 for `17`, `17.2` and `17beta1`.
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
        assert_eq!(
            choose(&installed(&[14, 15, 17]), None)
                .map(|found| found.major)
                .ok(),
            Some(15)
        );
    }

    #[test]
    fn existing_cluster_keeps_its_version() {
        let cluster = Some((Path::new("/data"), 16));
        assert_eq!(
            choose(&installed(&[17, 16, 15]), cluster)
                .map(|found| found.major)
                .ok(),
            Some(16)
        );
        let error = choose(&installed(&[17, 15]), cluster)
            .expect_err("16 is not installed")
            .to_string();
        assert!(
            error.contains("created by Postgres 16, but installed is only Postgres 15 and 17."),
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
