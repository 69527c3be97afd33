//! Rate limits per client network, or per whatever else, in bounded memory.
//!
//! GCRA, the leaky bucket as a meter: of each key only the moment is kept at which its allowance is whole again.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::client_addr::ClientNet;
use crate::clock::Clock;

/// Networks of each kind remembered at most: about 3 MiB a table.
pub const NETWORKS_MAX: usize = 65_536;

/// What an IPv6 /48 may do, in allowances of one /64. A /48 is the most that one site is given (RFC 6177), and whoever
/// has one has 65,536 /64s; but a provider may also give each of its customers a /64 of the same /48.
pub const SITE_SHARE: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// How often a full table is swept at most: a sweep looks at every network.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How much one network, or another key, may do: `burst` calls at once, and as many again spread over each `per`. Where calls
/// have a weight, that counts instead of their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Calls at once, after a pause.
    pub burst: NonZeroU32,
    /// The time over which a spent burst comes back.
    pub per: Duration,
}

/// The call came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls; try again in {seconds} s")]
pub struct RetryAfter {
    /// Whole seconds until the next call is allowed, at least 1.
    pub seconds: u64,
}

/// Counts calls per client network and refuses those above the quota.
///
/// An IPv4 address has the quota, as has an IPv6 /64; an IPv6 /48 has it [`SITE_SHARE`] times for all its /64s. A call
/// from IPv6 counts for both or, when either refuses it, for neither: a /64 that is over its quota takes nothing from
/// its neighbours, and a /48 that is over its own fills no table.
///
/// Memory is bounded: when [`NETWORKS_MAX`] of a kind are remembered, those whose allowance is whole again are
/// forgotten, which changes nothing for them. If that frees nothing, known ones keep their counts, and new ones are held
/// to less: a /64 to what its /48 may do, IPv4 addresses to one allowance in common, /48s likewise. The kinds have
/// tables of their own, so no flood from IPv6 touches IPv4.
#[derive(Debug)]
pub struct RateLimit {
    tables: Mutex<Tables>,
    clock: Arc<dyn Clock>,
}

impl RateLimit {
    /// A limit by `clock`'s steady hand, so that a step of the wall clock changes nothing.
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        Self::with_networks_max(quota, clock, NETWORKS_MAX)
    }

    fn with_networks_max(quota: Quota, clock: Arc<dyn Clock>, networks_max: usize) -> Self {
        let of_site = Quota { burst: quota.burst.saturating_mul(SITE_SHARE), ..quota };
        let tables = Tables {
            v4: Allowances::new(quota, networks_max),
            v6: Allowances::new(quota, networks_max),
            sites: Allowances::new(of_site, networks_max),
        };
        Self { tables: Mutex::new(tables), clock }
    }

    /// Counts one call from `network`, or says when the next one is allowed.
    pub fn check(&self, network: &ClientNet) -> Result<(), RetryAfter> {
        let now = self.clock.elapsed();
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.count(*network, now).map_err(RetryAfter::from)
    }
}

impl From<Duration> for RetryAfter {
    fn from(wait: Duration) -> Self {
        Self { seconds: wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1) }
    }
}

#[derive(Debug)]
struct Tables {
    v4: Allowances<Ipv4Addr>,
    /// By the first 64 bits.
    v6: Allowances<u64>,
    /// By the first 48 bits.
    sites: Allowances<u64>,
}

impl Tables {
    /// Counts a call at `now`; refused, the time to wait.
    fn count(&mut self, network: ClientNet, now: Duration) -> Result<(), Duration> {
        match network {
            ClientNet::V4(addr) => self.v4.count(addr, now),
            ClientNet::V6(net) => self.count_v6(net, net >> 16, now),
        }
    }

    fn count_v6(&mut self, net: u64, site: u64, now: Duration) -> Result<(), Duration> {
        self.v6.sweep_if_full(now);
        if !self.v6.has_place(net) {
            return self.sites.count(site, now);
        }
        self.sites.sweep_if_full(now);
        match (self.sites.look(site, ONE, now), self.v6.look(net, ONE, now)) {
            (Ok(site_whole_at), Ok(net_whole_at)) => {
                self.sites.set(site, site_whole_at);
                self.v6.set(net, net_whole_at);
                Ok(())
            }
            (Err(site_wait), Err(net_wait)) => Err(site_wait.max(net_wait)),
            (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => Err(wait),
        }
    }
}

/// A [`Quota`] in the terms of GCRA.
#[derive(Debug, Clone, Copy)]
struct Meter {
    /// What one call, or one of its weight, costs.
    interval: Duration,
    /// What may be spent at once: a burst of calls.
    depth: Duration,
}

impl Meter {
    fn new(quota: Quota) -> Self {
        let interval = quota.per / quota.burst.get();
        Self { interval, depth: interval.saturating_mul(quota.burst.get()) }
    }

