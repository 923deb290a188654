//! Administrators find and manage users, signed in or not.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::*;

const PATH: &str = "/dashboard/admin/people";

/// The content of one page of the list.
struct Listed {
    total: usize,
    /// Email and remaining text of each row, in order.
    rows: Vec<(String, String)>,
    next: Option<String>,
}

impl Listed {
    fn emails(&self) -> Vec<&str> {
        self.rows.iter().map(|(email, _)| email.as_str()).collect()
    }

    fn row(&self, name: &str) -> &str {
        let email = format!("{name}@broker.example");
        let row = self.rows.iter().find(|(each, _)| *each == email);
        &row.expect("a row").1
    }
}

/// Returns the text of HTML with spaces between elements.
fn words(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push(' ');
        text.push_str(part.split_once('>').map_or(part, |(_, rest)| rest));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn between<'a>(html: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = html.split_once(from)?;
    rest.split_once(to).map(|(found, _)| found)
}

async fn page(client: &Client, query: &str) -> Listed {
    let html = client.get_text(&format!("{PATH}?{query}")).await;
    let html = html.replace("<wbr>", "");
    let total = between(&html, "<span role=\"status\">", "</span>").expect("a total");
    let rows = between(&html, "<tbody>", "</tbody>").unwrap_or_default();
    let rows = rows
        .split("<tr")
        .skip(1)
        .map(|row| {
            let (who, rest) = row.split_once("</th>").expect("a person");
            let who = words(who);
            let email = who.rsplit(' ').next().expect("an email");
            (email.to_owned(), words(rest))
        })
        .collect();
    let next = between(&html, "id=\"next-page\" href=\"", "\"").or_else(|| {
        let link = html.split("<a ").find(|link| link.contains("id=\"next-page\""))?;
        between(link, "href=\"", "\"")
    });
    Listed {
        total: total
            .split(' ')
            .next()
            .and_then(|number| number.replace(',', "").parse().ok())
            .expect("a number"),
        rows,
        next: next.map(|next| next.replace("&amp;", "&")),
    }
}

/// Returns the rows of all pages, each of which must show the same total.
async fn all(client: &Client, query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut place = query.to_owned();
    loop {
        let listed = page(client, &place).await;
        found.extend(listed.rows.into_iter().map(|(email, _)| email));
        match listed.next {
            Some(next) => {
                let query = next.split_once('?').expect("a query").1;
                query.clone_into(&mut place);
            }
            None => {
                let once: BTreeSet<&String> = found.iter().collect();
                assert_eq!((once.len(), listed.total), (found.len(), found.len()), "{query}");
                return found;
            }
        }
    }
}

/// An administrator of Northgate, users of Northgate and of Harbour, and one of both.
struct Brokerages {
    portal: Portal,
    admin: Client,
    root: Client,
    nora: TestUser,
    bea: TestUser,
    hugo: TestUser,
}

impl Brokerages {
    async fn open() -> Self {
        let portal = Portal::start().await;
        let admin = portal.admin("ada", "Northgate").await;
        let nora = portal.member("nora", "Northgate").await;
        let bea = portal.member_as("bea", Role::Vendor, "Harbour").await;
        portal.advance(seconds(1)).await;
        portal.member("bea", "Northgate").await;
        let hugo = portal.member("hugo", "Harbour").await;
        let root = portal.system_admin("root").await;
        let admin = portal.browser(CHROME).signed_in(&admin).await;
        let root = portal.browser(CHROME).signed_in(&root).await;
        Self {
            portal,
            admin,
            root,
            nora,
            bea,
            hugo,
        }
    }

    async fn post_action(&self, what: &str, person: &TestUser, more: &[(&str, &str)]) -> TestResponse {
        let id = person.id.to_string();
        let fields = [&[("user_id", &*id)], more].concat();
        self.admin.post(&format!("/api/{what}")).form(&fields).await
    }
}

