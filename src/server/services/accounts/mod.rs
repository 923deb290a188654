//! Administration of accounts and sessions by operators on the command line.

mod role_change;
mod session_commands;

use chrono::TimeDelta;

use super::{admin::people_list, cleanup, revoke, throttle};
use crate::server::database::Connection;
use domain::{
    ids::{SessionId, UserId},
    password::PasswordProblem,
    people_filter::PeopleFilter,
    plain_text::{self, TextProblem, to_nfc},
    session::EndReason,
    user::Role,
};

use crate::server::{
    auth::{password::PasswordError, password_queue::Requester, passwords::Passwords},
    clock::Clock,
    database::Database,
    store::{
        audit::{self, Actor, AuditEvent},
        cursor::Cursor,
        organizations, people, policies,
        users::{self, NewUser},
    },
};

pub use role_change::{RoleChange, apply_role_change};
pub use session_commands::RevokeTarget;

/// Why a command failed. Displayed as one line.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("there is no account {0}")]
    NoSuchUser(String),
    #[error("{0} has an account already")]
    EmailTaken(String),
    #[error("{0:?} is not an email address")]
    BadEmail(String),
    #[error("the email {0}")]
    BadEmailText(TextProblem),
    #[error("the name {0}")]
    BadName(TextProblem),
    #[error("the organization's name {0}")]
    BadOrganization(TextProblem),
    #[error("{}", .0.message())]
    UnsuitablePassword(PasswordProblem),
    #[error("there is no organization {0}")]
    NoSuchOrganization(String),
    #[error("there is no live session {0}")]
    NoSuchSession(SessionId),
    #[error("a system administrator belongs to no organization")]
    SystemAdminHasNoOrganization,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the database did not respond: {0}")]
    Database(#[from] sqlx::Error),
}

/// The dependencies of operator commands.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub database: Database,
    pub clock: Clock,
    pub passwords: Passwords,
}

/// A user to register.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub email: String,
    pub display_name: String,
    pub role: Role,
    /// Names. Unknown organizations are created.
    pub organizations: Vec<String>,
    pub password: String,
}

/// The result of [`Accounts::register`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredAccount {
    pub user: UserId,
    /// `false`: the user existed and got the memberships. Name and password are unchanged.
    pub is_new: bool,
    /// Names of organizations that were created.
    pub created_organizations: Vec<String>,
}

