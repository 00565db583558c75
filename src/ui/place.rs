//! Where a person is: an address of the browser, and what a panel is asked for. Pure.

use super::events::Show;

/// What the three panels show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seller: Option<u64>,
    pub(super) event: Option<u64>,
    pub(super) lot: Option<u64>,
    pub(super) show: Show,
}

impl Place {
    /// Reads `/ui/`, `/ui/sellers/42`, `…/events/7` or `…/lots/9`.
    pub(super) fn read(segments: &[&str], query: &Query) -> Option<Self> {
        let id = |text: &str| text.parse::<u64>().ok();
        let place = match *segments {
            [""] => Self::default(),
            ["sellers", seller] => Self { seller: Some(id(seller)?), ..Self::default() },
            ["sellers", seller, "events", event] => {
                Self { seller: Some(id(seller)?), event: Some(id(event)?), ..Self::default() }
            }
            ["sellers", seller, "events", event, "lots", lot] => Self {
                seller: Some(id(seller)?),
                event: Some(id(event)?),
                lot: Some(id(lot)?),
                ..Self::default()
            },
            _ => return None,
        };
        Some(Self { show: Show::of(query.text("show")), ..place })
    }

    /// The panel that a phone shows.
    pub(super) fn view(&self) -> &'static str {
        match (self.seller, self.event) {
            (None, _) => "sellers",
            (Some(_), None) => "events",
            (Some(_), Some(_)) => "lots",
        }
    }
}

/// The parameters of a request, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(mine, _)| mine == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }
}

/// Where to go after signing in: a page of ours, or the first one. Never another site.
pub(super) fn back(asked: Option<&str>) -> String {
    let ours = |path: &&str| {
        path.starts_with("/ui/")
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/?=&-_".contains(&byte))
    };
    asked.filter(ours).unwrap_or("/ui/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<Place> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Place::read(&path.split('/').collect::<Vec<_>>(), &Query::read(query.as_bytes()))
    }

    #[test]
    fn an_address_names_a_place_and_nonsense_none() {
        assert_eq!(read(""), Some(Place::default()));
        let place = read("sellers/42/events/7/lots/9?show=all").unwrap();
        assert_eq!(
            (place.seller, place.event, place.lot, place.show),
            (Some(42), Some(7), Some(9), Show::All)
        );
        assert_eq!(place.view(), "lots");
        assert_eq!(read("sellers/42").unwrap().view(), "events");
        for odd in
            ["sellers", "sellers/", "sellers/x", "sellers/-1", "sellers/1/", "lots/1", "sellers/1/events"]
        {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(back(Some("/ui/sellers/42?show=all")), "/ui/sellers/42?show=all");
        for odd in
            ["//evil.example", "https://evil.example", "/ui/\\evil", "/ui/@x:y", "/ui/%0d%0a", "/", "/ui"]
        {
            assert_eq!(back(Some(odd)), "/ui/", "{odd}");
        }
        assert_eq!(back(None), "/ui/");
    }
}
