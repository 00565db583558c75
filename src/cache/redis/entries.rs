//! Entries as commands and replies. Large ones take long to write and to read: that is done aside.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Pipeline, Value};

use super::{SMALL_BYTES, milliseconds};
use crate::{
    aside,
    cache::{
        entry::{Entry, Garbled, Shape},
        fault::Fault,
        snapshot::Stored,
    },
};

/// What lies under this key, up to one byte more than `most`, and what is left of its life.
pub(super) fn get(pipeline: &mut Pipeline, key: &str, most: usize) {
    pipeline.cmd("GETRANGE").arg(key).arg(0).arg(most);
    pipeline.cmd("PTTL").arg(key);
}

/// What the answer to [`get`] is. `known` is what lay there before: where that still does, it is that one, and what was made
/// of it is good.
pub(super) async fn got(mut replies: Vec<Value>, shape: &Shape, known: Option<Arc<Entry>>) -> Stored {
    let remaining = match replies.pop() {
        Some(Value::Int(milliseconds)) => u64::try_from(milliseconds).ok().map(Duration::from_millis),
        _ => None,
    };
    match replies.pop() {
        Some(Value::BulkString(bytes)) if !bytes.is_empty() => {
            match (decoded(bytes.into(), shape, known).await, remaining) {
                (Ok(entry), Some(remaining)) => Stored::Entry(entry, remaining),
                // It expired between the two commands, or somebody made it live for ever.
                (Ok(_), None) => Stored::Nothing,
                (Err(garbled), _) => Stored::Garbled(garbled),
            }
        }
        Some(Value::BulkString(_)) | None => Stored::Nothing,
        Some(_) => Stored::Garbled(Garbled::NotAnEntry),
    }
}

/// The command that stores an entry of at most so many bytes.
pub(super) async fn set(
    key: &str,
    entry: &Arc<Entry>,
    ttl: Duration,
    most: usize,
) -> Result<Pipeline, Fault> {
    let bytes = entry.collection.text.len();
    if bytes > most {
        return Err(Fault::TooLarge);
    }
    let (key, entry) = (key.to_owned(), Arc::clone(entry));
    let set = move || {
        let text = entry.encode().map_err(|_| Fault::Internal)?;
        if text.len() > most {
            return Err(Fault::TooLarge);
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(key).arg(text).arg("PX").arg(milliseconds(ttl));
        Ok(pipeline)
    };
    aside::unless(bytes <= SMALL_BYTES, set).await.unwrap_or(Err(Fault::Internal))
}

async fn decoded(stored: Bytes, shape: &Shape, known: Option<Arc<Entry>>) -> Result<Arc<Entry>, Garbled> {
    let (small, shape) = (stored.len() <= SMALL_BYTES, shape.clone());
    let decode = move || match known.filter(|known| known.is_read_from(&stored, &shape)) {
        Some(known) => Ok(known),
        None => Entry::decode(&stored, &shape).map(Arc::new),
    };
    let decoded = aside::unless(small, decode).await;
    decoded.unwrap_or(Err(Garbled::NotAnEntry))
}
