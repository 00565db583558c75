//! What was written when, and what a read may show for it. A seller's name says by which write it has it.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fake_abconnect::Running;
use serde_json::{Value, json};

use crate::bench::{REPLICAS, TTL};

/// Through another replica: what is promised of one whose connection to Redis is dead without a word.
const ACROSS: Duration = Duration::from_secs(1);
/// A busy machine is not a late proxy.
const SLACK: Duration = Duration::from_secs(1);

/// All sellers, in the upstream's order.
pub struct History {
    sellers: Vec<Seller>,
    places: HashMap<u64, usize>,
    /// How many reads could have shown something older than a write, by what was promised of it.
    pub held: Held,
}

#[derive(Default)]
pub struct Held {
    /// Through the same replica.
    pub at_once: AtomicU64,
    /// Through another one.
    pub across: AtomicU64,
    /// By its ttl.
    pub in_time: AtomicU64,
}

struct Seller {
    id: u64,
    /// Some have none.
    first_name: Value,
    display_id: Value,
    /// The number of the last write that was sent.
    sent: AtomicU64,
    /// For each promise, the writes that are not yet promised to everybody.
    writes: Mutex<Vec<Write>>,
}

/// An acknowledged write.
struct Write {
    number: u64,
    /// By when which replica, in which life, promises it; of other lives it is promised as through another replica.
    by: [Instant; REPLICAS],
    own: Option<(usize, u64)>,
    acknowledged: Instant,
    /// By when everybody promises it.
    by_all: Instant,
}

/// Through what a write went.
#[derive(Clone, Copy)]
pub enum Way {
    /// Through this replica in this life; `clean`: it could reach the store all the time.
    Through {
        replica: usize,
        life: u64,
        clean: bool,
    },
    Past,
}

/// Who reads, and from when on.
#[derive(Clone, Copy)]
pub struct Reader {
    pub replica: usize,
    pub life: u64,
    pub began: Instant,
    /// It wants nothing that was filled more than a second ago.
    pub demands: bool,
}

impl History {
    pub fn of(upstream: &Running) -> Self {
        let seller = |seller: Value| Seller {
            id: seller["id"].as_u64().unwrap(),
            first_name: seller["name"].clone(),
            display_id: seller["customerDisplayId"].clone(),
            sent: AtomicU64::new(0),
            writes: Mutex::default(),
        };
        let sellers: Vec<Seller> = upstream.sellers().into_iter().map(seller).collect();
        let places = sellers.iter().enumerate().map(|(place, seller)| (seller.id, place)).collect();
        Self { sellers, places, held: Held::default() }
    }

    pub fn len(&self) -> usize {
        self.sellers.len()
    }

    pub fn id(&self, place: usize) -> u64 {
        self.sellers[place].id
    }

    /// The next write of this seller: its number, and its body.
    pub fn begin(&self, place: usize) -> (u64, String) {
        let seller = &self.sellers[place];
        let number = seller.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({ "name": name(number), "customerDisplayId": seller.display_id, "isActive": true });
        (number, body.to_string())
    }

    /// It was answered with success, just now.
    pub fn acknowledge(&self, place: usize, number: u64, way: Way) {
        let now = Instant::now();
        let (across, late) = (now + ACROSS + SLACK, now + TTL + SLACK);
        let (by, own) = match way {
            Way::Through { replica, life, clean: true } => ([across; REPLICAS], Some((replica, life))),
            Way::Through { replica, life, clean: false } => ([late; REPLICAS], Some((replica, life))),
            Way::Past => ([late; REPLICAS], None),
        };
        let by_all = by.iter().copied().max().unwrap_or(late);
        let mut writes = self.sellers[place].writes.lock().unwrap();
        // Of those that everybody has, only the last one counts.
        while writes.len() > 1 && writes[1].by_all < now - Duration::from_secs(60) {
            writes.remove(0);
        }
        writes.push(Write { number, by, own, acknowledged: now, by_all });
    }

