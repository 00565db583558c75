//! Redis as people run it: by TLS with an authority of their own, by a Unix socket, in a numbered database, for a user with
//! no more rights than it takes; behind Sentinels and as a Cluster.

mod cluster;
mod sentinels;

use std::{fs, path::Path};

use catproxy::{clock::Clock, server::Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::{Bench, PATIENCE, RedisServer, Setup, free_port, until};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
/// As README names them.
const RIGHTS: &str = "+get +getrange +set +del +pttl +pexpire +ping +client +hello +info";

/// The files of a server on this machine and of the authority that vouches for it: certificate, key, authority.
fn certified(folder: &Path) -> [String; 3] {
    let mut of_authority = CertificateParams::default();
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(of_authority, key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let written = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    [
        written("server.pem", certificate.pem()),
        written("server.key", key.serialize_pem()),
        written("authority.pem", authority.pem()),
    ]
}

/// Entries are stored and, as Redis tells of their changes, copied.
async fn keeps_entries(setup: Setup) {
    let bench = setup.start().await;
    let token = bench.upstream.token("demo");
    until("it is stored", || async {
        bench.get_as(&token, SELLERS).await.field("cache-status").contains("hit")
    })
    .await;
    until("a copy is served", || async {
        bench.get_as(&token, SELLERS).await.field("cache-status").ends_with("near")
    })
    .await;
    let before = bench.get_as(&token, SELLERS).await;
    bench
        .write("PUT", "/api/Seller/42", r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#)
        .await
        .is(200);
    let after = bench.get_as(&token, SELLERS).await;
    assert_ne!(after.came("fwd=miss; stored").body, before.body);
}

/// Does this, and waits until the process knows that it does not hear of changes any more.
async fn lapsed(bench: &Bench, what: impl FnOnce()) {
    let mut told = bench.proxy.inside.told_by_store().expect("copies in the process");
    let before = told.borrow().count;
    what();
    let lapsed = told.wait_for(|told| told.of("any", before));
    tokio::time::timeout(PATIENCE, lapsed).await.expect("in time").expect("a proxy");
}

#[tokio::test]
async fn a_redis_with_tls_is_used_where_its_authority_is_known_and_is_away_where_not() {
    let mut server = RedisServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key, authority] = certified(folder.path());
    let port = free_port();
    let settings = ["--tls-port", &port.to_string(), "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let settings = [&settings[..], &["--tls-ca-cert-file", &authority, "--tls-auth-clients", "no"]].concat();
    server.restart(&settings).await;
    let url = format!("rediss://localhost:{port}");
    let known = authority.clone();
    let setup = Setup::new().redis_at(&url);
    keeps_entries(setup.config(move |config| config.store.ca_file = Some(known.into()))).await;
    let bench = Setup::new().redis_at(&url).start().await;
    until("it is known to be away", || async {
        bench.get(SELLERS).await.is(200).field("cache-status").ends_with("detail=store-away")
    })
    .await;
}

#[tokio::test]
async fn a_file_without_authorities_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nothing.pem");
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("a file");
    let mut config =
        Setup::new().redis_at("rediss://:hunter2@localhost:1").configuration("http://127.0.0.1:1");
    config.store.ca_file = Some(file.clone());
    let Err(error) = Server::bind(&config, Clock::system()).await else { panic!("it starts") };
    let said = catproxy::telemetry::Chain(&error).to_string();
    assert!(
        said.contains(&format!("store.ca-file {}", file.display())) && !said.contains("hunter2"),
        "{said}"
    );
}

/// Entries are kept at this URL, and in this database of the server.
async fn keeps_entries_at(server: &RedisServer, url: &str, database: &str) {
    keeps_entries(Setup::new().redis_at(url)).await;
    let script = format!("redis.call('SELECT', '{database}') return redis.call('EXISTS', 'cat_sellers_all')");
    let there: i64 =
        redis::from_redis_value(server.command(&["EVAL", &script, "0"]).await).expect("a number");
    assert_eq!(there, 1, "{url}");
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let mut server = RedisServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis.sock").display().to_string();
    server.restart(&["--unixsocket", &socket]).await;
    keeps_entries_at(&server, &format!("redis+unix://{socket}?db=3"), "3").await;
}

#[tokio::test]
async fn a_numbered_database_will_do() {
    let server = RedisServer::start().await;
    keeps_entries_at(&server, &format!("{}/5", server.url()), "5").await;
}

#[tokio::test]
async fn a_user_with_the_rights_that_are_documented_will_do() {
    let server = RedisServer::start().await;
    let mut user = vec!["ACL", "SETUSER", "catproxy", "on", ">s3cret", "~cat_*"];
    user.extend(RIGHTS.split(' '));
    server.command(&user).await;
    let url = format!("redis://catproxy:s3cret@127.0.0.1:{}", server.port);
    keeps_entries_at(&server, &url, "0").await;
}
