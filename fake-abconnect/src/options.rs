//! What a stand-in is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;
use jiff::civil::Date;

use crate::knobs::Knobs;

/// Which generation of the Catalog API is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Generation {
    /// Production today: `sellers`, `agent` and `customerCatalogId` in a catalog, `Bulk/insert`.
    #[default]
    #[value(name = "1")]
    First,
    /// Staging today: one `seller`, `agentCompanyIds` and `platforms`, `Bulk/upsert`, merges.
    #[value(name = "2")]
    Second,
}

/// What a user may do on the Catalog API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Full,
    /// Nothing: every request is a 403.
    Nothing,
    /// Reads only, and `GET /api/Seller` is a 403.
    ReadsWithoutSellerList,
}

/// A user who can get tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name, which is also the `sub` of the tokens.
    pub name: String,
    /// The password of the password grant.
    pub password: String,
    /// What the tokens are good for.
    pub access: Access,
}

impl User {
    /// A user.
    pub fn new(name: impl Into<String>, password: impl Into<String>, access: Access) -> Self {
        Self { name: name.into(), password: password.into(), access }
    }

    /// `demo` and `second` (everything), `restricted` (nothing) and `partial` (reads without the seller list). Each
    /// has its name for a password.
    pub fn defaults() -> Vec<Self> {
        let user = |name: &str, access| Self::new(name, name, access);
        vec![
            user("demo", Access::Full),
            user("second", Access::Full),
            user("restricted", Access::Nothing),
            user("partial", Access::ReadsWithoutSellerList),
        ]
    }
}

/// What a stand-in is started with. The default is made for tests: a free port of 127.0.0.1, 730 sellers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which generation of the API is spoken.
    pub generation: Generation,
    /// The same seed and day give the same data.
    pub seed: u64,
    /// How many sellers there are. A [`Knobs::sellers`] wins over it.
    pub sellers: usize,
    /// The day around which catalogs are scheduled; `None` is today, in UTC.
    pub today: Option<Date>,
    /// Who can get tokens.
    pub users: Vec<User>,
    /// How long tokens are valid: `expires_in`.
    pub token_lifetime: Duration,
    /// Access tokens are made about so long, where they are shorter; real ones have some kilobytes of claims.
    pub token_bytes: usize,
    /// The only client that gets tokens, and its secret; `None`: any client.
    pub client: Option<(String, String)>,
    /// `iss` of the tokens and the base of picture links; `None` is the address listened on.
    pub public_url: Option<String>,
    /// Whether calls are logged. Off for benchmarks.
    pub log_calls: bool,
    /// How many calls the log keeps; the oldest go first.
    pub call_limit: usize,
    /// The knobs to start with.
    pub knobs: Knobs,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            generation: Generation::First,
            seed: 1,
            sellers: 730,
            today: None,
            users: User::defaults(),
            token_lifetime: Duration::from_secs(3600),
            token_bytes: 0,
            client: None,
            public_url: None,
            log_calls: true,
            call_limit: 10_000,
            knobs: Knobs::default(),
        }
    }
}
