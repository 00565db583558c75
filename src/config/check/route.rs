//! One route, and what must not be the same in two of them.

use std::time::Duration;

use super::{key, limits, settings, writes};
use crate::{
    config::{
        Keep, KeyPart, Route, RouteKind,
        pattern::PathPattern,
        raw::{RawField, RawKeep, RawRoute, RawSource},
        report::{Fault, Place, Problems, Text},
    },
    project::{Field, Path, Projection, ProjectionError, Source},
};

/// The routes that are understood, each with a life of `ttl` where it names none.
pub(super) fn routes(raw: Vec<RawRoute>, ttl: Duration, problems: &mut Problems) -> Vec<Route> {
    if raw.is_empty() {
        problems.missing("routes", None, "add a table such as `[routes.sellers]`: nothing would be cached");
    }
    let mut routes: Vec<(Route, Places)> = Vec::new();
    for raw in raw {
        let Some((route, places)) = check(raw, ttl, problems) else { continue };
        for (other, _) in &routes {
            compare(&route, other, &places, problems);
        }
        routes.push((route, places));
    }
    routes.into_iter().map(|(route, _)| route).collect()
}

/// Where a route's path and key stand.
struct Places {
    path: Place,
    key: Place,
}

fn check(raw: RawRoute, ttl: Duration, problems: &mut Problems) -> Option<(Route, Places)> {
    let table = raw.name.key.clone();
    let header = raw.name.place.clone();
    let name = problems.parse(&raw.name, "a name of letters, digits and `-`", check_name);
    let single = is_single(raw.kind.as_ref(), problems);
    if single {
        refuse_what_lists_have(&raw, problems);
    }
    let path = required(raw.path, &table, "path", &header, problems);
    let pattern = path.as_ref().and_then(|path| {
        let read = |text: &str| {
            PathPattern::parse(text, false).map_err(|error| Fault::at(error.offset, error.message))
        };
        problems.parse(path, "a path such as \"/api/Order/{id}\"", read)
    });
    let mut parameters: Vec<String> =
        pattern.iter().flat_map(PathPattern::parameters).map(str::to_owned).collect();
    let in_path = parameters.len();
    for name in &raw.query {
        parameters.extend(problems.parse(name, "a query parameter", |text| check_query(text, &parameters)));
    }
    let key = required(raw.key, &table, "key", &header, problems);
    // Without its path a route's parameters are not known, and so not what a key may name.
    let parts = key.as_ref().filter(|_| pattern.is_some()).and_then(|key| {
        problems.parse(key, "a key such as \"seller_{id}\"", |text| key::parse(text, &parameters))
    });
    let items = json_path(raw.items.as_ref(), "$.items[*]", problems);
    let identity = json_path(raw.identity.as_ref(), "$.id", problems);
    if raw.fields.is_none() {
        problems.missing(
            &format!("{table}.fields"),
            Some(&header),
            "add `fields`, such as `fields = { id = \"$.id\" }`",
        );
    }
    let items_place = raw.items.as_ref().map(|items| items.place.clone());
    let fields_place = raw.fields.as_ref().map(|fields| fields.place.clone());
    let fields = raw.fields.and_then(|fields| fields_of(&fields.value, problems));
    let keep = raw.keep.and_then(|keep| check_keep(&keep, &table, fields.as_deref(), problems));
    let ttl = settings::ttl(raw.ttl.as_ref(), ttl, problems);
    let stale = settings::stale(raw.stale_while_revalidate.as_ref(), raw.stale_if_error.as_ref(), problems);
    let max_page_size = limits::number(raw.max_page_size.as_ref(), 500, 1..=10_000, problems);
    let default_page_size = raw
        .default_page_size
        .map(|size| limits::number(Some(&size), 1, 1..=i64::from(max_page_size), problems));
    let invalidated_by = writes(&raw.invalidated_by, problems);

    let kind = if single { RouteKind::Single } else { RouteKind::List { default_page_size, max_page_size } };
    let (name, path_text, pattern, parts, fields) = (name?, path?, pattern?, parts?, fields?);
    let (items, identity) = (items?, identity?);
    let query = parameters.split_off(in_path);
    let source = (!single).then(|| (items.as_str(), identity.as_str()));
    let description = describe(&pattern, &query, &key.as_ref()?.value, source, &fields, keep.as_ref());
    let projection =
        if single { Projection::single(fields) } else { Projection::list(items, fields, identity) };
    let projection = projection.map_err(|error| {
        let (key, place) = match &error {
            ProjectionError::Items { .. } => ("items", items_place.as_ref()),
            _ => ("fields", fields_place.as_ref()),
        };
        problems.add(
            place.unwrap_or(&header),
            format!("`{table}.{key}` cannot be projected"),
            error.to_string(),
        );
    });
    let places = Places { path: path_text.place, key: key?.place };
    let route = Route {
        name,
        kind,
        path: pattern,
        query,
        key: parts,
        projection: projection.ok()?,
        keep,
        ttl,
        stale,
        invalidated_by,
        description,
    };
    Some((route, places))
}

