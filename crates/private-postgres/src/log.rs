//! The file Postgres' messages go to.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{ClusterError, one_line};
use super::layout::private_file;

/// A log larger than this, in bytes, is emptied at the next start.
const LARGEST: u64 = 10 * 1024 * 1024;

/// How much of the log's end an error is made from: bytes read, and lines kept of them.
const TAIL_BYTES: u64 = 8 * 1024;
const TAIL_LINES: usize = 6;

/// `<data dir>/postgres.log`.
///
/// The portal opens it and Postgres inherits the open file, so Postgres' user need not be able to reach it.
#[derive(Clone, Debug)]
pub(super) struct PostgresLog {
    path: PathBuf,
}

impl PostgresLog {
    /// Creates the log, or empties one that has become large.
    pub(super) fn open(data_dir: &Path) -> Result<Self, ClusterError> {
        let log = Self {
            path: data_dir.join("postgres.log"),
        };
        if log.len() > LARGEST {
            private_file()
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

    /// The log, opened for a process to write to.
    pub(super) fn appender(&self) -> Result<File, ClusterError> {
        private_file()
            .append(true)
            .open(&self.path)
            .map_err(ClusterError::io("open", &self.path))
    }

    /// Its present length in bytes, to be given to `since` later.
    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// The last lines written after `start`, as one line. Never fails: it is only read to explain another failure.
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
            "it said nothing".to_owned()
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
        let directory = TempDir::new("log");
        let log = PostgresLog::open(directory.path()).expect("open");
        log.appender()
            .expect("append")
            .write_all(b"first\nsecond\n")
            .expect("write");
        let log = PostgresLog::open(directory.path()).expect("open again");
        assert_eq!(log.since(0), "first | second");
        assert_eq!(log.since(6), "second");
        assert_eq!(log.since(log.len()), "it said nothing");

        log.appender()
            .expect("append")
            .set_len(LARGEST + 1)
            .expect("grow");
        let log = PostgresLog::open(directory.path()).expect("open a large one");
        assert_eq!(log.len(), 0);
    }
}
