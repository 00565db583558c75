//! Whether an entry of some age is what a request may be given. Pure.

use std::time::Duration;

use crate::{
    classify::demand::Demand,
    config::Route,
    respond::status::{Because, HitDetail},
};

/// What was filled this lately is new enough for who asks for the newest: so many demands make one fill.
pub(super) const REFRESH_BOUND: Duration = Duration::from_secs(1);

/// What an entry is to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usable {
    /// What was asked for.
    Fresh,
    /// Older than what was asked for, but it was filled within the last second.
    JustFilled,
    /// Past its ttl, and still good for a caller whose right to it is known.
    Stale(HitDetail),
    /// Of no use.
    Not(Because),
}

impl Usable {
    /// Why a request for which it is this is not answered from it after all.
    pub(super) fn because(self) -> Because {
        match self {
            // Fresh, so it is the request's token that may not have it.
            Self::Fresh | Self::JustFilled => Because::Request,
            Self::Stale(_) => Because::Stale,
            Self::Not(because) => because,
        }
    }
}

/// Judges an entry of this age; `failed` says whether filling it anew has failed a moment ago.
pub(super) fn judge(route: &Route, demand: &Demand, age: Duration, failed: impl FnOnce() -> bool) -> Usable {
    let past = age.checked_sub(route.ttl);
    match past {
        None if demand.accepts(age, route.ttl - age) => Usable::Fresh,
        None if age < REFRESH_BOUND => Usable::JustFilled,
        None => Usable::Not(Because::Request),
        Some(_) if !demand.is_plain() => Usable::Not(Because::Stale),
        Some(past) if past < route.stale.while_revalidate => Usable::Stale(HitDetail::WhileRevalidate),
        Some(past) if past < route.stale.if_error && failed() => Usable::Stale(HitDetail::IfError),
        Some(_) => Usable::Not(Because::Stale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Stale,
        check::{Overrides, load},
        profile::Profile,
    };
    use std::sync::Arc;

    fn route() -> Route {
        let mut config = load(Profile::Panels.source(), Overrides::default()).unwrap().0;
        let mut route = Arc::into_inner(config.routes.swap_remove(0)).unwrap();
        route.ttl = Duration::from_secs(10);
        let (while_revalidate, if_error) = (Duration::from_secs(5), Duration::from_secs(20));
        route.stale = Stale { while_revalidate, if_error };
        route
    }

    fn judge_at(ms: u64, demand: Demand, failed: bool) -> Usable {
        judge(&route(), &demand, Duration::from_millis(ms), || failed)
    }

    #[test]
    fn an_entry_goes_from_fresh_over_stale_to_useless() {
        let plain = Demand::default();
        for (ms, failed, usable) in [
            (0, false, Usable::Fresh),
            (9_999, true, Usable::Fresh),
            (10_000, false, Usable::Stale(HitDetail::WhileRevalidate)),
            (14_999, false, Usable::Stale(HitDetail::WhileRevalidate)),
            (15_000, false, Usable::Not(Because::Stale)),
            (15_000, true, Usable::Stale(HitDetail::IfError)),
            (29_999, true, Usable::Stale(HitDetail::IfError)),
            (30_000, true, Usable::Not(Because::Stale)),
        ] {
            assert_eq!(judge_at(ms, plain, failed), usable, "{ms} ms");
        }
    }

    #[test]
    fn a_demand_is_met_by_what_was_just_filled_and_by_nothing_stale() {
        let newest = Demand { max_age: Some(Duration::ZERO), ..Demand::default() };
        assert_eq!(judge_at(0, newest, false), Usable::Fresh);
        assert_eq!(judge_at(999, newest, false), Usable::JustFilled);
        assert_eq!(judge_at(1_000, newest, false), Usable::Not(Because::Request));
        assert_eq!(judge_at(12_000, newest, true), Usable::Not(Because::Stale));
        let old = Demand { max_age: Some(Duration::from_secs(60)), ..Demand::default() };
        assert_eq!(judge_at(9_000, old, false), Usable::Fresh);
        let long = Demand { min_fresh: Duration::from_secs(3), ..Demand::default() };
        assert_eq!(judge_at(7_000, long, false), Usable::Fresh);
        assert_eq!(judge_at(7_001, long, false), Usable::Not(Because::Request));
    }
}
