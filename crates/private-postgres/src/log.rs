//! The log file of Postgres.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{ClusterError, one_line};
use super::layout::private_file_options;

/// A larger log is emptied at the next start.
const MAX_LOG_BYTES: u64 = 10 * 1024 * 1024;

/// Bytes at the end of the log that are read for an error message.
const TAIL_BYTES: u64 = 8 * 1024;

/// Lines that the message shows.
const TAIL_LINES: usize = 6;

/// `<data dir>/postgres.log`.
///
/// The portal opens it and Postgres inherits the open file, so the Postgres user needs no access to its directory.
#[derive(Clone, Debug)]
pub(super) struct PostgresLog {
    path: PathBuf,
}

impl PostgresLog {
    /// Creates the log, or empties it if it is too large.
    pub(super) fn open(data_dir: &Path) -> Result<Self, ClusterError> {
        let log = Self {
            path: data_dir.join("postgres.log"),
        };
        if log.len() > MAX_LOG_BYTES {
            private_file_options()
                .truncate(true)
                .open(&log.path)
                .map_err(ClusterError::io("empty", &log.path))?;
        }
        log.appender()?;
        Ok(log)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for the output of a process.
    pub(super) fn appender(&self) -> Result<File, ClusterError> {
        private_file_options()
            .append(true)
            .open(&self.path)
            .map_err(ClusterError::io("open", &self.path))
    }

    /// The current length in bytes, for a later call of `since`.
    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Returns the last lines written after `start`, as one line. Never fails, because it only explains another error.
    pub(super) fn since(&self, start: u64) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(start.max(self.len().saturating_sub(TAIL_BYTES))))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            std::io::Result::Ok(bytes)
        };
        let bytes = read().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        let last = one_line(lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).copied());
        if last.is_empty() {
            "no output".to_owned()
        } else {
            last
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::tests::TempDir;
    use super::*;

    #[test]
    fn only_a_large_log_is_truncated() {
        let directory = TempDir::new();
        let log = PostgresLog::open(directory.path()).expect("open");
        log.appender()
            .expect("append")
            .write_all(b"first\nsecond\n")
            .expect("write");
        let log = PostgresLog::open(directory.path()).expect("open again");
        assert_eq!(log.since(0), "first | second");
        assert_eq!(log.since(6), "second");
        assert_eq!(log.since(log.len()), "no output");

        log.appender()
            .expect("append")
            .set_len(MAX_LOG_BYTES + 1)
            .expect("grow");
        let log = PostgresLog::open(directory.path()).expect("open a large one");
        assert_eq!(log.len(), 0);
    }
}
