//! What others left under our keys in Redis: it is never served, never read beyond what an entry may have, and
//! overwritten.

use serde_json::Value;

use crate::support::{Bench, RedisServer, Setup, until};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const ENTRY: &str = "cat_sellers_all";
const GENERATION: &str = "cat_gen_sellers";

async fn sent(server: &RedisServer) -> u64 {
    let info: String = redis::from_redis_value(server.command(&["INFO", "stats"]).await).unwrap();
    let bytes = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    bytes.unwrap().trim().parse().unwrap()
}

/// The upstream's list is served while this lies there, and then it lies there no more.
async fn is_overwritten(bench: &Bench, server: &RedisServer, commands: &[&[&str]]) {
    for command in commands {
        server.command_told(command, &bench.proxy.inside).await;
    }
    let reply = bench.get(SELLERS).await;
    reply.is(200).came("fwd=miss");
    assert_eq!(reply.items().len(), 50, "{commands:?}");
    until(&format!("{commands:?} is overwritten"), || async {
        bench.get(SELLERS).await.is(200).field("cache-status").starts_with("catproxy; hit")
    })
    .await;
    let stored: Value = serde_json::from_str(&server.text(ENTRY).await.unwrap()).unwrap();
    assert_eq!(stored["items"].as_array().map(Vec::len), Some(50));
    assert_eq!(Some(stored["generation"].as_str().unwrap()), server.text(GENERATION).await.as_deref());
}

async fn bench(server: &RedisServer) -> Bench {
    let bench = Setup::new().redis(server).upstream(|options| options.sellers = 50).start().await;
    bench.get(SELLERS).await.is(200).came("fwd=miss");
    bench
}

#[tokio::test]
async fn a_value_of_another_type_under_either_key_is_overwritten() {
    let server = RedisServer::start().await;
    let bench = bench(&server).await;
    for key in [ENTRY, GENERATION] {
        for make in [
            &["LPUSH", key, "a", "b"][..],
            &["HSET", key, "a", "b"],
            &["SADD", key, "a"],
            &["ZADD", key, "1", "a"],
            &["XADD", key, "*", "a", "b"],
            &["PFADD", key, "a"],
            &["SETBIT", key, "100000", "1"],
        ] {
            is_overwritten(&bench, &server, &[&["DEL", key], make]).await;
        }
    }
}

#[tokio::test]
async fn a_value_that_another_program_or_version_wrote_is_overwritten() {
    let server = RedisServer::start().await;
    let bench = bench(&server).await;
    let own = server.text(ENTRY).await.unwrap();
    let generation = server.text(GENERATION).await.unwrap();
    let stored: Value = serde_json::from_str(&own).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut changed = stored.clone();
        changed["items"] = serde_json::json!([{ "id": 666, "name": "evil" }]);
        changed["total"] = 1.into();
        change(&mut changed);
        changed.to_string()
    };
    let format = changed(&|entry| entry["format"] = 0.into());
    let later = changed(&|entry| entry["format"] = 2.into());
    let shape = changed(&|entry| entry["shape"] = "0123456789abcdef".into());
    let lacking = changed(&|entry| drop(entry.as_object_mut().unwrap().remove("stored_at")));
    let of_another = changed(&|entry| entry["generation"] = "0000.1111".into());
    let no_objects = changed(&|entry| entry["items"] = serde_json::json!([666]));
    // What Django's cache writes: a pickle, with its protocol and opcodes.
    let pickle = "\u{80}\u{4}\u{95}\u{1a}\0\0\0\0\0\0\0}\u{94}\u{8c}\u{5}items\u{94}]\u{94}s.";
    for value in
        [pickle, &format, &later, &shape, &lacking, &of_another, &no_objects, &own[..own.len() / 2], "", "\0"]
    {
        is_overwritten(&bench, &server, &[&["SET", ENTRY, value, "PX", "300000"]]).await;
    }
    for value in
        [pickle, "", "\0", &generation[1..], &format!("{generation}0"), &format!(" {generation}"), "null"]
    {
        is_overwritten(&bench, &server, &[&["SET", GENERATION, value, "PX", "300000"]]).await;
    }
}

#[tokio::test]
async fn of_512_megabytes_under_either_key_no_more_is_read_than_may_be_there() {
    let server = RedisServer::start().await;
    let bench = bench(&server).await;
    for key in [ENTRY, GENERATION] {
        let before = sent(&server).await;
        is_overwritten(&bench, &server, &[&["DEL", key], &["SETRANGE", key, "536870911", "x"]]).await;
        let bytes = sent(&server).await - before;
        // An entry of 4 MiB may be read, and the tests' own commands are few.
        assert!(bytes < 6 << 20, "{key}: {bytes} bytes were sent");
    }
}
