//! The read that most are: what there is in this process already, for a token whose right to it is remembered. Nothing
//! is waited for, so nothing is made ready for waiting.

use http::{HeaderMap, Response};
use jiff::civil::Date;

use super::{
    Proxy,
    ask::may_read,
    begun::Begun,
    read::{found, served},
    usable::Usable,
};
use crate::{
    admit::Caller,
    body::Body,
    classify::Read,
    respond::{self, Served, rendered::Rendered, status::HitDetail},
    telemetry::outcome::Outcome,
    trace::{self, Step},
};

impl Proxy {
    /// The answer, where it is there; else all is as if this had not been tried. An answer takes the request's fields.
    pub(super) fn at_once(
        &self,
        read: &Read,
        caller: &Caller,
        fields: &mut HeaderMap,
        begun: &Begun,
    ) -> Option<Response<Body>> {
        let mut step = trace::trial(Step::Look);
        let look = self.0.cache.look_at_once(read)?;
        let hit = look.hit.as_ref()?;
        let serves = self.usable(read, &look) == Usable::Fresh
            && may_read(self.0.admission.standing(caller), &hit.entry);
        if !serves {
            return None;
        }
        let rendered = self.0.pages.made(&hit.entry, read, self.day(read))?;
        let detail = hit.near.then_some(HitDetail::Near);
        step.word("catproxy.found", found(&look));
        step.end();
        let step = trace::step(Step::Respond);
        let answer = self.page(&served(read, hit, detail), &rendered, std::mem::take(fields));
        let outcome = detail.map_or(Outcome::HitStore, |_| Outcome::HitNear);
        step.end();
        self.note(Some(read.index), outcome, begun, answer.status());
        Some(answer)
    }

    pub(super) fn page(&self, served: &Served, rendered: &Rendered, fields: HeaderMap) -> Response<Body> {
        respond::page(served, rendered, fields, self.0.common.clock.now_ms())
    }

    /// The day from which this route's items are kept, where that matters.
    pub(super) fn day(&self, read: &Read) -> Option<Date> {
        read.route.keep.as_ref().map(|_| self.0.cache.today())
    }
}
