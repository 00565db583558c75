//! The shape of a Redis URL, so that a bad one is found before anything starts. No message names a part
//! of the URL: any part may be the password, misplaced.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::report::Fault;

/// Accepts `redis[s]://[user[:password]@]host[:port][/database]` and `[redis+]unix:///path`.
pub(super) fn check(url: &str) -> Result<(), Fault> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Fault::whole("no scheme: it looks like `redis://127.0.0.1:6379`"));
    };
    let tls = scheme.eq_ignore_ascii_case("rediss");
    let unix = ["unix", "redis+unix"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
    if !tls && !unix && !scheme.eq_ignore_ascii_case("redis") {
        return Err(Fault::at(0, "the schemes are redis, rediss, redis+unix and unix"));
    }
    if rest.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(Fault::whole("a blank or a control character stands in it"));
    }
    let (rest, fragment) = split(rest, '#');
    let (rest, query) = split(rest, '?');
    if fragment.is_some_and(|fragment| !tls || fragment != "insecure") {
        return Err(Fault::whole(
            "what follows `#` can only be `insecure`, with rediss; write %23 in a password",
        ));
    }
    check_query(query.unwrap_or(""), unix)?;
    if unix { check_socket(rest) } else { check_server(rest) }
}

/// The URL without user, password and query, for people.
pub(crate) fn show(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("redis", ""));
    let rest = rest.split(['?', '#']).next().unwrap_or("");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or("");
    format!("{scheme}://{host}{path}")
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn check_query(query: &str, unix: bool) -> Result<(), Fault> {
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if name == "protocol" && !["2", "3", "resp2", "resp3"].contains(&value) {
            return Err(Fault::whole("`protocol` is resp2 or resp3"));
        }
        if unix && name == "db" && !is_database(value) {
            return Err(Fault::whole("`db` is a number"));
        }
    }
    Ok(())
}

fn check_socket(path: &str) -> Result<(), Fault> {
    if path.strip_prefix('/').is_none_or(str::is_empty) {
        return Err(Fault::whole("the socket's path is missing: `redis+unix:///run/redis.sock`"));
    }
    Ok(())
}

fn check_server(rest: &str) -> Result<(), Fault> {
    let (authority, database) = split(rest, '/');
    let database = database.unwrap_or("").trim_end_matches('/');
    if !database.is_empty() && !is_database(database) {
        return Err(Fault::whole("the database after the `/` is a number; write %2F in a password"));
    }
    let (user, server) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !decodes(user) {
        return Err(Fault::whole("a `%` in user or password begins no two hexadecimal digits; write %25"));
    }
    let (host, port) = match server.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, port))) => {
            if host.parse::<Ipv6Addr>().map_or(true, |address| address.is_unspecified()) {
                return Err(Fault::whole("what stands in brackets is no IPv6 address of a server"));
            }
            (host, port)
        }
        Some(None) => return Err(Fault::whole("`]` is missing after the IPv6 address")),
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    if !port.is_empty()
        && port.strip_prefix(':').and_then(number).is_none_or(|port| !(1..=65_535).contains(&port))
    {
        return Err(Fault::whole("the port is a number from 1 to 65535"));
    }
    if host.is_empty() {
        return Err(Fault::whole("the host is missing"));
    }
    let is_address = server.starts_with('[');
    if !is_address && !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(Fault::whole("a host's name is letters, digits, `-`, `_` and `.`"));
    }
    if host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_unspecified()) {
        return Err(Fault::whole("0.0.0.0 is no server's address"));
    }
    Ok(())
}

fn is_database(text: &str) -> bool {
    number(text).is_some_and(|number| i32::try_from(number).is_ok())
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Whether every `%` begins an escape and the whole is UTF-8.
fn decodes(text: &str) -> bool {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return false;
        };
        decoded.push(byte);
        decoded.extend_from_slice(part.get(2..).unwrap_or("").as_bytes());
    }
    String::from_utf8(decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers_and_sockets_are_usable() {
        for url in [
            "redis://127.0.0.1:6379",
            "redis://redis",
            "REDIS://redis/",
            "redis://:p%40ss@cache.internal:6380/3",
            "rediss://user:pw@[::1]:6379/0#insecure",
            "redis://h?protocol=resp3",
            "redis+unix:///run/redis.sock?db=2&user=u&pass=p",
            "unix:///run/redis.sock",
        ] {
            assert!(check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn everything_else_is_unusable() {
        for url in [
            "",
            "127.0.0.1:6379",
            "http://h",
            "redis://",
            "redis://:6379",
            "redis://user:pw@",
            "redis://h:port",
            "redis://h:",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:6379/zero",
            "redis://h:+1",
            "redis://h/-1",
            "redis://h o",
            "redis://0.0.0.0",
            "redis://[::]",
            "redis://[::1",
            "redis://:100%@h",
            "redis://:%ff@h",
            "redis://:pa/ss@h",
            "redis://:pa#ss@h",
            "redis://h?protocol=9",
            "unix://",
            "unix:///",
            "unix://run/redis.sock",
            "unix:///s?db=x",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_shown_has_no_credentials() {
        assert_eq!(show("redis://user:p@ss@h:6379/2"), "redis://h:6379/2");
        assert_eq!(show("unix:///s?db=1&pass=pw"), "unix:///s");
        assert_eq!(show("rediss://h:1#insecure"), "rediss://h:1");
    }
}
