//! When people and clients were last there: noted in memory, written in batches, never a write a request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

use domain::ids::SessionId;

use crate::server::{database::Database, store::sessions};

/// A session so near its idle end is written at once: a batch could come too late for it.
pub const WRITE_AT_ONCE: TimeDelta = TimeDelta::seconds(30);

#[derive(Clone, Copy, Debug)]
struct Note {
    seen: DateTime<Utc>,
    active: Option<DateTime<Utc>>,
}

/// What is noted and not yet written. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<HashMap<SessionId, Note>>>);

impl Activity {
    /// The client of a session was there; with `active`, the person did something.
    pub fn note(&self, session: SessionId, now: DateTime<Utc>, active: bool) {
        self.merge(
            session,
            Note {
                seen: now,
                active: active.then_some(now),
            },
        );
    }

    /// When the person was last noted active, if that is not written yet.
    pub fn last_active(&self, session: SessionId) -> Option<DateTime<Utc>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&session)
            .and_then(|note| note.active)
    }

    /// When the client was last noted, if that is not written yet.
    pub fn last_seen(&self, session: SessionId) -> Option<DateTime<Utc>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&session)
            .map(|note| note.seen)
    }

    /// How many sessions have something noted that is not written yet.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn merge(&self, id: SessionId, note: Note) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = notes.entry(id).or_insert(note);
        kept.seen = kept.seen.max(note.seen);
        kept.active = kept.active.max(note.active);
    }

    /// Writes what is noted. What could not be written stays noted.
    ///
    /// # Errors
    /// The database's.
    pub async fn flush(&self, database: &Database) -> sqlx::Result<()> {
        let notes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if notes.is_empty() {
            return Ok(());
        }
        let written = write(database, &notes).await;
        if written.is_err() {
            for (id, note) in notes {
                self.merge(id, note);
            }
        }
        written
    }
}

async fn write(database: &Database, notes: &HashMap<SessionId, Note>) -> sqlx::Result<()> {
    // In order of id, so that two nodes never wait for each other's rows.
    let mut sorted: Vec<_> = notes.iter().collect();
    sorted.sort_unstable_by_key(|(id, _)| **id);
    let ids: Vec<SessionId> = sorted.iter().map(|(id, _)| **id).collect();
    let seen: Vec<_> = sorted.iter().map(|(_, note)| note.seen).collect();
    let active: Vec<_> = sorted.iter().map(|(_, note)| note.active).collect();
    let mut tx = database.begin().await?;
    sessions::record_activity(&mut tx, &ids, &seen, &active).await?;
    // A request that has them written has changed nothing by that.
    tx.commit_side_record().await
}
