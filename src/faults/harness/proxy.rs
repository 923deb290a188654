//! A TCP proxy between a server and its Postgres. It stalls, delays and closes connections like a broken network.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::Postgres;

/// What happens to a connection when a certain statement is sent. Applies once.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The statement does not reach Postgres, and nothing is forwarded any more. The connection stays open.
    StallRequest,
    /// Postgres executes the statement. The response and everything later is not forwarded. The connection stays open.
    StallAnswer,
    /// Postgres executes the statement. The connection is closed instead of forwarding the response.
    CutAnswer,
    /// As [`Fault::CutAnswer`], with a TCP reset.
    ResetAnswer,
    /// As [`Fault::StallAnswer`], and all other connections, established or new, stall too until [`Proxy::resume`].
    StallAnswerAndAll,
    /// The response and everything after it is forwarded later. Later responses are not delayed.
    DelayAnswer(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Close,
    Reset,
}

/// Connections are numbered from 1.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// Connections up to this number forward nothing.
    stalled_to: u64,
    /// Connections up to this number are cut.
    cut_to: u64,
    cut: Cut,
    refuse_new: bool,
    delay: Duration,
}

#[derive(Debug)]
struct Shared {
    target: std::sync::Mutex<PathBuf>,
    rules: watch::Sender<Rules>,
    faults: std::sync::Mutex<Vec<Pending>>,
    last: AtomicU64,
    open: AtomicUsize,
}

/// A fault that has not been applied yet.
#[derive(Debug)]
struct Pending {
    text: Vec<u8>,
    /// Applies to the next COMMIT of the connection, not to this statement.
    at_commit: bool,
    fault: Fault,
}

/// Forwards everything unless told otherwise. Closes its connections when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of this Postgres, which uses a Unix socket.
    pub async fn start(postgres: &Postgres) -> Self {
        let options: PgConnectOptions = postgres.url.parse().expect("an address");
        let target = std::sync::Mutex::new(socket(&options));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let database = options.get_database().expect("a database");
        let url = format!(
            "postgres://{}@{address}/{database}?sslmode=disable",
            options.get_username()
        );
        let rules = Rules {
            stalled_to: 0,
            cut_to: 0,
            cut: Cut::Close,
            refuse_new: false,
            delay: Duration::ZERO,
        };
        let shared = Arc::new(Shared {
            target,
            rules: watch::Sender::new(rules),
            faults: std::sync::Mutex::default(),
            last: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Self {
            address,
            url,
            shared,
            task,
        }
    }

    /// Returns the value for `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stalls established connections in both directions and keeps them open. New ones work.
    pub fn stall_established(&self) {
        let last = self.shared.last.load(Ordering::SeqCst);
        self.shared.rules.send_modify(|rules| rules.stalled_to = last);
    }

    /// Stalls established and new connections.
    pub fn stall_all(&self) {
        self.shared.rules.send_modify(|rules| rules.stalled_to = u64::MAX);
    }

    /// Resumes stalled connections, including data sent meanwhile. Those stalled by a [`Fault`] stay stalled.
    pub fn resume(&self) {
        self.shared.rules.send_modify(|rules| rules.stalled_to = 0);
    }

    /// Closes established connections, in order.
    pub fn close_established(&self) {
        self.cut_established(Cut::Close);
    }

    /// Resets established connections.
    pub fn reset_established(&self) {
        self.cut_established(Cut::Reset);
    }

    fn cut_established(&self, cut: Cut) {
        let last = self.shared.last.load(Ordering::SeqCst);
        self.shared.rules.send_modify(|rules| {
            rules.cut_to = last;
            rules.cut = cut;
        });
    }

    /// Closes new connections at once, or stops doing so.
    pub fn refuse_new(&self, refuse: bool) {
        self.shared.rules.send_modify(|rules| rules.refuse_new = refuse);
    }

    /// Delays every response. Zero turns it off.
    pub fn delay_answers(&self, delay: Duration) {
        self.shared.rules.send_modify(|rules| rules.delay = delay);
    }

    /// Applies a fault to the next statement that contains `text`. `"COMMIT"` matches commits only if no other
    /// statement contains the word.
    pub fn on_statement(&self, text: &str, fault: Fault) {
        self.add(text, false, fault);
    }

    /// Applies a fault to the COMMIT of the next transaction that prepares a statement with `text`. A connection sends
    /// the text only once: see [`Proxy::close_established`].
    pub fn on_commit_after(&self, text: &str, fault: Fault) {
        self.add(text, true, fault);
    }

    fn add(&self, text: &str, at_commit: bool, fault: Fault) {
        let text = text.as_bytes().to_vec();
        self.shared.faults.lock().expect("not poisoned").push(Pending {
            text,
            at_commit,
            fault,
        });
    }

    /// Counts the faults that have not been applied yet.
    pub fn pending_faults(&self) -> usize {
        self.shared.faults.lock().expect("not poisoned").len()
    }

    /// Directs new connections to another Postgres, as after a failover.
    pub fn redirect_to(&self, url: &str) {
        let options = url.parse().expect("an address");
        *self.shared.target.lock().expect("not poisoned") = socket(&options);
    }

    /// Counts the connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.last.load(Ordering::SeqCst)
    }

    /// Counts the open connections.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut_established(Cut::Close);
    }
}

