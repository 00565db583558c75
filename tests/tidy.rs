//! Holds the house's rules: which room may know which, and what stands in no file.

#![allow(clippy::expect_used, clippy::string_slice, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every source file of the proxy by its path below `src`, without its unit tests.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources").flatten() {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below src").display().to_string();
                let text = fs::read_to_string(&path).expect("a source file");
                let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
                files.insert(name, code.to_owned());
            }
        }
    }
    assert!(files.len() > 40, "only {} source files were found", files.len());
    files
}

/// The file's room: its first folder or its own name.
fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// The lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
}

/// The rooms of this crate that a file names.
fn rooms_named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    let joined: String = code(text).collect::<Vec<_>>().join("\n");
    for after in joined.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => rooms.extend(top_names(list)),
            None => rooms.push(word(after)),
        }
    }
    rooms
}

/// The first words of a brace list's elements, up to the brace that closes it.
fn top_names(list: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (place, symbol) in list.char_indices() {
        match symbol {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                names.push(word(list[start..place].trim()));
                start = place + 1;
                if symbol == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|symbol| symbol.is_alphanumeric() || *symbol == '_').collect()
}

/// From the outermost room inwards; a room may know those after it and itself.
const ORDER: [&str; 28] = [
    "main",
    "cli",
    "server",
    "admin",
    "ui",
    "proxy",
    "respond",
    "forward",
    "guard",
    "fill",
    "admit",
    "cache",
    "trace",
    "telemetry",
    "body",
    "page",
    "classify",
    "upstream",
    "config",
    "project",
    "aside",
    "bounded",
    "clock",
    "deadline",
    "supervise",
    "dial",
    "home",
    "lib",
];

#[test]
fn imports_point_one_way() {
    let place = |name: &str| ORDER.iter().position(|room| *room == name);
    let mut backward = Vec::new();
    for (file, text) in sources() {
        let here = place(room(&file)).unwrap_or_else(|| panic!("{file} is of no known room"));
        for named in rooms_named(&text) {
            let Some(there) = place(&named) else { continue };
            if there < here {
                backward.push(format!("{file} knows {named}"));
            }
        }
    }
    assert!(backward.is_empty(), "{backward:#?}");
}

#[test]
fn what_decides_is_pure() {
    let pure = |file: &str| {
        ["classify", "page", "project", "guard"].contains(&room(file))
            || ["cache/entry.rs", "proxy/usable.rs", "respond/condition.rs", "respond/status.rs"]
                .contains(&file)
    };
    let mut seen = 0;
    for (file, text) in sources().into_iter().filter(|(file, _)| pure(file)) {
        seen += 1;
        for line in code(&text) {
            for impure in
                ["tokio::", "hyper::", "redis::", "SystemTime", "Instant", "std::fs", "std::net", "async fn"]
            {
                assert!(!line.contains(impure), "{file} names {impure}: {line}");
            }
        }
    }
    assert!(seen > 8, "only {seen} pure files were found");
}

/// Which files alone may name something.
fn only(what: &[&str], may: impl Fn(&str) -> bool) {
    let mut allowed = 0;
    for (file, text) in sources() {
        for line in code(&text).filter(|line| what.iter().any(|word| line.contains(word))) {
            assert!(may(&file), "{file} names {what:?}: {line}");
            allowed += 1;
        }
    }
    assert!(allowed > 0, "nothing names {what:?}: the rule holds for the empty set");
}

#[test]
fn only_the_redis_store_names_redis() {
    only(&["redis::cmd", "redis::pipe", "use redis::", "bb8"], |file| {
        file == "cache/redis.rs" || file.starts_with("cache/redis/")
    });
}

#[test]
fn only_the_upstream_dials_out() {
    only(&["client::conn", "dialler.connect"], |file| room(file) == "upstream");
}

#[test]
fn only_one_room_opens_connections() {
    only(&["TcpStream::connect"], |file| file == "dial.rs");
    // The redis crate opens those of the system itself.
    only(&["get_multiplexed", ".replacement("], |file| file == "dial.rs" || file == "cache/redis/server.rs");
}

#[test]
fn only_traces_name_opentelemetry() {
    only(&["opentelemetry"], |file| room(file) == "trace");
    // Nor what is only there with it: all others are the same in every build.
    only(&["#[cfg(feature = \"otel\")]", "#[cfg(not(feature = \"otel\"))]"], |file| file == "trace.rs");
}

#[test]
fn only_the_deadline_times_out() {
    only(&["time::timeout", "timeout_at"], |file| file == "deadline.rs");
}

#[test]
fn only_the_ends_of_connections_name_tls() {
    only(&["rustls::"], |file| {
        file.starts_with("server/tls")
            || ["config/certificate.rs", "upstream/connect.rs", "cache/redis.rs"].contains(&file)
    });
}

#[test]
fn only_connections_of_http_2_name_its_library() {
    only(&[" h2::", "(h2::", "<h2::"], |file| file.starts_with("upstream/http2"));
}

#[test]
fn only_the_server_knows_the_runtimes() {
    only(&["runtime::Builder", "Runtime::new", "tokio::main"], |file| file == "server.rs");
}

#[test]
fn routes_are_data() {
    // The demo shows its own upstream, and says what to try; the frontend and `bench` are clients of the API.
    let may = |file: &str| ["cli/demo.rs", "cli/bench/lists.rs"].contains(&file) || room(file) == "ui";
    for (file, text) in sources().into_iter().filter(|(file, _)| !may(file)) {
        for line in code(&text) {
            for word in ["api/Seller", "api/Catalog", "SellerIds", "customerDisplayId"] {
                assert!(!line.contains(word), "{file} knows a route: {line}");
            }
        }
    }
}

#[test]
fn nothing_is_left_lying_about() {
    for (file, text) in sources() {
        let name = room(&file);
        assert!(!["util", "utils", "helper", "helpers", "common", "misc"].contains(&name), "{file}");
        for mark in ["TODO", "FIXME", "XXX", "HACK", "#[allow("] {
            assert!(!text.contains(mark), "{file} holds {mark}");
        }
        assert!(text.starts_with("//!"), "{file} does not say what it is for");
    }
}
