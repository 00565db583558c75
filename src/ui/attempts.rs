//! How often signing in may fail: by address, and by user name.
//!
//! Two limits, because either alone is one-sided. The *address* limit is the strict one: five failures are free, then
//! pauses double from a second to 15 minutes, so one address gets some hundred guesses a day. The *user* limit is for
//! guesses that come from many addresses. It is mild, at most 30 seconds: whoever knows a name could otherwise keep its
//! owner out. And it does not hold for an address from which this user has signed in before, so that people at their own
//! desk do not notice who guesses elsewhere. What is accepted for that: a user name can be guessed at twice a minute by
//! somebody with very many addresses, and its owner, at a desk that is new to this process, may have to try twice.
//!
//! Behind a proxy that does not keep its clients' addresses, all of them are one address.
//!
//! An attempt counts as failed from its start, so that many at once are not free. In memory, bounded, by a
//! clock that nobody can set; a restart forgets.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::bounded::{self, Bounded};

/// Addresses, users and pairs of them that are remembered, of each at most so many.
const REMEMBERED: usize = 10_000;
/// In such a time one failure is forgotten.
const FORGETTING: Duration = Duration::from_secs(600);

const OF_ADDRESS: Limit = Limit { free: 5, longest: Duration::from_secs(900) };
const OF_USER: Limit = Limit { free: 10, longest: Duration::from_secs(30) };

/// What failures bring about.
#[derive(Clone, Copy)]
struct Limit {
    /// So many without a pause.
    free: u32,
    /// Pauses double from a second to this.
    longest: Duration,
}

impl Limit {
    fn pause(self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            Some(beyond) => Duration::from_secs(1 << beyond.min(20)).min(self.longest),
            None => Duration::ZERO,
        }
    }
}

type Counts<K> = Bounded<K, Arc<Mutex<Count>>>;

/// The attempts to sign in of late.
#[derive(Debug)]
pub struct Attempts {
    addresses: Counts<IpAddr>,
    users: Counts<Arc<str>>,
    /// Who has signed in from where.
    familiar: Bounded<(IpAddr, Arc<str>), ()>,
}

#[derive(Debug)]
struct Count {
    failures: u32,
    /// From when on the next one is forgotten.
    since: Instant,
    /// No attempt before.
    until: Instant,
}

impl Count {
    fn new(now: Instant) -> Self {
        Self { failures: 0, since: now, until: now }
    }

    fn age(&mut self, now: Instant) {
        while self.failures > 0 && now.duration_since(self.since) >= FORGETTING {
            self.failures -= 1;
            self.since += FORGETTING;
        }
    }

    fn add(&mut self, now: Instant, limit: Limit) {
        if self.failures == 0 {
            self.since = now;
        }
        self.failures = self.failures.saturating_add(1);
        self.until = now + limit.pause(self.failures);
    }

    fn take_back(&mut self, now: Instant) {
        self.failures = self.failures.saturating_sub(1);
        self.until = now;
    }
}

/// An attempt that may be made now. Dropped without a word it has failed.
#[derive(Debug)]
pub struct Attempt<'a> {
    attempts: &'a Attempts,
    address: IpAddr,
    user: Arc<str>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            addresses: bounded::by_count(REMEMBERED),
            users: bounded::by_count(REMEMBERED),
            familiar: bounded::by_count(REMEMBERED),
        }
    }
}

impl Attempts {
    /// Begins an attempt.
    ///
    /// # Errors
    /// How long to wait for the next one; never zero. Refused attempts do not make that longer.
    pub fn begin(&self, from: IpAddr, user: &str) -> Result<Attempt<'_>, Duration> {
        let (address, user) = (neighbourhood(from), spelling(user));
        let now = Instant::now();
        let of_address = count(&self.addresses, &address, now);
        let of_user = count(&self.users, &user, now);
        // Always in this order, so that nobody waits for another in a circle.
        let (mut of_address, mut of_user) = (lock(&of_address), lock(&of_user));
        of_address.age(now);
        of_user.age(now);
        let is_familiar = self.familiar.get(&(address, Arc::clone(&user))).is_some();
        let until = if is_familiar { of_address.until } else { of_address.until.max(of_user.until) };
        let wait = until.saturating_duration_since(now);
        if !wait.is_zero() {
            return Err(wait);
        }
        of_address.add(now, OF_ADDRESS);
        of_user.add(now, OF_USER);
        Ok(Attempt { attempts: self, address, user })
    }
}

impl Attempt<'_> {
    /// The password was right: the user's failures are forgotten, and the user is known at this address. The address's
    /// failures are not: an account of one's own would make guesses free.
    pub fn succeeded(self) {
        let now = Instant::now();
        lock(&count(&self.attempts.addresses, &self.address, now)).take_back(now);
        self.attempts.users.remove(&self.user);
        self.attempts.familiar.insert((self.address, self.user), ());
    }

    /// Nobody said whether the password was right: as if it had not been made.
    pub fn undecided(self) {
        let now = Instant::now();
        lock(&count(&self.attempts.addresses, &self.address, now)).take_back(now);
        lock(&count(&self.attempts.users, &self.user, now)).take_back(now);
    }
}

