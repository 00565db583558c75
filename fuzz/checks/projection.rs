//! Paths in the first line, divided by tabs, and a body after it. A path is read or refused at one of its characters; the
//! page that is cut out of a body is what serde_json and jsonpath-rust make of it, and where it is refused as no JSON, it
//! is none.

use catproxy::project::{Field, Path, ProjectError, ProjectedPage, Projection, Source};
use jsonpath_rust::{parser::parse_json_path, query::js_path_process};
use serde::de::IgnoredAny;
use serde_json::Value;

pub(super) fn check(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
    let paths = std::str::from_utf8(halves.next().unwrap_or_default()).unwrap_or("$.a");
    let body = halves.next().unwrap_or_default();
    let paths: Vec<Path> = paths.split('\t').take(4).filter_map(read).collect();
    let field = |(place, path): (usize, &Path)| Field {
        name: format!("f{place}"),
        source: Source::Paths(vec![path.clone()]),
    };
    let fields: Vec<Field> = paths.iter().enumerate().map(field).collect();
    let Ok(list) =
        Projection::list(read("$.items[*]").expect("a path"), fields, read("$.id").expect("a path"))
    else {
        return;
    };
    let page = list.page(body);
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    match &page {
        Ok(page) => {
            assert!(is_json, "no JSON was read");
            is_list(page);
        }
        Err(ProjectError::Syntax { offset }) => {
            assert!(*offset <= body.len());
            assert!(!is_json || std::str::from_utf8(body).is_err(), "JSON was refused at {offset}");
        }
        Err(_) => {}
    }
    if let (Ok(page), Ok(value)) = (&page, serde_json::from_slice::<Value>(body)) {
        is_what_the_plain_way_gives(page, &value, &paths);
    }
    let half = body.len() / 2;
    let mut reading = list.begin(None);
    let pieces = [&body[..half], &body[half..]].iter().try_for_each(|piece| list.read(&mut reading, piece));
    match (page, pieces.and_then(|()| list.end(reading))) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => {
            assert_eq!(whole.map_err(|error| error.to_string()), pieces.map_err(|error| error.to_string()));
        }
    }
}

fn read(text: &str) -> Option<Path> {
    match Path::parse(text) {
        Ok(path) => {
            assert_eq!(path.as_str(), text);
            assert!(parse_json_path(text).is_ok(), "jsonpath-rust refuses {text}");
            Some(path)
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.offset) && !error.message.is_empty());
            None
        }
    }
}

fn is_list(page: &ProjectedPage) {
    let text = std::str::from_utf8(&page.text).expect("UTF-8");
    assert!(serde_json::from_str::<Vec<IgnoredAny>>(&format!("[{text}]")).is_ok(), "{text}");
    let mut end = 0;
    for span in &page.items {
        assert!(span.start >= end && text[span.start as usize..span.end as usize].starts_with('{'));
        end = span.end;
    }
}

fn is_what_the_plain_way_gives(page: &ProjectedPage, value: &Value, paths: &[Path]) {
    let text = std::str::from_utf8(&page.text).expect("UTF-8");
    // The values are numbers that fit, as all of the body is.
    let ours: Value = serde_json::from_str(&format!("[{text}]")).expect("JSON");
    let items = value["items"].as_array().expect("a list, as it was read");
    let theirs: Vec<Value> = items.iter().map(|item| plainly(item, paths)).collect();
    assert_eq!(ours, Value::Array(theirs));
    assert_eq!(page.items.len(), items.len());
    assert_eq!(page.total_items, value["totalItems"].as_u64());
    assert_eq!(page.total_pages, value["totalPages"].as_u64());
    assert_eq!(page.page_number, value["pageNumber"].as_u64());
    let identified = items.iter().filter(|item| item.get("id").is_some_and(|id| !id.is_null()));
    assert_eq!(page.identities.len(), identified.count());
}

fn plainly(item: &Value, paths: &[Path]) -> Value {
    let field = |(place, path): (usize, &Path)| {
        let query = parse_json_path(path.as_str()).expect("a path");
        let nodes = js_path_process(&query, item).expect("nodes");
        let mut found: Vec<Value> = nodes.into_iter().map(|node| node.val.clone()).collect();
        let value = match found.len() {
            0 => return None,
            1 => found.remove(0),
            _ => Value::Array(found),
        };
        Some((format!("f{place}"), value))
    };
    Value::Object(paths.iter().enumerate().filter_map(field).collect())
}
