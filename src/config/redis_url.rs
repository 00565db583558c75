//! What a Redis URL says: of one server, of a master that Sentinels know, or of a Cluster. Read before anything starts, so
//! that a bad one is found then. No message names a part of the URL: any part may be the password, misplaced.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::report::Fault;

const SENTINEL_PORT: &str = ":26379";
/// Of a query: whom the Sentinels know the client as, which is not whom the servers know it as.
const OF_SENTINELS: [&str; 2] = ["sentinel_user", "sentinel_pass"];

/// Where Redis is; each URL in it is of one server. It holds passwords and is not printed.
pub(crate) enum Deployment {
    /// One server.
    One(String),
    /// The server that these Sentinels name as the master.
    Sentinels {
        /// By which they are asked.
        sentinels: Vec<String>,
        /// As they call it.
        master: String,
        /// How the master is spoken to: as this says, at whatever address it is.
        server: String,
    },
    /// The servers of a Cluster, some of which are these.
    Cluster(Vec<String>),
}

/// Takes `redis[s]://[user[:password]@]host[:port][/database]`, `[redis+]unix:///path`,
/// `redis[s]+sentinel://[user[:password]@]host[:port][,host[:port]…]/master[/database]` and
/// `redis[s]+cluster://[user[:password]@]host[:port][,host[:port]…]` apart.
pub(crate) fn read(url: &str) -> Result<Deployment, Fault> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Fault::whole("no scheme: it looks like `redis://127.0.0.1:6379`"));
    };
    match &*scheme.to_ascii_lowercase() {
        "redis+sentinel" => sentinels("redis", rest),
        "rediss+sentinel" => sentinels("rediss", rest),
        "redis+cluster" => cluster("redis", rest),
        "rediss+cluster" => cluster("rediss", rest),
        "redis" | "rediss" | "redis+unix" | "unix" => {
            check_one(url)?;
            Ok(Deployment::One(url.to_owned()))
        }
        _ => Err(Fault::at(
            0,
            "the schemes are redis, rediss, redis+unix, unix, and redis or rediss with +sentinel or +cluster",
        )),
    }
}

fn sentinels(scheme: &str, rest: &str) -> Result<Deployment, Fault> {
    let Parts { user, hosts, path, query, fragment } = Parts::of(rest)?;
    let (master, database) = split(path, '/');
    let named = |symbol: char| symbol.is_ascii_alphanumeric() || "-_.".contains(symbol);
    if master.is_empty() || !master.chars().all(named) {
        return Err(Fault::whole(
            "the master's name is missing after the Sentinels: `redis+sentinel://host:26379/mymaster`",
        ));
    }
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    let of_sentinels = |pair: &&str| OF_SENTINELS.iter().any(|name| split(pair, '=').0 == *name);
    let theirs =
        |name: &str| pairs().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    let [name, password] = OF_SENTINELS.map(theirs);
    let their_user = if query.contains("sentinel_") { format!("{name}:{password}@") } else { String::new() };
    if pairs().any(|pair| pair.starts_with("sentinel_") && !of_sentinels(&pair)) {
        return Err(Fault::whole("of the Sentinels are said `sentinel_user` and `sentinel_pass`"));
    }
    let rest: Vec<_> = pairs().filter(|pair| !of_sentinels(pair)).collect();
    let tail = format!("?{}{fragment}", rest.join("&"));
    let sentinels = hosts.split(',').map(|host| {
        let port = if has_port(host) { "" } else { SENTINEL_PORT };
        one(format!("{scheme}://{their_user}{host}{port}{fragment}"))
    });
    let sentinels = sentinels.collect::<Result<Vec<_>, _>>()?;
    // A host that stands for the master's, wherever that is.
    let server = one(format!("{scheme}://{user}master/{}{tail}", database.unwrap_or("")))?;
    Ok(Deployment::Sentinels { sentinels, master: master.to_owned(), server })
}

fn cluster(scheme: &str, rest: &str) -> Result<Deployment, Fault> {
    let Parts { user, hosts, path, query, fragment } = Parts::of(rest)?;
    if !["", "0"].contains(&path.trim_end_matches('/')) {
        return Err(Fault::whole("a Cluster has no numbered databases"));
    }
    let seed = |host: &str| one(format!("{scheme}://{user}{host}?{query}{fragment}"));
    Ok(Deployment::Cluster(hosts.split(',').map(seed).collect::<Result<_, _>>()?))
}

