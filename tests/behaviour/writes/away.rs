//! A write while Redis cannot do its part: the next read through the same proxy is fresh all the same, and stays so
//! when Redis is back.

use std::time::Duration;

use fake_abconnect::Generation;

use super::world::{Kept, World};
use crate::support::{RedisServer, free_port, until};

/// What befalls Redis before a write and after it.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// It takes nothing more, and lets nothing go.
    Full,
    Frozen,
    ReadOnly,
    Killed,
    /// It was restarted and is empty.
    Emptied,
    /// It was restarted and holds what it held.
    RestartedWithAll,
    /// It is restarted after the write, and holds what it held before.
    SetBack,
    /// It is gone at the write, and comes back with what it held before.
    GoneAndSetBack,
}

use Trouble::{Emptied, Frozen, Full, GoneAndSetBack, Killed, ReadOnly, RestartedWithAll, SetBack};

const ALL: [Trouble; 8] =
    [Full, Frozen, ReadOnly, Killed, Emptied, RestartedWithAll, SetBack, GoneAndSetBack];

impl Trouble {
    async fn begin(self, server: &mut RedisServer) {
        match self {
            Self::Full => drop(server.command(&["CONFIG", "SET", "maxmemory", "1"]).await),
            Self::Frozen => server.freeze(),
            Self::ReadOnly => {
                server.command(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]).await;
                server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
            }
            Self::Killed => server.kill(),
            Self::Emptied => server.restart(&[]).await,
            Self::RestartedWithAll => {
                server.command(&["SAVE"]).await;
                server.restart(&[]).await;
            }
            Self::SetBack => drop(server.command(&["SAVE"]).await),
            Self::GoneAndSetBack => {
                server.command(&["SAVE"]).await;
                server.kill();
            }
        }
    }

    async fn end(self, server: &mut RedisServer) {
        match self {
            Self::Full => drop(server.command(&["CONFIG", "SET", "maxmemory", "0"]).await),
            Self::Frozen => server.thaw(),
            Self::ReadOnly => drop(server.command(&["REPLICAOF", "NO", "ONE"]).await),
            Self::Killed | Self::SetBack | Self::GoneAndSetBack => server.restart(&[]).await,
            Self::Emptied | Self::RestartedWithAll => {}
        }
    }
}

async fn a_write_is_seen_at_once_and_for_good(generation: Generation) {
    for trouble in ALL {
        // A store that is away is waited for a few times.
        let budget = Duration::from_millis(200);
        let setup = |setup: crate::support::Setup| setup.config(move |config| config.store.budget = budget);
        let mut world = World::with(generation, Kept::InRedis, setup).await;
        world.warm().await;
        let mut server = world.server.take().expect("a server");
        trouble.begin(&mut server).await;
        world.rename("Renamed").await;
        for _ in 0..3 {
            world.look(&format!("{trouble:?}")).await;
        }
        trouble.end(&mut server).await;
        let is_cached = || async {
            until(&format!("{}, {trouble:?}: reads are hits", world.name), || async {
                world.look(&format!("{trouble:?} is over")).await == [true; 2]
            })
            .await;
        };
        is_cached().await;
        world.rename("Again").await;
        assert_eq!(world.look(&format!("a write after {trouble:?}")).await, [false; 2], "{}", world.name);
        is_cached().await;
    }
}

#[tokio::test]
async fn a_write_while_redis_fails_is_seen_at_once_and_for_good() {
    a_write_is_seen_at_once_and_for_good(Generation::First).await;
}

#[tokio::test]
async fn a_write_of_the_second_generation_while_redis_fails_is_seen_at_once_and_for_good() {
    a_write_is_seen_at_once_and_for_good(Generation::Second).await;
}
