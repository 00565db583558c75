//! Each step of a request, with the neighbour that it needs broken in each way, before, during and after it. What is
//! demanded everywhere: the right bytes or an honest error, in time; nothing wrong in the store; and all is well
//! again when the fault has ended.

mod bench;
mod cell;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{runtime::Builder, sync::Semaphore};

use self::cell::Cell;
use crate::line::Fault;

/// What is under way when the fault meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A copy in the process is served; both kinds of connections to Redis are broken.
    Near,
    /// An entry is read from Redis.
    Store,
    /// Redis tells of changes; the connections for commands are whole.
    Tracking,
    /// The first page of a fill comes.
    FirstPage,
    /// The second page of a fill comes.
    LaterPage,
    /// The upstream is asked whether a token may read.
    Question,
    /// An answer is passed on.
    Forward,
}

/// When the fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// The step was never taken yet; nothing is connected.
    Before,
    /// The step is under way, and the answer is on the line.
    During,
    /// The step was taken once, and connections wait to be used again.
    After,
}

const FAULTS: [Fault; 7] = [
    Fault::Refuse,
    Fault::Stall,
    Fault::Reset,
    Fault::Delay(Duration::from_millis(150)),
    Fault::Half,
    Fault::Garbage,
    Fault::Bytewise,
];

/// Cells at a time: each has a Redis, an upstream and a proxy or two of its own.
static PLACES: Semaphore = Semaphore::const_new(4);

/// All cells of a step. Each is judged, whatever becomes of the others.
async fn holds(step: Step) {
    let mut cells = Vec::new();
    for fault in FAULTS {
        for when in [When::Before, When::During, When::After] {
            cells.push(judged(Cell { step, fault, when }));
        }
    }
    let judged = join_all(cells).await;
    let broken: Vec<String> = judged.into_iter().flatten().collect();
    assert!(broken.is_empty(), "{} of 21 cells are broken:\n{}", broken.len(), broken.join("\n"));
}

/// What is wrong with a cell. Each has a thread of its own, so that none is late because of another.
async fn judged(cell: Cell) -> Option<String> {
    let _place = PLACES.acquire().await.expect("it is never closed");
    let judging =
        move || Builder::new_current_thread().enable_all().build().map(|own| own.block_on(cell.judge()));
    let panic = match tokio::task::spawn_blocking(judging).await {
        Ok(judged) => return judged.err().map(|error| error.to_string()),
        Err(error) => error.into_panic(),
    };
    let said = panic.downcast_ref::<String>().cloned();
    let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Some(format!("{cell}: {}", said.unwrap_or_default()))
}

#[tokio::test]
async fn with_redis_broken_while_copies_are_served() {
    holds(Step::Near).await;
}

#[tokio::test]
async fn with_redis_broken_while_it_is_asked() {
    holds(Step::Store).await;
}

#[tokio::test]
async fn with_redis_broken_where_it_tells_of_changes() {
    holds(Step::Tracking).await;
}

#[tokio::test]
async fn with_the_upstream_broken_at_the_first_page_of_a_fill() {
    holds(Step::FirstPage).await;
}

#[tokio::test]
async fn with_the_upstream_broken_at_a_later_page_of_a_fill() {
    holds(Step::LaterPage).await;
}

#[tokio::test]
async fn with_the_upstream_broken_at_the_question_for_a_token() {
    holds(Step::Question).await;
}

#[tokio::test]
async fn with_the_upstream_broken_while_an_answer_is_passed_on() {
    holds(Step::Forward).await;
}
