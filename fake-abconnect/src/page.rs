//! Pages: slices of a list in the upstream's envelope.

use serde::Serialize;

use crate::problem::Problem;
use crate::query::Query;

/// One page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    items: Vec<T>,
    page_number: usize,
    total_pages: usize,
    total_items: usize,
    has_previous_page: bool,
    has_next_page: bool,
}

/// Which page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    number: usize,
    size: usize,
}

impl Wanted {
    /// Reads `PageNumber` and `PageSize`. A size above `greatest` counts as that; numbers below 1 are refused.
    pub(crate) fn read(query: &Query, greatest: usize, usual: usize) -> Result<Self, Problem> {
        let positive = |name: &str| {
            let too_small =
                || Problem::invalid(name, format!("'{name}' must be greater than or equal to '1'."));
            let given = query.int(name)?.map(|given| usize::try_from(given).map_err(|_| too_small()));
            match given.transpose()? {
                Some(0) => Err(too_small()),
                given => Ok(given),
            }
        };
        let number = positive("PageNumber")?.unwrap_or(1);
        let size = positive("PageSize")?.unwrap_or(usual).clamp(1, greatest.max(1));
        Ok(Self { number, size })
    }

    fn before(self) -> usize {
        (self.number - 1).saturating_mul(self.size)
    }
}

impl<T> Page<T> {
    /// The wanted page of `all`, which has `total` elements. Past the end it is empty, with the right numbers.
    pub(crate) fn of<S>(
        wanted: Wanted,
        total: usize,
        all: impl Iterator<Item = S>,
        show: impl FnMut(S) -> T,
    ) -> Self {
        let total_pages = total.div_ceil(wanted.size);
        Self {
            items: all.skip(wanted.before()).take(wanted.size).map(show).collect(),
            page_number: wanted.number,
            total_pages,
            total_items: total,
            has_previous_page: wanted.number > 1,
            has_next_page: wanted.number < total_pages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, total: usize) -> Result<String, Problem> {
        let wanted = Wanted::read(&Query::parse(Some(query)), 500, 10)?;
        Ok(serde_json::to_string(&Page::of(wanted, total, 1..=total, |n| n)).unwrap())
    }

    #[test]
    fn pages_count_from_one_and_past_the_end_they_are_empty() {
        let second = page("pageSize=2&PAGENUMBER=2", 5).unwrap();
        let rest = r#""totalItems":5,"hasPreviousPage":true,"#;
        assert_eq!(
            second,
            format!(r#"{{"items":[3,4],"pageNumber":2,"totalPages":3,{rest}"hasNextPage":true}}"#)
        );
        let past = page("PageSize=2&PageNumber=9", 5).unwrap();
        assert_eq!(
            past,
            format!(r#"{{"items":[],"pageNumber":9,"totalPages":3,{rest}"hasNextPage":false}}"#)
        );
    }

    #[test]
    fn sizes_are_clamped_and_numbers_below_one_refused() {
        let size = |query: &str| Wanted::read(&Query::parse(Some(query)), 500, 10).map(|wanted| wanted.size);
        assert_eq!((size("").ok(), size("PageSize=501").ok()), (Some(10), Some(500)));
        for bad in ["PageNumber=0", "PageNumber=-1", "PageSize=0", "PageNumber=x"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