fn check_name(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.len() > 64 {
        return Err(Fault::whole("from 1 to 64 characters"));
    }
    match text.find(|character: char| !character.is_ascii_alphanumeric() && character != '-') {
        Some(_) => Err(Fault::whole("it stands in keys, logs and metrics")),
        None => Ok(text.to_owned()),
    }
}

fn check_query(text: &str, others: &[String]) -> Result<String, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Fault::whole("a name is letters, digits, `-`, `_` and `.`"));
    }
    if ["PageNumber", "PageSize"].iter().any(|paging| paging.eq_ignore_ascii_case(text)) {
        return Err(Fault::whole("paging names a page, not a collection"));
    }
    if others.iter().any(|other| other.eq_ignore_ascii_case(text)) {
        return Err(Fault::whole("this parameter is named twice"));
    }
    Ok(text.to_owned())
}

fn is_single(kind: Option<&Text>, problems: &mut Problems) -> bool {
    let read = |kind: &Text| {
        problems.parse(kind, "a kind of route", |kind| match kind {
            "list" => Ok(false),
            "single" => Ok(true),
            _ => Err(Fault::whole("\"list\" or \"single\"")),
        })
    };
    kind.and_then(read).unwrap_or(false)
}

fn refuse_what_lists_have(raw: &RawRoute, problems: &mut Problems) {
    let texts = [&raw.items, &raw.identity].into_iter().flatten().map(|text| (&text.key, &text.place));
    let sizes = [&raw.default_page_size, &raw.max_page_size];
    let sizes = sizes.into_iter().flatten().map(|size| (&size.key, &size.place));
    let keep_key = format!("{}.keep", raw.name.key);
    let keep = raw.keep.iter().map(|keep| (&keep_key, &keep.place));
    for (key, place) in texts.chain(sizes).chain(keep) {
        problems.add(place, format!("`{key}` is of no use here"), "only with kind = \"list\"");
    }
}

fn required(
    text: Option<Text>,
    table: &str,
    key: &str,
    header: &Place,
    problems: &mut Problems,
) -> Option<Text> {
    if text.is_none() {
        problems.missing(&format!("{table}.{key}"), Some(header), &format!("add `{key} = \"…\"`"));
    }
    text
}

fn json_path(text: Option<&Text>, default: &str, problems: &mut Problems) -> Option<Path> {
    match text {
        Some(text) => problems.parse(text, "a JSONPath", parse_path),
        None => Path::parse(default).ok(),
    }
}

fn parse_path(text: &str) -> Result<Path, Fault> {
    Path::parse(text).map_err(|error| Fault::at(error.offset, error.message))
}

/// All fields, or none if one of them is not understood; every problem is noted.
fn fields_of(raw: &[RawField], problems: &mut Problems) -> Option<Vec<Field>> {
    let fields: Vec<_> = raw.iter().map(|field| field_of(field, problems)).collect();
    fields.into_iter().collect()
}

