//! Any text is a configuration or a report of what is wrong with it, whose places are in the text; user and password of a
//! URL are in neither. A text that begins with `--` is a flag's value over the default profile.

use catproxy::config::{
    Config,
    check::{Origin, Overrides, Setting, load},
    profile::Profile,
    report::{Report, Source},
};

/// Stands for a password.
const SECRET: &str = "hunter2";
const NAME: &str = "fuzz.toml";

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let hidden = is_hidden(text);
    let shown = match loaded(text) {
        Ok((config, warnings)) => format!("{config:?}{}{}{warnings:?}", config.summary(), config.details()),
        Err(report) => {
            assert!(report.count() > 0);
            let shown = report.to_string();
            is_inside(&shown, text);
            let coloured = report.coloured(true).to_string();
            assert!(!hidden || !coloured.contains(SECRET));
            shown
        }
    };
    assert!(!hidden || !shown.contains(SECRET), "{shown}");
}

fn loaded(text: &str) -> Result<(Config, Vec<impl std::fmt::Debug + use<>>), Report> {
    let Some((flag, value)) = text.strip_prefix("--").and_then(|text| text.split_once(' ')) else {
        return load(Source { name: NAME.to_owned(), text: text.to_owned() }, Overrides::default());
    };
    let mut overrides = Overrides::default();
    let (name, place) = match flag {
        "listen" => ("--listen", &mut overrides.listen),
        "upstream" => ("--upstream", &mut overrides.upstream),
        "redis-url" => ("--redis-url", &mut overrides.redis_url),
        "prefix" => ("--prefix", &mut overrides.prefix),
        "time-zone" => ("--time-zone", &mut overrides.time_zone),
        "identity" => ("--identity", &mut overrides.ui_identity),
        "client-secret" => ("--client-secret", &mut overrides.ui_client_secret),
        _ => ("--key", &mut overrides.ui_key),
    };
    *place = Some(Setting { value: value.to_owned(), origin: Origin::Flag(name) });
    load(Profile::Panels.source(), overrides)
}

/// The secret stands in the text only as user or password of a URL, or as what is always one.
fn is_hidden(text: &str) -> bool {
    let is_secret = |(at, _): (usize, &str)| {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let (before, after) = (&text[line..at], text[at..].split('\n').next().unwrap_or_default());
        let in_url = before.rfind("://").is_some_and(|scheme| {
            let between = &before[scheme + 3..];
            let to_at = |end: fn(char) -> bool| {
                !between.contains(end) && after.split(end).next().unwrap_or_default().contains('@')
            };
            to_at(|symbol| ['"', '\''].contains(&symbol)) || to_at(char::is_whitespace)
        });
        in_url || before.starts_with("--client-secret ") || before.starts_with("--key ")
    };
    text.contains(SECRET) && text.match_indices(SECRET).all(is_secret)
}

/// Each ` --> fuzz.toml:LINE:COLUMN` is in the text, or right after it.
fn is_inside(shown: &str, text: &str) {
    for place in shown.split(&format!("--> {NAME}:")).skip(1) {
        let numbers: Vec<usize> =
            place.split(['\n', ':']).take(2).map_while(|number| number.parse().ok()).collect();
        let [line, column] = numbers.as_slice() else { panic!("no place in {place}") };
        let lines: Vec<&str> = text.split('\n').collect();
        assert!((1..=lines.len()).contains(line), "line {line} of {}", lines.len());
        let width = lines[line - 1].chars().count();
        // The end of a text that ends with a line is drawn behind that line's break.
        let end = usize::from(*line + 1 == lines.len() && text.ends_with('\n'));
        assert!((1..=width + 1 + end).contains(column), "column {column} of {width} in line {line}");
    }
}
