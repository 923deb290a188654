//! Limits the number of connections, in total and per address, and selects one to close when there is no room.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::{IpNet, Ipv6Net};
use tokio::sync::Notify;

use super::progress::{Idleness, Progress};
use crate::server::telemetry::log_limit::OncePerMinute;

/// Files other than client connections: database, log, site, webhook, collector.
const OTHER_FILES: u64 = 64;

/// Connections beyond the limit, which reach only the health endpoints.
const RESERVE: usize = 16;

/// Maximum for any number of files, since each connection needs memory.
const MAX_CONNECTIONS: usize = 16_384;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub total: usize,
    /// Per address, or per /64 of IPv6. Trusted proxies are exempt.
    pub per_address: usize,
}

impl Limits {
    /// Derives the limits from the process's limit of open files. One address gets a quarter, because many users can
    /// share it and a few addresses must not use up everything.
    pub fn for_files(files: u64) -> Self {
        let left = files.saturating_sub(OTHER_FILES).max(files / 4);
        let total = usize::try_from(left).unwrap_or(usize::MAX).min(MAX_CONNECTIONS);
        let total = total.saturating_sub(RESERVE).max(2);
        Self {
            total,
            per_address: (total / 4).max(1),
        }
    }
}

/// The open connections of a server.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    trusted_proxies: Vec<IpNet>,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    /// By id, which increases with age: the first is the oldest.
    connections: BTreeMap<u64, Entry>,
    per_address: HashMap<IpNet, usize>,
}

#[derive(Debug)]
struct Entry {
    /// `None`: a trusted proxy, which is not counted.
    address: Option<IpNet>,
    progress: Progress,
    evicted: Arc<Notify>,
}

/// An open connection. It counts until it is dropped or evicted.
#[derive(Debug)]
pub struct AdmittedConnection {
    registry: Arc<Registry>,
    id: u64,
    pub progress: Progress,
    /// Notified when the connection must close to make room.
    pub evicted: Arc<Notify>,
    /// There was no room: only the health endpoints respond.
    pub is_reserve: bool,
}

impl Registry {
    pub fn new(limits: Limits, trusted_proxies: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            trusted_proxies,
            open: Mutex::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection. Without room, evicts the oldest idle one. `None`: all are in use.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<AdmittedConnection> {
        let peer = peer.to_canonical();
        let is_trusted = self.trusted_proxies.iter().any(|net| net.contains(&peer));
        let address = (!is_trusted).then(|| client_network(peer));
        let mut open = self.open();
        let address_is_full = open.count_of(address) >= self.limits.per_address;
        if address_is_full || open.connections.len() >= self.limits.total {
            log_limit(peer, self.limits, address_is_full);
            open.evict_idle(address.filter(|_| address_is_full));
        }
        let is_full = |beyond: usize| {
            open.connections.len() >= self.limits.total + beyond
                || open.count_of(address) >= self.limits.per_address + beyond
        };
        let is_reserve = is_full(0);
        if is_full(RESERVE) {
            return None;
        }
        let id = open.next;
        open.next += 1;
        let (progress, evicted) = (Progress::new(), Arc::new(Notify::new()));
        let entry = Entry {
            address,
            progress: progress.clone(),
            evicted: evicted.clone(),
        };
        open.connections.insert(id, entry);
        if let Some(address) = address {
            *open.per_address.entry(address).or_default() += 1;
        }
        Some(AdmittedConnection {
            registry: self.clone(),
            id,
            progress,
            evicted,
            is_reserve,
        })
    }

    /// Closes the oldest idle connection after the process has run out of files.
    pub fn make_room(&self) {
        self.open().evict_idle(None);
    }

    /// Returns the number of connections.
    pub fn count(&self) -> usize {
        self.open().connections.len()
    }
}

impl OpenConnections {
    fn count_of(&self, address: Option<IpNet>) -> usize {
        let count = address.and_then(|address| self.per_address.get(&address));
        count.copied().unwrap_or_default()
    }

