//! Users and their sessions.

use domain::user::Role;

use broker_portal::server::{
    auth::passwords::Passwords,
    database::Database,
    services::accounts::{Accounts, NewAccount},
};
use serde_json::json;

use super::{Credential, Postgres, Request, Response, Server};

/// Password of all users.
pub const PASSWORD: &str = "faults are there to be found";

/// Memory in KiB and passes: the cheapest hash that argon2 allows. The hash determines the cost of verification.
const CHEAPEST_HASH: (u32, u32) = (64, 1);

/// Creates accounts. Close it in tests that count connections.
pub struct TestAccounts(Accounts);

impl TestAccounts {
    /// Updates the schema first.
    pub async fn of(postgres: &Postgres) -> Self {
        Self::with_hash_cost(CHEAPEST_HASH, postgres).await
    }

    pub async fn with_hash_cost(cost: (u32, u32), postgres: &Postgres) -> Self {
        let database = Database::connect(&postgres.url)
            .await
            .expect("the test's database");
        database.migrate().await.expect("migrated");
        let clock = database.clock().await.expect("a time");
        Self(Accounts {
            database,
            clock,
            passwords: Passwords::new(cost).expect("a cost"),
        })
    }

    /// Creates a broker and returns the email.
    pub async fn broker(&self, name: &str) -> String {
        self.create(name, Role::Broker).await
    }

    /// Creates a system administrator and returns the email.
    pub async fn system_admin(&self, name: &str) -> String {
        self.create(name, Role::SystemAdmin).await
    }

    async fn create(&self, name: &str, role: Role) -> String {
        let email = format!("{name}@broker.example");
        let new = NewAccount {
            email: email.clone(),
            display_name: name.to_owned(),
            role,
            organizations: Vec::new(),
            password: PASSWORD.to_owned(),
        };
        self.0.register(new).await.expect("an account");
        email
    }

    pub async fn close(self) {
        self.0.database.close().await;
    }
}

/// A session with the credentials of its client.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub id: String,
    pub credential: Credential,
    /// Of a desktop.
    pub refresh_token: String,
}

impl SignedIn {
    pub fn of_desktop(response: &Response) -> Self {
        let tokens = response.json();
        let text = |field: &str| tokens[field].as_str().expect("a text").to_owned();
        Self {
            id: text("session_id"),
            credential: Credential::Bearer(text("access_token")),
            refresh_token: text("refresh_token"),
        }
    }

    /// `None`: the response sets no cookie.
    pub fn cookie_of(response: &Response) -> Option<Credential> {
        let cookies: Vec<&str> = response
            .all("set-cookie")
            .filter_map(|cookie| cookie.split(';').next())
            .collect();
        let cookie = cookies
            .iter()
            .find(|cookie| cookie.starts_with("portal_session="))?;
        Some(Credential::Cookie((*cookie).to_owned()))
    }
}

/// A sign-in request of a desktop.
pub fn desktop_sign_in(email: &str, password: &str, device: &str) -> Request {
    let device =
        json!({ "device_id": device, "device_name": device, "os": "Linux", "platform": "linux-x64" });
    let body = json!({ "email": email, "password": password, "device": device });
    Request::new("POST", "/api/v1/sessions", &Credential::Nothing).json(&body)
}

/// A sign-in request of a browser.
pub fn browser_sign_in(email: &str) -> Request {
    let fields = format!(
        "email={}&password={}",
        email.replace('@', "%40"),
        PASSWORD.replace(' ', "+")
    );
    Request::new("POST", "/api/sign_in", &Credential::Nothing).form(&fields)
}

impl Server {
    pub async fn desktop(&self, email: &str, device: &str) -> SignedIn {
        let response = self.send(desktop_sign_in(email, PASSWORD, device)).await;
        SignedIn::of_desktop(&response.expect(201))
    }

    pub async fn browser(&self, email: &str) -> SignedIn {
        let response = self.send(browser_sign_in(email)).await.expect(200);
        let credential = SignedIn::cookie_of(&response).expect("a cookie");
        let state = self
            .get("/api/v1/session_state", &credential)
            .await
            .expect(200)
            .json();
        SignedIn {
            id: state["session"]["id"].as_str().expect("an id").to_owned(),
            credential,
            refresh_token: String::new(),
        }
    }

    /// Returns whether the server accepts the credential.
    pub async fn accepts(&self, credential: &Credential) -> bool {
        let response = self.get("/api/v1/session_state", credential).await;
        assert!([200, 401].contains(&response.status), "{response:?}");
        response.status == 200
    }
}
