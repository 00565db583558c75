//! What happens in a run, made of its seed alone: the set-up, and steps at moments of virtual time. A step may be left
//! out and the others stay what they are.

use crate::dice::Dice;

/// How the run is set up. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub replicas: usize,
    pub near: bool,
    pub near_limit: u64,
    pub ttl: u64,
    pub while_revalidate: u64,
    pub if_error: u64,
    pub vouch_limit: u64,
    /// The upstream's yes counts for all keys of the route.
    pub vouch_for_route: bool,
    /// Nobody asks for a token.
    pub open: bool,
    pub fill_page: u32,
    pub parallel_pages: usize,
    /// How far each replica's wall clock is from the truth.
    pub skews: Vec<i64>,
    /// From the start to midnight.
    pub midnight: u64,
    /// What a piece takes from one end to the other: at least, and how much more at most.
    pub latency: (u64, u64),
    /// One piece in so many takes up to 80 ms more; 0: none does.
    pub spikes: u64,
}

/// Items of three collections: the sellers, and the catalogs of two of them.
pub const COLLECTIONS: usize = 3;
pub const TOKENS: usize = 3;

/// A step and when it comes.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: u64,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Read(Reading),
    Write(Writing),
    /// The upstream's data changes, and no proxy was asked.
    Past {
        collection: usize,
        change: Change,
    },
    Link {
        replica: usize,
        end: End,
        fault: Fault,
    },
    Redis(Trouble),
    Upstream(Ailment),
    /// What the upstream says of a token from now on; `collection`: of its route alone.
    Token {
        token: usize,
        collection: Option<usize>,
        allowed: bool,
    },
    /// Killed, and another one started in its place.
    Restart {
        replica: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Reading {
    pub replica: usize,
    pub token: usize,
    pub collection: usize,
    pub page: u32,
    pub size: u32,
    pub demand: Demand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    Plain,
    NoCache,
    MaxAge(u64),
    OnlyIfCached,
    NoStore,
}

#[derive(Clone, Debug)]
pub struct Writing {
    pub replica: usize,
    pub token: usize,
    pub kind: Kind,
    /// Which collections it changes in truth, among those that it may.
    pub changes: Vec<(usize, Change)>,
    pub outcome: Outcome,
    pub commit: Commit,
}

/// The write's path, which says to the proxy what it may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Seller,
    Catalog,
    Bulk,
    Unknown,
}

impl Kind {
    pub fn may_change(self, collection: usize) -> bool {
        self != Self::Catalog || collection > 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Rename,
    Grow,
    Shrink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A status, and the milliseconds between head and last byte; 0: all in one piece.
    Status(u16, u64),
    /// The connection breaks in place of a head.
    Reset,
    /// It breaks amid the body.
    Half,
    /// Nothing ever comes.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// So many milliseconds before the head leaves.
    Before(u64),
    /// Between the head and the last byte: so many milliseconds after the head leaves.
    Amid(u64),
    /// So many milliseconds after the last byte.
    After(u64),
    Never,
}

/// Which connections of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Upstream,
    /// All to Redis.
    Redis,
    /// Those to Redis on which commands go.
    Commands,
    /// The one to Redis on which pushes come.
    Tracking,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing goes through for so long, to the server or from it; then all of it.
    Hold {
        up: bool,
        down: bool,
        ms: u64,
    },
    Slow {
        by: u64,
        ms: u64,
    },
    /// What is open now breaks.
    Reset,
    /// What is open now says nothing any more, for good.
    Silent,
}

