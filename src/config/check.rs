//! From what a file says to what the program runs on.
//!
//! Every problem is noted at its place and the check goes on, so that one report holds all of them. A
//! value that is not understood is replaced by its default only to look at the rest: no configuration
//! comes out of a check that found a problem.

mod admin;
mod jwks;
mod key;
mod limits;
mod route;
mod settings;
mod tls;
pub mod traces;
mod ui;
mod zone;

use std::{fmt, fs::File, net::SocketAddr, path::PathBuf, sync::Arc};

use http::uri::Authority;
use jiff::tz::TimeZone;

use super::{
    Config, Route,
    pattern::WritePattern,
    raw::Raw,
    report::{Fault, Problems, Report, Source, Text, Warning},
};

/// What stands above the file: flags, and below them the environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// In place of `listen`.
    pub listen: Option<Setting>,
    /// In place of `admin.listen`.
    pub admin_listen: Option<Setting>,
    /// What the operator must say; in no file.
    pub admin_token: Option<Setting>,
    /// In place of `clients.tls.certificate`.
    pub tls_certificate: Option<Setting>,
    /// In place of `clients.tls.key`.
    pub tls_key: Option<Setting>,
    /// In place of `upstream.url`.
    pub upstream: Option<Setting>,
    /// In place of `store.redis-url`; makes the store a Redis.
    pub redis_url: Option<Setting>,
    /// In place of `store.prefix`.
    pub prefix: Option<Setting>,
    /// In place of `time-zone`.
    pub time_zone: Option<Setting>,
    /// In place of `ui.identity-url`.
    pub ui_identity: Option<Setting>,
    /// The frontend's name at the identity server; in no file.
    pub ui_client_id: Option<Setting>,
    /// The secret to it; in no file.
    pub ui_client_secret: Option<Setting>,
    /// What sessions are sealed with; in no file.
    pub ui_key: Option<Setting>,
    /// The variables of OpenTelemetry.
    pub traces: traces::Outside,
}

/// A value from outside of the file.
#[derive(Clone)]
pub struct Setting {
    /// As it was given.
    pub value: String,
    /// By whom.
    pub origin: Origin,
}

impl fmt::Debug for Setting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Setting({})", self.origin)
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line, such as `--listen`.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => out.write_str(name),
        }
    }
}

/// Reads a file and what overrides it.
///
/// A Redis URL that is not usable is a problem in the file or a flag; in the environment it is a warning,
/// and the store is absent.
///
/// # Errors
///
/// All that is wrong, at once.
pub fn load(file: Source, overrides: Overrides) -> Result<(Config, Vec<Warning>), Report> {
    let name = file.name.clone();
    let mut problems = Problems::new(file);
    let raw = Raw::read(&mut problems);
    let config = check(name, raw, overrides, &mut problems);
    problems.finish(config)
}

fn check(name: String, raw: Raw, mut overrides: Overrides, problems: &mut Problems) -> Option<Config> {
    let outside = ui::Outside::of(&mut overrides);
    let default_listen = SocketAddr::from(([127, 0, 0, 1], 8080));
    let listen = choose(raw.listen, overrides.listen, problems, address).unwrap_or(default_listen);
    let admin = admin::admin(raw.admin, overrides.admin_listen, overrides.admin_token, listen, problems);
    let zone = choose(raw.time_zone, overrides.time_zone, problems, time_zone);
    let note = raw.note.and_then(|note| one_line(note, problems));
    let clients = settings::clients(&raw.clients, problems);
    let tls = tls::tls(raw.clients.tls, overrides.tls_certificate, overrides.tls_key, problems);
    let upstream = settings::upstream(raw.upstream, overrides.upstream, problems);
    let (store, ttl) = settings::store(raw.store, overrides.redis_url, overrides.prefix, problems);
    let vouch_place = raw.admission.vouch_limit.as_ref().map(|limit| limit.place.clone());
    let admission = settings::admission(raw.admission, problems);
    let fill = settings::fill(raw.fill, problems);
    for text in raw.routes.iter().flat_map(|route| &route.invalidated_by) {
        if raw.writes.harmless.iter().any(|harmless| harmless.value == text.value) {
            let title = format!("`{}` contradicts `writes.harmless`", text.key);
            problems.add(&text.place, title, "said to change no route as well");
        }
    }
    let routes = route::routes(raw.routes, ttl, problems);
    let harmless = writes(&raw.writes.harmless, problems);
    let partial = writes(&raw.writes.partial, problems);

    settings::compare_lives(admission.as_ref(), vouch_place.as_ref(), &routes, problems);
    let time_zone = zone.unwrap_or_else(|| system_zone(&routes, problems));
    let ui = ui::ui(raw.ui, outside, tls.is_some(), problems);
    let traces = traces::traces(raw.traces, overrides.traces, upstream.as_ref(), problems);
    let routes = routes.into_iter().map(Arc::new).collect();
    Some(Config {
        name,
        note,
        listen,
        admin,
        tls,
        clients,
        upstream: upstream?,
        store,
        admission: admission?,
        fill,
        ui,
        traces,
        time_zone,
        routes,
        harmless,
        partial,
    })
}

