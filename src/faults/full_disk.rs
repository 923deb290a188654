//! The database's disk is full: a revocation that cannot be stored is an error, never "ok".

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::statvfs::statvfs;

use crate::harness::*;

/// Size of the small disk in MiB. A new cluster needs about 55, and WAL files have 16.
const DISK: u64 = 120;

/// Users who are signed out on the full disk.
const PEOPLE: usize = 20;

/// A disk in memory, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`: mounting is not permitted here.
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK}m,mode=755"), "faults"])
            .arg(path)
            .output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then(|| Self(path.to_path_buf()))
    }

    fn free(&self) -> u64 {
        let disk = statvfs(&self.0).expect("the disk");
        disk.blocks_available() * disk.fragment_size()
    }

    /// Uses up all free space.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filling")).expect("a file");
        while file.write_all(&[1; 64 * 1024]).is_ok() {}
        while file.write_all(&[1]).is_ok() {}
        assert!(self.free() < 4096, "{} bytes are free", self.free());
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filling")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// A user with two sessions.
struct Twice {
    email: String,
    sessions: [SignedIn; 2],
}

impl Twice {
    async fn sign_in(server: &Server, email: String) -> Self {
        let sessions = [server.browser(&email).await, server.desktop(&email, "mac").await];
        Self { email, sessions }
    }

    fn sign_out_all(&self) -> Request {
        Request::new(
            "DELETE",
            "/api/v1/sessions?scope=all",
            &self.sessions[1].credential,
        )
    }

    /// Returns which of the two have ended.
    async fn over(&self, server: &Server) -> [bool; 2] {
        [
            !server.accepts(&self.sessions[0].credential).await,
            !server.accepts(&self.sessions[1].credential).await,
        ]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_on_full_disk_reports_failure() {
    let folder = DIRECTORY.join("disk");
    let Some(disk) = SmallDisk::mount(&folder) else {
        print_result("SKIPPED: no disk was filled, for nobody but root may mount a small one");
        return;
    };
    let mut postgres = Postgres::start_in(folder.join("data")).await;
    let people = TestAccounts::of(&postgres).await;
    let mut server = Server::start(&postgres, &[]).await;
    let mut everyone = Vec::new();
    for person in 0..PEOPLE {
        let email = people.broker(&format!("person-{person}")).await;
        everyone.push(Twice::sign_in(&server, email).await);
    }
    people.close().await;

    disk.fill();
    // Uses up the free space inside the files of the event log, which every revocation needs.
    wait_until("nothing more can be stored", async || {
        let event = "INSERT INTO session_events (at, user_id, kind)
            SELECT now(), gen_random_uuid(), 'sessions_changed' FROM generate_series(1, 20)";
        sqlx::query(event).execute(&postgres.sql).await.is_err()
    })
    .await;
    let (mut refused, mut lost, mut half_way, mut signed_out) = (0, 0, 0, 0);
    let mut answered = Vec::new();
    for twice in &everyone {
        let response = server.send(twice.sign_out_all()).await;
        assert!(response.status == 200 || response.is_valid_503(), "{response:?}");
        refused += usize::from(response.status == 503);
        answered.push(response.status == 200);
        // Signed-in users stay signed in, and a failed sign-in does not blame the password.
        let state = server
            .get("/api/v1/session_state", &twice.sessions[0].credential)
            .await;
        signed_out += usize::from(response.status == 503 && state.status == 401);
        let sign_in = server.send(browser_sign_in(&twice.email)).await;
        assert!(sign_in.status == 200 || sign_in.is_valid_503(), "{sign_in:?}");
    }

    disk.make_room();
    wait_until("the portal is well again", async || {
        server.get("/readyz", &Credential::Nothing).await.status == 200
    })
    .await;
    for (twice, answered) in everyone.iter().zip(answered) {
        let over = twice.over(&server).await;
        half_way += usize::from(over[0] != over[1]);
        lost += usize::from(answered && over != [true; 2]);
        if over == [false; 2] {
            server.send(twice.sign_out_all()).await.expect(200);
            assert_eq!(twice.over(&server).await, [true; 2]);
        }
    }
    let (apart, ends) = postgres.unreported_ends().await;
    print_result(&format!(
        "{PEOPLE} revocations on a full disk: {refused} refused with 503; {lost} answered and lost, {half_way} half-way, \
         {signed_out} signed out by it; all done once there was room; of {ends} ends {apart} differ from the logs"
    ));
    assert!(refused > 0, "the disk was full");
    assert_eq!((lost, half_way, signed_out, apart), (0, 0, 0, 0));
    assert!(server.still_runs());
    server.terminate();
    server.exited().await;
    postgres.stop().await;
}

/// Makes every commit with an event fail, with the error of a full disk.
const FULL: &str = "
    CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
    CREATE CONSTRAINT TRIGGER disk_is_full AFTER INSERT ON session_events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION disk_is_full()";

/// Needs no full disk: a commit is the last moment at which a revocation can fail, on every route.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_revocation_route_reports_a_failed_commit() {
    let postgres = Postgres::start("commit").await;
    let people = TestAccounts::of(&postgres).await;
    let server = Server::start(&postgres, &[]).await;
    let twice = Twice::sign_in(&server, people.broker("maria").await).await;
    people.close().await;
    sqlx::raw_sql(FULL)
        .execute(&postgres.sql)
        .await
        .expect("a trigger");

    let [browser, desktop] = &twice.sessions;
    let (cookie, bearer) = (&browser.credential, &desktop.credential);
    let one = format!("/api/v1/sessions/{}", browser.id);
    let form = format!("session_id={}", desktop.id);
    let ways = [
        Request::new("DELETE", "/api/v1/sessions?scope=all", bearer),
        Request::new("DELETE", "/api/v1/sessions?scope=others", bearer),
        Request::new("DELETE", "/api/v1/sessions?scope=current", bearer),
        Request::new("DELETE", &one, bearer),
        Request::new("POST", "/api/sign_out", cookie).form(""),
        Request::new("POST", "/api/sign_out_all_devices", cookie).form(""),
        Request::new("POST", "/api/sign_out_other_devices", cookie).form(""),
        Request::new("POST", "/api/revoke_session", cookie).form(&form),
    ];
    let mut refused = 0;
    for way in &ways {
        let response = server.send(way.clone()).await;
        assert!(response.is_valid_503(), "{way:?}: {response:?}");
        refused += 1;
    }
    let person = ["--user", &twice.email];
    for command in [["sessions", "revoke"].as_slice(), &["user", "disable"]] {
        let person = if command[0] == "user" {
            ["--email", person[1]]
        } else {
            person
        };
        let output = Server::command(&postgres)
            .args(command)
            .args(person)
            .output()
            .await;
        let output = output.expect("broker-portal starts");
        assert!(!output.status.success(), "{command:?}: {output:?}");
        refused += 1;
    }
    assert_eq!(twice.over(&server).await, [false; 2]);
    let (apart, ends) = postgres.unreported_ends().await;
    print_result(&format!(
        "{refused} ways to end a session whose commit failed for a full disk: {refused} refused; of {ends} ends {apart} \
         differ from the logs"
    ));
    assert_eq!((apart, ends), (0, 0));

    sqlx::raw_sql("DROP TRIGGER disk_is_full ON session_events")
        .execute(&postgres.sql)
        .await
        .expect("dropped");
    server.send(twice.sign_out_all()).await.expect(200);
    assert_eq!(twice.over(&server).await, [true; 2]);
}
