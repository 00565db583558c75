//! What a file says: every known key, each value with its place, nothing understood yet.
//!
//! A file is read to its end whatever is wrong with it: ill-formed lines, unknown keys and values of
//! another type become problems, and reading goes on.

pub(super) mod nearest;
mod section;

use toml::de::DeTable;

use super::report::{At, Place, Problems, Text};
use section::Section;
pub(super) use section::{Fraction, Number, Switch};

/// A whole file.
pub(super) struct Raw {
    pub(super) listen: Option<Text>,
    pub(super) time_zone: Option<Text>,
    pub(super) note: Option<Text>,
    pub(super) admin: RawAdmin,
    pub(super) clients: RawClients,
    pub(super) upstream: RawUpstream,
    pub(super) store: RawStore,
    pub(super) admission: RawAdmission,
    pub(super) fill: RawFill,
    pub(super) writes: RawWrites,
    pub(super) ui: RawUi,
    pub(super) traces: RawTraces,
    pub(super) routes: Vec<RawRoute>,
}

/// `[admin]`
pub(super) struct RawAdmin {
    pub(super) listen: Option<Text>,
}

/// `[clients]`
pub(super) struct RawClients {
    pub(super) connections: Option<Number>,
    pub(super) connections_per_address: Option<Number>,
    pub(super) head_timeout: Option<Text>,
    pub(super) idle_timeout: Option<Text>,
    pub(super) stall_timeout: Option<Text>,
    pub(super) min_rate: Option<Text>,
    pub(super) head_bytes: Option<Text>,
    pub(super) head_fields: Option<Number>,
    pub(super) target_bytes: Option<Text>,
    pub(super) streams: Option<Number>,
    pub(super) other_methods: Option<Switch>,
    pub(super) hit_loop: Option<Switch>,
    pub(super) relay_loop: Option<Switch>,
    pub(super) drain_timeout: Option<Text>,
    pub(super) tls: RawTls,
}

/// `[clients.tls]`
pub(super) struct RawTls {
    /// The table's header.
    pub(super) place: Option<Place>,
    pub(super) certificate: Option<Text>,
    pub(super) key: Option<Text>,
}

/// `[upstream]`
pub(super) struct RawUpstream {
    pub(super) url: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) http2: Option<Switch>,
    pub(super) connect_timeout: Option<Text>,
    pub(super) head_timeout: Option<Text>,
    pub(super) body_timeout: Option<Text>,
    pub(super) idle_timeout: Option<Text>,
    pub(super) idle_connections: Option<Number>,
    pub(super) connections: Option<Number>,
}

/// `[store]`
pub(super) struct RawStore {
    pub(super) kind: Option<Text>,
    pub(super) redis_url: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) prefix: Option<Text>,
    pub(super) budget: Option<Text>,
    pub(super) max_entry_bytes: Option<Text>,
    pub(super) max_bytes: Option<Text>,
    pub(super) near_bytes: Option<Text>,
    pub(super) near_limit: Option<Text>,
    pub(super) page_bytes: Option<Text>,
    pub(super) ttl: Option<Text>,
}

/// `[admission]`
pub(super) struct RawAdmission {
    /// The table's header.
    pub(super) place: Option<Place>,
    pub(super) mode: Option<Text>,
    pub(super) vouch_limit: Option<Text>,
    pub(super) vouch_for: Option<Text>,
    pub(super) jwks: RawJwks,
}

/// `[admission]`, as far as it is about published keys.
pub(super) struct RawJwks {
    pub(super) issuer: Option<Text>,
    pub(super) keys_url: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) audience: Option<At<Vec<Text>>>,
    pub(super) algorithms: Option<At<Vec<Text>>>,
    pub(super) leeway: Option<Text>,
    /// Each claim's name, and what it must say.
    pub(super) required_claims: Option<At<Vec<(Text, Text)>>>,
    pub(super) keys_limit: Option<Text>,
    pub(super) keys_timeout: Option<Text>,
}

