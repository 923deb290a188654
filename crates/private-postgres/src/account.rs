//! The Unix user Postgres runs as: the portal's own, or an unprivileged one when the portal is root.

use std::env;
use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Stdio;

use nix::unistd::{Gid, Uid, User};
use tokio::process::Command;

use super::error::ClusterError;

/// Whom root runs Postgres as, the preferred first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A Unix user that owns the cluster's files and runs its processes.
#[derive(Clone, Debug)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
    name: String,
    /// The portal is root and has to become this user first.
    switch: bool,
}

impl Account {
    /// The user to run Postgres as. `owner` is the user id that owns the cluster already, if there is one.
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
                switch: false,
            });
        }
        // A cluster made by an ordinary user stays theirs when root starts the portal once.
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
            switch: true,
        })
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the portal is root and Postgres is not.
    pub(super) fn is_switch(&self) -> bool {
        self.switch
    }

    /// Hands a file or folder that this process has just created over to this user.
    pub(super) fn take(&self, path: &Path) -> io::Result<()> {
        if self.switch {
            // Not following a symbolic link: the folder may be one in which this user can swap entries.
            lchown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    /// A command that runs as this user, without the settings that the portal's environment holds for Postgres clients.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        // Messages stay in one language, and macOS' Postgres refuses to start without a valid locale.
        command.env("LC_ALL", "C").stdin(Stdio::null());
        if self.switch {
            // This drops root's supplementary groups as well.
            command.uid(self.uid).gid(self.gid);
        }
        // The portal's working directory may be closed to this user.
        command.current_dir("/");
        command
    }

    /// Whether this user may enter a folder. Tried out, because access lists and mounts decide as well as modes.
    pub(super) async fn can_enter(&self, directory: &Path) -> bool {
        if !self.switch {
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
