//! A text in a browser's cookies: in several, where one would be too large for browsers.
//!
//! The first says how many there are, so that what an earlier, longer text has left behind is not read.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// The cookies of a session, in order.
const NAMES: [&str; 4] =
    ["catproxy_session", "catproxy_session_1", "catproxy_session_2", "catproxy_session_3"];
/// Of a cookie's value. Browsers keep 4096 bytes of name, value and, some of them, attributes.
const VALUE_BYTES: usize = 3900;

/// What all cookies of the frontend have in common: no script reads them, no other path gets them.
///
/// `SameSite=Lax` for a session: a link in a letter leads to a page that knows its reader, and no other site's form or
/// script is sent with it. `Strict` would show such a reader the sign-in page, and protect nothing that the
/// tokens in forms do not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes {
    /// Over HTTPS only.
    pub(super) secure: bool,
}

impl Attributes {
    fn cookie(self, name: &str, value: &str, rest: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/ui; HttpOnly{secure}; {rest}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn removed(self, name: &str) -> Option<HeaderValue> {
        self.cookie(name, "", "SameSite=Lax; Max-Age=0")
    }

    /// A cookie that ends with the browser and comes with no request of another site.
    pub(super) fn strict(self, name: &str, value: &str) -> Option<HeaderValue> {
        self.cookie(name, value, "SameSite=Strict")
    }

    /// The session's cookies, of a text without `;` and the like. Of those names that are not needed, the ones in
    /// `there` are removed; all, where it is not known which are there. `None`: the text is too large.
    pub(super) fn set(
        self,
        text: &str,
        life: Duration,
        there: Option<&HeaderMap>,
    ) -> Option<Vec<HeaderValue>> {
        let parts = (text.len() + "1.".len()).div_ceil(VALUE_BYTES);
        let text = format!("{parts}.{text}");
        if parts > NAMES.len() {
            return None;
        }
        let rest = format!("SameSite=Lax; Max-Age={}", life.as_secs());
        let mut values = text.as_bytes().chunks(VALUE_BYTES).map(|part| std::str::from_utf8(part).ok());
        let mut cookies = Vec::new();
        for name in NAMES {
            match values.next() {
                Some(value) => cookies.push(self.cookie(name, value?, &rest)?),
                None if there.is_none_or(|fields| value(fields, name).is_some()) => {
                    cookies.push(self.removed(name)?);
                }
                None => {}
            }
        }
        Some(cookies)
    }

    /// Removes those of the session's cookies that are there, and in any case the first.
    pub(super) fn remove(self, fields: &HeaderMap) -> Vec<HeaderValue> {
        let (first, others) = NAMES.split_at(1);
        let there = others.iter().filter(|name| value(fields, name).is_some());
        first.iter().chain(there).filter_map(|name| self.removed(name)).collect()
    }
}

/// The text of the session's cookies, as far as there is one and it is whole.
pub(super) fn text(fields: &HeaderMap) -> Option<String> {
    let (parts, first) = value(fields, NAMES.first()?)?.split_once('.')?;
    let parts = (1..=NAMES.len()).find(|count| count.to_string() == parts)?;
    let mut text = first.to_owned();
    for name in NAMES.get(1..parts)? {
        text.push_str(value(fields, name)?);
    }
    Some(text)
}

/// The value of the first cookie of this name.
pub(super) fn value<'f>(fields: &'f HeaderMap, name: &str) -> Option<&'f str> {
    let lines = fields.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Attributes = Attributes { secure: false };
    const LIFE: Duration = Duration::from_secs(60);

    fn fields(cookie: &str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(header::COOKIE, cookie.parse().expect("a value"));
        fields
    }

    /// The request of a browser that got these.
    fn back(cookies: &[HeaderValue]) -> HeaderMap {
        let pairs = cookies.iter().map(|cookie| cookie.to_str().expect("text"));
        let pairs = pairs.filter(|cookie| !cookie.contains("Max-Age=0"));
        let pairs: Vec<_> = pairs.filter_map(|cookie| cookie.split(';').next()).collect();
        fields(&pairs.join("; "))
    }

    #[test]
    fn a_text_of_any_size_comes_back_up_to_the_bound() {
        for (size, parts) in [(0, 1), (3898, 1), (3899, 2), (7798, 2), (7799, 3), (15_598, 4)] {
            let text_set = "x".repeat(size);
            let cookies = PLAIN.set(&text_set, LIFE, Some(&HeaderMap::new())).expect("it fits");
            assert_eq!(cookies.len(), parts, "{size}");
            assert!(cookies.iter().all(|cookie| cookie.len() <= 4096), "{size}");
            assert_eq!(text(&back(&cookies)), Some(text_set));
        }
        assert_eq!(PLAIN.set(&"x".repeat(15_599), LIFE, None), None);
    }

    #[test]
    fn no_script_no_other_path_and_no_other_site_gets_them() {
        let shown = |attributes: Attributes| {
            let cookies = attributes.set("x", LIFE, Some(&HeaderMap::new())).expect("it fits");
            cookies[0].to_str().expect("text").to_owned()
        };
        assert_eq!(shown(PLAIN), "catproxy_session=1.x; Path=/ui; HttpOnly; SameSite=Lax; Max-Age=60");
        assert!(shown(Attributes { secure: true }).contains("; Secure; "));
        assert!(!format!("{:?}", PLAIN.set("x", LIFE, None)).contains("1.x"));
    }

    #[test]
    fn what_a_longer_text_left_behind_is_removed_and_not_read() {
        let there = fields("catproxy_session=2.a; catproxy_session_1=b; other=c");
        let cookies = PLAIN.set("x", LIFE, Some(&there)).expect("it fits");
        assert_eq!(cookies.len(), 2);
        assert!(cookies[1].to_str().expect("text").starts_with("catproxy_session_1=; "));
        assert_eq!(PLAIN.set("x", LIFE, None).expect("it fits").len(), 4);
        assert_eq!(text(&fields("catproxy_session=1.x; catproxy_session_1=b")).as_deref(), Some("x"));
        assert_eq!(PLAIN.remove(&there).len(), 2);
        assert_eq!(PLAIN.remove(&HeaderMap::new()).len(), 1);
    }

    #[test]
    fn half_a_text_is_none() {
        for odd in
            ["", "catproxy_session=x", "catproxy_session=2.x", "catproxy_session=0.x", "catproxy_session=9.x"]
        {
            assert_eq!(text(&fields(odd)), None, "{odd}");
        }
        for odd in [
            "catproxy_session=01.x",
            "catproxy_session=+1.x",
            "xcatproxy_session=1.x",
            "catproxy_session_1=x",
        ] {
            assert_eq!(text(&fields(odd)), None, "{odd}");
        }
    }
}
