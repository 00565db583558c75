//! What lies under our keys, a bounded piece at a time: for an operator, never for a request.

use std::time::Duration;

use redis::{Pipeline, Value};

use super::{Redis, TOKEN_BYTES};
use crate::{
    cache::{
        entry::{LABEL_BYTES, Label},
        fault::Fault,
        generation::Generation,
        snapshot::Found,
    },
    deadline::Deadline,
};

/// Replies for each key of [`Redis::found`].
const REPLIES: usize = 3;

impl Redis {
    /// About so many of the server's keys, of which those with this prefix are given, and the cursor to go on with; 0 at
    /// the end.
    pub(in crate::cache) async fn scan(
        &self,
        prefix: &str,
        cursor: u64,
        count: usize,
        by: Deadline,
    ) -> Result<(Vec<String>, u64), Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("SCAN").arg(cursor).arg("MATCH").arg(literally(prefix) + "*").arg("COUNT").arg(count);
        let (_, mut replies) = self.ask(&self.pool, pipeline, by).await?;
        let Some(Value::Array(mut reply)) = replies.pop() else { return Err(Fault::Refused) };
        let (Some(Value::Array(keys)), Some(next)) = (reply.pop(), reply.pop()) else {
            return Err(Fault::Refused);
        };
        let next = text(next).and_then(|next| next.parse().ok()).ok_or(Fault::Refused)?;
        Ok((keys.into_iter().filter_map(text).collect(), next))
    }

    /// What lies under these keys, and the generations under those. A key that is gone meanwhile is left out.
    pub(in crate::cache) async fn found(
        &self,
        keys: Vec<String>,
        generations: &[String],
        by: Deadline,
    ) -> Result<(Vec<Found>, Vec<Option<Generation>>), Fault> {
        let mut pipeline = redis::pipe();
        for key in generations {
            pipeline.cmd("GETRANGE").arg(key).arg(0).arg(TOKEN_BYTES);
        }
        keys.iter().for_each(|key| describe(&mut pipeline, key));
        let (run_id, mut replies) = self.ask(&self.pool, pipeline, by).await?;
        let described = replies.split_off(generations.len().min(replies.len()));
        let present = replies.into_iter().map(|reply| match reply {
            Value::BulkString(token) => Generation::read(&token, &run_id),
            _ => None,
        });
        let found = keys.into_iter().zip(described.chunks(REPLIES));
        Ok((found.filter_map(|(key, replies)| described_as(key, replies)).collect(), present.collect()))
    }
}

fn describe(pipeline: &mut Pipeline, key: &str) {
    pipeline.cmd("STRLEN").arg(key);
    pipeline.cmd("PTTL").arg(key);
    pipeline.cmd("GETRANGE").arg(key).arg(0).arg(LABEL_BYTES);
}

/// What the answer to [`describe`] is.
fn described_as(key: String, replies: &[Value]) -> Option<Found> {
    let (bytes, left, label) = match replies {
        [Value::Int(bytes), Value::Int(left), Value::BulkString(beginning)] => {
            (*bytes, *left, Label::read(beginning))
        }
        // Of another type than a text.
        [_, Value::Int(left), _] => (0, *left, None),
        _ => return None,
    };
    // -2: there is no such key; -1: it lives for ever.
    let left =
        u64::try_from(left).ok().map(Duration::from_millis).or((left == -1).then_some(Duration::MAX))?;
    let (bytes, left) = (u64::try_from(bytes).unwrap_or(0), Some(left).filter(|left| *left < Duration::MAX));
    Some(Found { key, bytes, left, label })
}

/// A pattern that only this text matches.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if r"*?[]^\".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