/// The value from outside, or else the file's; both are looked at.
fn choose<T>(
    file: Option<Text>,
    outside: Option<Setting>,
    problems: &mut Problems,
    mut read: impl FnMut(&Text, &mut Problems) -> Option<T>,
) -> Option<T> {
    let file = file.and_then(|text| read(&text, problems));
    let outside = outside.map(|setting| problems.outside(setting.origin.to_string(), setting.value));
    outside.map_or(file, |text| read(&text, problems))
}

/// An IP address and a port.
fn address(text: &Text, problems: &mut Problems) -> Option<SocketAddr> {
    problems.parse(text, "an address and a port such as \"127.0.0.1:8080\"", |text| {
        text.parse().map_err(|_| Fault::whole("write an IP address, a colon and a port"))
    })
}

fn time_zone(text: &Text, problems: &mut Problems) -> Option<TimeZone> {
    problems.parse(text, "a time zone such as \"Europe/Berlin\"", |name| {
        zone::named(name).ok_or_else(|| Fault::whole("not in the IANA database"))
    })
}

fn system_zone(routes: &[Route], problems: &mut Problems) -> TimeZone {
    zone::of_system().unwrap_or_else(|| {
        if routes.iter().any(|route| route.keep.is_some()) {
            problems
                .warn(None, "the system names no time zone, so a day begins at 00:00 UTC: set `time-zone`");
        }
        TimeZone::UTC
    })
}

fn one_line(text: Text, problems: &mut Problems) -> Option<String> {
    let check = |text: &str| match text.find(char::is_control) {
        Some(offset) => Err(Fault::at(offset, "a control character")),
        None => Ok(text.to_owned()),
    };
    problems.parse(&text, "one line", check)
}

/// Reads the writes that are understood; the others become problems.
fn writes(texts: &[Text], problems: &mut Problems) -> Vec<WritePattern> {
    let read = |text: &str| WritePattern::parse(text).map_err(|error| Fault::at(error.offset, error.message));
    texts
        .iter()
        .filter_map(|text| problems.parse(text, "a write such as \"PUT /api/Order/{id}\"", read))
        .collect()
}

/// A file of certificate authorities.
fn ca_file(file: &Text, problems: &mut Problems) -> Option<PathBuf> {
    problems.parse(file, "a readable file", |path| match File::open(path) {
        Ok(_) => Ok(PathBuf::from(path)),
        Err(error) => Err(Fault::whole(error.to_string())),
    })
}

/// `http[s]://host[:port]`, as TLS or not and who.
fn base_url(text: &str) -> Result<(bool, Authority), Fault> {
    let (tls, start, host, target) = split_url(text)?;
    if !["", "/"].contains(&target) {
        let at = start + host.len();
        return Err(Fault::at(at, "it ends with the host or its port: each route has its own path"));
    }
    Ok((tls, authority(host, start)?))
}

/// A URL of HTTP: whether with TLS, where the host begins, the host with its port, and what follows.
fn split_url(text: &str) -> Result<(bool, usize, &str, &str), Fault> {
    let (tls, start) = match text.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => (true, 8),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => (false, 7),
        _ => return Err(Fault::whole("it begins with `https://` or `http://`")),
    };
    let rest = text.get(start..).unwrap_or("");
    let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    Ok((tls, start, host, target))
}

/// A host and, if need be, a port, which begin at `start`.
fn authority(host: &str, start: usize) -> Result<Authority, Fault> {
    if host.contains('@') {
        return Err(Fault::at(start, "no user or password: clients bring their own tokens"));
    }
    let authority: Authority = host.parse().map_err(|_| Fault::at(start, "this is not a host"))?;
    let port = host.strip_prefix(authority.host()).unwrap_or("");
    let port_is_good = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
    if authority.host().is_empty() || !port_is_good {
        return Err(Fault::at(start, "a host, and after a colon a port from 1 to 65535"));
    }
    Ok(authority)
}
