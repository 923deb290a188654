//! Settings of a connection: time zone, time limits and role. Each connection sets and verifies them by a statement,
//! since a pooler may refuse or ignore the options of a startup message.

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};

/// Settings of a connection, with values as Postgres prints them.
#[derive(Clone, Debug)]
pub(super) struct SessionSettings(Vec<(&'static str, String)>);

impl SessionSettings {
    /// Returns the settings for requests and jobs. Times are UTC wherever the database runs, and no statement or lock
    /// blocks a request for longer than a user waits.
    pub(super) fn for_requests() -> Self {
        Self::of([
            ("TimeZone", "UTC"),
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "15s"),
        ])
    }

    /// Returns the settings for the owner's long-running work.
    pub(super) fn for_long_work() -> Self {
        Self::of([
            ("TimeZone", "UTC"),
            ("role", "none"),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
        ])
    }

    fn of<const COUNT: usize>(values: [(&'static str, &str); COUNT]) -> Self {
        Self(values.map(|(name, value)| (name, value.to_owned())).to_vec())
    }

    /// Adds a role.
    pub(super) fn with_role(mut self, role: &str) -> Self {
        self.0.push(("role", role.to_owned()));
        self
    }

    /// Returns the settings as options of a startup message.
    pub(super) fn startup_options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Sets `others` and these settings, and verifies these, in one round trip.
    ///
    /// # Errors
    /// A database error, or [`sqlx::Error::Configuration`] with the first setting that has no effect.
    pub(super) async fn enforce(
        &self,
        conn: &mut PgConnection,
        others: &[(String, String)],
    ) -> sqlx::Result<()> {
        let ours = self.startup_options();
        let others = others.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let parts = ours
            .chain(others)
            .map(|(name, value)| format!("set_config({}, {}, false)", quoted(name), quoted(value)));
        self.verify(&select(parts, conn).await?)
    }

    /// Returns whether the settings already apply.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn are_in_force(&self, conn: &mut PgConnection) -> sqlx::Result<bool> {
        let parts = self
            .0
            .iter()
            .map(|(name, _)| format!("current_setting({})", quoted(name)));
        Ok(self.verify(&select(parts, conn).await?).is_ok())
    }

    fn verify(&self, row: &PgRow) -> sqlx::Result<()> {
        for (index, (name, wanted)) in self.0.iter().enumerate() {
            let found: String = row.try_get(index)?;
            let user: String = row.try_get("user_now")?;
            let has_role = *name != "role" || wanted == "none" || user == *wanted;
            if found != *wanted || !has_role {
                let problem = format!(
                    "{name} is {} instead of {wanted}",
                    if has_role { found } else { user }
                );
                return Err(sqlx::Error::Configuration(problem.into()));
            }
        }
        Ok(())
    }
}

/// Not prepared, which saves a round trip.
async fn select(parts: impl Iterator<Item = String>, conn: &mut PgConnection) -> sqlx::Result<PgRow> {
    let mut statement = "SELECT ".to_owned();
    for part in parts {
        statement += &part;
        statement += ", ";
    }
    statement += "current_user::text AS user_now";
    sqlx::raw_sql(AssertSqlSafe(statement)).fetch_one(conn).await
}

/// Quotes an SQL string for any value of `standard_conforming_strings`.
fn quoted(text: &str) -> String {
    let text = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\"))
    } else {
        format!("'{text}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(quoted("10s"), "'10s'");
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(quoted("a\\' b"), "E'a\\\\'' b'");
    }
}
