//! Where an answer came from, by what the proxy itself says in `Cache-Status` – pure. A time counts only where this
//! says what it is the time of.

use http::HeaderMap;

/// Where the proxy had an answer from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It asked the API for all of it, for this request.
    Filled,
    /// From the cache, without a question.
    Cached,
    /// From the cache, after the API had been asked whether this token may read.
    Asked,
    /// Something else: forwarded, another request's fill, failed, past its time.
    Other,
}

impl Origin {
    /// What the proxy nearest to the client says, and as much of its words as may be shown; `None` where there is no
    /// catproxy.
    pub(super) fn of(fields: &HeaderMap) -> Option<(Self, String)> {
        let lines = fields.get_all("cache-status").iter().filter_map(|line| line.to_str().ok());
        let member = lines.flat_map(|line| line.split(',')).map(str::trim).rfind(|member| is_ours(member))?;
        Some((judge(member), shown(member)))
    }
}

fn is_ours(member: &str) -> bool {
    member.split(';').next().is_some_and(|name| name.trim() == "catproxy")
}

fn judge(member: &str) -> Origin {
    let parameters: Vec<&str> = member.split(';').skip(1).map(str::trim).collect();
    let value = |name: &str| parameters.iter().find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
    match (parameters.contains(&"hit"), value("fwd"), value("detail")) {
        (true, None, None | Some("near")) => Origin::Cached,
        (true, None, Some("asked")) => Origin::Asked,
        (false, Some("miss" | "stale" | "request"), None | Some("store-away"))
            if !parameters.contains(&"collapsed") && value("fwd-status").is_none() =>
        {
            Origin::Filled
        }
        _ => Origin::Other,
    }
}

/// Without what no catproxy says: who plays one may repeat what it was sent, and that is a secret.
fn shown(member: &str) -> String {
    let parameters = member.split(';').skip(1).map(str::trim).filter(|one| is_sayable(one));
    parameters.fold("catproxy".to_owned(), |text, one| text + "; " + one)
}

fn is_sayable(parameter: &str) -> bool {
    const LONGEST: usize = 30;
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let is_word = || value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let is_number = || value.parse::<i64>().is_ok();
    match name {
        "hit" | "stored" | "collapsed" => value.is_empty(),
        "fwd" | "detail" => value.len() <= LONGEST && is_word(),
        "ttl" | "fwd-status" => value.len() <= 10 && is_number(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(lines: &[&'static str]) -> Option<Origin> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append("cache-status", http::HeaderValue::from_static(line));
        }
        Origin::of(&fields).map(|(origin, _)| origin)
    }

    #[test]
    fn each_status_of_the_proxy_is_what_it_says() {
        for (status, expected) in [
            ("catproxy; hit; ttl=299", Origin::Cached),
            ("catproxy; hit; ttl=299; detail=near", Origin::Cached),
            ("catproxy; hit; ttl=299; detail=asked", Origin::Asked),
            ("catproxy; hit; ttl=299; detail=refresh-bounded", Origin::Other),
            ("catproxy; hit; ttl=-2; detail=stale-while-revalidate", Origin::Other),
            ("catproxy; hit; ttl=-2; detail=stale-if-error", Origin::Other),
            ("catproxy; fwd=miss; stored", Origin::Filled),
            ("catproxy; fwd=request; stored", Origin::Filled),
            ("catproxy; fwd=stale", Origin::Filled),
            ("catproxy; fwd=miss; detail=store-away", Origin::Filled),
            ("catproxy; fwd=miss; collapsed; stored", Origin::Other),
            ("catproxy; fwd=request; stored; detail=total", Origin::Other),
            ("catproxy; fwd=request; stored; detail=refresh-bounded", Origin::Other),
            ("catproxy; fwd=miss; fwd-status=503", Origin::Other),
            ("catproxy; fwd=miss; detail=unanswered", Origin::Other),
            ("catproxy; fwd=bypass; detail=query", Origin::Other),
            ("catproxy; detail=only-if-cached", Origin::Other),
        ] {
            assert_eq!(origin(&[status]), Some(expected), "{status}");
        }
    }

    #[test]
    fn only_what_the_nearest_catproxy_says_counts() {
        assert_eq!(origin(&[]), None);
        assert_eq!(origin(&["cdn; hit", "catproxies; hit"]), None);
        let far = "catproxy; hit; ttl=1, cdn; fwd=miss";
        assert_eq!(origin(&[far]), Some(Origin::Cached));
        assert_eq!(origin(&[far, "catproxy; fwd=miss; stored"]), Some(Origin::Filled));
    }

    #[test]
    fn no_word_is_shown_that_catproxy_does_not_say() {
        for said in
            ["catproxy; hit; ttl=-2; detail=stale-if-error", "catproxy; fwd=miss; collapsed; fwd-status=503"]
        {
            assert_eq!(shown(said), said);
        }
        let repeats = "catproxy; fwd=bypass; detail=eyJhbGci.x; key=eyJ; ttl=1a; stored=eyJ; eyJ";
        assert_eq!(shown(repeats), "catproxy; fwd=bypass");
        assert_eq!(shown(&format!("catproxy; fwd={}", "a".repeat(31))), "catproxy");
    }
}