#[tokio::test]
async fn users_without_sessions_are_listed_and_manageable() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, nora, ..
    } = &brokerages;
    let listed = page(admin, "").await;
    assert_eq!(listed.row("nora"), "Broker Active None Never signed in");
    assert_eq!(
        listed.row("ada"),
        "Administrator Active 1 session of ada just now"
    );
    let panel = admin.get_text(&format!("{PATH}?person={}", nora.id)).await;
    for words in [
        "Disable the account…",
        "Change role…",
        "Ask for a new password…",
        "Signed in nowhere.",
    ] {
        assert!(panel.contains(words), "{words}");
    }
    let asked = admin
        .get_text(&format!("{PATH}?person={}&ask=disable", nora.id))
        .await;
    assert!(
        asked
            .replace("<!>", "")
            .contains("Disable the account of <bdi>nora</bdi>?")
    );

    brokerages
        .post_action("admin_disable_person", nora, &[])
        .await
        .expect(200);
    let refused = portal.browser(CHROME).sign_in(nora).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        page(admin, "state=disabled").await.row("nora"),
        "Broker Disabled None Never signed in"
    );
    brokerages
        .post_action("admin_enable_person", nora, &[])
        .await
        .expect(200);
    let chrome = portal.browser(CHROME).signed_in(nora).await;
    portal.advance(seconds(7200)).await;
    let row = page(admin, "q=nora").await;
    assert_eq!(row.row("nora"), "Broker Active 1 session of nora 2 hours ago");
    // Activity counts at once, before it is written.
    chrome.post("/api/extend_session").await.expect(200);
    let row = page(admin, "q=nora").await;
    assert_eq!(row.row("nora"), "Broker Active 1 session of nora just now");
    // Past retention: the users have signed in, but when they were last active is unknown.
    portal
        .execute(&format!("DELETE FROM sessions WHERE user_id = '{}'", nora.id))
        .await;
    assert_eq!(
        page(admin, "q=nora").await.row("nora"),
        "Broker Active None Longer ago than sessions are kept"
    );
}

#[tokio::test]
async fn list_and_total_agree_for_every_filter() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, root, ..
    } = &brokerages;
    // 130 users of Northgate and 70 without organization, whose emails differ in case and from the order of creation.
    portal.execute("WITH people AS (
            INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at, disabled_at,
                password_change_required)
            SELECT gen_random_uuid(), (CASE n % 2 WHEN 0 THEN 'P' ELSE 'p' END) || (n * 37 % 200) || '@broker.example',
                'Person 100%_' || n, CASE n % 3 WHEN 0 THEN 'guest' ELSE 'employee' END, '', now(), now(),
                CASE WHEN n % 5 = 0 THEN now() END, n % 4 = 0
            FROM generate_series(0, 199) n RETURNING id, email)
        INSERT INTO memberships (user_id, organization_id, role, created_at)
        SELECT p.id, o.id, 'vendor', now() FROM (SELECT id FROM people ORDER BY lower(email) LIMIT 130) p,
            organizations o WHERE o.name = 'Northgate'").await;
    // A system administrator has that role everywhere, whatever their memberships.
    portal
        .execute("UPDATE users SET role = 'system_admin' WHERE display_name = 'Person 100%_173'")
        .await;
    // The same filters in SQL.
    let roles = "CASE WHEN u.role = 'system_admin' THEN ARRAY[u.role]
        ELSE COALESCE((SELECT array_agg(m.role) FROM memberships m WHERE m.user_id = u.id), ARRAY[u.role]) END";
    let conditions = [
        ("", "true".to_owned()),
        ("q=PERSON", "u.display_name LIKE 'Person%'".to_owned()),
        ("q=1@BROKER", "u.email ILIKE '%1@broker%'".to_owned()),
        ("q=%25_1", "position('%_1' IN u.display_name) > 0".to_owned()),
        ("q=%5C", "false".to_owned()),
        ("role=vendor", format!("'vendor' = ANY ({roles})")),
        ("role=guest", format!("'guest' = ANY ({roles})")),
        ("role=broker", format!("'broker' = ANY ({roles})")),
        ("role=system_admin", "u.role = 'system_admin'".to_owned()),
        ("state=active", "u.disabled_at IS NULL AND NOT u.password_change_required".to_owned()),
        ("state=disabled", "u.disabled_at IS NOT NULL".to_owned()),
        ("state=new_password", "u.disabled_at IS NULL AND u.password_change_required".to_owned()),
        (
            "q=person&role=vendor&state=new_password",
            "u.disabled_at IS NULL AND u.password_change_required AND u.display_name LIKE 'Person%' AND EXISTS
                (SELECT 1 FROM memberships m WHERE m.user_id = u.id AND m.role = 'vendor')"
                .to_owned(),
        ),
    ];
    let mut counts = BTreeMap::new();
    for (query, condition) in &conditions {
        for (client, within) in [(root, None), (admin, Some("Northgate"))] {
            // In an organization only the role there counts.
            let role = "ARRAY[CASE WHEN u.role = 'system_admin' THEN u.role ELSE scope.role END]";
            let condition = match within {
                Some(_) => condition.replace(roles, role),
                None => condition.clone(),
            };
            let expected: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT u.email FROM users u LEFT JOIN (memberships scope JOIN organizations o
                    ON o.id = scope.organization_id AND o.name = $1) ON scope.user_id = u.id
                WHERE ($1 IS NULL OR scope.user_id IS NOT NULL) AND ({condition}) ORDER BY lower(u.email)"
            )))
            .bind(within)
            .fetch_all(&portal.sql)
            .await
            .expect("people");
            assert_eq!(all(client, query).await, expected, "{query} of {within:?}");
            counts.insert((*query, within), expected.len());
        }
    }
    // Everyone has exactly one state, and there is more than one page.
    for within in [None, Some("Northgate")] {
        let states = ["state=active", "state=disabled", "state=new_password"];
        let sum: usize = states.iter().map(|query| counts[&(*query, within)]).sum();
        assert_eq!(sum, counts[&("", within)]);
    }
    assert_eq!(
        (counts[&("", None)], counts[&("", Some("Northgate"))]),
        (205, 133)
    );
}

