//! Users of the portal.

use domain::{ids::UserId, user::Role};

use broker_portal::server::services::accounts::NewAccount;

use super::Portal;

/// A user with an account.
#[derive(Clone, Debug)]
pub struct TestUser {
    pub id: UserId,
    pub email: String,
    pub password: String,
}

/// A user to create.
#[must_use]
pub struct UserBuilder<'a> {
    portal: &'a Portal,
    new: NewAccount,
}

impl<'a> UserBuilder<'a> {
    pub fn new(portal: &'a Portal, name: &str) -> Self {
        let new = NewAccount {
            email: format!("{name}@broker.example"),
            display_name: name.to_owned(),
            role: Role::Broker,
            organizations: Vec::new(),
            password: format!("the password of {name}"),
        };
        Self { portal, new }
    }

    pub fn role(mut self, role: Role) -> Self {
        self.new.role = role;
        self
    }

    pub fn member_of(mut self, organization: &str) -> Self {
        self.new.organizations.push(organization.to_owned());
        self
    }

    pub fn password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.new.password);
        self
    }

    pub fn display_name(mut self, display_name: &str) -> Self {
        display_name.clone_into(&mut self.new.display_name);
        self
    }

    pub async fn create(self) -> TestUser {
        let NewAccount { email, password, .. } = self.new.clone();
        let id = self
            .portal
            .accounts()
            .register(self.new)
            .await
            .expect("an account")
            .user;
        TestUser { id, email, password }
    }
}