    /// Evicts the oldest idle connection (of `address`, if given), else the oldest one that is stalled.
    fn evict_idle(&mut self, address: Option<IpNet>) {
        let mut idlest = None;
        for (id, entry) in &self.connections {
            if address.is_some() && entry.address != address {
                continue;
            }
            match entry.progress.idleness() {
                Some(Idleness::Idle) => {
                    idlest = Some(*id);
                    break;
                }
                Some(Idleness::Stalled) => idlest = idlest.or(Some(*id)),
                None => {}
            }
        }
        if let Some(entry) = idlest.and_then(|id| self.remove(id)) {
            entry.evicted.notify_one();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.connections.remove(&id)?;
        if let Some(address) = entry.address
            && let Some(count) = self.per_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
        Some(entry)
    }
}

impl Drop for AdmittedConnection {
    fn drop(&mut self) {
        self.registry.open().remove(self.id);
    }
}

/// Returns the network in which a client can choose its address: a /64 of IPv6.
fn client_network(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(_) => IpNet::from(address),
        IpAddr::V6(v6) => Ipv6Net::new(v6, 64).map_or(IpNet::from(address), |net| IpNet::V6(net.trunc())),
    }
}

fn log_limit(peer: IpAddr, limits: Limits, address_is_full: bool) {
    static LIMIT: OncePerMinute = OncePerMinute::new();
    if let Some(suppressed) = LIMIT.allow() {
        tracing::warn!(
            %peer,
            total = limits.total,
            per_address = limits.per_address,
            address_is_full,
            suppressed,
            "connection limit reached, closing idle connections"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        total: 4,
        per_address: 2,
    };

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    async fn is_evicted(admitted: &AdmittedConnection) -> bool {
        let evicted = admitted.evicted.notified();
        tokio::time::timeout(std::time::Duration::ZERO, evicted)
            .await
            .is_ok()
    }

    #[test]
    fn connection_limits_leave_other_files() {
        assert_eq!(
            Limits::for_files(256),
            Limits {
                total: 176,
                per_address: 44
            }
        );
        for files in [0, 16, 64, 100, 256, 1024, 20_000, u64::MAX] {
            let limits = Limits::for_files(files);
            assert!(
                limits.per_address >= 1 && limits.total <= MAX_CONNECTIONS,
                "{files}: {limits:?}"
            );
            if files >= 128 {
                let most = u64::try_from(limits.total + RESERVE).expect("a number");
                assert!(most + OTHER_FILES <= files, "{files}: {limits:?}");
            }
        }
    }

    #[tokio::test]
    async fn full_address_closes_its_oldest_idle_connection() {
        let registry = Registry::new(LIMITS, Vec::new());
        let other = registry.admit(address("192.0.2.1")).expect("room");
        let first = registry.admit(address("2001:db8::1")).expect("room");
        let second = registry.admit(address("2001:db8::2")).expect("room");
        let busy = first.progress.request();
        let third = registry.admit(address("2001:db8::3")).expect("room");
        assert!(!is_evicted(&other).await && !is_evicted(&first).await);
        assert!(is_evicted(&second).await && !third.is_reserve);
        drop(busy);
        drop((first, second, third, other));
        assert_eq!((registry.count(), registry.open().per_address.len()), (0, 0));
    }

    #[tokio::test]
    async fn slow_readers_are_not_closed_at_once() {
        let registry = Registry::new(LIMITS, Vec::new());
        let admit = || registry.admit(address("192.0.2.1")).expect("a place");
        let readers = [admit(), admit()];
        for reader in &readers {
            reader.progress.set_blocked(true);
        }
        assert!(admit().is_reserve);
        for reader in &readers {
            assert!(!is_evicted(reader).await);
        }
    }

    #[tokio::test]
    async fn busy_connections_leave_a_reserve() {
        let registry = Registry::new(LIMITS, vec!["10.0.0.0/8".parse().expect("a network")]);
        // A trusted proxy may exceed the share of one address.
        let open: Vec<AdmittedConnection> = (0..LIMITS.total)
            .map(|_| registry.admit(address("10.0.0.1")).expect("room"))
            .collect();
        assert!(open.iter().all(|open| !open.is_reserve));
        let requests: Vec<_> = open.iter().map(|open| open.progress.request()).collect();
        let admit = || registry.admit(address("::ffff:10.0.0.1"));
        let (silent, next) = (admit().expect("a reserve"), admit().expect("a reserve"));
        assert!(silent.is_reserve && next.is_reserve);
        assert!(is_evicted(&silent).await && !is_evicted(&next).await);
        drop((silent, next));

        let reserve: Vec<_> = std::iter::from_fn(|| {
            let admitted = admit()?;
            let request = admitted.progress.request();
            Some((admitted, request))
        })
        .collect();
        assert_eq!(reserve.len(), RESERVE);
        drop(requests);
        assert!(admit().is_some(), "room once requests are over");
    }
}