#[tokio::test]
async fn two_organizations_never_see_each_other() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        root,
        nora,
        bea,
        hugo,
    } = &brokerages;
    let hana = portal.admin("hana", "Harbour").await;
    let hana = portal.browser(CHROME).signed_in(&hana).await;
    let hugo_at = portal.browser(CHROME).signed_in(hugo).await;
    let of = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{name}@broker.example"))
            .collect()
    };
    assert_eq!(all(admin, "").await, of(&["ada", "bea", "nora"]));
    assert_eq!(all(&hana, "").await, of(&["bea", "hana", "hugo"]));
    assert_eq!(
        all(root, "").await,
        of(&["ada", "bea", "hana", "hugo", "nora", "root"])
    );
    // Roles elsewhere are neither shown nor searchable.
    assert!(page(admin, "").await.row("bea").starts_with("Broker Active"));
    assert!(page(&hana, "").await.row("bea").starts_with("Vendor Active"));
    assert_eq!(page(admin, "role=vendor").await.total, 0);
    assert_eq!(page(root, "role=vendor").await.emails(), of(&["bea"]));
    assert!(
        page(root, "")
            .await
            .row("bea")
            .starts_with("Vendor at Harbour Broker at Northgate")
    );

    let texts = [
        admin.get(PATH).await.body,
        admin.get(&format!("{PATH}?q=hugo")).await.body,
        admin.get(&format!("{PATH}?person={}", bea.id)).await.body,
        admin
            .get(&format!("{PATH}?person={}&ask=change_role", bea.id))
            .await
            .body,
        admin.get(&format!("{PATH}?person={}", hugo.id)).await.body,
        admin
            .get(&format!("{PATH}?person={}&ask=disable", hugo.id))
            .await
            .body,
    ];
    for text in &texts {
        for other in ["hugo@", "hana@", "Harbour", "Vendor at"] {
            assert!(!text.contains(other), "{other} in {text}");
        }
    }
    assert!(texts[2].contains("This user also belongs to another organization"));
    assert!(texts[4].contains("That user does not exist, or you may not see them."));
    let missing = admin
        .get(&format!("{PATH}?person={}", uuid::Uuid::nil()))
        .await
        .body;
    let ids = |text: &str, id: &str| text.replace(id, "");
    assert_eq!(
        words(&ids(
            between(&texts[4], "id=\"fragment\"", "</main>").expect("a page"),
            &hugo.id.to_string()
        )),
        words(&ids(
            between(&missing, "id=\"fragment\"", "</main>").expect("a page"),
            &uuid::Uuid::nil().to_string()
        )),
        "someone of another organization is nobody"
    );
    // Forms cannot do it either.
    for what in [
        "admin_disable_person",
        "admin_enable_person",
        "admin_require_password",
    ] {
        brokerages.post_action(what, hugo, &[]).await.expect(404);
    }
    let end = [("which", "end_person"), ("begun_by", "2099-01-01T00:00:00.000Z")];
    brokerages
        .post_action("admin_end_sessions", hugo, &end)
        .await
        .expect(404);
    assert!(hugo_at.is_live().await);
    // A cursor reveals nothing: each administrator reads their own rows from there.
    let first =
        data_encoding::BASE64URL_NOPAD.encode(format!("{}ebea@broker.example", bea.id.0.simple()).as_bytes());
    assert_eq!(
        page(admin, &format!("after={first}")).await.emails(),
        [nora.email.as_str()]
    );
}

