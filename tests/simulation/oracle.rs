//! What the promises allow, held against each answer and each entry that is stored.
//!
//! An item says of which version it is and in which of the upstream's answers it came, so that an answer shows which
//! reads of the upstream it was made of.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    log::Answered,
    schedule::{Commit, Demand, Reading},
    world::{DAY, FIRST_DAY, World, route_of},
};

/// What a read got.
#[derive(Debug)]
pub struct Got {
    pub reading: Reading,
    pub life: usize,
    pub began: u64,
    pub ended: u64,
    /// `None`: no answer, or one that broke off.
    pub answer: Option<Answer>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub cache_status: String,
    pub age: Option<u64>,
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    id: u64,
    version: usize,
    serial: usize,
}

type Broken = (&'static str, String);

/// Looks, pushes and marks go through the network while an age is counted.
const TRANSIT: u64 = 160;
/// What a proxy waits for the store at most before it passes on an end, and a little.
const BUDGET: u64 = 60;

/// Judges the answer to a read.
pub fn judge(world: &mut World, got: &Got) {
    let judged = match &got.answer {
        None => unanswered(world, got),
        Some(answer) if answer.status == 200 => items_of(&answer.body, got.reading.collection)
            .ok_or_else(|| ("an answer is a page of the list", "not a page".to_owned()))
            .and_then(|items| page(world, got, answer, &items)),
        Some(answer) => failed(world, got, answer),
    };
    if let Err((promise, how)) = judged {
        world.log.broke(promise, format!("{how}\n    {got:?}"));
    }
}

/// Data of a moment that may be over is allowed for how long at most, in milliseconds.
fn life_of(world: &World) -> u64 {
    world.setup.ttl + world.setup.while_revalidate.max(world.setup.if_error)
}

fn slack(world: &World) -> u64 {
    // A put that was long on its way makes an entry younger by the store's count; a wall clock that is right knows.
    let skewed = world.setup.skews.iter().any(|skew| *skew != 0);
    TRANSIT + if skewed { 4_500 } else { 0 }
}

fn unanswered(world: &World, got: &Got) -> Result<(), Broken> {
    if world.log.was_upset(got.began.saturating_sub(8_000), got.ended) {
        return Ok(());
    }
    Err(("an answer comes whole where the upstream is well", "no whole answer".to_owned()))
}

fn failed(world: &World, got: &Got, answer: &Answer) -> Result<(), Broken> {
    let route = route_of(got.reading.collection);
    if matches!(answer.status, 401 | 403) {
        let since = got.began.saturating_sub(8_000);
        let refused = |one: &Answered| {
            one.token == Some(got.reading.token)
                && one.status == answer.status
                && one.received >= since
                && route_of(one.collection) == route
        };
        if !world.log.answers.iter().any(refused) {
            return Err(("a token that is good is not refused", format!("{}", answer.status)));
        }
        return Ok(());
    }
    let not_cached = got.reading.demand == Demand::OnlyIfCached && answer.status == 504;
    if not_cached || world.log.was_upset(got.began.saturating_sub(8_000), got.ended) {
        return Ok(());
    }
    Err(("the store's faults cost no answer", format!("status {}", answer.status)))
}

fn page(world: &World, got: &Got, answer: &Answer, items: &[Item]) -> Result<(), Broken> {
    for item in items {
        let known = world.log.answers.get(item.serial);
        if known
            .is_none_or(|known| known.version != item.version || known.collection != got.reading.collection)
        {
            return Err(("items are the upstream's", format!("{item:?} is not")));
        }
    }
    fresh_enough(world, got, answer, items)?;
    if answer.cache_status.contains("fwd=bypass") {
        return Ok(());
    }
    let today = |at| (world.wall(world.lives[got.life].replica, at)) / DAY;
    let days = [today(got.began), today(got.ended)];
    whole(world, got.reading.collection, items, &days, got.reading.size == 100 && got.reading.page == 1)?;
    admitted(world, got, answer)?;
    aged(world, got, answer, items)
}

/// The list is what one walk through the upstream's pages gave.
fn whole(world: &World, collection: usize, items: &[Item], days: &[u64], all: bool) -> Result<(), Broken> {
    const PROMISE: &str = "an entry is one walk through the upstream's pages";
    let mut pages: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    let mut order = Vec::new();
    for item in items {
        pages.entry(item.serial).or_default().push(item.id);
        if order.last() != Some(&item.serial) {
            order.push(item.serial);
        }
    }
    let answers = &world.log.answers;
    let numbers: Vec<u32> = order.iter().map(|serial| answers[*serial].page).collect();
    if !numbers.is_sorted_by(|one, next| one < next) {
        return Err((PROMISE, format!("pages in the order {numbers:?}")));
    }
    let Some(first) = order.first().map(|serial| &answers[*serial]) else { return Ok(()) };
    for serial in &order {
        let one = &answers[*serial];
        if (one.life, one.token, one.size) != (first.life, first.token, world.setup.fill_page) {
            return Err((PROMISE, format!("{first:?} and {one:?} are of one entry")));
        }
        if first.page == 1 && one.page > 1 && first.arrived.is_none_or(|arrived| one.sent < arrived) {
            return Err((PROMISE, format!("{one:?} is of an earlier walk than {first:?}")));
        }
    }
    if !all {
        return Ok(());
    }
    let kept = |day: u64| {
        order.iter().all(|serial| {
            let one = &answers[*serial];
            let ids = world.upstream.ids(collection, one.version, one.page, one.size).iter().copied();
            let wanted: Vec<u64> =
                ids.filter(|id| collection == 0 || world.upstream.day(*id) >= day).collect();
            pages[serial] == wanted
        })
    };
    if !days.iter().any(|day| kept(*day)) {
        return Err(("what is kept is what is of today or later", format!("{items:?}")));
    }
    if collection == 0 {
        let total = world.upstream.versions[collection][first.version].ids.len();
        let wanted: Vec<u32> = (1..=total.div_ceil(first.size as usize) as u32).collect();
        if numbers != wanted {
            return Err((PROMISE, format!("pages {numbers:?} of {wanted:?}")));
        }
    }
    Ok(())
}

/// Nothing older than what was promised after the writes that are over.
fn fresh_enough(world: &World, got: &Got, answer: &Answer, items: &[Item]) -> Result<(), Broken> {
    let Some(oldest) = items.iter().map(|item| item.version).min() else { return Ok(()) };
    let route = route_of(got.reading.collection);
    let from_store =
        answer.cache_status.starts_with("catproxy; hit") && !answer.cache_status.contains("detail=");
    for commit in &world.log.commits {
        if commit.collection != got.reading.collection || commit.version <= oldest {
            continue;
        }
        let missed = |promise| {
            let voided = world.log.voids[route].iter().find(|at| **at >= commit.at);
            Err((promise, format!("v{oldest} after {commit:?}, voided at {voided:?}")))
        };
        if commit.at + life_of(world) + slack(world) < got.began {
            return missed("nothing is served that is older than its life");
        }
        if let Some(write) = commit.write
            && let Some(written) = world.log.writes.get(&write)
            && written.life == got.life
        {
            // What the upstream does after its last word is not promised; of an answer of our own the last moment is
            // that in which the store was asked.
            let is_over = |at: Option<u64>, said: bool| {
                let least = if said { commit.at } else { commit.at + BUDGET };
                at.is_some_and(|at| least <= at && at < got.began)
            };
            let (before, amid) = match world.upstream.writes[write].commit {
                Commit::Before(_) => (true, false),
                Commit::Amid(_) => (false, true),
                Commit::After(_) | Commit::Never => (false, false),
            };
            if is_over(written.head, before && written.passed)
                || is_over(written.end, (before || amid) && written.whole)
            {
                return missed("a read through the same replica sees the write");
            }
        }
        let Some(voided) = world.log.voids[route].iter().find(|at| **at >= commit.at).copied() else {
            continue;
        };
        if voided + 1_001 < got.began {
            return missed("a read through another replica sees the write after a second");
        }
        if voided < got.began && from_store {
            return missed("what comes from the store is of the present generation");
        }
        let told = |push: &&crate::log::Pushed| {
            push.life == got.life && push.route == route && push.said >= voided && push.arrived < got.began
        };
        if world.log.pushes.iter().rev().any(|push| told(&push)) {
            return missed("a read through another replica sees the write once that was told of it");
        }
    }
    Ok(())
}

/// The upstream has said yes to this token through this process, not long ago and after its last no.
fn admitted(world: &World, got: &Got, answer: &Answer) -> Result<(), Broken> {
    if world.setup.open {
        return Ok(());
    }
    let (token, collection) = (got.reading.token, got.reading.collection);
    let of_token = |one: &&Answered| one.life == got.life && one.token == Some(token);
    let same_route = |one: &Answered| route_of(one.collection) == route_of(collection);
    // Of a walk's later pages nobody may have read the answer: a walk that has failed reads no more.
    let refusals = world
        .log
        .answers
        .iter()
        .filter(of_token)
        .filter(|one| one.page == 1 && (one.status == 401 || one.status == 403 && same_route(one)));
    // Whoever waited for a fill may have lost the right meanwhile.
    let asked_at = if answer.cache_status.contains("fwd=") { got.ended } else { got.began };
    let last_no = refusals.filter_map(|one| one.arrived).filter(|at| *at < asked_at).max().unwrap_or(0);
    let says_yes = |one: &Answered| {
        let counts = one.collection == collection || world.setup.vouch_for_route && same_route(one);
        counts
            && one.status == 200
            && one.sent >= last_no
            && one.sent + world.setup.vouch_limit + 1 >= got.began
            && one.received <= got.ended
    };
    if world.log.answers.iter().filter(of_token).any(says_yes) {
        return Ok(());
    }
    let how = format!("t{token} was let in; its last no came at {last_no}");
    Err(("nothing of a cache goes out without the upstream's yes to its token", how))
}

/// It is as old as it says, and not older than it may be.
fn aged(world: &World, got: &Got, answer: &Answer, items: &[Item]) -> Result<(), Broken> {
    let sent = |item: &Item| world.log.answers[item.serial].sent;
    let Some(began) = items.iter().map(sent).min() else { return Ok(()) };
    let (age, slack) = (got.began.saturating_sub(began), slack(world));
    let (status, setup) = (&answer.cache_status, &world.setup);
    let limit = match () {
        () if status.contains("stale-while-revalidate") => setup.ttl + setup.while_revalidate,
        () if status.contains("stale-if-error") => setup.ttl + setup.if_error,
        () => setup.ttl,
    };
    if age > limit + slack {
        return Err(("nothing is served past its time", format!("{age} ms old, {limit} allowed")));
    }
    let said = answer.age.unwrap_or(0) * 1000 + 1000 + slack;
    if said < age {
        return Err(("an answer is not older than its Age", format!("{age} ms old")));
    }
    let asked_for = match got.reading.demand {
        Demand::NoCache => 1_000,
        Demand::MaxAge(seconds) => (seconds * 1000).max(1_000),
        _ => return Ok(()),
    };
    // Two fills were under way, and a third is not begun.
    let bounded = status.contains("fwd=") && status.contains("refresh-bounded");
    if age > asked_for + slack && !bounded {
        return Err(("who asks for something newer gets it", format!("{age} ms old")));
    }
    Ok(())
}

/// Judges an entry at the moment in which Redis takes it.
pub fn stored(world: &mut World, collection: usize, value: &[u8], until: Option<u64>) {
    if let Err((promise, how)) = entry(world, collection, value, until) {
        let text = String::from_utf8_lossy(value).into_owned();
        world.log.broke(promise, format!("{how}\n    in {text}"));
    }
}

fn entry(world: &World, collection: usize, value: &[u8], until: Option<u64>) -> Result<(), Broken> {
    let Ok(entry) = serde_json::from_slice::<Value>(value) else {
        return Err(("what is stored is an entry", "not JSON".to_owned()));
    };
    if entry["items"].is_null() {
        // Somebody else's.
        return Ok(());
    }
    let now = world.now();
    let items = items_in(&entry, collection).ok_or(("what is stored is an entry", "no items".to_owned()))?;
    let kept_from = entry["kept_from"].as_str().map(|day| {
        let day: jiff::civil::Date = day.parse().unwrap_or_default();
        let days = day.since(jiff::civil::date(2026, 11, 25)).map_or(0, |span| i64::from(span.get_days()));
        (FIRST_DAY / DAY).saturating_add_signed(days)
    });
    whole(world, collection, &items, &[kept_from.unwrap_or(0)], true)?;
    let answers = items.iter().map(|item| &world.log.answers[item.serial]);
    let Some(first) = answers.min_by_key(|answer| answer.sent) else { return Ok(()) };
    let replica = world.lives[first.life].replica;
    let stored_at = entry["stored_at"].as_u64().unwrap_or(u64::MAX);
    if stored_at > world.wall(replica, first.sent) {
        return Err(("an entry is not older than it says", format!("stored_at {stored_at}, {first:?}")));
    }
    if until.is_none_or(|until| until > now + life_of(world)) {
        return Err(("every entry ends", format!("until {until:?}, now {now}")));
    }
    let key = crate::world::GENERATIONS[route_of(collection)];
    let claimed = entry["generation"].as_str().unwrap_or_default().as_bytes();
    if let Some((born, at)) = &world.log.born[route_of(collection)]
        && born == claimed
        && world.redis.value(key, now) == Some(claimed)
        && first.sent < *at
    {
        let how = format!("its generation was born at {at}, and {first:?}");
        return Err(("an entry is of the generation in which its fill began", how));
    }
    Ok(())
}

fn items_of(body: &[u8], collection: usize) -> Option<Vec<Item>> {
    items_in(&serde_json::from_slice(body).ok()?, collection)
}

fn items_in(page: &Value, collection: usize) -> Option<Vec<Item>> {
    let (name, serial) =
        if collection == 0 { ("name", "customerDisplayId") } else { ("title", "customerCatalogId") };
    let item = |item: &Value| {
        Some(Item {
            id: item["id"].as_u64()?,
            version: item[name].as_str()?.strip_prefix('v')?.parse().ok()?,
            serial: item[serial].as_u64()? as usize,
        })
    };
    page["items"].as_array()?.iter().map(item).collect()
}
