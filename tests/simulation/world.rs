//! Everything outside the proxies: the network between, a small Redis, a small upstream, and a log of what was done.
//!
//! One event at a time, each in a millisecond of its own of virtual time, and the next one only when no task of the
//! proxies has anything left to do: so what happens depends on the schedule and hardly on the machine.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use catproxy::dial::{Dial, Dialling, Wire};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{
    dice::number,
    log::Log,
    redis::{Done, Dump, Mood, Redis},
    schedule::{Action, Data, End, Fault, Setup, Trouble},
    upstream::{Reply, Upstream},
};

pub const REDIS_PORT: u16 = 6379;
pub const GENERATIONS: [&str; 2] = ["cat_gen_sellers", "cat_gen_catalogs"];
pub const ENTRIES: [&str; 3] = ["cat_sellers_all", "cat_catalogs_seller_1", "cat_catalogs_seller_2"];
/// A midnight of UTC.
pub const FIRST_DAY: u64 = 1_795_564_800_000;
pub const DAY: u64 = 86_400_000;

#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn new(setup: &Setup, tracing: bool) -> Self {
        Self(Arc::new(Mutex::new(World::new(setup.clone(), tracing))))
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to happen.
pub enum Event {
    Connect(u64),
    /// The next piece on this connection arrives.
    Arrive(u64, Way),
    /// The upstream says something on this connection.
    Say(u64, Reply),
    Commit(usize),
    /// What is past its life in Redis goes.
    Expire,
    /// Redis goes on after a freeze.
    Thaw,
    Start(Data),
    Mood(Mood),
    Step(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Upstream,
    Commands,
    Tracking,
}

/// What a piece is to the log when it arrives.
#[derive(Clone, Debug)]
pub enum Note {
    /// The last of the answer with this serial.
    Answer(usize),
    /// Redis said at this time that these routes, by their places, have another generation.
    Push(Vec<usize>, u64),
}

enum Piece {
    Data(Vec<u8>, Option<Note>),
    Reset,
    End,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<(u64, Piece)>,
    last_due: u64,
    count: u64,
}

struct Connection {
    life: usize,
    class: Class,
    opening: Option<oneshot::Sender<io::Result<()>>>,
    up: Queue,
    down: Queue,
    inbox: VecDeque<u8>,
    ended: bool,
    reset: bool,
    reader: Option<Waker>,
    /// The proxy has let go of it.
    left: bool,
    /// The server has.
    over: bool,
    silent: bool,
    /// What the server has read and not yet understood.
    unread: Vec<u8>,
    /// When the piece that the server read last was sent.
    sent: u64,
}

#[derive(Clone, Copy, Default)]
struct Link {
    up: u64,
    down: u64,
    slow_by: u64,
    slow_until: u64,
}

/// One process of a replica.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub replica: usize,
    pub over: bool,
}

pub struct World {
    pub setup: Setup,
    pub start: Instant,
    pub wake: Arc<Notify>,
    pub lives: Vec<Life>,
    pub log: Log,
    pub upstream: Upstream,
    pub redis: Redis,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    connections: BTreeMap<u64, Connection>,
    opened: u64,
    links: BTreeMap<(usize, Class), Link>,
    running: bool,
    frozen_until: u64,
    starts: u64,
    saved: Dump,
    /// When the last fault that was begun so far is over.
    pub calm_at: u64,
}

impl World {
    fn new(setup: Setup, tracing: bool) -> Self {
        Self {
            start: Instant::now(),
            wake: Arc::new(Notify::new()),
            lives: Vec::new(),
            log: Log::new(tracing),
            upstream: Upstream::new(&setup),
            redis: Redis::new("run0"),
            events: BTreeMap::new(),
            count: 0,
            connections: BTreeMap::new(),
            opened: 0,
            links: BTreeMap::new(),
            running: true,
            frozen_until: 0,
            starts: 0,
            saved: Dump::default(),
            calm_at: 0,
            setup,
        }
    }

    pub fn now(&self) -> u64 {
        (Instant::now() - self.start).as_millis() as u64
    }

    /// The wall clock of this replica.
    pub fn wall(&self, replica: usize, at: u64) -> u64 {
        wall(&self.setup, replica, at)
    }

    pub fn trace(&mut self, say: impl FnOnce() -> String) {
        let now = self.now();
        self.log.trace(now, say);
    }

    pub fn schedule(&mut self, due: u64, event: Event) {
        self.count += 1;
        self.events.insert((due, self.count), event);
        self.wake.notify_one();
    }

