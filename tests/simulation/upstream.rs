//! A small upstream: lists whose items say which version they are of and in which answer they came. Pure: time comes
//! as an argument, and what it will say goes out as values.

use crate::{
    dice::number,
    log::{Answered, Committed, Log},
    schedule::{Ailment, COLLECTIONS, Change, Commit, Outcome, Setup, TOKENS, Writing},
    world::{FIRST_DAY, Note, route_of},
};

/// What it says on a connection.
#[derive(Debug)]
pub enum Reply {
    Bytes(Vec<u8>, Option<Note>),
    /// It breaks the connection.
    Break,
}

type Plan = (Vec<(u64, Reply)>, Option<(u64, usize)>);

/// A collection as of a commit: ids in order.
#[derive(Clone, Debug)]
pub struct Version {
    pub ids: Vec<u64>,
}

pub struct Upstream {
    seed: u64,
    today: u64,
    open: bool,
    pub versions: Vec<Vec<Version>>,
    /// By their number.
    pub writes: Vec<Writing>,
    /// By token: refused everywhere, and by route.
    refused: Vec<(bool, [bool; 2])>,
    pub down_until: u64,
    status: (u16, u64),
    slow: (u64, u64),
    flaky_until: u64,
    next_id: u64,
}

impl Upstream {
    pub fn new(setup: &Setup) -> Self {
        let first = |collection: usize| {
            let ids = (1..=4 + collection as u64).map(|id| id + 100 * collection as u64).collect();
            vec![Version { ids }]
        };
        Self {
            seed: setup.seed,
            today: crate::world::wall(&Setup { skews: vec![0; setup.replicas], ..setup.clone() }, 0, 0)
                / crate::world::DAY,
            open: setup.open,
            versions: (0..COLLECTIONS).map(first).collect(),
            writes: Vec::new(),
            refused: vec![(false, [false; 2]); TOKENS],
            down_until: 0,
            status: (0, 0),
            slow: (0, 0),
            flaky_until: 0,
            next_id: 1000,
        }
    }

    pub fn newest(&self, collection: usize) -> usize {
        self.versions[collection].len() - 1
    }

    /// The day of an item, counted from 1970.
    pub fn day(&self, id: u64) -> u64 {
        self.today + [1, 2, 0, 3][(id % 4) as usize] - 1
    }

    pub fn allow(&mut self, token: usize, route: Option<usize>, allowed: bool) {
        match route {
            Some(route) => self.refused[token].1[route] = !allowed,
            None => self.refused[token].0 = !allowed,
        }
    }

    pub fn allow_all(&mut self) {
        self.refused = vec![(false, [false; 2]); TOKENS];
    }

    /// The status for this token: 200, 401 or 403.
    pub fn right(&self, token: Option<usize>, route: usize) -> u16 {
        match token.and_then(|token| self.refused.get(token)) {
            _ if self.open => 200,
            None | Some((true, _)) => 401,
            Some((_, routes)) if routes[route] => 403,
            Some(_) => 200,
        }
    }

    /// Until when it will be ill, and whether open connections break.
    pub fn ail(&mut self, ailment: Ailment, now: u64) -> (u64, bool) {
        match ailment {
            Ailment::Down(ms) => {
                self.down_until = now + ms;
                (now + ms, true)
            }
            Ailment::Status(status, ms) => {
                self.status = (status, now + ms);
                (now + ms, false)
            }
            Ailment::Slow { by, ms } => {
                self.slow = (by, now + ms);
                (now + ms + by, false)
            }
            Ailment::Flaky(ms) => {
                self.flaky_until = now + ms;
                (now + ms, false)
            }
        }
    }

    pub fn commit(&mut self, write: usize, now: u64, log: &mut Log) {
        for (collection, change) in self.writes[write].changes.clone() {
            self.change(collection, change, Some(write), now, log);
        }
    }

    pub fn change(
        &mut self,
        collection: usize,
        change: Change,
        write: Option<usize>,
        now: u64,
        log: &mut Log,
    ) {
        let mut ids = self.versions[collection][self.newest(collection)].ids.clone();
        match change {
            Change::Grow => {
                ids.push(self.next_id);
                self.next_id += 1;
            }
            Change::Shrink if ids.len() > 1 => {
                ids.remove(0);
            }
            Change::Rename | Change::Shrink => {}
        }
        self.versions[collection].push(Version { ids });
        let version = self.newest(collection);
        log.commits.push(Committed { collection, version, at: now, write });
        log.trace(now, || format!("collection {collection} is now v{version} ({change:?}, write {write:?})"));
    }