    /// What is wrong with a page of sellers.
    pub fn page(&self, text: &[u8], first: usize, size: usize, reader: Reader) -> Result<(), String> {
        let page: Value = serde_json::from_slice(text).map_err(|error| format!("no JSON: {error}"))?;
        let number = first / size + 1;
        let pages = self.len().div_ceil(size);
        let envelope = json!({
            "items": page["items"], "pageNumber": number, "totalPages": pages, "totalItems": self.len(),
            "hasPreviousPage": number > 1, "hasNextPage": number < pages,
        });
        let items = page["items"].as_array().ok_or("no items")?;
        if page != envelope || items.len() != size.min(self.len() - first) {
            return Err(format!("a wrong page: {page}"));
        }
        for (item, seller) in items.iter().zip(&self.sellers[first..]) {
            let shown =
                json!({ "id": seller.id, "name": item["name"], "customerDisplayId": seller.display_id });
            if *item != shown {
                return Err(format!("a wrong item: {item}"));
            }
            self.is_promised(seller, &item["name"], reader)?;
        }
        Ok(())
    }

    /// What is wrong with a seller's own object, which is never cached here.
    pub fn object(&self, text: &[u8], place: usize, began: Instant) -> Result<(), String> {
        let seller = &self.sellers[place];
        let object: Value = serde_json::from_slice(text).map_err(|error| format!("no JSON: {error}"))?;
        if object["id"].as_u64() != Some(seller.id) {
            return Err(format!("another object than {}: {object}", seller.id));
        }
        is_present(seller, &object["name"], began)
    }

    /// What is wrong with a page of sellers that was passed on.
    pub fn passed_on(&self, text: &[u8], first: usize, size: usize, began: Instant) -> Result<(), String> {
        let page: Value = serde_json::from_slice(text).map_err(|error| format!("no JSON: {error}"))?;
        let items = page["items"].as_array().ok_or("no items")?;
        if items.len() != size.min(self.len() - first) || page["totalItems"] != self.len() {
            return Err(format!("a wrong page: {page}"));
        }
        for (item, seller) in items.iter().zip(&self.sellers[first..]) {
            if item["id"].as_u64() != Some(seller.id) {
                return Err(format!("another item than {}: {item}", seller.id));
            }
            is_present(seller, &item["name"], began)?;
        }
        Ok(())
    }

    fn is_promised(&self, seller: &Seller, name: &Value, reader: Reader) -> Result<(), String> {
        let number = number(seller, name)?;
        let writes = seller.writes.lock().unwrap();
        let mut promised: Option<&Write> = None;
        for write in writes.iter() {
            let own = write.own == Some((reader.replica, reader.life));
            let demanded =
                reader.demands && write.acknowledged + Duration::from_secs(1) + SLACK <= reader.began;
            let by = if own { write.acknowledged } else { write.by[reader.replica] };
            if by <= reader.began || demanded {
                promised = Some(write);
            }
        }
        let Some(write) = promised else { return Ok(()) };
        let age = reader.began - write.acknowledged;
        let counted = match write.own {
            Some((replica, life)) if (replica, life) == (reader.replica, reader.life) => &self.held.at_once,
            Some(_) if write.by_all < write.acknowledged + TTL => &self.held.across,
            _ => &self.held.in_time,
        };
        if age < TTL {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        if number >= write.number {
            return Ok(());
        }
        Err(format!(
            "seller {}: write {number}, though write {} was answered {age:?} before the read{}",
            seller.id,
            write.number,
            match write.own {
                Some(own) => format!(" through replica and life {own:?}"),
                None => " past the proxies".to_owned(),
            },
        ))
    }
}

/// What the upstream itself shows is no older than what was acknowledged before.
fn is_present(seller: &Seller, name: &Value, began: Instant) -> Result<(), String> {
    let number = number(seller, name)?;
    let writes = seller.writes.lock().unwrap();
    let least = writes.iter().filter(|write| write.acknowledged <= began).map(|write| write.number).max();
    if number < least.unwrap_or(0) {
        return Err(format!(
            "seller {}: write {number} from the upstream itself, after {least:?}",
            seller.id
        ));
    }
    Ok(())
}

fn name(number: u64) -> String {
    format!("write {number}")
}

/// By which write a seller has this name.
fn number(seller: &Seller, shown: &Value) -> Result<u64, String> {
    if *shown == seller.first_name {
        return Ok(0);
    }
    let number = shown.as_str().and_then(|shown| shown.strip_prefix("write ")?.parse().ok());
    let sent = seller.sent.load(Ordering::SeqCst);
    number
        .filter(|number| (1..=sent).contains(number))
        .ok_or_else(|| format!("a name that nobody gave: {shown}"))
}
