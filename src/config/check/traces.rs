//! Traces: what the file says, and above it the variables by which OpenTelemetry is configured everywhere.
//!
//! Those variables may be set for all programs of a machine, so what is wrong with one is a warning and keeps nothing
//! from starting.

use std::time::Duration;

use form_urlencoded::parse as decode;
use http::uri::Authority;

use super::{Setting, authority, split_url};
use crate::config::{
    Traces, Upstream,
    raw::RawTraces,
    report::{Fault, Place, Problems},
};

/// Where a base URL's traces go.
const TARGET: &str = "/v1/traces";
const DEFAULT_SERVICE: &str = "catproxy";
/// A collector that takes longer is away.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// Longer than between two batches of a proxy that is in use.
const IDLE: Duration = Duration::from_secs(20);

/// What comes from outside of the file, each by the variable of that name.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, a base URL.
    pub endpoint: Option<Setting>,
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, a whole URL; it counts before the other.
    pub traces_endpoint: Option<Setting>,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<Setting>,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub resource_attributes: Option<Setting>,
    /// `OTEL_TRACES_SAMPLER`.
    pub sampler: Option<Setting>,
    /// `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler_argument: Option<Setting>,
    /// `OTEL_TRACES_EXPORTER`; `none`: there are no traces.
    pub exporter: Option<Setting>,
    /// `OTEL_SDK_DISABLED`; `true`: there are no traces.
    pub disabled: Option<Setting>,
}

impl Outside {
    fn is_off(&self) -> bool {
        let says = |setting: &Option<Setting>, word: &str| {
            setting.as_ref().is_some_and(|setting| setting.value.trim().eq_ignore_ascii_case(word))
        };
        says(&self.disabled, "true") || says(&self.exporter, "none")
    }
}

/// `None` where nobody is named who collects them, or they are switched off.
pub(super) fn traces(
    raw: RawTraces,
    outside: Outside,
    upstream: Option<&Upstream>,
    problems: &mut Problems,
) -> Option<Traces> {
    let named = raw.endpoint.as_ref().and_then(|text| problems.parse(text, WHAT, base));
    let is_elsewhere = outside.is_off() || outside.endpoint.is_some() || outside.traces_endpoint.is_some();
    if raw.endpoint.is_none() && raw.place.is_some() && !is_elsewhere {
        let help = "add `endpoint = \"http://…\"`, where a collector takes OTLP over HTTP";
        problems.missing("traces.endpoint", raw.place.as_ref(), help);
    }
    let ratio = raw.sample_ratio.as_ref().map_or(1.0, |ratio| {
        if !is_ratio(ratio.value) {
            problems.add(&ratio.place, format!("`{}` is out of bounds", ratio.key), "from 0 to 1");
        }
        ratio.value
    });
    let ca_file = raw.ca_file.as_ref().and_then(|file| super::ca_file(file, problems));
    let service = raw.service_name.as_ref().and_then(|text| problems.parse(text, "a name", name));
    if !cfg!(feature = "otel") {
        absent(raw.place.as_ref(), &outside, problems);
        return None;
    }
    if outside.is_off() {
        return None;
    }
    let Collector { tls, authority, target } = collector(&outside, problems).or(named)?;
    let (mut resource, service_there) = resource(outside.resource_attributes.as_ref(), problems);
    resource.retain(|(key, _)| key != SERVICE_NAME);
    let service_outside = outside.service_name.map(|setting| setting.value).or(service_there);
    let sampling = sampling(outside.sampler.as_ref(), outside.sampler_argument.as_ref(), problems);
    let (parent_based, ratio) = sampling.unwrap_or((true, ratio));
    Some(Traces {
        collector: Upstream {
            tls,
            authority,
            ca_file: ca_file.or_else(|| upstream.and_then(|upstream| upstream.ca_file.clone())),
            connect_timeout: CONNECT,
            head_timeout: PATIENCE,
            body_timeout: PATIENCE,
            idle_timeout: IDLE,
            idle_connections: 1,
            connections: 1,
            http2: false,
        },
        target,
        ratio,
        parent_based,
        service: service_outside.or(service).unwrap_or_else(|| DEFAULT_SERVICE.to_owned()),
        resource,
    })
}

/// A program that cannot trace says so where it is asked to.
fn absent(place: Option<&Place>, outside: &Outside, problems: &mut Problems) {
    const WITHOUT: &str = "built without the feature `otel`";
    if let Some(place) = place {
        let help = "build it with: cargo build --release --features otel";
        problems.add_with_help(place, "there can be no traces", WITHOUT, Some(help.to_owned()));
    } else if let Some(setting) = outside.traces_endpoint.as_ref().or(outside.endpoint.as_ref())
        && !outside.is_off()
    {
        problems.warn(None, format!("{} is not used: {WITHOUT}", setting.origin));
    }
}