    /// When an allowance that is whole at `whole_at` is so after a call of this weight at `now`; refused, the time to wait.
    fn spend(
        self,
        whole_at: Option<Duration>,
        weight: NonZeroU32,
        now: Duration,
    ) -> Result<Duration, Duration> {
        let cost = self.interval.saturating_mul(weight.get());
        let after = whole_at.unwrap_or_default().max(now).saturating_add(cost);
        match after.saturating_sub(now).saturating_sub(self.depth) {
            Duration::ZERO => Ok(after),
            wait => Err(wait),
        }
    }
}

/// What a call weighs where all weigh the same.
const ONE: NonZeroU32 = NonZeroU32::MIN;

/// For each key the moment at which its allowance is whole again: a part of a limit, which decides by several of them.
///
/// At most so many keys are remembered. Beyond, those whose allowance is whole again are forgotten; if that frees nothing,
/// new keys share one allowance.
#[derive(Debug)]
pub struct Allowances<K> {
    meter: Meter,
    whole_at: HashMap<K, Duration>,
    /// The same for all that found no place.
    others_whole_at: Option<Duration>,
    keys_max: usize,
    swept: Duration,
}

impl<K: Copy + Eq + Hash> Allowances<K> {
    /// Allowances of so many keys.
    pub fn new(quota: Quota, keys_max: usize) -> Self {
        Self {
            meter: Meter::new(quota),
            whole_at: HashMap::new(),
            others_whole_at: None,
            keys_max,
            swept: Duration::ZERO,
        }
    }

    fn count(&mut self, key: K, now: Duration) -> Result<(), Duration> {
        self.sweep_if_full(now);
        let whole_at = self.look(key, ONE, now)?;
        self.set(key, whole_at);
        Ok(())
    }

    /// Makes room, where there is none and it was not tried just now. To be called before [`look`](Self::look).
    pub fn sweep_if_full(&mut self, now: Duration) {
        if self.is_full() && now.saturating_sub(self.swept) >= SWEEP_EVERY {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.swept = now;
        }
    }

    /// Whether `key` is known, or can be.
    pub fn has_place(&self, key: K) -> bool {
        !self.is_full() || self.whole_at.contains_key(&key)
    }

    /// When the allowance would be whole again after a call of this weight at `now`; refused, the time to wait. Nothing is
    /// counted yet.
    pub fn look(&self, key: K, weight: NonZeroU32, now: Duration) -> Result<Duration, Duration> {
        let own = self.whole_at.get(&key).copied();
        let whole_at = if self.has_place(key) { own } else { self.others_whole_at };
        self.meter.spend(whole_at, weight, now)
    }

    /// Counts the call that [`look`](Self::look) answered this for.
    pub fn set(&mut self, key: K, whole_at: Duration) {
        if self.has_place(key) {
            self.whole_at.insert(key, whole_at);
        } else {
            self.others_whole_at = Some(whole_at);
        }
    }

