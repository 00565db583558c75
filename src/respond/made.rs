//! Fields' values that many answers of a moment have in common, such as `Date`: made once by each thread.

use std::cell::RefCell;

use http::HeaderValue;

/// Entries that are asked for by turns seldom have more different values than these.
const SLOTS: usize = 32;

/// The values made last, by what they say.
pub(super) struct Made<K>(RefCell<[Option<(K, HeaderValue)>; SLOTS]>);

impl<K: Copy + PartialEq> Made<K> {
    pub(super) const fn new() -> Self {
        Self(RefCell::new([const { None }; SLOTS]))
    }

    /// Has the value for this key, as `make` makes it, used; `number` tells keys of one moment apart.
    pub(super) fn with<T>(
        &self,
        key: K,
        number: u64,
        make: impl FnOnce() -> HeaderValue,
        used: impl FnOnce(&HeaderValue) -> T,
    ) -> T {
        let place = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        match self.0.borrow_mut().get_mut(place) {
            Some(Some((known, value))) if *known == key => used(value),
            Some(slot) => used(&slot.insert((key, make())).1),
            None => used(&make()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_its_keys_whichever_was_asked_for_before() {
        let made = Made::new();
        for key in [1, 2, 1, 1 + SLOTS as u64, 1, 2] {
            let value = made.with(key, key, || HeaderValue::from(key), HeaderValue::clone);
            assert_eq!(value, HeaderValue::from(key));
        }
        let again = made.with(2, 2, || HeaderValue::from(0), HeaderValue::clone);
        assert_eq!(again, HeaderValue::from(2), "not made a second time");
    }
}