fn field_of(raw: &RawField, problems: &mut Problems) -> Option<Field> {
    let source = match &raw.source {
        RawSource::Paths(texts) => {
            let paths: Vec<_> =
                texts.iter().map(|text| problems.parse(text, "a JSONPath", parse_path)).collect();
            paths.into_iter().collect::<Option<_>>().map(Source::Paths)
        }
        RawSource::Object(fields) => fields_of(fields, problems).map(Source::Object),
    };
    Some(Field { name: raw.name.value.clone(), source: source? })
}

fn check_keep(raw: &RawKeep, table: &str, fields: Option<&[Field]>, problems: &mut Problems) -> Option<Keep> {
    if raw.date.is_none() {
        problems.missing(
            &format!("{table}.keep.date"),
            Some(&raw.place),
            "add the field that holds the date",
        );
    }
    match &raw.from {
        Some(from) if from.value != "today" => {
            problems.add(&from.place, format!("`{}` is no day", from.key), "only \"today\"");
        }
        Some(_) => {}
        None => {
            problems.missing(&format!("{table}.keep.from"), Some(&raw.place), "add `from = \"today\"`");
        }
    }
    let date = raw.date.as_ref()?;
    let is_kept = |field: &Field| field.name == date.value && matches!(field.source, Source::Paths(_));
    if fields.is_some_and(|fields| !fields.iter().any(is_kept)) {
        let label = "a field that stands directly in `fields`";
        problems.add(&date.place, format!("`{}` is no kept field", date.key), label);
    }
    Some(Keep { field: date.value.clone() })
}

/// Routes must not answer the same request, and not share a key.
fn compare(route: &Route, other: &Route, places: &Places, problems: &mut Problems) {
    let has = |names: &[String], name: &str| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    let same_query =
        route.query.len() == other.query.len() && route.query.iter().all(|name| has(&other.query, name));
    if same_query && route.path.meets(&other.path) {
        let title = format!("routes `{}` and `{}` match the same request", other.name, route.name);
        problems.add(&places.path, title, "the same path and query names");
    }
    if key::collide(&route.key, &other.key) {
        let title = format!("routes `{}` and `{}` can have the same key", other.name, route.name);
        problems.add(&places.key, title, format!("the other's is \"{}\"", show_key(other)));
    }
}

fn show_key(route: &Route) -> String {
    let names: Vec<&str> = route.path.parameters().chain(route.query.iter().map(String::as_str)).collect();
    let show = |part: &KeyPart| match part {
        KeyPart::Literal(text) => text.clone(),
        KeyPart::Parameter(index) => format!("{{{}}}", names.get(*index).unwrap_or(&"")),
    };
    route.key.iter().map(show).collect()
}

/// One line that differs wherever entries could: texts are quoted, so that no two routes give the same.
/// `source` is where a list's items are and what tells them apart.
fn describe(
    path: &PathPattern,
    query: &[String],
    key: &str,
    source: Option<(&str, &str)>,
    fields: &[Field],
    keep: Option<&Keep>,
) -> String {
    let path = path.to_string();
    let fields = describe_fields(fields);
    let mut line = match source {
        Some((items, identity)) => format!(
            "list path={path:?} query={query:?} key={key:?} items={items:?} identity={identity:?} fields={fields}"
        ),
        None => format!("single path={path:?} query={query:?} key={key:?} fields={fields}"),
    };
    if let Some(keep) = keep {
        line.push_str(&format!(" keep={:?} from today", keep.field));
    }
    line
}

fn describe_fields(fields: &[Field]) -> String {
    let describe = |field: &Field| match &field.source {
        Source::Paths(paths) => {
            format!("{:?}: {:?}", field.name, paths.iter().map(Path::as_str).collect::<Vec<_>>())
        }
        Source::Object(fields) => format!("{:?}: {}", field.name, describe_fields(fields)),
    };
    format!("{{{}}}", fields.iter().map(describe).collect::<Vec<_>>().join(", "))
}