    pub fn due(&self) -> Option<u64> {
        self.events.keys().next().map(|(due, _)| *due)
    }

    pub fn pop(&mut self) -> Option<Event> {
        self.events.pop_first().map(|(_, event)| event)
    }

    pub fn born(&mut self, replica: usize) -> usize {
        self.lives.push(Life { replica, over: false });
        self.lives.len() - 1
    }

    /// The process is killed: what it sent is on its way, and nothing more.
    pub fn killed(&mut self, life: usize) {
        self.lives[life].over = true;
        let ids: Vec<u64> = self.of(|connection| connection.life == life);
        for id in ids {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.reset = true;
                connection.wake();
            }
        }
    }

    fn of(&self, wanted: impl Fn(&Connection) -> bool) -> Vec<u64> {
        self.connections.iter().filter(|(_, one)| wanted(one)).map(|(id, _)| *id).collect()
    }

    fn link(&self, connection: &Connection) -> Link {
        let replica = self.lives[connection.life].replica;
        self.links.get(&(replica, connection.class)).copied().unwrap_or_default()
    }

    fn send(&mut self, id: u64, way: Way, piece: Piece) {
        let now = self.now();
        let Some(connection) = self.connections.get(&id) else { return };
        let link = self.link(connection);
        let queue = if way == Way::Up { &connection.up } else { &connection.down };
        let chance = number(&[self.setup.seed, id, way as u64, queue.count]);
        let (least, more) = self.setup.latency;
        let mut delay = least.max(1) + chance % (more + 1);
        if self.setup.spikes > 0 && (chance >> 20).is_multiple_of(self.setup.spikes) {
            delay += (chance >> 32) % 80;
        }
        if link.slow_until > now {
            delay += link.slow_by;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let queue = if way == Way::Up { &mut connection.up } else { &mut connection.down };
        let due = (now + delay).max(queue.last_due);
        queue.last_due = due;
        queue.count += 1;
        queue.pieces.push_back((now, piece));
        self.schedule(due, Event::Arrive(id, way));
    }

    /// Does what is due. Steps are the caller's.
    pub fn perform(&mut self, event: Event) {
        match event {
            Event::Connect(id) => self.connected(id),
            Event::Arrive(id, way) => self.arrived(id, way),
            Event::Say(id, reply) => self.say(id, reply),
            Event::Commit(write) => {
                let now = self.now();
                self.upstream.commit(write, now, &mut self.log);
            }
            Event::Expire => {
                let now = self.now();
                self.redis.expire(now);
                self.turn();
            }
            Event::Thaw => self.thaw(),
            Event::Start(data) => self.start_redis(data),
            Event::Mood(mood) => {
                self.redis.mood = mood;
                self.trace(|| format!("redis is {mood:?}"));
            }
            Event::Step(_) => {}
        }
    }

    fn connected(&mut self, id: u64) {
        let now = self.now();
        let Some(connection) = self.connections.get(&id) else { return };
        let link = self.link(connection);
        let held = link.up.max(link.down);
        if held > now {
            return self.schedule(held + 1, Event::Connect(id));
        }
        let up = match connection.class {
            Class::Upstream => self.upstream.down_until <= now,
            _ => self.running,
        };
        let up = up && !self.lives[connection.life].over;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let answer = if up { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) };
        let heard = connection.opening.take().is_some_and(|opening| opening.send(answer).is_ok());
        if !up || !heard {
            self.connections.remove(&id);
        }
    }

    fn arrived(&mut self, id: u64, way: Way) {
        let now = self.now();
        let Some(connection) = self.connections.get(&id) else { return };
        let link = self.link(connection);
        let held = if way == Way::Up { link.up } else { link.down };
        if held > now {
            return self.schedule(held + 1, Event::Arrive(id, way));
        }
        if connection.silent {
            return;
        }
        let frozen = connection.class != Class::Upstream && self.frozen_until > now;
        if way == Way::Up && frozen {
            // It lies in the server's socket until that goes on.
            return;
        }
        match way {
            Way::Up => self.arrived_up(id),
            Way::Down => self.arrived_down(id),
        }
    }

    fn arrived_down(&mut self, id: u64) {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some((_, piece)) = connection.down.pieces.pop_front() else { return };
        let (life, left) = (connection.life, connection.left);
        let over = self.lives[life].over;
        match piece {
            Piece::Data(bytes, note) => {
                connection.inbox.extend(&bytes);
                connection.wake();
                let class = connection.class;
                self.log.trace(now, || format!("#{id} {class:?} -> life {life}: {}", shown(&bytes)));
                if !left
                    && !over
                    && let Some(note) = note
                {
                    self.log.arrived(note, life, now);
                }
            }
            Piece::Reset => {
                connection.reset = true;
                connection.wake();
            }
            Piece::End => {
                connection.ended = true;
                connection.wake();
            }
        }
    }

    fn arrived_up(&mut self, id: u64) {
        if let Some(redis) = self.take_up(id) {
            if redis {
                self.turn();
            } else {
                self.ask_upstream(id);
            }
        }
    }

    /// Gives the server what has come; whether that is Redis.
    fn take_up(&mut self, id: u64) -> Option<bool> {
        let now = self.now();
        let connection = self.connections.get_mut(&id)?;
        let (sent, piece) = connection.up.pieces.pop_front()?;
        let (class, life) = (connection.class, connection.life);
        let Piece::Data(bytes, _) = piece else {
            if class != Class::Upstream {
                self.redis.leave(id);
            }
            self.connections.remove(&id);
            return None;
        };
        if connection.over {
            return None;
        }
        connection.sent = sent;
        self.log.trace(now, || format!("#{id} life {life} -> {class:?}: {}", shown(&bytes)));
        if class == Class::Upstream {
            connection.unread.extend_from_slice(&bytes);
            return Some(false);
        }
        let said = self.redis.hear(now, id, &bytes);
        if !said.is_empty() {
            self.send(id, Way::Down, Piece::Data(said, None));
        }
        Some(true)
    }

    fn ask_upstream(&mut self, id: u64) {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(end) = connection.unread.windows(4).position(|four| four == b"\r\n\r\n") else { return };
        let head = String::from_utf8_lossy(&connection.unread[..end]).into_owned();
        connection.unread.clear();
        let (life, sent) = (connection.life, connection.sent);
        let (replies, commit) = self.upstream.asked(&head, life, sent, now, &mut self.log);
        for (at, reply) in replies {
            self.schedule(at, Event::Say(id, reply));
        }
        if let Some((at, write)) = commit {
            self.schedule(at, Event::Commit(write));
        }
    }

    fn say(&mut self, id: u64, reply: Reply) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.over {
            return;
        }
        if matches!(reply, Reply::Break) {
            connection.over = true;
        }
        match reply {
            Reply::Bytes(bytes, note) => self.send(id, Way::Down, Piece::Data(bytes, note)),
            Reply::Break => self.send(id, Way::Down, Piece::Reset),
        }
    }

    /// The end of a turn of the loop of Redis: what it did is judged, and said to those who follow.
    fn turn(&mut self) {
        let now = self.now();
        let pushes = self.redis.pushes();
        for done in self.redis.take_done() {
            self.note(done, now);
        }
        for (client, bytes, keys) in pushes {
            let routes = GENERATIONS.iter().enumerate();
            let named = |name: &str| keys.iter().any(|key| key == name || key == "*");
            let routes = routes.filter(|(_, name)| named(name)).map(|(place, _)| place).collect();
            self.send(client, Way::Down, Piece::Data(bytes, Some(Note::Push(routes, now))));
        }
    }

    fn note(&mut self, done: Done, now: u64) {
        match done {
            Done::Gone { key } => {
                if let Some(route) = GENERATIONS.iter().position(|name| *name == key) {
                    self.log.voids[route].push(now);
                }
            }
            Done::Flushed => self.log.void_all(now),
            Done::Set { key, value, until } => {
                // It goes at the latest a while after its end, by itself.
                if let Some(until) = until.filter(|until| *until < 3_600_000) {
                    let later = number(&[self.setup.seed, until]) % 100;
                    self.schedule(until.max(now + 1) + later, Event::Expire);
                }
                if let Some(route) = GENERATIONS.iter().position(|name| *name == key) {
                    self.log.born[route] = Some((value, now));
                } else if let Some(collection) = ENTRIES.iter().position(|name| *name == key) {
                    crate::oracle::stored(self, collection, &value, until);
                }
            }
        }
    }

    fn thaw(&mut self) {
        let now = self.now();
        if self.frozen_until > now {
            return;
        }
        self.trace(|| "redis goes on".to_owned());
        // All that waits is done in one turn, by whichever order the sockets are told of.
        let mut ids = self.of(|one| one.class != Class::Upstream && !one.up.pieces.is_empty());
        ids.sort_by_key(|id| number(&[self.setup.seed, *id, now]));
        for id in ids {
            let due = |one: &Connection| one.up.pieces.front().is_some_and(|(sent, _)| *sent + 1 < now);
            while self
                .connections
                .get(&id)
                .is_some_and(|one| due(one) && !one.silent && self.link(one).up <= now)
            {
                self.take_up(id);
            }
        }
        self.turn();
    }

    fn stop_redis(&mut self, ms: u64, data: Data, loading: u64) {
        let now = self.now();
        let dump = match data {
            Data::Kept => self.redis.dump(),
            Data::Saved => self.saved.clone(),
            Data::Lost => Dump::default(),
        };
        self.running = false;
        self.frozen_until = 0;
        self.starts += 1;
        self.redis.restart(&format!("run{}", self.starts), dump);
        self.log.void_all(now);
        self.log.born = Default::default();
        for id in self.of(|one| one.class != Class::Upstream && one.opening.is_none()) {
            self.break_off(id);
        }
        self.schedule(now + ms, Event::Start(data));
        if loading > 0 {
            self.redis.mood = Mood::Loading;
            self.schedule(now + ms + loading, Event::Mood(Mood::Well));
        }
        self.fault_until(now + ms + loading);
    }

    fn start_redis(&mut self, data: Data) {
        self.running = true;
        let now = self.now();
        self.redis.expire(now);
        self.redis.take_done();
        self.redis.pushes();
        self.trace(|| format!("redis is back, its data {data:?}"));
    }

    /// The server's end is gone; what it has said already arrives.
    fn break_off(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.over = true;
            connection.up.pieces.clear();
            self.send(id, Way::Down, Piece::Reset);
        }
    }

    fn fault_until(&mut self, at: u64) {
        self.calm_at = self.calm_at.max(at);
    }

    /// A step that is about what lies outside the proxies.
    pub fn act(&mut self, action: &Action) {
        let now = self.now();
        match action {
            Action::Past { collection, change } => {
                self.upstream.change(*collection, *change, None, now, &mut self.log);
            }
            Action::Link { replica, end, fault } => self.link_fault(*replica, *end, *fault),
            Action::Redis(trouble) => self.trouble(*trouble),
            Action::Upstream(ailment) => {
                let (until, breaks) = self.upstream.ail(*ailment, now);
                self.fault_until(until);
                self.log.upset(now, until);
                if breaks {
                    self.of(|one| one.class == Class::Upstream).into_iter().for_each(|id| self.break_off(id));
                }
            }
            Action::Token { token, collection, allowed } => {
                self.upstream.allow(*token, collection.map(route_of), *allowed);
            }
            Action::Read(_) | Action::Write(_) | Action::Restart { .. } => {}
        }
    }

    fn link_fault(&mut self, replica: usize, end: End, fault: Fault) {
        let now = self.now();
        let classes: &[Class] = match end {
            End::Upstream => &[Class::Upstream],
            End::Redis => &[Class::Commands, Class::Tracking],
            End::Commands => &[Class::Commands],
            End::Tracking => &[Class::Tracking],
        };
        let mut until = now;
        for class in classes {
            let link = self.links.entry((replica, *class)).or_default();
            match fault {
                Fault::Hold { up, down, ms } => {
                    until = now + ms;
                    link.up = if up { link.up.max(until) } else { link.up };
                    link.down = if down { link.down.max(until) } else { link.down };
                }
                Fault::Slow { by, ms } => {
                    until = now + ms;
                    (link.slow_by, link.slow_until) = (by, until);
                }
                Fault::Reset | Fault::Silent => {
                    let lives = self.lives.clone();
                    let open = |one: &Connection| {
                        lives[one.life].replica == replica && one.class == *class && one.opening.is_none()
                    };
                    for id in self.of(open) {
                        // Not always all of them.
                        if number(&[self.setup.seed, id, now]).is_multiple_of(3) {
                            continue;
                        }
                        if matches!(fault, Fault::Reset) {
                            self.break_off(id);
                            self.redis.leave(id);
                        } else if let Some(connection) = self.connections.get_mut(&id) {
                            connection.silent = true;
                        }
                    }
                    // A pooled one may be met as long as it is pooled.
                    until = now + if *class == Class::Upstream { crate::run::IDLE_MS } else { 0 };
                }
            }
        }
        self.fault_until(until);
        if end == End::Upstream {
            self.log.upset(now, until);
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        let now = self.now();
        match trouble {
            Trouble::Freeze(ms) => {
                self.frozen_until = self.frozen_until.max(now + ms);
                self.schedule(self.frozen_until, Event::Thaw);
                self.fault_until(self.frozen_until);
            }
            Trouble::Kill { ms, data, loading } if self.running => self.stop_redis(ms, data, loading),
            Trouble::Kill { .. } => {}
            Trouble::Save => self.saved = self.redis.dump(),
            Trouble::Full(ms) => {
                if self.redis.mood == Mood::Well {
                    self.redis.mood = Mood::Full;
                    self.schedule(now + ms, Event::Mood(Mood::Well));
                    self.fault_until(now + ms);
                }
            }
            Trouble::Flush => self.by_somebody(&[b"FLUSHALL"]),
            Trouble::Evict(collection) => self.by_somebody(&[b"DEL", ENTRIES[collection].as_bytes()]),
            Trouble::EvictGeneration(route) => self.by_somebody(&[b"DEL", GENERATIONS[route].as_bytes()]),
            Trouble::Garbage(collection) => {
                self.by_somebody(&[
                    b"SET",
                    ENTRIES[collection].as_bytes(),
                    b"{\"format\":1}",
                    b"PX",
                    b"5000",
                ]);
            }
        }
    }

    fn by_somebody(&mut self, words: &[&[u8]]) {
        let now = self.now();
        if self.running && self.frozen_until <= now {
            self.redis.command(now, words);
            self.turn();
        }
    }
}

