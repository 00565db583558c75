//! What a client says of its trace: W3C Trace Context, read to the letter. What is not that is no trace, and never an
//! error.

use http::{HeaderName, HeaderValue};
use opentelemetry::trace::{SpanId, TraceId};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-` and two numbers, `-` and the flags.
const BYTES: usize = 55;
/// At least so much of a `tracestate` is to be passed on; beyond it, nothing is.
const STATE_BYTES: usize = 512;
const SAMPLED: u8 = 1;

/// The fields by which a client says of which trace its request is.
#[derive(Clone, Debug, Default)]
pub struct Parent {
    /// How many times `traceparent` was said: once, or it says nothing.
    said: usize,
    remote: Option<Remote>,
    state: Vec<u8>,
}

/// A span of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
    /// `tracestate`: for the upstream, and for nobody else.
    pub(super) state: Option<HeaderValue>,
}

impl Parent {
    /// Of these fields, by name and value.
    pub fn of<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> Self {
        let mut parent = Self::default();
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(TRACEPARENT.as_str()) {
                parent.add_parent(value);
            } else if name.eq_ignore_ascii_case(TRACESTATE.as_str()) {
                parent.add_state(value);
            }
        }
        parent
    }

    fn add_parent(&mut self, value: &[u8]) {
        self.said += 1;
        self.remote = parent(value.trim_ascii());
    }

    fn add_state(&mut self, value: &[u8]) {
        if !self.state.is_empty() {
            self.state.push(b',');
        }
        self.state.extend_from_slice(value.trim_ascii());
    }

    pub(super) fn remote(self) -> Option<Remote> {
        let remote = self.remote.filter(|_| self.said == 1)?;
        let state = Some(self.state).filter(|state| !state.is_empty() && state.len() <= STATE_BYTES);
        let state = state.and_then(|state| HeaderValue::from_maybe_shared(bytes::Bytes::from(state)).ok());
        Some(Remote { state, ..remote })
    }
}

fn parent(value: &[u8]) -> Option<Remote> {
    let (known, beyond) = value.split_at_checked(BYTES)?;
    let mut parts = std::str::from_utf8(known).ok()?.split('-');
    let (version, trace) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
    let (span, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
    // A later version may say more behind it (section 3.2.4), version 255 never is one.
    let is_whole = match version {
        0 => beyond.is_empty(),
        255 => false,
        _ => beyond.is_empty() || beyond.starts_with(b"-"),
    };
    let remote = Remote {
        trace: TraceId::from(trace),
        span: SpanId::from(u64::try_from(span).ok()?),
        sampled: u8::try_from(flags).ok()? & SAMPLED != 0,
        state: None,
    };
    (is_whole && trace != 0 && span != 0).then_some(remote)
}

/// So many digits, none of them a capital.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_number = text.len() == digits && text.bytes().all(is_digit);
    is_number.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// What `traceparent` says of a span.
pub(super) fn said_of(trace: TraceId, span: SpanId, sampled: bool) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("00-{trace}-{span}-{:02x}", u8::from(sampled))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(fields: &[(&'static str, &str)]) -> Option<Remote> {
        Parent::of(fields.iter().map(|(name, text)| (*name, text.as_bytes()))).remote()
    }

    #[test]
    fn a_parent_is_read_to_the_letter() {
        let read = of(&[("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", " b=2")]).unwrap();
        assert_eq!(read.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(read.span.to_string(), "00f067aa0ba902b7");
        assert_eq!((read.sampled, read.state.unwrap().to_str().unwrap()), (true, "a=1,b=2"));
        assert_eq!(said_of(read.trace, read.span, true).unwrap(), GOOD);
        assert!(!of(&[("traceparent", &GOOD.replace("-01", "-00"))]).unwrap().sampled);
        assert!(!of(&[("traceparent", &GOOD.replace("-01", "-02"))]).unwrap().sampled);
        let later = GOOD.replacen("00", "cc", 1);
        assert!(of(&[("traceparent", &later)]).is_some());
        assert!(of(&[("traceparent", &format!("{later}-what-comes-later"))]).is_some());
    }

    #[test]
    fn what_is_not_that_is_no_trace() {
        for text in [
            "",
            "00",
            "0-1-1-1",
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "+0", 1),
            &GOOD.replace("4bf9", "4BF9"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("-01", "-0x"),
            &GOOD.replace('-', "_"),
            &format!("{GOOD}-00"),
            &format!("{GOOD}0"),
            GOOD.trim_end_matches('1'),
            "00-4bf92f3577b34da6a3ce929d0e0e473600-f067aa0ba902b7-01",
        ] {
            assert_eq!(of(&[("traceparent", text)]), None, "{text}");
        }
        assert_eq!(of(&[("traceparent", GOOD), ("traceparent", GOOD)]), None, "said twice");
        let long = format!("a={}", "x".repeat(STATE_BYTES));
        assert_eq!(of(&[("traceparent", GOOD), ("tracestate", &long)]).unwrap().state, None);
    }
}