/// `[fill]`
pub(super) struct RawFill {
    pub(super) page_size: Option<Number>,
    pub(super) parallel_pages: Option<Number>,
    pub(super) parallel_fills: Option<Number>,
    pub(super) waiting_fills: Option<Number>,
    pub(super) max_pages: Option<Number>,
    pub(super) max_items: Option<Number>,
    pub(super) max_page_bytes: Option<Text>,
    pub(super) max_bytes: Option<Text>,
    pub(super) timeout: Option<Text>,
    pub(super) too_large_for: Option<Text>,
}

/// `[writes]`
pub(super) struct RawWrites {
    pub(super) harmless: Vec<Text>,
    pub(super) partial: Vec<Text>,
}

/// `[ui]`
pub(super) struct RawUi {
    pub(super) enabled: Option<Switch>,
    pub(super) identity_url: Option<Text>,
    pub(super) identity_ca_file: Option<Text>,
    pub(super) identity_timeout: Option<Text>,
    pub(super) scope: Option<Text>,
    pub(super) session_limit: Option<Text>,
    pub(super) secure_cookie: Option<Switch>,
}

/// `[traces]`
pub(super) struct RawTraces {
    /// The table's header.
    pub(super) place: Option<Place>,
    pub(super) endpoint: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) sample_ratio: Option<Fraction>,
    pub(super) service_name: Option<Text>,
}

/// `[routes.NAME]`
pub(super) struct RawRoute {
    /// The name, at its place in the table's header.
    pub(super) name: Text,
    pub(super) kind: Option<Text>,
    pub(super) path: Option<Text>,
    pub(super) query: Vec<Text>,
    pub(super) key: Option<Text>,
    pub(super) items: Option<Text>,
    pub(super) identity: Option<Text>,
    pub(super) fields: Option<At<Vec<RawField>>>,
    pub(super) keep: Option<RawKeep>,
    pub(super) ttl: Option<Text>,
    pub(super) stale_while_revalidate: Option<Text>,
    pub(super) stale_if_error: Option<Text>,
    pub(super) default_page_size: Option<Number>,
    pub(super) max_page_size: Option<Number>,
    pub(super) invalidated_by: Vec<Text>,
}

/// `keep = { date = …, from = … }`
pub(super) struct RawKeep {
    pub(super) place: Place,
    pub(super) date: Option<Text>,
    pub(super) from: Option<Text>,
}

/// One field of a route's `fields`.
pub(super) struct RawField {
    pub(super) name: Text,
    pub(super) source: RawSource,
}

/// Where a field comes from.
pub(super) enum RawSource {
    /// A path or several, the first that matches counts.
    Paths(Vec<Text>),
    /// An object of further fields.
    Object(Vec<RawField>),
}

impl Raw {
    /// Reads the file that `problems` holds.
    pub(super) fn read(problems: &mut Problems) -> Self {
        let text = problems.file();
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut top = Section::new(String::new(), None, table.into_inner());
        let raw = Self {
            listen: top.text("listen", ADDRESS, problems),
            time_zone: top.text("time-zone", "a zone such as \"Europe/Berlin\"", problems),
            note: top.text("note", "a text", problems),
            admin: RawAdmin::read(top.section("admin", problems), problems),
            clients: RawClients::read(top.section("clients", problems), problems),
            upstream: RawUpstream::read(top.section("upstream", problems), problems),
            store: RawStore::read(top.section("store", problems), problems),
            admission: RawAdmission::read(top.section("admission", problems), problems),
            fill: RawFill::read(top.section("fill", problems), problems),
            writes: RawWrites::read(top.section("writes", problems), problems),
            ui: RawUi::read(top.section("ui", problems), problems),
            traces: RawTraces::read(top.section("traces", problems), problems),
            routes: top
                .section("routes", problems)
                .into_sections(problems)
                .into_iter()
                .map(|(name, section)| RawRoute::read(name, section, problems))
                .collect(),
        };
        top.finish(problems);
        for error in &errors {
            problems.ill_formed(error.span().unwrap_or_default(), error.message());
        }
        raw
    }
}

const ADDRESS: &str = "an address such as \"127.0.0.1:8080\"";
const DURATION: &str = "a duration such as \"3s\"";
const BYTES: &str = "a size such as \"16MiB\"";