fn socket(options: &PgConnectOptions) -> PathBuf {
    let folder = options.get_socket().cloned();
    let folder = folder.unwrap_or_else(|| options.get_host().into());
    folder.join(format!(".s.PGSQL.{}", options.get_port()))
}

impl Shared {
    /// Takes the first fault that matches what is sent.
    fn take_fault(&self, sent: &[u8]) -> Option<Pending> {
        let mut faults = self.faults.lock().expect("not poisoned");
        let met = faults.iter().position(|pending| contains(sent, &pending.text))?;
        Some(faults.remove(met))
    }
}

fn contains(sent: &[u8], text: &[u8]) -> bool {
    sent.windows(text.len()).any(|window| window == text)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.rules.borrow().refuse_new {
            continue;
        }
        let number = shared.last.fetch_add(1, Ordering::SeqCst) + 1;
        let shared = shared.clone();
        tokio::spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            forward(client, number, &shared).await;
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Returns when either side has closed or the connection is cut.
async fn forward(mut client: TcpStream, number: u64, shared: &Shared) {
    let target = shared.target.lock().expect("not poisoned").clone();
    let Ok(mut postgres) = UnixStream::connect(target).await else {
        return;
    };
    // The fault that applies to the responses of this connection.
    let responses = watch::Sender::new(None);
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_postgres, to_postgres) = postgres.split();
        let rules = shared.rules.subscribe();
        let requests = forward_requests(from_client, to_postgres, number, shared, &responses);
        let answering = forward_answers(
            from_postgres,
            to_client,
            number,
            rules.clone(),
            responses.subscribe(),
        );
        tokio::select! {
            () = requests => None,
            cut = answering => cut,
            cut = wait_for_cut(rules, number) => Some(cut),
        }
    };
    if cut == Some(Cut::Reset) {
        client.set_zero_linger().expect("a socket");
    }
}

async fn wait_for_cut(mut rules: watch::Receiver<Rules>, number: u64) -> Cut {
    match rules.wait_for(|rules| number <= rules.cut_to).await {
        Ok(rules) => rules.cut,
        Err(_) => Cut::Close,
    }
}

async fn wait_while_stalled(rules: &mut watch::Receiver<Rules>, number: u64) {
    drop(rules.wait_for(|rules| number > rules.stalled_to).await);
}

async fn forward_requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    number: u64,
    shared: &Shared,
    responses: &watch::Sender<Option<Fault>>,
) {
    let mut rules = shared.rules.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    let mut armed: Option<Fault> = None;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        wait_while_stalled(&mut rules, number).await;
        let sent = &buffer[..count];
        let mut met = armed.take_if(|_| contains(sent, b"COMMIT"));
        if let Some(pending) = shared.take_fault(sent) {
            if pending.at_commit {
                armed = Some(pending.fault);
            } else {
                met = Some(pending.fault);
            }
        }
        if let Some(fault) = met {
            if matches!(fault, Fault::StallAnswerAndAll) {
                shared.rules.send_modify(|rules| rules.stalled_to = u64::MAX);
            }
            responses.send_replace(Some(fault));
            if matches!(fault, Fault::StallRequest) {
                // Postgres does not see that the client closes.
                std::future::pending().await
            }
        }
        if to.write_all(sent).await.is_err() {
            return;
        }
    }
}