#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    Freeze(u64),
    /// Gone for so long, and back with what it held, with what it held at the last save, or with nothing.
    Kill {
        ms: u64,
        data: Data,
        loading: u64,
    },
    Save,
    Flush,
    /// Takes nothing that needs memory, for so long.
    Full(u64),
    /// Somebody deletes an entry.
    Evict(usize),
    /// Somebody deletes a generation.
    EvictGeneration(usize),
    /// Somebody else writes there.
    Garbage(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    Kept,
    Saved,
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub enum Ailment {
    /// Refuses connections, and those that are open break.
    Down(u64),
    /// Answers with this status only.
    Status(u16, u64),
    /// Thinks for up to so long over each answer.
    Slow { by: u64, ms: u64 },
    /// Breaks off every third answer or so.
    Flaky(u64),
}

/// The run of a seed.
pub fn of_seed(seed: u64, replicas: usize) -> (Setup, Vec<Step>) {
    let mut dice = Dice::new(seed.wrapping_mul(0x1_0001).wrapping_add(replicas as u64));
    let setup = setup(&mut dice, seed, replicas);
    let steps = steps(&mut dice, &setup);
    (setup, steps)
}

fn setup(dice: &mut Dice, seed: u64, replicas: usize) -> Setup {
    let stale = dice.weighed(&[5, 2, 2, 2]);
    let skewed = dice.one_in(3);
    Setup {
        seed,
        replicas,
        near: !dice.one_in(5),
        near_limit: dice.within(1, 5) * 1000,
        ttl: dice.within(6, 20) * 1000,
        while_revalidate: if stale & 1 == 1 { dice.within(2, 8) * 1000 } else { 0 },
        if_error: if stale & 2 == 2 { dice.within(2, 12) * 1000 } else { 0 },
        vouch_limit: dice.within(3, 25) * 1000,
        vouch_for_route: dice.one_in(4),
        open: dice.one_in(8),
        fill_page: dice.within(2, 4) as u32,
        parallel_pages: dice.within(1, 3) as usize,
        skews: (0..replicas)
            .map(|_| if skewed { dice.below(8001).cast_signed() - 4000 } else { 0 })
            .collect(),
        midnight: if dice.one_in(2) { dice.within(500, 20_000) } else { 40_000_000 },
        latency: dice.pick(&[(1, 0), (1, 2), (1, 6), (2, 20), (0, 3)]),
        spikes: dice.pick(&[0, 0, 40, 100]),
    }
}

fn steps(dice: &mut Dice, setup: &Setup) -> Vec<Step> {
    // Each run likes some things and leaves others out, so that rare meetings are not drowned.
    let mut like = |weight: u64| if dice.one_in(2) { weight } else { 0 };
    let weights = [60, 24, like(4), like(10), like(7), like(5), like(4), like(3)];
    let collections: Vec<usize> = dice.pick(&[vec![0], vec![1], vec![0, 1], vec![0, 1, 2]]);
    let tokens = dice.within(1, TOKENS as u64);
    let gaps: [u64; 5] = dice.pick(&[[12, 4, 2, 1, 0], [6, 6, 4, 1, 1], [20, 2, 1, 0, 0]]);
    let chases = dice.pick(&[10, 30, 1_000]);
    let (mut at, count) = (300, dice.within(15, 90));
    let mut steps = Vec::new();
    for _ in 0..count {
        at += match dice.weighed(&gaps) {
            0 => dice.within(0, 12),
            1 => dice.within(5, 90),
            2 => dice.within(60, 1200),
            3 => dice.within(1000, 6000),
            _ => dice.within(4000, 26_000),
        };
        if dice.one_in(chases) {
            at = chase(dice, setup, &collections, at, &mut steps);
            continue;
        }
        let action = match dice.weighed(&weights) {
            0 => Action::Read(reading(dice, setup, &collections, tokens)),
            1 => Action::Write(writing(dice, setup, &collections)),
            2 => Action::Past { collection: dice.pick(&collections), change: change(dice) },
            3 => link(dice, setup),
            4 => Action::Redis(trouble(dice)),
            5 => Action::Upstream(ailment(dice)),
            6 => Action::Token {
                token: dice.below(tokens) as usize,
                collection: dice.one_in(2).then(|| dice.pick(&collections)),
                allowed: dice.one_in(2),
            },
            _ => Action::Restart { replica: dice.place(setup.replicas) },
        };
        steps.push(Step { at, action });
    }
    steps
}

/// A list is read through one replica, something may befall that one, a write goes through another, and the first is
/// asked again.
fn chase(dice: &mut Dice, setup: &Setup, collections: &[usize], from: u64, steps: &mut Vec<Step>) -> u64 {
    let (reader, collection, mut at) = (dice.place(setup.replicas), dice.pick(collections), from);
    let writer = (reader + dice.within(1, setup.replicas as u64 - 1) as usize) % setup.replicas;
    let read = Reading { replica: reader, token: 0, collection, page: 1, size: 100, demand: Demand::Plain };
    let mut add = |at: u64, action| steps.push(Step { at, action });
    add(at, Action::Read(read.clone()));
    at += dice.pick(&[20, 60, 150]);
    add(at, Action::Read(read.clone()));
    at += dice.within(0, 40);
    if !dice.one_in(3) {
        let hold = |ms| Fault::Hold { up: true, down: true, ms };
        let fault = dice.pick(&[hold(300), hold(4_000), hold(4_000), Fault::Silent, Fault::Reset]);
        let end = dice.pick(&[End::Tracking, End::Tracking, End::Redis, End::Commands]);
        add(at, Action::Link { replica: reader, end, fault });
        at += dice.within(0, 60);
    }
    if dice.one_in(4) {
        add(at, Action::Upstream(Ailment::Slow { by: 1_500, ms: 3_000 }));
    }
    for pause in [dice.within(0, 1_100), dice.within(0, 40)] {
        add(at, Action::Read(read.clone()));
        at += pause;
    }
    let changes = vec![(collection, Change::Rename)];
    let commit = dice.pick(&[Commit::Before(0), Commit::Before(30), Commit::Amid(30)]);
    let (kind, outcome) = (Kind::Seller, Outcome::Status(200, 0));
    add(at, Action::Write(Writing { replica: writer, token: 0, kind, changes, outcome, commit }));
    for (least, most) in [(0, 30), (0, 40), (20, 700), (300, 900), (100, 900)] {
        at += dice.within(least, most);
        add(at, Action::Read(read.clone()));
    }
    at
}

fn reading(dice: &mut Dice, setup: &Setup, collections: &[usize], tokens: u64) -> Reading {
    let demand = match dice.weighed(&[30, 3, 3, 1, 1]) {
        0 => Demand::Plain,
        1 => Demand::NoCache,
        2 => Demand::MaxAge(dice.below(6)),
        3 => Demand::OnlyIfCached,
        _ => Demand::NoStore,
    };
    Reading {
        replica: dice.place(setup.replicas),
        token: dice.below(tokens) as usize,
        collection: dice.pick(collections),
        page: dice.pick(&[1, 1, 1, 2]),
        size: dice.pick(&[100, 100, 3]),
        demand,
    }
}

fn change(dice: &mut Dice) -> Change {
    dice.pick(&[Change::Rename, Change::Rename, Change::Rename, Change::Grow, Change::Shrink])
}

fn writing(dice: &mut Dice, setup: &Setup, collections: &[usize]) -> Writing {
    let kind =
        dice.pick(&[Kind::Seller, Kind::Seller, Kind::Catalog, Kind::Catalog, Kind::Bulk, Kind::Unknown]);
    let mut changes = Vec::new();
    for collection in collections.iter().filter(|collection| kind.may_change(**collection)) {
        if !dice.one_in(4) {
            changes.push((*collection, change(dice)));
        }
    }
    let pause = dice.pick(&[0, 0, 5, 120]);
    let outcome = match dice.weighed(&[16, 2, 1, 1, 1, 1, 1, 1, 1]) {
        0 => Outcome::Status(200, pause),
        1 => Outcome::Status(204, 0),
        2 => Outcome::Status(500, pause),
        3 => Outcome::Status(408, 0),
        4 if kind == Kind::Bulk => Outcome::Status(400, pause),
        4 => Outcome::Status(503, 0),
        5 => Outcome::Status(dice.pick(&[401, 403, 404]), 0),
        6 => Outcome::Reset,
        7 => Outcome::Half,
        _ => Outcome::Silence,
    };
    let commit = match outcome {
        Outcome::Status(401 | 403 | 404, _) => Commit::Never,
        _ => match dice.weighed(&[8, 3, 1, 1]) {
            0 => Commit::Before(dice.pick(&[0, 0, 1, 10, 60])),
            1 => Commit::Amid(dice.pick(&[1, 10, 30, 100])),
            2 => Commit::After(dice.within(1, 200)),
            _ => Commit::Never,
        },
    };
    Writing { replica: dice.place(setup.replicas), token: 0, kind, changes, outcome, commit }
}

fn link(dice: &mut Dice, setup: &Setup) -> Action {
    let ms = dice.pick(&[20, 60, 300, 950, 1500, 4000]);
    let fault = match dice.weighed(&[5, 2, 2, 2]) {
        0 => {
            let (up, down) = dice.pick(&[(true, true), (true, true), (true, false), (false, true)]);
            Fault::Hold { up, down, ms }
        }
        1 => Fault::Slow { by: dice.pick(&[5, 20, 60, 200]), ms },
        2 => Fault::Reset,
        _ => Fault::Silent,
    };
    let end =
        dice.pick(&[End::Tracking, End::Tracking, End::Commands, End::Commands, End::Redis, End::Upstream]);
    Action::Link { replica: dice.place(setup.replicas), end, fault }
}

fn trouble(dice: &mut Dice) -> Trouble {
    let ms = dice.pick(&[10, 40, 200, 1000, 3000]);
    match dice.weighed(&[4, 6, 2, 1, 2, 2, 2, 1]) {
        0 => Trouble::Freeze(ms),
        1 => {
            let data = dice.pick(&[Data::Kept, Data::Saved, Data::Saved, Data::Lost]);
            Trouble::Kill { ms, data, loading: dice.pick(&[0, 0, 30, 400]) }
        }
        2 => Trouble::Save,
        3 => Trouble::Flush,
        4 => Trouble::Full(ms),
        5 => Trouble::Evict(dice.place(COLLECTIONS)),
        6 => Trouble::EvictGeneration(dice.place(2)),
        _ => Trouble::Garbage(dice.place(COLLECTIONS)),
    }
}

fn ailment(dice: &mut Dice) -> Ailment {
    let ms = dice.pick(&[30, 300, 2000]);
    match dice.weighed(&[1, 2, 3, 2]) {
        0 => Ailment::Down(ms),
        1 => Ailment::Status(dice.pick(&[500, 503, 404]), ms),
        2 => Ailment::Slow { by: dice.pick(&[10, 100, 900]), ms: 2 * ms },
        _ => Ailment::Flaky(ms),
    }
}