fn count<K: std::hash::Hash + Eq + Clone>(counts: &Counts<K>, key: &K, now: Instant) -> Arc<Mutex<Count>> {
    let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Count::new(now))));
    match counts.get_or_insert_with(key, fresh) {
        Ok(count) => count,
        Err(never) => match never {},
    }
}

fn lock(count: &Mutex<Count>) -> MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has an IPv6 address has 2^64 of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// One name for all spellings that an identity server is likely to take for the same.
fn spelling(user: &str) -> Arc<str> {
    user.trim().to_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn there(number: u32) -> IpAddr {
        IpAddr::V4((0x0b00_0000 + number).into())
    }

    /// Seconds to wait; 0: an attempt was made and has failed.
    fn fail(attempts: &Attempts, from: IpAddr, user: &str) -> u64 {
        attempts.begin(from, user).map_or_else(|wait| wait.as_secs_f64().ceil() as u64, |_| 0)
    }

    async fn seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_of_an_address_are_free_and_then_pauses_double_up_to_15_minutes() {
        let attempts = Attempts::default();
        for number in 0..5 {
            assert_eq!(fail(&attempts, HERE, &number.to_string()), 0);
        }
        let mut pauses = Vec::new();
        for number in 5..20 {
            let pause = fail(&attempts, HERE, "other");
            pauses.push(pause);
            seconds(pause).await;
            assert_eq!(fail(&attempts, HERE, &number.to_string()), 0);
        }
        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 32]);
        assert!(pauses.iter().all(|pause| *pause <= 900) && pauses.contains(&512), "{pauses:?}");
        assert_eq!(fail(&attempts, there(1), "other"), 0, "another address is not held up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_attempt_does_not_prolong_the_pause() {
        let attempts = Attempts::default();
        for _ in 0..7 {
            let wait = fail(&attempts, HERE, "demo");
            seconds(wait).await;
            if wait > 0 {
                assert_eq!(fail(&attempts, HERE, "demo"), 0);
            }
        }
        assert_eq!(fail(&attempts, HERE, "demo"), 4);
        seconds(3).await;
        assert_eq!(fail(&attempts, HERE, "demo"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_is_held_up_for_30_seconds_at_most_and_in_every_spelling() {
        let attempts = Attempts::default();
        let mut longest = 0;
        for number in 0..40 {
            let wait = fail(&attempts, there(number), "demo");
            longest = longest.max(wait);
            seconds(wait).await;
            if wait > 0 {
                assert_eq!(fail(&attempts, there(1000 + number), " DEMO "), 0);
            }
        }
        assert_eq!(longest, 30);
        assert_eq!(fail(&attempts, there(2000), "second"), 0, "another user is not held up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_at_a_known_address_is_not_held_up_by_others() {
        let attempts = Attempts::default();
        attempts.begin(HERE, "demo").expect("the first").succeeded();
        for number in 0..11 {
            fail(&attempts, there(number), "demo");
        }
        assert!(fail(&attempts, there(99), "demo") > 0);
        assert!(attempts.begin(HERE, "Demo").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn success_forgets_the_user_s_failures_and_not_the_address_s() {
        let attempts = Attempts::default();
        for number in 0..9 {
            fail(&attempts, there(number), "demo");
        }
        attempts.begin(HERE, "demo").expect("free").succeeded();
        for number in 9..18 {
            assert_eq!(fail(&attempts, there(number), "demo"), 0);
        }
        for _ in 0..4 {
            fail(&attempts, there(50), "second");
            attempts.begin(there(50), "own").expect("free").succeeded();
        }
        fail(&attempts, there(50), "third");
        assert_eq!(fail(&attempts, there(50), "fourth"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_not_free_and_what_was_not_decided_does_not_count() {
        let attempts = Attempts::default();
        let under_way: Vec<_> = (0..10).map_while(|_| attempts.begin(HERE, "demo").ok()).collect();
        assert_eq!(under_way.len(), 5);
        for attempt in under_way {
            attempt.undecided();
        }
        assert_eq!(fail(&attempts, HERE, "demo"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_forgotten_one_by_one() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            fail(&attempts, HERE, "demo");
        }
        seconds(2 * FORGETTING.as_secs()).await;
        assert_eq!([(); 3].map(|()| fail(&attempts, HERE, "demo")), [0, 0, 1]);
    }

    #[test]
    fn neighbours_in_ipv6_are_one_address_and_a_mapped_one_is_itself() {
        let of = |text: &str| neighbourhood(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), HERE);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let attempts = Attempts::default();
        for number in 0..30_000 {
            fail(&attempts, there(number), &number.to_string());
        }
        assert!(attempts.addresses.len() <= REMEMBERED && attempts.users.len() <= REMEMBERED);
    }
}