impl Accounts {
    /// Registers a user, or adds an existing user to further organizations.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`] if the user exists and no organization was given; errors of validation.
    pub async fn register(&self, new: NewAccount) -> Result<RegisteredAccount, AccountError> {
        let email = parse_email(&new.email)?;
        let name = plain_text::parse_name(&new.display_name, MAX_NAME).map_err(AccountError::BadName)?;
        let organizations: Vec<String> = new
            .organizations
            .iter()
            .map(|name| plain_text::parse_name(name, MAX_NAME).map_err(AccountError::BadOrganization))
            .collect::<Result<_, _>>()?;
        if new.role == Role::SystemAdmin && !organizations.is_empty() {
            return Err(AccountError::SystemAdminHasNoOrganization);
        }
        let password_hash = self.hash(&new.password, &[&email, &name]).await?;

        let mut tx = self.database.begin().await?;
        let now = self.clock.now();
        let id = UserId::new();
        let fresh = NewUser {
            id,
            email: &email,
            display_name: &name,
            role: new.role,
            password_hash: &password_hash,
        };
        let (user, is_new) = if users::insert(&mut tx, fresh, now).await? {
            audit::record(&mut tx, AuditEvent::user_created(id, new.role), now).await?;
            (id, true)
        } else if organizations.is_empty() {
            return Err(AccountError::EmailTaken(email));
        } else {
            let user = lock_user(&mut tx, &email).await?;
            let known = people::find(&mut tx, None, user).await?;
            if known.is_some_and(|known| known.user.role == Role::SystemAdmin) {
                return Err(AccountError::SystemAdminHasNoOrganization);
            }
            (user, false)
        };
        let mut created_organizations = Vec::new();
        for (place, name) in (0..).zip(&organizations) {
            let (organization, is_new) = organizations::find_or_insert(&mut tx, name, now).await?;
            if is_new {
                created_organizations.push(name.clone());
            }
            // New sessions select the organization that was joined first, so the given order must be kept.
            let now = now + TimeDelta::microseconds(place);
            let before = organizations::set_membership(&mut tx, user, organization, new.role, now).await?;
            match before {
                Some(before) if before == new.role => {}
                Some(before) => {
                    let change = RoleChange {
                        user,
                        organization: Some(organization),
                        before,
                        after: new.role,
                    };
                    apply_role_change(&mut tx, change, Actor::default(), now).await?;
                }
                None => {
                    let event = AuditEvent::membership_set(user, organization, new.role);
                    audit::record(&mut tx, event, now).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(RegisteredAccount {
            user,
            is_new,
            created_organizations,
        })
    }

    /// Sets a user's password and revokes their sessions.
    ///
    /// # Errors
    /// [`AccountError::NoSuchUser`], [`AccountError::UnsuitablePassword`].
    pub async fn set_password(&self, email: &str, password: String) -> Result<usize, AccountError> {
        let known = users::find_by_email(&mut *self.database.connection().await?, email).await?;
        let known = known.ok_or_else(|| AccountError::NoSuchUser(email.to_owned()))?;
        let hash = self.hash(&password, &[&known.email, &known.display_name]).await?;
        let mut tx = self.database.begin().await?;
        let user = lock_user(&mut tx, email).await?;
        let now = self.clock.now();
        users::set_password(&mut tx, user, &hash, now).await?;
        throttle::reset_account(&mut tx, &known.email).await?;
        audit::record(&mut tx, AuditEvent::password_set(user), now).await?;
        let ended = revoke::revoke_all(
            &mut tx,
            user,
            EndReason::PasswordChanged,
            None,
            Actor::default(),
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Disables an account and revokes its sessions.
    ///
    /// # Errors
    /// [`AccountError::NoSuchUser`].
    pub async fn disable(&self, email: &str) -> Result<usize, AccountError> {
        let mut tx = self.database.begin().await?;
        let user = lock_user(&mut tx, email).await?;
        let now = self.clock.now();
        // Revoke first: the sessions of a disabled user are not live any more and would be skipped.
        let ended = revoke::revoke_all(
            &mut tx,
            user,
            EndReason::AccountDisabled,
            None,
            Actor::default(),
            now,
        )
        .await?;
        users::disable(&mut tx, user, now).await?;
        audit::record(&mut tx, AuditEvent::user_disabled(Actor::default(), user), now).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Enables an account.
    ///
    /// # Errors
    /// [`AccountError::NoSuchUser`].
    pub async fn enable(&self, email: &str) -> Result<(), AccountError> {
        let mut tx = self.database.begin().await?;
        let user = lock_user(&mut tx, email).await?;
        users::enable(&mut tx, user).await?;
        let event = AuditEvent::user_enabled(Actor::default(), user);
        audit::record(&mut tx, event, self.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A page of users ordered by email: all users, or the members of an organization with their role there.
    ///
    /// # Errors
    /// [`AccountError::NoSuchOrganization`].
    pub async fn list_users(
        &self,
        organization: Option<&str>,
        after: Option<&Cursor>,
    ) -> Result<people_list::Page, AccountError> {
        const ROWS: u16 = 200;
        let conn = &mut *self.database.connection().await?;
        let organization = match organization {
            None => None,
            Some(name) => {
                let found = organizations::find_by_name(conn, &to_nfc(name.trim())).await?;
                let missing = || AccountError::NoSuchOrganization(name.to_owned());
                Some(found.ok_or_else(missing)?)
            }
        };
        let filter = PeopleFilter::default();
        let selection = people_list::PeopleSelection {
            filter: &filter,
            organization,
        };
        Ok(people_list::load_page(conn, selection, after, ROWS, self.clock.now(), |_| None).await?)
    }

    /// Stores the configured limits for all nodes and queries, and records changes in the audit log.
    ///
    /// # Errors
    /// Database errors.
    pub async fn apply_policy(&self, policy: &domain::policy::SessionPolicy) -> Result<(), AccountError> {
        let mut tx = self.database.begin().await?;
        let mut changed = policies::apply(&mut tx, policy).await?;
        if !changed.is_empty() {
            // Record sessions that expired under the old limits first, so that longer limits do not revive them.
            drop(tx);
            cleanup::expire_sessions(&self.database, &self.clock).await?;
            tx = self.database.begin().await?;
            changed = policies::apply(&mut tx, policy).await?;
        }
        let now = self.clock.now();
        for role in changed {
            let limits = policy.for_role(role);
            let event = AuditEvent::policy_changed(role, limits);
            audit::record(&mut tx, event, now).await?;
            tracing::info!(role = role.as_str(), ?limits, "session limits changed");
        }
        tx.commit().await?;
        Ok(())
    }

    async fn hash(&self, password: &str, about: &[&str]) -> Result<String, AccountError> {
        let about = about.iter().map(|text| (*text).to_owned()).collect();
        let turn = self.passwords.wait_for_turn(Requester::OPERATOR).await?;
        let password = self
            .passwords
            .check_rules(&turn, password.to_owned(), about)
            .await?;
        let password = password.map_err(AccountError::UnsuitablePassword)?;
        Ok(self.passwords.hash(&turn, password).await?)
    }
}

async fn lock_user(conn: &mut Connection, email: &str) -> Result<UserId, AccountError> {
    let user = find_user(conn, email).await?;
    let locked = users::lock(conn, user).await?;
    locked.ok_or_else(|| AccountError::NoSuchUser(email.to_owned()))?;
    Ok(user)
}

async fn find_user(conn: &mut Connection, email: &str) -> Result<UserId, AccountError> {
    let found = users::find_by_email(conn, email).await?;
    Ok(found
        .ok_or_else(|| AccountError::NoSuchUser(email.to_owned()))?
        .id)
}

/// Longest name of a user or an organization, in characters.
const MAX_NAME: usize = 120;

/// Longest email, in bytes (RFC 5321, 4.5.3.1.3, erratum 1690).
const MAX_EMAIL: usize = 254;

fn parse_email(text: &str) -> Result<String, AccountError> {
    let bad = || AccountError::BadEmail(text.trim().to_owned());
    let email = match plain_text::parse_name(text, MAX_EMAIL) {
        Ok(email) => email,
        Err(problem @ TextProblem::Forbidden(_)) => return Err(AccountError::BadEmailText(problem)),
        Err(_) => return Err(bad()),
    };
    let (name, host) = email.split_once('@').ok_or_else(bad)?;
    if name.is_empty() || host.is_empty() || email.len() > MAX_EMAIL || email.contains(char::is_whitespace) {
        return Err(bad());
    }
    Ok(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_parse_or_name_the_problem() {
        assert_eq!(
            parse_email(" maria@broker.example ").expect("an email"),
            "maria@broker.example"
        );
        assert_eq!(
            parse_email("jose\u{301}@b.example").expect("an email"),
            "jos\u{e9}@b.example"
        );
        for wrong in ["", "maria", "@broker.example", "maria@", "ma ria@b.example"] {
            let problem = parse_email(wrong).expect_err(wrong).to_string();
            assert!(problem.ends_with("is not an email address"), "{problem}");
        }
        for wrong in ["m\n@b.example", "m\u{202e}@b.example", "m\u{200b}@b.example"] {
            let problem = parse_email(wrong).expect_err(wrong).to_string();
            assert!(problem.starts_with("the email contains"), "{problem}");
        }
    }
}
