//! What can be turned while the stand-in runs: how it misbehaves, and to whom.

use std::sync::Mutex;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::locks::lock;
use crate::matching::Matching;

/// All knobs. `GET /_fake/knobs` shows them as JSON and `PUT /_fake/knobs` replaces them; names are in camel case, and
/// what is left out has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Knobs {
    /// Another number of sellers than at the start. Turning it makes all data anew.
    pub sellers: Option<usize>,
    /// A greater `PageSize` counts as this one.
    pub max_page_size: usize,
    /// The page size of a request that names none.
    pub default_page_size: usize,
    /// Compress with gzip where `Accept-Encoding` allows it.
    pub gzip: bool,
    /// Compress with Brotli where `Accept-Encoding` allows it; wins over gzip.
    pub brotli: bool,
    /// Misbehaviour. All rules that fit a request apply; where two say the same thing, the first counts.
    pub rules: Vec<Rule>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            sellers: None,
            max_page_size: 500,
            default_page_size: 10,
            gzip: false,
            brotli: false,
            rules: Vec::new(),
        }
    }
}

/// How to misbehave towards the requests that fit.
///
/// A rule that names no path is about `/api/…` only, so identity and the test endpoints go on working. No rule is about
/// `/_fake/knobs` and `/_fake/calls`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Which requests.
    pub on: Matching,
    /// After so many requests the rule has ended; `None` never ends. Counts down.
    pub times: Option<u64>,
    /// Answer so many milliseconds later.
    pub latency_ms: Option<u64>,
    /// Answer this status, of 200 to 999, with a ProblemDetails body, whatever was asked.
    pub status: Option<u16>,
    /// A `Retry-After` field for the status answer, in seconds.
    pub retry_after: Option<u64>,
    /// Never answer.
    pub hang: bool,
    /// Cut the body after so many bytes and then the connection, while the head promises all of it.
    pub truncate: Option<usize>,
    /// Send the body chunked instead of with a `Content-Length`.
    pub chunked: bool,
    /// Answer 200 with JSON that is not what it should be.
    pub wrong_json: Option<WrongJson>,
    /// Answer 200 with a page of HTML, as a captive portal or a misconfigured proxy does.
    pub html: bool,
    /// Answer 200 with this body instead, as JSON.
    pub body: Option<String>,
    /// What happens to the connection.
    pub close: Option<Close>,
}

/// Ways in which a JSON body can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum WrongJson {
    /// It does not parse.
    Syntax,
    /// A page without `items`.
    NoItems,
    /// `items` is an object.
    ItemsNotAList,
    /// `null`.
    Null,
    /// An empty body.
    Empty,
}

impl WrongJson {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Syntax => r#"{"items":[{"id":1,"name":"cut"#,
            Self::NoItems => {
                r#"{"pageNumber":1,"totalPages":1,"totalItems":1,"hasPreviousPage":false,"hasNextPage":false}"#
            }
            Self::ItemsNotAList => {
                r#"{"items":{"id":1},"pageNumber":1,"totalPages":1,"totalItems":1,"hasPreviousPage":false,"hasNextPage":false}"#
            }
            Self::Null => "null",
            Self::Empty => "",
        }
    }
}

/// What happens to the connection of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Close {
    /// The answer says `Connection: close`.
    Announced,
    /// It closes after the answer without a word, so a client that keeps it for its next request meets a closed one.
    Silent,
    /// It closes instead of an answer.
    Unanswered,
    /// It is reset instead of an answer or, where the body is truncated, after the bytes that are left of it.
    Reset,
}

/// What the rules make of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    pub(crate) latency: Option<Duration>,
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) hang: bool,
    pub(crate) truncate: Option<usize>,
    pub(crate) chunked: bool,
    pub(crate) wrong_json: Option<WrongJson>,
    pub(crate) html: bool,
    pub(crate) body: Option<String>,
    pub(crate) close: Option<Close>,
}