    /// What a request leads to.
    pub fn asked(&mut self, head: &str, life: usize, sent: u64, now: u64, log: &mut Log) -> Plan {
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let token = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let token = value.strip_prefix("Bearer t")?;
            name.eq_ignore_ascii_case("authorization").then(|| token.parse().ok()).flatten()
        });
        if method == "GET" {
            return (self.read(target, token, life, sent, now, log), None);
        }
        let number = target.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
        self.write(number, token, now, log)
    }

    fn read(
        &self,
        target: &str,
        token: Option<usize>,
        life: usize,
        sent: u64,
        now: u64,
        log: &mut Log,
    ) -> Vec<(u64, Reply)> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let value = |name: &str| {
            let pair = query.split('&').filter_map(|pair| pair.split_once('='));
            pair.filter(|(one, _)| *one == name).find_map(|(_, value)| value.parse::<u32>().ok())
        };
        let collection = if path == "/api/Seller" { 0 } else { value("SellerIds").unwrap_or(1) as usize };
        let (page, size) = (value("PageNumber").unwrap_or(1), value("PageSize").unwrap_or(10));
        let serial = log.answers.len();
        let chance = number(&[self.seed, 11, serial as u64]);
        let status =
            if self.status.1 > now { self.status.0 } else { self.right(token, route_of(collection)) };
        let version = self.newest(collection);
        log.answers.push(Answered {
            life,
            collection,
            version,
            page,
            size,
            token,
            status,
            sent,
            received: now,
            arrived: None,
        });
        let body = if status == 200 {
            self.page(collection, version, serial, page, size)
        } else {
            format!("{{\"status\":{status}}}")
        };
        let slow = if self.slow.1 > now { chance % (self.slow.0 + 1) } else { 0 };
        let at = now + 1 + (chance >> 16) % 3 + slow;
        let whole = answer(status, &body);
        if self.flaky_until > now && (chance >> 24).is_multiple_of(3) {
            let part = whole[..(chance >> 32) as usize % whole.len()].to_vec();
            return vec![(at, Reply::Bytes(part, None)), (at + 1, Reply::Break)];
        }
        if (chance >> 40).is_multiple_of(4) {
            let (one, other) = whole.split_at(whole.len() - body.len() / 2);
            let pause = 1 + (chance >> 44) % 8;
            let rest = Reply::Bytes(other.to_vec(), Some(Note::Answer(serial)));
            return vec![(at, Reply::Bytes(one.to_vec(), None)), (at + pause, rest)];
        }
        vec![(at, Reply::Bytes(whole, Some(Note::Answer(serial))))]
    }

    /// The items of a page.
    pub fn ids(&self, collection: usize, version: usize, page: u32, size: u32) -> &[u64] {
        let ids = &self.versions[collection][version].ids;
        let from = ((page as usize - 1) * size as usize).min(ids.len());
        &ids[from..ids.len().min(from + size as usize)]
    }

    fn page(&self, collection: usize, version: usize, serial: usize, page: u32, size: u32) -> String {
        let total = self.versions[collection][version].ids.len();
        let pages = total.div_ceil(size as usize);
        let ids = self.ids(collection, version, page, size).iter();
        let items: Vec<String> = ids.map(|id| self.item(collection, *id, version, serial)).collect();
        let (previous, next) = (page > 1 && pages > 0, (page as usize) < pages);
        format!(
            "{{\"items\":[{}],\"pageNumber\":{page},\"totalPages\":{pages},\"totalItems\":{total},\"hasPreviousPage\":{previous},\"hasNextPage\":{next}}}",
            items.join(",")
        )
    }

    fn item(&self, collection: usize, id: u64, version: usize, serial: usize) -> String {
        if collection == 0 {
            return format!(
                "{{\"id\":{id},\"more\":[1],\"name\":\"v{version}\",\"customerDisplayId\":{serial}}}"
            );
        }
        let date = jiff::civil::date(2026, 11, 25).saturating_add(
            jiff::Span::new()
                .days(self.day(id).cast_signed() - (FIRST_DAY / crate::world::DAY).cast_signed()),
        );
        format!(
            "{{\"id\":{id},\"title\":\"v{version}\",\"customerCatalogId\":{serial},\"startDate\":\"{date}T00:00:00\"}}"
        )
    }

    fn write(&self, number: usize, token: Option<usize>, now: u64, log: &mut Log) -> Plan {
        let Some(plan) = self.writes.get(number) else { return (vec![(now + 1, Reply::Break)], None) };
        if let Some(written) = log.writes.get_mut(&number) {
            written.came += 1;
            if written.came > 1 {
                log.broke("no write is sent twice", format!("write {number} came to the upstream twice"));
            }
        }
        let all = |status: u16, at: u64| vec![(at, Reply::Bytes(answer(status, "{\"ok\":1}"), None))];
        let right = self.right(token, 0);
        if self.status.1 > now {
            return (all(self.status.0, now + 1), None);
        }
        if right != 200 {
            return (all(right, now + 1), None);
        }
        let mut pause = if let Outcome::Status(_, pause) = plan.outcome { pause } else { 3 };
        if let Commit::Amid(ms) = plan.commit {
            pause = pause.max(ms + 2);
        }
        let before = if let Commit::Before(ms) = plan.commit { ms } else { 0 };
        let head = now + 2 + before;
        let end = head + pause;
        let replies = match plan.outcome {
            Outcome::Status(204, _) => all(204, head),
            Outcome::Status(status, _) if pause == 0 => all(status, head),
            Outcome::Status(status, _) => {
                let whole = answer(status, "{\"ok\":1}");
                let (one, other) = whole.split_at(whole.len() - 4);
                vec![(head, Reply::Bytes(one.to_vec(), None)), (end, Reply::Bytes(other.to_vec(), None))]
            }
            Outcome::Reset => vec![(head, Reply::Break)],
            Outcome::Half => {
                let whole = answer(200, "{\"ok\":1}");
                let part = whole[..whole.len() - 4].to_vec();
                vec![(head, Reply::Bytes(part, None)), (end, Reply::Break)]
            }
            Outcome::Silence => Vec::new(),
        };
        let at = match plan.commit {
            Commit::Before(_) => Some(now + 1),
            Commit::Amid(_) if plan.outcome == Outcome::Status(204, 0) => Some(now + 1),
            Commit::Amid(ms) => Some(head + ms),
            Commit::After(ms) => Some(end + ms),
            Commit::Never => None,
        };
        (replies, at.map(|at| (at, number)))
    }
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    if status == 204 {
        return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    }
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