    fn is_full(&self) -> bool {
        self.whole_at.len() >= self.keys_max
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::clock::ManualClock;

    /// A limit, the hand of its clock, and a shorter way to call.
    struct Fixture {
        clock: Arc<ManualClock>,
        limit: RateLimit,
    }

    impl Fixture {
        fn new(burst: u32, per_s: u64, networks_max: usize) -> Self {
            let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
            clock.advance(Duration::from_secs(1_000));
            let quota = Quota { burst: NonZeroU32::new(burst).unwrap(), per: Duration::from_secs(per_s) };
            Self { limit: RateLimit::with_networks_max(quota, clock.clone(), networks_max), clock }
        }

        /// One call; refused, the seconds to wait.
        fn call(&self, addr: &str) -> Result<(), u64> {
            self.call_from(addr.parse().unwrap())
        }

        fn call_from(&self, addr: IpAddr) -> Result<(), u64> {
            self.limit.check(&addr.into()).map_err(|refusal| refusal.seconds)
        }

        /// How many of `calls` pass, each from another /64 of the /48 `2001:db8:site::`.
        fn flood(&self, site: u16, calls: u16) -> usize {
            let addr = |net| IpAddr::from([0x2001, 0xdb8, site, net, 0, 0, 0, 1]);
            (0..calls).filter(|net| self.call_from(addr(*net)).is_ok()).count()
        }

        fn networks(&self) -> [usize; 3] {
            let tables = self.limit.tables.lock().unwrap();
            [tables.v4.whole_at.len(), tables.v6.whole_at.len(), tables.sites.whole_at.len()]
        }
    }

    #[test]
    fn a_burst_passes_and_comes_back_over_the_period() {
        for [one, other] in [["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8:0:1::1"]] {
            let net = Fixture::new(3, 30, 10);
            for _ in 0..3 {
                net.call(one).unwrap();
            }
            assert_eq!(net.call(one), Err(10));
            net.call(other).unwrap();
            net.clock.advance(Duration::from_millis(9_500));
            assert_eq!(net.call(one), Err(1));
            net.clock.advance(Duration::from_millis(500));
            net.call(one).unwrap();
            assert!(net.call(one).is_err());
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_nothing() {
        let net = Fixture::new(1, 10, 10);
        net.call("192.0.2.1").unwrap();
        net.clock.set("2030-01-01T00:00:00Z".parse().unwrap());
        assert!(net.call("192.0.2.1").is_err());
        net.clock.set("2020-01-01T00:00:00Z".parse().unwrap());
        net.clock.advance(Duration::from_secs(10));
        net.call("192.0.2.1").unwrap();
    }

    #[test]
    fn a_full_table_forgets_the_rested_and_keeps_the_busy() {
        let net = Fixture::new(1, 10, 2);
        net.call("192.0.2.1").unwrap();
        net.clock.advance(Duration::from_secs(9));
        net.call("192.0.2.2").unwrap();
        net.call("192.0.2.3").unwrap(); // full: takes the allowance in common
        assert_eq!(net.call("192.0.2.4"), Err(10), "in common with .3");
        net.clock.advance(Duration::from_secs(1)); // .1 has rested
        net.call("192.0.2.4").unwrap();
        assert!(net.call("192.0.2.2").is_err());
        assert_eq!(net.networks(), [2, 0, 0]);
    }

    /// Each of its 65,536 /64s asks once: 20 times the quota pass, and nobody else notices.
    #[test]
    fn one_v6_site_shuts_nobody_out() {
        let net = Fixture::new(20, 600, NETWORKS_MAX);
        assert_eq!(net.flood(1, u16::MAX), 400);
        assert_eq!(net.networks(), [0, 400, 1], "what is refused takes no place");
        for n in 0..=u8::MAX {
            net.call(&format!("192.0.2.{n}")).unwrap();
        }
        assert_eq!(net.flood(2, 256), 256);
        assert_eq!(net.call("2001:db8:1:ffff::1"), Err(2), "600 s / 400");
        net.clock.advance(Duration::from_secs(3));
        assert_eq!(net.flood(1, u16::MAX), 2);
    }

    #[test]
    fn a_v6_net_over_its_quota_costs_its_neighbours_nothing() {
        let net = Fixture::new(2, 10, 10);
        let passed = (0..1_000).filter(|_| net.call("2001:db8:1:1::1").is_ok()).count();
        assert_eq!(passed, 2);
        assert_eq!(net.call("2001:db8:1:1::1"), Err(5));
        let others = (2..=20).map(|n| format!("2001:db8:1:{n}::1"));
        for other in others.clone().chain(others) {
            net.call(&other).unwrap();
        }
        // The /48 is spent; a net that had not asked yet, and one that is over its own quota too.
        assert_eq!(net.call("2001:db8:1:ffff::1"), Err(1));
        assert_eq!(net.call("2001:db8:1:1::1"), Err(5), "the longer wait");
    }

    /// Many /48s can fill the table of /64s. What has no place there is held to its /48, not to a crumb for all.
    #[test]
    fn v6_nets_without_a_place_are_held_to_their_site() {
        let net = Fixture::new(1, 10, 8);
        for site in 1..=4 {
            assert_eq!(net.flood(site, 2), 2);
        }
        assert_eq!(net.networks(), [0, 8, 4]);
        assert_eq!(net.flood(5, 100), 20);
        assert_eq!(net.flood(6, 100), 20);
        assert_eq!(net.flood(1, 2), 0, "known ones keep their counts");
        net.call("192.0.2.1").unwrap();
        assert_eq!(net.networks(), [1, 8, 6]);
        net.clock.advance(Duration::from_secs(10)); // all have rested
        assert_eq!(net.flood(7, 2), 2);
        assert_eq!(net.networks(), [1, 2, 7]);
    }

    #[test]
    fn the_kinds_fill_up_apart() {
        let net = Fixture::new(1, 10, 3);
        for site in 0..100 {
            net.flood(site, 1);
        }
        assert_eq!(net.networks(), [0, 3, 3]);
        for n in 1..=3 {
            net.call(&format!("192.0.2.{n}")).unwrap();
        }
        net.clock.advance(Duration::from_secs(10));
        for n in 0..100 {
            let _ = net.call(&format!("198.51.100.{n}"));
        }
        assert_eq!(net.networks(), [3, 3, 3]);
        // All of IPv6 has rested.
        assert_eq!([net.flood(200, 30), net.flood(201, 30)], [20, 20]);
        assert_eq!(net.networks(), [3, 3, 2]);
    }
}
