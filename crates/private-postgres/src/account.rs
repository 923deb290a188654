//! The Unix user that runs Postgres: the portal's own, or an unprivileged one if the portal runs as root.

use std::env;
use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Stdio;

use nix::unistd::{Gid, Uid, User};
use tokio::process::Command;

use super::error::ClusterError;

/// Users for Postgres when the portal runs as root, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A Unix user that owns the cluster's files and runs its processes.
#[derive(Clone, Debug)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
    name: String,
    /// The portal is root and starts Postgres as this user.
    changes_user: bool,
}

impl Account {
    /// Chooses the user that runs Postgres. `owner`: the user id that owns the existing cluster, if there is one.
    pub(super) fn choose(owner: Option<u32>) -> Result<Self, ClusterError> {
        let own = Uid::effective();
        if !own.is_root() {
            let name = User::from_uid(own)
                .ok()
                .flatten()
                .map_or_else(|| own.to_string(), |user| user.name);
            return Ok(Self {
                uid: own.as_raw(),
                gid: Gid::effective().as_raw(),
                name,
                changes_user: false,
            });
        }
        // A cluster of an ordinary user keeps its owner when root starts the portal.
        let of_owner = owner
            .filter(|&uid| uid != 0)
            .and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
        let unprivileged = || {
            UNPRIVILEGED
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
        };
        let user = of_owner
            .or_else(unprivileged)
            .filter(|user| !user.uid.is_root())
            .ok_or(ClusterError::NoAccount)?;
        Ok(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            name: user.name,
            changes_user: true,
        })
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the portal is root and starts Postgres as another user.
    pub(super) fn changes_user(&self) -> bool {
        self.changes_user
    }

    /// Makes this user the owner of a file or directory that the portal has created.
    pub(super) fn take_ownership(&self, path: &Path) -> io::Result<()> {
        if self.changes_user {
            // Does not follow a symbolic link, because this user may be able to replace entries of the directory.
            lchown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    /// Returns a command that runs as this user, without the environment variables for Postgres clients.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        // Postgres' messages stay in English. On macOS it refuses to start without a valid locale.
        command.env("LC_ALL", "C").stdin(Stdio::null());
        if self.changes_user {
            // This also drops root's supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
        // This user may have no access to the portal's working directory.
        command.current_dir("/");
        command
    }

    /// Returns whether this user can enter a directory. Tested with a command, because access control lists and mounts
    /// matter too.
    pub(super) async fn can_enter(&self, directory: &Path) -> bool {
        if !self.changes_user {
            return true;
        }
        let mut command = self.command("/bin/sh");
        command
            .args(["-c", r#"cd -- "$1""#, "sh"])
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
            .kill_on_drop(true)
            .status()
            .await
            .is_ok_and(|status| status.success())
    }
}