/// The knobs of a running stand-in.
#[derive(Debug)]
pub(crate) struct Board {
    knobs: Mutex<Knobs>,
}

impl Board {
    pub(crate) fn new(knobs: Knobs) -> Self {
        Self { knobs: Mutex::new(knobs) }
    }

    pub(crate) fn now(&self) -> Knobs {
        lock(&self.knobs).clone()
    }

    /// Turns knobs; gives them as they were and as they are.
    pub(crate) fn turn(&self, change: impl FnOnce(&mut Knobs)) -> (Knobs, Knobs) {
        let mut knobs = lock(&self.knobs);
        let before = knobs.clone();
        change(&mut knobs);
        (before, knobs.clone())
    }

    /// The greatest page size, and the one of a request that names none.
    pub(crate) fn page_sizes(&self) -> (usize, usize) {
        let knobs = lock(&self.knobs);
        (knobs.max_page_size, knobs.default_page_size)
    }

    /// Whether to compress with (Brotli, gzip).
    pub(crate) fn compression(&self) -> (bool, bool) {
        let knobs = lock(&self.knobs);
        (knobs.brotli, knobs.gzip)
    }

    /// What happens to this request. Counts the rules down that fit.
    pub(crate) fn effects(&self, method: &str, target: &str) -> Effects {
        let mut knobs = lock(&self.knobs);
        let mut effects = Effects::default();
        for rule in knobs.rules.iter_mut().filter(|rule| rule.is_about(method, target)) {
            rule.times = rule.times.map(|times| times.saturating_sub(1));
            effects.add(rule);
        }
        effects
    }
}

impl Rule {
    fn is_about(&self, method: &str, target: &str) -> bool {
        let in_scope = self.on.path.is_some() || is_api(target);
        self.times != Some(0) && in_scope && self.on.fits(method, target)
    }
}

fn is_api(target: &str) -> bool {
    target.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("/api/"))
}

impl Effects {
    fn add(&mut self, rule: &Rule) {
        self.latency = self.latency.or(rule.latency_ms.map(Duration::from_millis));
        self.status = self.status.or(rule.status);
        self.retry_after = self.retry_after.or(rule.retry_after);
        self.hang |= rule.hang;
        self.truncate = self.truncate.or(rule.truncate);
        self.chunked |= rule.chunked;
        self.wrong_json = self.wrong_json.or(rule.wrong_json);
        self.html |= rule.html;
        self.body = self.body.take().or_else(|| rule.body.clone());
        self.close = self.close.or(rule.close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(rules: Vec<Rule>) -> Board {
        Board::new(Knobs { rules, ..Knobs::default() })
    }

    #[test]
    fn a_rule_without_a_path_is_about_the_api_only() {
        let board = board(vec![Rule { status: Some(503), ..Rule::default() }]);
        assert_eq!(board.effects("GET", "/API/Seller").status, Some(503));
        assert_eq!(board.effects("POST", "/connect/token").status, None);
    }

    #[test]
    fn a_rule_ends_after_its_times_and_the_first_of_two_counts() {
        let once = Rule { status: Some(500), times: Some(1), ..Rule::default() };
        let ever = Rule { status: Some(503), latency_ms: Some(5), ..Rule::default() };
        let board = board(vec![once, ever]);
        let first = board.effects("GET", "/api/Seller");
        assert_eq!((first.status, first.latency), (Some(500), Some(Duration::from_millis(5))));
        assert_eq!(board.effects("GET", "/api/Seller").status, Some(503));
    }

    #[test]
    fn knobs_are_read_from_json_with_defaults_and_without_tolerance() {
        let knobs: Knobs =
            serde_json::from_str(r#"{"rules":[{"on":{"path":"/api/lot"},"wrongJson":"noItems"}]}"#).unwrap();
        assert_eq!((knobs.max_page_size, knobs.rules.len()), (500, 1));
        assert!(serde_json::from_str::<Knobs>(r#"{"latency":5}"#).is_err());
    }
}