pub fn wall(setup: &Setup, replica: usize, at: u64) -> u64 {
    let true_time = FIRST_DAY + DAY - setup.midnight + at;
    true_time.saturating_add_signed(setup.skews[replica])
}

/// Of the route's place.
pub fn route_of(collection: usize) -> usize {
    usize::from(collection > 0)
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
    text.replace("\r\n", "|").replace('\n', "|")
}

impl Connection {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// How the proxy of one life opens its connections.
pub struct Dials {
    pub world: Shared,
    pub life: usize,
}

impl Dial for Dials {
    fn dial(&self, _host: &str, port: u16) -> Dialling {
        let (opening, opened) = oneshot::channel();
        let (world, mut locked) = (self.world.clone(), self.world.lock());
        let (id, now) = (locked.opened, locked.now());
        locked.opened += 1;
        let class = if port == REDIS_PORT { Class::Commands } else { Class::Upstream };
        let connection = Connection {
            life: self.life,
            class,
            opening: Some(opening),
            up: Queue::default(),
            down: Queue::default(),
            inbox: VecDeque::new(),
            ended: false,
            reset: false,
            reader: None,
            left: false,
            over: false,
            silent: false,
            unread: Vec::new(),
            sent: now,
        };
        locked.connections.insert(id, connection);
        let delay = 1 + number(&[locked.setup.seed, id, 7]) % (locked.setup.latency.1 + 1);
        locked.schedule(now + delay, Event::Connect(id));
        drop(locked);
        Box::pin(async move {
            match opened.await {
                Ok(Ok(())) => Ok(Box::new(Near { world, id, shut: false }) as Box<dyn Wire>),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }
}

/// The proxy's end of a connection.
struct Near {
    world: Shared,
    id: u64,
    shut: bool,
}

impl AsyncRead for Near {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut world = self.world.lock();
        let Some(connection) = world.connections.get_mut(&self.id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if connection.reset && connection.inbox.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if connection.inbox.is_empty() && !connection.ended {
            connection.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = connection.inbox.len().min(buffer.remaining());
        let bytes: Vec<u8> = connection.inbox.drain(..count).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Near {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut world = self.world.lock();
        let Some(connection) = world.connections.get_mut(&self.id) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if connection.reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if connection.class == Class::Commands && bytes.windows(5).any(|word| word == b"HELLO") {
            connection.class = Class::Tracking;
        }
        world.send(self.id, Way::Up, Piece::Data(bytes.to_vec(), None));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Near {
    fn close(&mut self) {
        if !std::mem::replace(&mut self.shut, true) {
            self.world.lock().send(self.id, Way::Up, Piece::End);
        }
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        self.close();
        let mut world = self.world.lock();
        let gone = world.connections.get_mut(&self.id).is_some_and(|connection| {
            connection.left = true;
            connection.over
        });
        if gone {
            world.redis.leave(self.id);
            world.connections.remove(&self.id);
        }
    }
}
