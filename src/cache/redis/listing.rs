//! What lies under our keys, a bounded piece at a time: for an operator, never for a request.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{Pipeline, Value};

use super::{
    Redis, get_token,
    node::{Answer, Node, Size},
    read_token,
};
use crate::{
    cache::{
        entry::{LABEL_BYTES, Label},
        fault::Fault,
        generation::Generation,
        snapshot::Found,
    },
    deadline::Deadline,
};

impl Redis {
    /// About so many of a server's keys, of which those with this prefix are given, and from where to go on; `None` at the
    /// end.
    pub(in crate::cache) async fn scan(
        &self,
        prefix: &str,
        from: Place,
        count: usize,
        by: Deadline,
    ) -> Result<(Vec<String>, Option<Place>), Fault> {
        let nodes = self.topology.borrow().nodes().to_vec();
        let Some(node) = nodes.get(from.server) else {
            return if nodes.is_empty() { Err(Fault::Open) } else { Ok((Vec::new(), None)) };
        };
        let next =
            || Some(Place { server: from.server + 1, cursor: 0 }).filter(|next| next.server < nodes.len());
        // What the others have is listed all the same.
        if node.is_away() && nodes.len() > 1 {
            return Ok((Vec::new(), next()));
        }
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("SCAN")
            .arg(from.cursor)
            .arg("MATCH")
            .arg(literally(prefix) + "*")
            .arg("COUNT")
            .arg(count);
        let mut replies = node.ask(Size::Small, &pipeline, by).await?.replies;
        let Some(Value::Array(mut reply)) = replies.pop() else { return Err(Fault::Refused) };
        let (Some(Value::Array(keys)), Some(cursor)) = (reply.pop(), reply.pop()) else {
            return Err(Fault::Refused);
        };
        let next = match text(cursor).and_then(|cursor| cursor.parse().ok()).ok_or(Fault::Refused)? {
            0 => next(),
            cursor => Some(Place { cursor, ..from }),
        };
        Ok((keys.into_iter().filter_map(text).collect(), next))
    }

    /// What lies under these keys, and the generations under those. A key that is gone meanwhile is left out.
    pub(in crate::cache) async fn found(
        &self,
        keys: Vec<String>,
        generations: &[String],
        by: Deadline,
    ) -> Result<(Vec<Found>, Vec<Option<Generation>>), Fault> {
        let (present, described) = tokio::join!(
            self.ask_for_each(generations, get_token, by),
            self.ask_for_each(&keys, describe, by)
        );
        let token = |answer: Answer| read_token(answer.replies.first(), &answer.run_id);
        let present = present.into_iter().map(|answer| answer.ok().and_then(token)).collect();
        let mut found = Vec::new();
        for (key, answer) in keys.into_iter().zip(described) {
            found.extend(described_as(key, &answer?.replies));
        }
        Ok((found, present))
    }

    /// The same commands for each of these keys, each node asked once. The answers are in the keys' order; where a node does
    /// not do its work, those for its keys are missing.
    async fn ask_for_each(
        &self,
        keys: &[String],
        add: impl Fn(&mut Pipeline, &str),
        by: Deadline,
    ) -> Vec<Result<Answer, Fault>> {
        let mut parts: BTreeMap<u8, (Arc<Node>, Pipeline, Vec<usize>)> = BTreeMap::new();
        let mut answers = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            match self.node(key) {
                Ok(node) => {
                    let part = parts.entry(node.number);
                    let (_, pipeline, places) = part.or_insert_with(|| (node, redis::pipe(), Vec::new()));
                    add(pipeline, key);
                    places.push(place);
                }
                Err(fault) => answers.push((place, Err(fault))),
            }
        }
        let asked = parts.into_values().map(|(node, pipeline, places)| async move {
            (node.ask(Size::Small, &pipeline, by).await, pipeline.len() / places.len().max(1), places)
        });
        for (asked, each, places) in join_all(asked).await {
            let (run_id, replies) = match asked {
                Ok(Answer { run_id, replies }) => (Ok(run_id), replies),
                Err(fault) => (Err(fault), Vec::new()),
            };
            let mut replies = replies.into_iter();
            for place in places {
                let replies = replies.by_ref().take(each).collect();
                answers.push((place, run_id.clone().map(|run_id| Answer { run_id, replies })));
            }
        }
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

/// How far a store's keys were listed; by default not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Place {
    /// The server's place among all.
    server: usize,
    /// As that server says it.
    cursor: u64,
}

impl Place {
    /// What its text says; `None` where that is none.
    pub(in crate::cache) fn read(text: &str) -> Option<Self> {
        let (server, cursor) = text.split_once('.').unwrap_or(("0", text));
        Some(Self { server: server.parse().ok()?, cursor: cursor.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Mostly there is one server.
            Self { server: 0, cursor } => write!(out, "{cursor}"),
            Self { server, cursor } => write!(out, "{server}.{cursor}"),
        }
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