/// What follows the scheme of a URL with several hosts.
struct Parts<'a> {
    /// With the `@`, or nothing.
    user: &'a str,
    hosts: &'a str,
    /// Without its `/`.
    path: &'a str,
    query: &'a str,
    /// With the `#`, or nothing.
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, Fault> {
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (rest, query) = split(rest, '?');
        let (authority, path) = split(rest, '/');
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        if user.contains(',') {
            return Err(Fault::whole(
                "user and password stand once, before all hosts; write %2C for a comma in them",
            ));
        }
        Ok(Self { user, hosts, path: path.unwrap_or(""), query: query.unwrap_or(""), fragment })
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(']').map_or(host, |(_, after)| after).contains(':')
}

fn one(url: String) -> Result<String, Fault> {
    check_one(&url).map(|()| url)
}

/// The URL of one server.
fn check_one(url: &str) -> Result<(), Fault> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let tls = scheme.eq_ignore_ascii_case("rediss");
    let unix = ["unix", "redis+unix"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
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
        if OF_SENTINELS.contains(&name) {
            return Err(Fault::whole("who asks the Sentinels is of use with redis+sentinel only"));
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

    fn check(url: &str) -> Result<(), String> {
        read(url).map(drop).map_err(|fault| fault.to_string())
    }

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
            assert!(matches!(read(url), Ok(Deployment::One(one)) if one == url), "{url}");
        }
    }

    #[test]
    fn of_a_cluster_each_server_is_spoken_to_in_the_same_way() {
        let url = "REDISS+cluster://user:p%2Fw@a:7000,[::1]:7001,c/?protocol=resp3#insecure";
        let Ok(Deployment::Cluster(seeds)) = read(url) else { panic!("a cluster") };
        let expected = ["a:7000", "[::1]:7001", "c"]
            .map(|host| format!("rediss://user:p%2Fw@{host}?protocol=resp3#insecure"));
        assert_eq!(seeds, expected);
    }

    #[test]
    fn sentinels_are_asked_as_who_they_know_and_the_master_as_who_it_knows() {
        let url =
            "redis+sentinel://app:pw@a,[::1],b:5000/my-master.1/3?protocol=3&sentinel_user=s&sentinel_pass=q";
        let Ok(Deployment::Sentinels { sentinels, master, server }) = read(url) else { panic!("sentinels") };
        assert_eq!(sentinels, ["redis://s:q@a:26379", "redis://s:q@[::1]:26379", "redis://s:q@b:5000"]);
        assert_eq!((&*master, &*server), ("my-master.1", "redis://app:pw@master/3?protocol=3"));
        let Ok(Deployment::Sentinels { sentinels, server, .. }) = read("rediss+sentinel://a/m") else {
            panic!("sentinels")
        };
        assert_eq!((&*sentinels[0], &*server), ("rediss://a:26379", "rediss://master/?"));
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
            "redis://h?sentinel_pass=x",
            "redis://a,b",
            "unix://",
            "unix:///",
            "unix://run/redis.sock",
            "unix:///s?db=x",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel:///m",
            "redis+sentinel://a,/m",
            "redis+sentinel://a/m n",
            "redis+sentinel://a/m/x",
            "redis+sentinel://a:0/m",
            "redis+sentinel://a/m#insecure",
            "redis+sentinel://a/m?sentinel_user=%zz",
            "redis+sentinel://:pa/ss@a/m",
            "redis+sentinel://u:p@a,u:p@b/m",
            "redis+sentinel://a/m?sentinel_password=x",
            "redis+cluster://a:7000,u:p@b",
            "unix+sentinel://a/m",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "redis+cluster://a/3",
            "redis+cluster://:100%@a",
            "redis+cluster://a?sentinel_user=x",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_shown_has_no_credentials() {
        assert_eq!(show("redis://user:p@ss@h:6379/2"), "redis://h:6379/2");
        assert_eq!(show("unix:///s?db=1&pass=pw"), "unix:///s");
        assert_eq!(show("rediss://h:1#insecure"), "rediss://h:1");
        assert_eq!(show("redis+sentinel://u:p@a:1,b/m/3?sentinel_pass=q"), "redis+sentinel://a:1,b/m/3");
    }
}