#[tokio::test]
async fn live_count_equals_the_sessions_page() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, bea, ..
    } = &brokerages;
    for device in ["one", "two"] {
        portal.desktop(device).signed_in(bea).await;
    }
    portal
        .browser(FIREFOX)
        .signed_in(bea)
        .await
        .post("/api/sign_out")
        .await;
    let html = admin.get_text(PATH).await;
    let link = format!("/dashboard/admin/sessions?user={}", bea.id);
    assert!(html.contains(&link));
    assert!(page(admin, "").await.row("bea").contains("2 sessions of bea"));
    let sessions = admin.get_text(&link).await;
    assert!(words(&sessions).contains(" 2 sessions "));
    let panel = admin.get_text(&format!("{PATH}?person={}", bea.id)).await;
    assert!(panel.contains("Live sessions (2)"));
    // Disabling ends all of them.
    portal.accounts().disable(&bea.email).await.expect("disabled");
    assert_eq!(
        page(admin, "state=disabled").await.row("bea"),
        "Broker Disabled None just now"
    );
}

#[tokio::test]
async fn only_administrators_get_in() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, nora, .. } = &brokerages;
    let chrome = portal.browser(CHROME).signed_in(nora).await;
    let html = chrome.get(PATH).await.expect(403).body;
    assert!(html.contains("This page is for administrators") && !html.contains("bea@"));
    let rendered = chrome.submit("draw_admin", &[("place", PATH)]).await;
    rendered.assert_code(403, "forbidden");
    let response = portal.anonymous().get(PATH).await;
    assert_eq!(response.location(), format!("/login?next={PATH}"));
}

#[tokio::test]
async fn form_returns_to_its_page_with_a_message() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, nora, ..
    } = &brokerages;
    let plain = portal.browser(CHROME).without_script();
    plain.set_cookie(&admin.cookie().expect("a cookie"));
    let id = nora.id.to_string();
    let place = format!("{PATH}?q=nora&person={id}");
    let asked = plain.get_text(&format!("{place}&ask=disable")).await;
    let next = format!("name=\"next\" value=\"{}\"", place.replace('&', "&amp;"));
    assert!(asked.contains(&next), "{asked}");
    let end = [("which", "end_person"), ("begun_by", "2099-01-01T00:00:00.000Z")];
    for (what, words) in [
        ("admin_disable_person", "The account is disabled"),
        ("admin_enable_person", "The account can sign in again."),
        ("admin_end_sessions", "No session was left to end."),
    ] {
        // Fields of one page are ignored by the others.
        let fields = [&[("user_id", &*id), ("next", &place)], &end[..]].concat();
        let response = plain
            .post(&format!("/api/{what}"))
            .form(&fields)
            .await
            .expect(302);
        assert_eq!(response.location(), place);
        let html = plain.follow(&response).await.expect(200).body;
        assert!(html.contains(words) && html.contains("1 person"), "{what}");
    }
}

