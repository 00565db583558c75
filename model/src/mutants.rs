//! The protocol broken on purpose, one rule at a time; and what is not promised.

/// A rule of the coherence that is left out. Each must be seen to break a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// An entry is served whatever its token.
    NoGenerationCheck,
    /// The token that another server process gave is taken for valid.
    ForeignGeneration,
    /// A flight is joined whatever the generation it began under.
    JoinsAnyGeneration,
    /// A flight is joined that began before an own write.
    JoinsAcrossOwnWrite,
    /// A flight without a generation is joined whatever was pushed since it began.
    JoinsUnstoredAcrossPush,
    /// A flight without a generation is joined however long ago it began.
    JoinsUnstoredForever,
    /// An entry is put under the generation that stands there when its fill lands.
    PutsUnderPresentGeneration,
    /// A `DEL` that was not acknowledged counts as if it had been.
    AnswersUnacknowledged,
    /// A repeated `DEL` acknowledges all writes up to its reply, not up to its sending.
    RetryNamesLaterEpoch,
    /// A 5xx counts as a refusal.
    FailureNotVoided,
    /// What is read while a write's answer is still coming is not void at its end.
    VoidsOnlyBeforeFirstByte,
    /// A near copy is kept under the stamp of when it is put there.
    NearWithoutStamp,
    /// An own write does not touch near: its push will.
    OwnWriteKeepsNear,
    /// A new tracking connection takes over the copies of the old one.
    ReconnectKeepsNear,
    /// A near copy is served without a lease.
    LeaseIgnored,
    /// The lease runs from when the PONG came.
    LeaseFromPong,
    /// A copy is kept that was read from another server than the one that is tracked.
    NearAcrossServers,
    /// An entry is put though an own write came while it was filled.
    PutsAcrossOwnWrite,
}

impl Mutant {
    pub(crate) const BREAKING: [Self; 16] = [
        Self::NoGenerationCheck,
        Self::ForeignGeneration,
        Self::JoinsAnyGeneration,
        Self::JoinsAcrossOwnWrite,
        Self::JoinsUnstoredAcrossPush,
        Self::JoinsUnstoredForever,
        Self::PutsUnderPresentGeneration,
        Self::AnswersUnacknowledged,
        Self::RetryNamesLaterEpoch,
        Self::FailureNotVoided,
        Self::VoidsOnlyBeforeFirstByte,
        Self::NearWithoutStamp,
        Self::OwnWriteKeepsNear,
        Self::ReconnectKeepsNear,
        Self::LeaseIgnored,
        Self::LeaseFromPong,
    ];

    /// Rules without which the promises hold all the same, as long as there is one server at a time.
    pub(crate) const SPARE: [Self; 2] = [Self::NearAcrossServers, Self::PutsAcrossOwnWrite];
}

/// What is not promised: the events that the promises do not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Gap {
    /// The replica that wrote cannot reach the store, another one can.
    StoreUnreachable,
    /// The replica that wrote is killed between the upstream's commit and the `DEL`.
    Killed,
    /// The replica that wrote is started anew before the store has acknowledged.
    StartedAnew,
    /// A write past the proxy.
    Past,
    /// The upstream answers reads from a cache of its own.
    UpstreamCache,
    /// The upstream commits after the answer's end: the proxy gave up waiting, or the connection broke.
    LateCommit,
    /// A failover while the old server lives on, tracked by one replica.
    SplitBrain,
}

impl Gap {
    pub(crate) const ALL: [Self; 7] = [
        Self::StoreUnreachable,
        Self::Killed,
        Self::StartedAnew,
        Self::Past,
        Self::UpstreamCache,
        Self::LateCommit,
        Self::SplitBrain,
    ];

    /// For the table.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::StoreUnreachable => "the writing replica cannot reach the store",
            Self::Killed => "it is killed between commit and DEL",
            Self::StartedAnew => "it is started anew while a DEL is owed",
            Self::Past => "a write past the proxy",
            Self::UpstreamCache => "an upstream with a cache of its own",
            Self::LateCommit => "a commit after the answer's end",
            Self::SplitBrain => "a failover while the old server lives on",
        }
    }
}
