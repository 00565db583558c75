//! Who is in: a bounded number of connections, of one address too, and nobody who is waited for too long.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};

use super::seat::{Seat, Ticks, Verdict};
use crate::{config::Clients, telemetry::Telemetry};

/// How often it is looked who takes too long. No deadline of a client is kept more exactly.
const TICK: Duration = Duration::from_millis(250);

/// All connections of a server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Seats(Arc<Inner>);

struct Inner {
    taken: Mutex<Taken>,
    limits: Mutex<Arc<Clients>>,
    ticks: Arc<Ticks>,
    telemetry: Arc<Telemetry>,
    /// Who is left is put out, at the end.
    clearing: AtomicBool,
    /// Somebody was cut short by that.
    cut: AtomicBool,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
}

/// No seat is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("more connections than clients.connections")]
    House,
    #[error("more connections of one address than clients.connections-per-address")]
    Address,
}

/// A seat that is given back when dropped.
pub(super) struct Held {
    pub(super) seat: Arc<Seat>,
    seats: Seats,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.seats.leave(&self.seat);
    }
}

impl Seats {
    pub(super) fn new(limits: Clients, telemetry: Arc<Telemetry>) -> Self {
        Self(Arc::new(Inner {
            taken: Mutex::default(),
            limits: Mutex::new(Arc::new(limits)),
            ticks: Arc::default(),
            telemetry,
            clearing: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        }))
    }

    /// What holds from now on. Who is in stays, by the new deadlines.
    pub(super) fn limit(&self, limits: Clients) {
        *lock(&self.0.limits) = Arc::new(limits);
    }

    pub(super) fn limits(&self) -> Arc<Clients> {
        Arc::clone(&lock(&self.0.limits))
    }

    /// A seat for a connection from this address. Where none is free, whoever has been unused for longest has to go.
    pub(super) fn take(&self, from: IpAddr) -> Result<Held, Full> {
        let (from, limits) = (counted(from), self.limits());
        let mut taken = lock(&self.0.taken);
        let of_address = taken.by_address.get(&from).map_or(0, BTreeSet::len);
        let freed = if of_address >= limits.connections_per_address {
            taken.free_one_of(from).ok_or(Full::Address)
        } else if taken.seats.len() >= limits.connections {
            taken.free_one().ok_or(Full::House)
        } else {
            Ok(())
        };
        freed.inspect_err(|full| self.0.telemetry.refused_connection(full))?;
        let seat = Arc::new(Seat::new(taken.next, from, Arc::clone(&self.0.ticks)));
        taken.next += 1;
        taken.seats.insert(seat.number, Arc::clone(&seat));
        taken.by_address.entry(from).or_default().insert(seat.number);
        Ok(Held { seat, seats: self.clone() })
    }

    /// How many are taken.
    pub(super) fn count(&self) -> usize {
        lock(&self.0.taken).seats.len()
    }

    fn leave(&self, seat: &Seat) {
        if seat.cut.load(Ordering::Acquire) && self.0.clearing.load(Ordering::Acquire) {
            self.0.cut.store(true, Ordering::Release);
        }
        lock(&self.0.taken).remove(seat);
    }

    /// Sees to it that nobody is waited for too long. For ever, until dropped.
    pub(super) async fn look_after(&self) {
        let begun = Instant::now();
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            self.0.ticks.set(begun.elapsed());
            self.look();
        }
    }

    fn look(&self) {
        let limits = self.limits();
        for seat in lock(&self.0.taken).seats.values() {
            seat.spare();
            seat.stop_awaiting();
            let verdict = seat.judge(&limits);
            if verdict == Verdict::End && seat.verdict() != Verdict::End {
                self.0.telemetry.ended_connection();
            }
            if verdict != Verdict::Stay {
                seat.tell(verdict);
            }
        }
    }

    /// Tells everybody to leave; newcomers, after their first request. Nobody is let in any more by then.
    pub(super) fn close(&self) {
        lock(&self.0.taken).seats.values().for_each(|seat| seat.bid_farewell());
    }

    /// Puts out who is still in.
    pub(super) fn clear(&self) {
        self.0.clearing.store(true, Ordering::Release);
        lock(&self.0.taken).seats.values().for_each(|seat| seat.tell(Verdict::End));
    }

    /// Whether somebody was put out who was being answered.
    pub(super) fn cut_somebody(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }
}

impl Taken {
    fn remove(&mut self, seat: &Seat) {
        self.seats.remove(&seat.number);
        if let Some(numbers) = self.by_address.get_mut(&seat.from) {
            numbers.remove(&seat.number);
            if numbers.is_empty() {
                self.by_address.remove(&seat.from);
            }
        }
    }

    fn free_one(&mut self) -> Option<()> {
        let seat = longest_unused(self.seats.values())?;
        self.free(&seat);
        Some(())
    }

    fn free_one_of(&mut self, from: IpAddr) -> Option<()> {
        let numbers = self.by_address.get(&from)?;
        let seat = longest_unused(numbers.iter().filter_map(|number| self.seats.get(number)))?;
        self.free(&seat);
        Some(())
    }

    /// It counts no more, though its connection may take a moment to close.
    fn free(&mut self, seat: &Seat) {
        seat.tell(Verdict::End);
        self.remove(seat);
    }
}

fn longest_unused<'s>(seats: impl Iterator<Item = &'s Arc<Seat>>) -> Option<Arc<Seat>> {
    let unused = seats.filter_map(|seat| seat.unused_since().map(|since| (since, seat.number, seat)));
    unused.min_by_key(|(since, number, _)| (*since, *number)).map(|(_, _, seat)| Arc::clone(seat))
}

/// The address that a connection counts for: whoever has an IPv6 address has its whole /64.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_counts_by_its_network() {
        let of = |text: &str| counted(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }
}