#[tokio::test]
async fn names_do_not_reorder_the_text_around_them() {
    let portal = Portal::start().await;
    let root = portal.system_admin("root").await;
    let root = portal.browser(CHROME).signed_in(&root).await;
    let name = "\u{645}\u{631}\u{6cc}\u{645}";
    let maria = portal.named_member("maria", name, name).await;
    let mac = portal.desktop("mac").device("device_name", name);
    let session = mac.signed_in(&maria).await.session();
    for path in [
        format!("{PATH}?person={}", maria.id),
        format!("{PATH}?person={}&ask=disable", maria.id),
        format!("/dashboard/admin/sessions?session={session}&ask=end_one"),
    ] {
        let html = root.get_text(&path).await.replace("<!>", "");
        let (_, rendered) = html.split_once("<header class=\"page-head\"").expect("the page");
        let isolated = rendered.matches(&format!("<bdi>{name}</bdi>")).count()
            + rendered
                .matches(&format!("<bdi class=\"row-name\">{name}</bdi>"))
                .count();
        assert!(isolated >= 3, "{path}: {html}");
        assert_eq!(
            rendered.matches(&format!(">{name}<")).count(),
            isolated,
            "{path}: {html}"
        );
    }
}

#[tokio::test]
async fn invalid_filter_lists_nobody_and_says_why() {
    let brokerages = Brokerages::open().await;
    for query in ["state=gone", "role=Broker", "rolle=broker", "q=a%0Ab"] {
        let html = brokerages.admin.get_text(&format!("{PATH}?{query}")).await;
        assert!(
            html.contains("in the address is") && html.contains("0 people"),
            "{query}"
        );
        assert!(!html.contains("nora@"), "{query}");
    }
    // The cursor is not a filter: an invalid one starts at the first page.
    for after in ["x", "AAAA", "%00"] {
        assert_eq!(
            page(&brokerages.admin, &format!("after={after}"))
                .await
                .rows
                .len(),
            3
        );
    }
}

#[tokio::test]
async fn chosen_role_is_shown_if_not_offered() {
    let brokerages = Brokerages::open().await;
    for path in [PATH, "/dashboard/admin/sessions"] {
        let offers = async |query: &str| {
            let html = brokerages
                .admin
                .get(&format!("{path}{query}"))
                .await
                .expect(200)
                .body;
            let option = html
                .split("<option ")
                .find(|tag| tag.contains("value=\"system_admin\""));
            option.map(|option| option.contains("selected"))
        };
        assert_eq!(offers("").await, None, "{path}");
        assert_eq!(offers("?role=system_admin").await, Some(true), "{path}");
    }
}

#[tokio::test]
async fn hostile_names_stay_text() {
    let brokerages = Brokerages::open().await;
    let portal = &brokerages.portal;
    let name = "<img src=x onerror=alert(1)>\"'";
    let eve = portal.named_member("eve", name, "North<b>gate").await;
    for query in [
        format!("person={}", eve.id),
        format!("person={}&ask=disable", eve.id),
        "q=%22%3E%3Cimg+src%3Dx".to_owned(),
    ] {
        let html = brokerages.root.get_text(&format!("{PATH}?{query}")).await;
        assert!(html.contains("&lt;img src=x"), "{query}");
        assert!(
            !html.contains("<img src=x") && !html.contains("North<b>"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn invalid_filter_values_stay_text() {
    let brokerages = Brokerages::open().await;
    let markup = "%22%3E%3Cimg+src%3Dx%3E";
    for path in [
        format!("/dashboard/admin/people?state={markup}"),
        format!("/dashboard/admin/sessions?kind={markup}"),
        format!("/dashboard/admin/audit?since={markup}"),
        format!("/dashboard/admin/audit?kind={markup}"),
    ] {
        let html = brokerages.root.get_text(&path).await;
        assert!(html.contains("&lt;img src=x"), "{path}");
        assert!(!html.contains("<img src=x"), "{path}");
    }
}

#[tokio::test]
async fn user_filter_stays_when_another_field_is_invalid() {
    let brokerages = Brokerages::open().await;
    let eve = brokerages.portal.member("eve", "Northgate").await;
    let path = format!("/dashboard/admin/sessions?user={}&age=bogus", eve.id);
    let html = brokerages.root.get_text(&path).await;
    assert!(
        html.contains(&format!("name=\"user\" value=\"{}\"", eve.id)),
        "{html}"
    );
}