const WHAT: &str = "a URL such as \"http://127.0.0.1:4318\"";
const SERVICE_NAME: &str = "service.name";

/// Who collects, and where there.
struct Collector {
    tls: bool,
    authority: Authority,
    target: String,
}

/// The one that a variable names.
fn collector(outside: &Outside, problems: &mut Problems) -> Option<Collector> {
    let (setting, read) = match (&outside.traces_endpoint, &outside.endpoint) {
        (Some(whole), _) => (whole, whole_url(whole.value.trim())),
        (None, Some(below)) => (below, base(below.value.trim())),
        (None, None) => return None,
    };
    let unusable = |fault: Fault| {
        problems.warn(None, format!("{} is not used, for it is not usable: {fault}", setting.origin));
    };
    read.map_err(unusable).ok()
}

/// A base URL, below which traces have their place.
fn base(url: &str) -> Result<Collector, Fault> {
    let mut collector = whole_url(url)?;
    if let Some(at) = url.find('?') {
        return Err(Fault::at(at, "no query: the path of traces comes behind it"));
    }
    let end = collector.target.trim_end_matches('/').len();
    collector.target.truncate(end);
    collector.target.push_str(TARGET);
    Ok(collector)
}

fn whole_url(url: &str) -> Result<Collector, Fault> {
    let (tls, start, host, target) = split_url(url)?;
    if host.contains('@') {
        return Err(Fault::at(start, "no user or password: set OTEL_EXPORTER_OTLP_HEADERS"));
    }
    if let Some(fragment) = target.find('#') {
        return Err(Fault::at(start + host.len() + fragment, "no fragment: it is sent to nobody"));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    if target.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(Fault::at(start + host.len(), "this is not a path"));
    }
    Ok(Collector { tls, authority: authority(host, start)?, target })
}

fn is_ratio(ratio: f64) -> bool {
    (0.0..=1.0).contains(&ratio)
}

/// One line with something in it.
fn name(text: &str) -> Result<String, Fault> {
    match text.find(char::is_control) {
        Some(at) => Err(Fault::at(at, "a control character")),
        None if text.trim().is_empty() => Err(Fault::whole("this is empty")),
        None => Ok(text.to_owned()),
    }
}

/// Whether a client's decision counts, and the part of the others.
fn sampling(
    sampler: Option<&Setting>,
    argument: Option<&Setting>,
    problems: &mut Problems,
) -> Option<(bool, f64)> {
    let sampler = sampler?;
    let (parent_based, kind) = match sampler.value.trim().strip_prefix("parentbased_") {
        Some(kind) => (true, kind),
        None => (false, sampler.value.trim()),
    };
    match kind {
        "always_on" => Some((parent_based, 1.0)),
        "always_off" => Some((parent_based, 0.0)),
        "traceidratio" => Some((parent_based, argument.map_or(1.0, |text| ratio(text, problems)))),
        _ => {
            let known = "always_on, always_off, traceidratio, each with parentbased_ before it or without";
            problems.warn(None, format!("{} is not used: it is none of {known}", sampler.origin));
            None
        }
    }
}

fn ratio(setting: &Setting, problems: &mut Problems) -> f64 {
    let ratio = setting.value.trim().parse().ok().filter(|ratio| is_ratio(*ratio));
    if ratio.is_none() {
        problems.warn(None, format!("{} is not used: it is not a number from 0 to 1", setting.origin));
    }
    ratio.unwrap_or(1.0)
}

/// `key=value,key=value`, with what is special in a value as `%2C`; and what it says of the service's name.
fn resource(setting: Option<&Setting>, problems: &mut Problems) -> (Vec<(String, String)>, Option<String>) {
    let Some(setting) = setting else { return (Vec::new(), None) };
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        Some((key.trim().to_owned(), decoded(value.trim()))).filter(|(key, _)| !key.is_empty())
    };
    let parts = setting.value.split(',').filter(|part| !part.trim().is_empty());
    match parts.map(pair).collect::<Option<Vec<_>>>() {
        Some(pairs) => {
            let service = pairs.iter().rfind(|(key, _)| key == SERVICE_NAME);
            let service = service.map(|(_, value)| value.clone()).filter(|name| !name.is_empty());
            (pairs, service)
        }
        None => {
            problems.warn(None, format!("{} is not used: it is not key=value,key=value", setting.origin));
            (Vec::new(), None)
        }
    }
}

/// With `%2C` and its like undone. A plus is a plus.
fn decoded(value: &str) -> String {
    let value = value.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    decode(value.as_bytes()).next().map_or_else(String::new, |(text, _)| text.into_owned())
}
