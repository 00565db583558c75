//! One client's connection, as the door sees it: what it is waited for, since when, and whether that is too long.
//!
//! Every state is a few atomics that the connection's own tasks write; one task for all connections reads them
//! several times a second. So a request arms no timer.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;

use crate::{config::Clients, deadline::Pace, upstream::Spelling};

/// A client that is told to leave, and does not, is put out after so long.
const FAREWELL: Duration = Duration::from_secs(5);
/// Whoever has come in by the time that all are told to leave has so long, from when they came, to begin a request: it
/// is on its way, and nobody else would answer it.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// Unused for longer, a connection keeps no buffers. Few clients that go on with it wait for so long.
const PARKED_AFTER: Duration = Duration::from_millis(500);
/// Room for so many spellings stays: of one request after the other, and not of many that came at once.
const SPELLINGS: usize = 4;
/// In place of a request's number.
const NONE: u64 = u64::MAX;

/// Milliseconds since the start, as told by whoever looks after the connections.
#[derive(Debug, Default)]
pub(super) struct Ticks(AtomicU64);

impl Ticks {
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, now: Duration) {
        self.0.store(milliseconds(now), Ordering::Relaxed);
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing has come yet; since it was opened.
    New,
    /// In its first head; since it was opened as well.
    First,
    /// Between an answer and the next request's first byte.
    Idle,
    /// In a later head.
    Head,
    /// At least one request is being answered.
    Busy,
    /// Its bytes go to and from the upstream as they are.
    Tunnel,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Verdict {
    /// It goes on.
    Stay,
    /// It is told to go once it has what it asked for.
    Leave,
    /// It is closed as it is.
    End,
}

/// One connection.
pub(super) struct Seat {
    /// Counted from 0, in the order of coming.
    pub(super) number: u64,
    pub(super) from: IpAddr,
    ticks: Arc<Ticks>,
    phase: AtomicU8,
    since: AtomicU64,
    /// Requests whose answers have not ended.
    visits: AtomicU32,
    /// Requests that were begun.
    begun: AtomicU64,
    /// The place among its requests of one that must not be answered.
    ambiguous: AtomicU64,
    /// How requests are spelled that have come and have not begun, by their places: as many as are read at a time.
    spellings: Mutex<VecDeque<(u64, Arc<Spelling>)>>,
    /// Since when a write waits, plus 1; 0: none does.
    writing: AtomicU64,
    /// What writes have waited for in all, and what they have moved, since the connection was last idle.
    waited: AtomicU64,
    moved: AtomicU64,
    /// Answers over HTTP/2, which a client may let wait one by one.
    answers: Mutex<Vec<Arc<Offered>>>,
    verdict: AtomicU8,
    /// It is told to leave, but only after its first request.
    awaited: AtomicBool,
    /// A request has begun to come, and has not come whole.
    amid: AtomicBool,
    /// The last request that was begun by hyper has a body.
    bodied: AtomicBool,
    /// It has not been used for a while.
    spare: AtomicBool,
    /// Somebody was cut short by it.
    pub(super) cut: AtomicBool,
    waker: AtomicWaker,
}

/// Since when something of an answer is there for its client to take, plus 1; 0: nothing is.
#[derive(Debug)]
struct Offered(AtomicU64);

impl Seat {
    pub(super) fn new(number: u64, from: IpAddr, ticks: Arc<Ticks>) -> Self {
        let now = ticks.now();
        Self {
            number,
            from,
            ticks,
            phase: AtomicU8::new(Phase::New as u8),
            since: AtomicU64::new(now),
            visits: AtomicU32::new(0),
            begun: AtomicU64::new(0),
            ambiguous: AtomicU64::new(NONE),
            spellings: Mutex::default(),
            writing: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            answers: Mutex::default(),
            verdict: AtomicU8::new(Verdict::Stay as u8),
            awaited: AtomicBool::new(false),
            amid: AtomicBool::new(false),
            bodied: AtomicBool::new(false),
            spare: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// A part of a head has come.
    pub(super) fn heard_head(&self) {
        if self.is(Phase::Idle) {
            // Its beginning first: who judges it meanwhile must not take the idle time for the head's.
            self.since.store(self.ticks.now(), Ordering::Relaxed);
            self.goes(Phase::Idle, Phase::Head);
        } else {
            self.goes(Phase::New, Phase::First);
        }
    }

    /// Whether a request has begun to come that has not come whole.
    pub(super) fn note_amid(&self, amid: bool) {
        self.amid.store(amid, Ordering::Relaxed);
    }

    /// Whether the request that hyper begins has a body.
    pub(super) fn note_bodied(&self, bodied: bool) {
        self.bodied.store(bodied, Ordering::Relaxed);
    }

    /// The head of a request that must not be answered was read.
    pub(super) fn note_ambiguous(&self, place: u64) {
        self.ambiguous.store(place, Ordering::Relaxed);
    }

    /// A request is to be answered, until the visit is dropped. False where it must not be.
    pub(super) fn visit(self: &Arc<Self>) -> (Visit, bool) {
        if self.visits.fetch_add(1, Ordering::AcqRel) == 0 {
            self.waited.store(0, Ordering::Relaxed);
            self.moved.store(0, Ordering::Relaxed);
            self.enter(Phase::Busy);
        }
        let place = self.begun.fetch_add(1, Ordering::Relaxed);
        let clear = self.ambiguous.load(Ordering::Relaxed) != place;
        (Visit { seat: Arc::clone(self), place, offered: None }, clear)
    }

    /// A head was read whose fields are spelled so. They come in the order of their places.
    pub(super) fn note_spelling(&self, place: u64, mut spelling: Spelling) {
        let mut spellings = lock(&self.spellings);
        // Many small heads may come at once: all that is kept of them is then not much more than they are.
        if !spellings.is_empty() {
            spelling.shrink();
        }
        spellings.push_back((place, Arc::new(spelling)));
    }

    /// The request that is begun next is answered here: nobody asks how it is spelled.
    pub(super) fn forget_spelling(&self) {
        let next = self.begun();
        drop_before(&mut lock(&self.spellings), next + 1);
    }

    /// What was an HTTP connection is one no more.
    pub(super) fn become_tunnel(&self) {
        self.enter(Phase::Tunnel);
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.is(Phase::Tunnel)
    }

    /// A write could not go on.
    pub(super) fn write_waits(&self) {
        if self.writing.load(Ordering::Relaxed) == 0 {
            self.writing.store(self.ticks.now() + 1, Ordering::Relaxed);
        }
    }

    /// A write went on, by so many bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        let since = self.writing.load(Ordering::Relaxed);
        if since != 0 {
            let waited = self.ticks.now().saturating_sub(since - 1);
            self.waited.fetch_add(waited, Ordering::Relaxed);
            self.since.store(self.ticks.now(), Ordering::Relaxed);
            self.writing.store(0, Ordering::Relaxed);
        }
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What is kept for speaking on it may go: it has not been used for a while, and all was read and written.
    pub(super) fn may_park(&self) -> bool {
        self.spare.load(Ordering::Acquire) && self.is_unused()
    }

    /// How many requests were begun on it.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Between two requests, the answer to the last one written. Half of the next one may have come together with the last one, or an answer have ended
    /// before its request's body has: then there is more to come. Where it had one, the end of that may have come and still
    /// lie with hyper, untaken; not once hyper has begun the next request.
    pub(super) fn is_unused(&self) -> bool {
        let has_more = [&self.amid, &self.bodied].iter().any(|more| more.load(Ordering::Relaxed));
        self.is(Phase::Idle) && !has_more && !self.is_in_use()
    }

    /// Something has come.
    pub(super) fn resume(&self) {
        self.spare.store(false, Ordering::Release);
    }

    /// Lets it be parked, where it has not been used for a while.
    pub(super) fn spare(&self) {
        let since = self.since.load(Ordering::Relaxed);
        let parks = self.is_unused() && self.ticks.now().saturating_sub(since) > milliseconds(PARKED_AFTER);
        if parks && !self.spare.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Wakes this task when the verdict changes.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self.verdict.load(Ordering::Acquire) {
            leave if leave == Verdict::Leave as u8 => Verdict::Leave,
            end if end == Verdict::End as u8 => Verdict::End,
            _ => Verdict::Stay,
        }
    }

    /// Says what is to become of it; what was said before is only ever sharpened.
    pub(super) fn tell(&self, verdict: Verdict) {
        if verdict == Verdict::End && self.is_in_use() && !self.is_tunnel() {
            self.cut.store(true, Ordering::Release);
        }
        if self.verdict.fetch_max(verdict as u8, Ordering::AcqRel) < verdict as u8 {
            self.waker.wake();
        }
    }

    /// Tells it to leave for no fault of its own: a newcomer's first request is waited for.
    pub(super) fn bid_farewell(&self) {
        self.awaited.store(self.is_newcomer(), Ordering::Release);
        self.tell(Verdict::Leave);
    }

    /// Waits no longer for one that has had the time for its first request.
    pub(super) fn stop_awaiting(&self) {
        if self.awaited.load(Ordering::Relaxed) && !self.is_newcomer() {
            self.awaited.store(false, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Nothing has come yet, and it has only just been let in.
    fn is_newcomer(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        self.is(Phase::New) && self.ticks.now().saturating_sub(since) < milliseconds(FIRST_WORD)
    }

    /// Whether no further request of it is waited for.
    pub(super) fn is_to_leave(&self) -> bool {
        match self.verdict() {
            Verdict::Stay => false,
            Verdict::Leave => !(self.is(Phase::New) && self.awaited.load(Ordering::Acquire)),
            Verdict::End => true,
        }
    }

    /// Whether it was put out while it did not take what is written.
    pub(super) fn is_ended_amid_a_write(&self) -> bool {
        self.verdict() == Verdict::End && self.writing.load(Ordering::Relaxed) != 0
    }

    /// Since when nothing is asked of it; `None` while something is. One that has not asked anything yet counts.
    pub(super) fn unused_since(&self) -> Option<u64> {
        let unused = [Phase::Idle, Phase::New, Phase::First].into_iter().any(|phase| self.is(phase));
        let unused = unused && !self.is_in_use();
        (unused && self.verdict() == Verdict::Stay).then(|| self.since.load(Ordering::Relaxed))
    }

    /// Whether the client takes too long, whatever it is that it is waited for.
    pub(super) fn judge(&self, limits: &Clients) -> Verdict {
        let now = self.ticks.now();
        let past = |since: u64, limit: Duration| now.saturating_sub(since) > milliseconds(limit);
        let waits = |limit| self.has_answer_that_waits(|since| past(since, limit));
        if self.is_stalled(now, limits) || waits(2 * limits.stall_timeout) {
            return Verdict::End;
        }
        // Others on the connection may be taken all the while: they have as long again to end.
        if waits(limits.stall_timeout) {
            return Verdict::Leave;
        }
        // What is written still, or answered still, is no idle connection whatever the phase says: over HTTP/2 two
        // requests may end and begin at once.
        if self.is_in_use() {
            return Verdict::Stay;
        }
        // In this order: a phase is entered after its beginning was noted.
        let phase = self.phase.load(Ordering::Acquire);
        let since = self.since.load(Ordering::Relaxed);
        let (leave, end) = match phase {
            new if new == Phase::New as u8 => (limits.head_timeout, limits.head_timeout + FAREWELL),
            head if head == Phase::First as u8 || head == Phase::Head as u8 => {
                (limits.head_timeout, limits.head_timeout)
            }
            idle if idle == Phase::Idle as u8 => (limits.idle_timeout, limits.idle_timeout + FAREWELL),
            _ => return Verdict::Stay,
        };
        if past(since, end) {
            Verdict::End
        } else if past(since, leave) {
            Verdict::Leave
        } else {
            Verdict::Stay
        }
    }

    /// Whether a client takes nothing of an answer of its own over HTTP/2.
    fn has_answer_that_waits(&self, past: impl Fn(u64) -> bool) -> bool {
        let since = |offered: &Arc<Offered>| offered.0.load(Ordering::Relaxed).checked_sub(1);
        lock(&self.answers).iter().filter_map(since).any(past)
    }

    /// A request is being answered, or its answer still being written.
    fn is_in_use(&self) -> bool {
        self.visits.load(Ordering::Acquire) > 0 || self.writing.load(Ordering::Relaxed) != 0
    }

    /// Whether it takes nothing of what is written, or too little.
    fn is_stalled(&self, now: u64, limits: &Clients) -> bool {
        let since = self.writing.load(Ordering::Relaxed);
        if since == 0 {
            return false;
        }
        let pause = now.saturating_sub(since - 1);
        let waited = Duration::from_millis(self.waited.load(Ordering::Relaxed) + pause);
        let patience = Pace::of(limits.min_rate).patience(waited, self.moved.load(Ordering::Relaxed));
        pause > milliseconds(limits.stall_timeout) || patience.is_zero()
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// From this phase to that one, if it is in it still.
    fn goes(&self, from: Phase, to: Phase) {
        let _ = self.phase.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Relaxed);
    }

    fn enter(&self, phase: Phase) {
        self.since.store(self.ticks.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Release);
    }
}

/// A request that is being answered; dropped when its answer has ended or its client has left.
pub(super) struct Visit {
    seat: Arc<Seat>,
    /// Among its connection's requests.
    place: u64,
    offered: Option<Arc<Offered>>,
}

impl Visit {
    /// How its request's fields are spelled, where that was noted and not asked before.
    pub(super) fn spelling(&self) -> Option<Arc<Spelling>> {
        let mut spellings = lock(&self.seat.spellings);
        drop_before(&mut spellings, self.place);
        spellings.pop_front_if(|(place, _)| *place == self.place).map(|(_, spelling)| spelling)
    }

    /// The answer is there, and may be let wait by itself while others on its connection go on (HTTP/2).
    pub(super) fn offer(&mut self) {
        let offered = Arc::new(Offered(AtomicU64::new(self.seat.ticks.now() + 1)));
        lock(&self.seat.answers).push(Arc::clone(&offered));
        self.offered = Some(offered);
    }

    /// The client has room for another piece of the answer, and is given one where there is one yet.
    pub(super) fn asked(&self, given: bool) {
        if let Some(offered) = &self.offered {
            offered.0.store(if given { self.seat.ticks.now() + 1 } else { 0 }, Ordering::Relaxed);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(offered) = &self.offered {
            lock(&self.seat.answers).retain(|other| !Arc::ptr_eq(other, offered));
        }
        if self.seat.visits.fetch_sub(1, Ordering::AcqRel) == 1 && !self.seat.is_tunnel() {
            self.seat.enter(Phase::Idle);
        }
    }
}

/// Drops those of requests before this place, and the room of many that came at once.
fn drop_before(spellings: &mut VecDeque<(u64, Arc<Spelling>)>, place: u64) {
    while spellings.pop_front_if(|(before, _)| *before < place).is_some() {}
    if spellings.len() <= 1 {
        spellings.shrink_to(SPELLINGS);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Room {
        ticks: Arc<Ticks>,
        seat: Arc<Seat>,
        limits: Clients,
    }

    fn room() -> Room {
        let ticks = Arc::<Ticks>::default();
        let seat = Arc::new(Seat::new(0, IpAddr::from([127, 0, 0, 1]), Arc::clone(&ticks)));
        let seconds = Duration::from_secs;
        let limits = Clients {
            connections: 1,
            connections_per_address: 1,
            head_timeout: seconds(10),
            idle_timeout: seconds(60),
            stall_timeout: seconds(120),
            min_rate: 500,
            head_bytes: 1,
            head_fields: 1,
            target_bytes: 1,
            streams: 1,
            other_methods: true,
            hit_loop: true,
            relay_loop: true,
            drain_timeout: seconds(1),
        };
        Room { ticks, seat, limits }
    }

    impl Room {
        /// What becomes of it at this second.
        fn at(&self, second: u64) -> Verdict {
            self.ticks.set(Duration::from_secs(second));
            self.seat.judge(&self.limits)
        }
    }

    #[test]
    fn a_silent_one_is_told_to_leave_and_then_put_out() {
        let room = room();
        assert_eq!((room.at(10), room.at(11), room.at(16)), (Verdict::Stay, Verdict::Leave, Verdict::End));
    }

    #[test]
    fn one_is_unused_where_the_answer_to_all_that_has_come_is_written() {
        let room = room();
        let (visit, _) = room.seat.visit();
        assert!(!room.seat.is_unused(), "it is being answered");
        room.seat.write_waits();
        drop(visit);
        assert!(!room.seat.is_unused(), "it is being written");
        room.seat.wrote(1);
        assert!(room.seat.is_unused());
        room.seat.note_amid(true);
        assert!(!room.seat.is_unused(), "half of the next one has come");
        room.seat.note_amid(false);
        room.seat.note_bodied(true);
        assert!(!room.seat.is_unused(), "the end of its body may be untaken");
        room.seat.note_bodied(false);
        assert!(room.seat.is_unused());
    }

    #[test]
    fn a_first_head_has_no_longer_than_a_later_one() {
        let room = room();
        room.ticks.set(Duration::from_secs(4));
        room.seat.heard_head();
        assert_eq!((room.at(10), room.at(11)), (Verdict::Stay, Verdict::End));
        assert_eq!(room.seat.unused_since(), Some(0), "it makes room for others");
    }

    #[test]
    fn bytes_now_and_then_do_not_prolong_a_head() {
        let room = room();
        drop(room.seat.visit());
        assert_eq!(room.at(50), Verdict::Stay);
        for second in 50..=60 {
            room.seat.heard_head();
            assert_eq!(room.at(second), Verdict::Stay);
        }
        assert_eq!(room.at(61), Verdict::End);
    }

    #[test]
    fn an_unused_one_is_told_to_leave_in_time_and_put_out_if_it_does_not() {
        let room = room();
        room.ticks.set(Duration::from_secs(100));
        drop(room.seat.visit());
        assert_eq!((room.at(160), room.at(161), room.at(166)), (Verdict::Stay, Verdict::Leave, Verdict::End));
    }

    #[test]
    fn one_that_waits_for_its_answer_may_wait() {
        let room = room();
        let visit = room.seat.visit();
        assert_eq!(room.at(100_000), Verdict::Stay);
        drop(visit);
        assert_eq!((room.at(100_060), room.at(100_061)), (Verdict::Stay, Verdict::Leave));
    }

    #[test]
    fn one_that_takes_nothing_is_put_out() {
        let room = room();
        let _visit = room.seat.visit();
        room.seat.wrote(1 << 20);
        room.seat.write_waits();
        assert_eq!((room.at(120), room.at(121)), (Verdict::Stay, Verdict::End));
    }

    #[test]
    fn one_that_takes_too_little_is_put_out_and_one_that_keeps_the_pace_is_not() {
        let (slow, fast) = (room(), room());
        let _visits = (slow.seat.visit(), fast.seat.visit());
        let mut ended = None;
        for second in 0..1_000 {
            slow.seat.write_waits();
            fast.seat.write_waits();
            ended = ended.or((slow.at(second) == Verdict::End).then_some(second));
            assert_eq!(fast.at(second), Verdict::Stay, "at {second}");
            slow.seat.wrote(100);
            fast.seat.wrote(500);
        }
        assert_eq!(ended, Some(25), "20 s, and a second for each 500 bytes");
    }

    #[test]
    fn an_answer_of_http_2_that_is_let_wait_ends_the_connection() {
        let room = room();
        let (mut waits, mut goes_on) = (room.seat.visit().0, room.seat.visit().0);
        waits.offer();
        goes_on.offer();
        for second in 0..=120 {
            goes_on.asked(true);
            assert_eq!(room.at(second), Verdict::Stay);
        }
        goes_on.asked(true);
        assert_eq!(room.at(121), Verdict::Leave, "others may end first");
        goes_on.asked(true);
        assert_eq!((room.at(240), room.at(241)), (Verdict::Leave, Verdict::End));
        drop(waits);
        assert_eq!(room.at(241), Verdict::Stay);
    }

    #[test]
    fn an_answer_of_http_2_for_which_the_client_waits_may_come_late() {
        let room = room();
        let mut visit = room.seat.visit().0;
        assert_eq!(room.at(1_000), Verdict::Stay, "its head is not there yet");
        visit.offer();
        visit.asked(false);
        assert_eq!(room.at(2_000), Verdict::Stay, "nor is its next piece");
        visit.asked(true);
        assert_eq!((room.at(2_120), room.at(2_121)), (Verdict::Stay, Verdict::Leave));
    }

    #[test]
    fn only_the_request_that_says_both_must_not_be_answered() {
        let room = room();
        room.seat.note_ambiguous(1);
        assert_eq!([room.seat.visit().1, room.seat.visit().1, room.seat.visit().1], [true, false, true]);
    }

    #[test]
    fn a_request_is_spelled_as_the_one_at_its_place() {
        let room = room();
        let spelling = |name: &str| {
            let mut spelling = Spelling::default();
            spelling.add(name.as_bytes());
            spelling
        };
        for place in [0, 1, 3, 4, 6] {
            room.seat.note_spelling(place, spelling(&format!("At-{place}")));
        }
        let asked = || format!("{:?}", room.seat.visit().0.spelling());
        let at = |place| format!("{:?}", Some(spelling(&format!("At-{place}"))));
        room.seat.forget_spelling();
        assert_eq!(lock(&room.seat.spellings).len(), 4);
        let _answered_here = room.seat.visit();
        assert_eq!([asked(), asked(), asked()], [at(1), "None".to_owned(), at(3)]);
        let _not_asked = room.seat.visit();
        assert_eq!([asked(), asked(), asked()], ["None".to_owned(), at(6), "None".to_owned()]);
        assert_eq!(lock(&room.seat.spellings).len(), 0);
    }

    #[test]
    fn a_verdict_is_only_sharpened_and_who_is_cut_short_is_known() {
        let room = room();
        room.seat.tell(Verdict::End);
        room.seat.tell(Verdict::Leave);
        assert_eq!((room.seat.verdict(), room.seat.cut.load(Ordering::Relaxed)), (Verdict::End, false));
        let busy = self::room();
        let _visit = busy.seat.visit();
        busy.seat.tell(Verdict::End);
        assert!(busy.seat.cut.load(Ordering::Relaxed));
    }
}