/// `Some`: a fault cuts the connection.
async fn forward_answers(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    number: u64,
    mut rules: watch::Receiver<Rules>,
    mut fault: watch::Receiver<Option<Fault>>,
) -> Option<Cut> {
    // Reading continues during a delay, which adds latency without slowing down each part of a response.
    let (queue, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let delays = rules.clone();
    let reading = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let mut delay = delays.borrow().delay;
            if fault.has_changed().unwrap_or(false) {
                let fault = *fault.borrow_and_update();
                match fault {
                    Some(Fault::CutAnswer) => return Some(Cut::Close),
                    Some(Fault::ResetAnswer) => return Some(Cut::Reset),
                    Some(Fault::StallRequest | Fault::StallAnswer | Fault::StallAnswerAndAll) => {
                        std::future::pending().await
                    }
                    Some(Fault::DelayAnswer(more)) => delay += more,
                    None => {}
                }
            }
            drop(queue.send((Instant::now() + delay, buffer[..count].to_vec())));
        }
        None
    };
    let writing = async {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            wait_while_stalled(&mut rules, number).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    // Forward what was read before Postgres closed.
    let (read, written) = (std::pin::pin!(reading), std::pin::pin!(writing));
    match futures_util::future::select(read, written).await {
        futures_util::future::Either::Left((cut @ Some(_), _)) => cut,
        futures_util::future::Either::Left((None, written)) => {
            written.await;
            None
        }
        futures_util::future::Either::Right(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, PgConnection, Row as _};
    use tokio::time::timeout;

    use super::*;
    use crate::harness::wait_until;

    const SHORT: Duration = Duration::from_millis(300);

    async fn connect(proxy: &Proxy) -> PgConnection {
        PgConnection::connect(proxy.url()).await.expect("a connection")
    }

    async fn select(conn: &mut PgConnection) -> sqlx::Result<i32> {
        // Not prepared, so its text is sent each time.
        sqlx::raw_sql("SELECT 7").fetch_one(conn).await?.try_get(0)
    }

    async fn is_stalled(conn: &mut PgConnection) -> bool {
        timeout(SHORT, select(conn)).await.is_err()
    }

    #[tokio::test]
    async fn proxy_stalls_delays_and_cuts_connections() {
        let postgres = Postgres::start("proxy").await;
        let proxy = Proxy::start(&postgres).await;
        let (mut kept, mut stalled) = (connect(&proxy).await, connect(&proxy).await);
        assert_eq!((proxy.accepted(), proxy.open()), (2, 2));
        assert_eq!(
            proxy.address.port(),
            proxy
                .url()
                .parse::<PgConnectOptions>()
                .expect("an address")
                .get_port()
        );
        assert_eq!(select(&mut kept).await.expect("a response"), 7);

        proxy.stall_established();
        assert!(is_stalled(&mut stalled).await);
        assert_eq!(select(&mut connect(&proxy).await).await.expect("a response"), 7);
        proxy.stall_all();
        assert!(timeout(SHORT, PgConnection::connect(proxy.url())).await.is_err());
        proxy.resume();
        assert_eq!(select(&mut kept).await.expect("a response"), 7);

        let began = Instant::now();
        proxy.delay_answers(SHORT);
        select(&mut kept).await.expect("a response");
        proxy.delay_answers(Duration::ZERO);
        proxy.on_statement("SELECT 7", Fault::DelayAnswer(SHORT));
        select(&mut kept).await.expect("a response");
        assert!(began.elapsed() >= 2 * SHORT);

        proxy.close_established();
        assert!(select(&mut kept).await.is_err());
        let mut reset = connect(&proxy).await;
        proxy.reset_established();
        assert!(select(&mut reset).await.is_err());
        proxy.refuse_new(true);
        assert!(PgConnection::connect(proxy.url()).await.is_err());
        proxy.refuse_new(false);
        drop((kept, stalled, reset));
        wait_until("every connection is closed", async || proxy.open() == 0).await;
    }

    #[tokio::test]
    async fn proxy_loses_the_answer_to_a_commit() {
        let postgres = Postgres::start("proxy-commit").await;
        let proxy = Proxy::start(&postgres).await;
        let mut watching = connect(&proxy).await;
        sqlx::query("CREATE TABLE t (n int)")
            .execute(&mut watching)
            .await
            .expect("a table");
        for (n, fault, is_committed) in [
            (1, Fault::StallAnswer, true),
            (2, Fault::CutAnswer, true),
            (3, Fault::ResetAnswer, true),
            (4, Fault::StallRequest, false),
            (5, Fault::StallAnswerAndAll, true),
        ] {
            let mut conn = connect(&proxy).await;
            // Either way, this commit is affected.
            if n % 2 == 0 {
                proxy.on_commit_after("INSERT INTO t", fault);
            } else {
                proxy.on_statement("COMMIT", fault);
            }
            assert_eq!(proxy.pending_faults(), 1);
            let mut tx = conn.begin().await.expect("a transaction");
            sqlx::query("INSERT INTO t VALUES ($1)")
                .bind(n)
                .execute(&mut *tx)
                .await
                .expect("a row");
            let response = timeout(SHORT, tx.commit()).await;
            assert!(!matches!(response, Ok(Ok(()))), "{fault:?}: {response:?}");
            assert_eq!(proxy.pending_faults(), 0);
            proxy.resume();
            let is_there = async |watching: &mut PgConnection| {
                let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM t WHERE n = $1)").bind(n);
                found.fetch_one(watching).await.expect("a response")
            };
            if is_committed {
                wait_until("the row is there", async || is_there(&mut watching).await).await;
            } else {
                assert!(!is_there(&mut watching).await);
            }
        }
    }
}