impl RawAdmin {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self { listen: section.text("listen", ADDRESS, problems) };
        section.hide_unknown(problems);
        section.finish(problems);
        raw
    }
}

impl RawClients {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            connections: section.number("connections", problems),
            connections_per_address: section.number("connections-per-address", problems),
            head_timeout: section.text("head-timeout", DURATION, problems),
            idle_timeout: section.text("idle-timeout", DURATION, problems),
            stall_timeout: section.text("stall-timeout", DURATION, problems),
            min_rate: section.text("min-rate", "a size for each second such as \"500B\"", problems),
            head_bytes: section.text("head-bytes", BYTES, problems),
            head_fields: section.number("head-fields", problems),
            target_bytes: section.text("target-bytes", BYTES, problems),
            streams: section.number("streams", problems),
            other_methods: section.switch("other-methods", problems),
            hit_loop: section.switch("hit-loop", problems),
            relay_loop: section.switch("relay-loop", problems),
            drain_timeout: section.text("drain-timeout", DURATION, problems),
            tls: RawTls::read(section.section("tls", problems), problems),
        };
        section.finish(problems);
        raw
    }
}

impl RawTls {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            place: section.place(),
            certificate: section.text("certificate", "a file's path", problems),
            key: section.text("key", "a file's path", problems),
        };
        // A key itself, where its file should be named, is shown to nobody.
        raw.key
            .iter()
            .filter(|key| key.value.contains("PRIVATE KEY"))
            .for_each(|key| problems.hide(&key.place));
        section.hide_unknown(problems);
        section.finish(problems);
        raw
    }
}

impl RawUpstream {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            url: section.text("url", "a URL such as \"https://host\"", problems),
            ca_file: section.text("ca-file", "a file's path", problems),
            http2: section.switch("http2", problems),
            connect_timeout: section.text("connect-timeout", DURATION, problems),
            head_timeout: section.text("head-timeout", DURATION, problems),
            body_timeout: section.text("body-timeout", DURATION, problems),
            idle_timeout: section.text("idle-timeout", DURATION, problems),
            idle_connections: section.number("idle-connections", problems),
            connections: section.number("connections", problems),
        };
        section.finish(problems);
        raw
    }
}

impl RawStore {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            kind: section.text("kind", "\"redis\" or \"memory\"", problems),
            redis_url: section.text("redis-url", "a URL such as \"redis://127.0.0.1:6379\"", problems),
            ca_file: section.text("ca-file", "a file's path", problems),
            prefix: section.text("prefix", "a text such as \"cat_\"", problems),
            budget: section.text("budget", DURATION, problems),
            max_entry_bytes: section.text("max-entry-bytes", BYTES, problems),
            max_bytes: section.text("max-bytes", BYTES, problems),
            near_bytes: section.text("near-bytes", BYTES, problems),
            near_limit: section.text("near-limit", DURATION, problems),
            page_bytes: section.text("page-bytes", BYTES, problems),
            ttl: section.text("ttl", DURATION, problems),
        };
        if let Some(url) = &raw.redis_url {
            problems.hide(&url.place);
        }
        section.finish(problems);
        raw
    }
}

impl RawAdmission {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            place: section.place(),
            mode: section.text("mode", "\"upstream\", \"jwks\" or \"open\"", problems),
            vouch_limit: section.text("vouch-limit", DURATION, problems),
            vouch_for: section.text("vouch-for", "\"key\" or \"route\"", problems),
            jwks: RawJwks {
                issuer: section.text("issuer", "a URL such as \"https://login.example\"", problems),
                keys_url: section.text("keys-url", "a URL such as \"https://login.example/keys\"", problems),
                ca_file: section.text("ca-file", "a file's path", problems),
                audience: section.one_or_more("audience", "a text or an array of texts", problems),
                algorithms: section.one_or_more("algorithms", "an array such as [\"RS256\"]", problems),
                leeway: section.text("leeway", DURATION, problems),
                required_claims: section.pairs("required-claims", "a text", problems),
                keys_limit: section.text("keys-limit", DURATION, problems),
                keys_timeout: section.text("keys-timeout", DURATION, problems),
            },
        };
        section.finish(problems);
        raw
    }
}

