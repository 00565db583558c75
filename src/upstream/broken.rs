//! How what comes from the other side of a connection ends before its end.

use std::io;

/// A connection broke, or what came on it is no HTTP.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// As hyper says.
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
    /// As the system, or TLS, says.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// The head of an answer cannot be read.
    #[error("an answer's head cannot be read: {0}")]
    Head(#[from] httparse::Error),
    /// The head of an answer has more bytes than are read of one.
    #[error("an answer's head has more than {allowed} bytes")]
    HeadBytes {
        /// How many it may have.
        allowed: usize,
    },
    /// It has no status that there can be.
    #[error("an answer's status is none")]
    Status,
    /// It says in two ways, or in none that is understood, how long it is.
    #[error("an answer's length is unclear")]
    Length,
    /// Its chunks are none.
    #[error("an answer's chunks cannot be read")]
    Chunks,
    /// The connection was closed too early.
    #[error("the connection was closed before the message's end")]
    Short,
}
