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
    respond::{self, Served, rendered::Rendered, status::HitDetail, text::Text},
    trace::{self, Step},
};

/// A page that may be served.
pub(super) struct AtHand {
    served: Served,
    rendered: Rendered,
}

impl Proxy {
    /// What is there for this caller.
    pub(super) fn at_once(&self, read: &Read, caller: &Caller, begun: &Begun) -> Option<AtHand> {
        let mut step = trace::trial(Step::Look);
        let look = self.0.cache.look_at_once(read, begun.at())?;
        let hit = look.hit.as_ref()?;
        let serves = self.usable(read, &look, begun.at()) == Usable::Fresh
            && may_read(self.0.admission.standing(caller), &hit.entry);
        if !serves {
            return None;
        }
        let rendered = self.0.pages.made(&hit.entry, read, self.day(read))?;
        step.word("catproxy.found", found(&look));
        step.end();
        let detail = hit.near.then_some(HitDetail::Near);
        Some(AtHand { served: served(read, hit, detail, begun.at()), rendered })
    }

    /// The answer with a page to a request with these fields, whose room it takes.
    pub(super) fn answer_at_once(
        &self,
        read: &Read,
        AtHand { served, rendered }: &AtHand,
        fields: HeaderMap,
        begun: &Begun,
    ) -> Response<Body> {
        let step = trace::step(Step::Respond);
        let answer = self.page(served, rendered, fields);
        step.end();
        self.note(Some(read.index), served.status.outcome(), begun, answer.status());
        answer
    }

    /// The same as bytes.
    pub(super) fn say_at_once(
        &self,
        read: &Read,
        AtHand { served, rendered }: &AtHand,
        fields: &HeaderMap,
        begun: &Begun,
    ) -> Text {
        let step = trace::step(Step::Respond);
        let answer = respond::page_text(served, rendered, fields, self.0.common.clock.now_ms());
        step.end();
        self.note(Some(read.index), served.status.outcome(), begun, answer.status());
        answer
    }

    pub(super) fn page(&self, served: &Served, rendered: &Rendered, fields: HeaderMap) -> Response<Body> {
        respond::page(served, rendered, fields, self.0.common.clock.now_ms())
    }

    /// The day from which this route's items are kept, where that matters.
    pub(super) fn day(&self, read: &Read) -> Option<Date> {
        read.route.keep.as_ref().map(|_| self.0.cache.today())
    }
}