impl RawJwks {
    /// The keys that stand in the file.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &Place)> {
        let texts =
            [&self.issuer, &self.keys_url, &self.ca_file, &self.leeway, &self.keys_limit, &self.keys_timeout];
        let texts = texts.into_iter().flatten().map(|at| (at.key.as_str(), &at.place));
        let lists = [&self.audience, &self.algorithms].into_iter().flatten();
        let lists = lists.map(|at| (at.key.as_str(), &at.place));
        texts.chain(lists).chain(self.required_claims.iter().map(|at| (at.key.as_str(), &at.place)))
    }
}

impl RawFill {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            page_size: section.number("page-size", problems),
            parallel_pages: section.number("parallel-pages", problems),
            parallel_fills: section.number("parallel-fills", problems),
            waiting_fills: section.number("waiting-fills", problems),
            max_pages: section.number("max-pages", problems),
            max_items: section.number("max-items", problems),
            max_page_bytes: section.text("max-page-bytes", BYTES, problems),
            max_bytes: section.text("max-bytes", BYTES, problems),
            timeout: section.text("timeout", DURATION, problems),
            too_large_for: section.text("too-large-for", DURATION, problems),
        };
        section.finish(problems);
        raw
    }
}

const WRITES: &str = "an array of writes such as [\"PUT /api/Order/{id}\"]";

impl RawWrites {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            harmless: section.texts("harmless", WRITES, problems),
            partial: section.texts("partial", WRITES, problems),
        };
        section.finish(problems);
        raw
    }
}

impl RawUi {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            enabled: section.switch("enabled", problems),
            identity_url: section.text("identity-url", "a URL such as \"https://host\"", problems),
            identity_ca_file: section.text("identity-ca-file", "a file's path", problems),
            identity_timeout: section.text("identity-timeout", DURATION, problems),
            scope: section.text("scope", "a scope such as \"offline_access\"", problems),
            session_limit: section.text("session-limit", DURATION, problems),
            secure_cookie: section.switch("secure-cookie", problems),
        };
        section.hide_unknown(problems);
        section.finish(problems);
        raw
    }
}

impl RawTraces {
    fn read(mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            place: section.place(),
            endpoint: section.text("endpoint", "a URL such as \"http://127.0.0.1:4318\"", problems),
            ca_file: section.text("ca-file", "a file's path", problems),
            sample_ratio: section.fraction("sample-ratio", problems),
            service_name: section.text("service-name", "a name such as \"catproxy\"", problems),
        };
        // Such as what the collector is to be shown, which belongs into the environment.
        section.hide_unknown(problems);
        section.finish(problems);
        raw
    }
}

impl RawRoute {
    fn read(name: Text, mut section: Section<'_>, problems: &mut Problems) -> Self {
        let raw = Self {
            name,
            kind: section.text("kind", "\"list\" or \"single\"", problems),
            path: section.text("path", "a path such as \"/api/Order/{id}\"", problems),
            query: section.texts("query", "an array of names such as [\"OrderIds\"]", problems),
            key: section.text("key", "a key such as \"seller_{id}\"", problems),
            items: section.text("items", "a JSONPath such as \"$.items[*]\"", problems),
            identity: section.text("identity", "a JSONPath such as \"$.id\"", problems),
            fields: section.fields("fields", problems),
            keep: RawKeep::read(section.present("keep", problems), problems),
            ttl: section.text("ttl", DURATION, problems),
            stale_while_revalidate: section.text("stale-while-revalidate", DURATION, problems),
            stale_if_error: section.text("stale-if-error", DURATION, problems),
            default_page_size: section.number("default-page-size", problems),
            max_page_size: section.number("max-page-size", problems),
            invalidated_by: section.texts("invalidated-by", WRITES, problems),
        };
        section.finish(problems);
        raw
    }
}

impl RawKeep {
    fn read(section: Option<(Place, Section<'_>)>, problems: &mut Problems) -> Option<Self> {
        let (place, mut section) = section?;
        let raw = Self {
            place,
            date: section.text("date", "a field's name", problems),
            from: section.text("from", "\"today\"", problems),
        };
        section.finish(problems);
        Some(raw)
    }
}
