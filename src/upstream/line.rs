//! A stream to the upstream on which nobody speaks yet, or no more: in the clear or within TLS.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    task::{Context, Waker},
};

use tokio::{
    io::{AsyncRead as _, ReadBuf},
    task::unconstrained,
};
use tokio_util::either::Either;

use super::connect::Secured;
use crate::dial::Stream;

/// In the clear, or within TLS.
pub(super) type Line = Either<Stream, Secured>;

/// Whether it is silent, and open as far as is known. What has come without being asked for answers nothing.
pub(super) fn is_silent(line: &mut Line) -> bool {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    // Where the task has had its turn a stream says that nothing has come, whatever has.
    let read = pin!(unconstrained(poll_fn(|context| {
        Pin::new(&mut *line).poll_read(context, &mut ReadBuf::new(&mut byte))
    })));
    read.poll(&mut context).is_pending()
}
