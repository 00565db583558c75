//! What is refused, and how.

use crate::client::{Bench, exchange};
use fake_abconnect::{Generation, Options};

#[tokio::test]
async fn without_a_good_token_the_answer_is_401() {
    let bench = Bench::start();
    let good = bench.token.clone();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let expired = bench.upstream.expired_token("demo");
    let revoked = bench.upstream.token("demo");
    bench.upstream.revoke(&revoked);
    for value in [
        String::new(),
        format!("Authorization: Bearer {head}.{other}{}\r\n", &signature[1..]),
        format!("Authorization: Bearer {expired}\r\n"),
        format!("Authorization: Bearer {revoked}\r\n"),
        format!("Authorization: Basic {good}\r\n"),
        format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}\r\n"),
    ] {
        let reply = bench.raw("GET", "/api/Seller", &value, "").await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{value}");
        assert!(reply.header("content-type").unwrap().starts_with("application/problem+json"));
        assert_eq!(reply.json()["status"], 401);
    }
    let spelled = format!("authorization: bearer {good}\r\n");
    assert_eq!(bench.raw("GET", "/api/Seller", &spelled, "").await.status, 200);
}

#[tokio::test]
async fn rights_differ_from_user_to_user() {
    let mut bench = Bench::start();
    let body = r#"{"name":"x","customerDisplayId":5,"isActive":true}"#;
    for (user, list, one, write) in [
        ("demo", 200, 200, 200),
        ("second", 200, 200, 200),
        ("restricted", 403, 403, 403),
        ("partial", 403, 200, 403),
    ] {
        bench.token = bench.upstream.token(user);
        let statuses = (
            bench.get("/api/Seller?PageSize=1").await.status,
            bench.get("/api/Catalog?PageSize=1").await.status,
            bench.send("POST", "/api/Seller", body).await.status,
        );
        assert_eq!(statuses, (list, one, write), "{user}");
    }
}

#[tokio::test]
async fn bad_parameters_and_paths_are_told_apart() {
    let bench = Bench::start();
    for (target, status) in [
        ("/api/Seller?PageNumber=0", 400),
        ("/api/Seller?PageNumber=-1", 400),
        ("/api/Seller?PageSize=x", 400),
        ("/api/Seller?IsActive=yes", 400),
        ("/api/Catalog?SellerIds=1,2", 400),
        ("/api/Catalog?StartDate=soon", 400),
        ("/api/Seller/abc", 400),
        ("/api/Seller/2147483648", 400),
        ("/api/Seller/999999", 404),
        ("/api/Catalog/999999", 404),
        ("/api/Lot/999999999", 404),
        ("/api/Platform", 404),
        ("/api/Nothing", 404),
        ("/", 404),
        ("/api/seller/42/", 200),
        ("/%61pi/%53eller/", 200),
        ("/api/Seller?PageNumber=", 200),
    ] {
        let reply = bench.get(target).await;
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
        if status >= 400 {
            assert_eq!(reply.json()["status"], status, "{target}");
        }
    }
    let other = bench.send("PATCH", "/api/Seller", "").await;
    assert_eq!((other.status, other.header("allow")), (405, Some("GET, POST")));
}

#[tokio::test]
async fn pages_past_the_end_are_empty_and_large_ones_clamped() {
    let bench = Bench::start();
    let past = bench.get("/api/Seller?PageNumber=9&PageSize=500").await.json();
    assert_eq!(past["items"], serde_json::json!([]));
    assert_eq!((past["pageNumber"].as_u64(), past["totalPages"].as_u64()), (Some(9), Some(2)));
    assert_eq!((past["hasPreviousPage"].as_bool(), past["hasNextPage"].as_bool()), (Some(true), Some(false)));
    let large = bench.get("/api/Seller?PageSize=100000").await.json();
    assert_eq!(large["items"].as_array().unwrap().len(), 500);
    assert_eq!(bench.get("/api/Seller").await.json()["items"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn wrong_bodies_are_refused_and_change_nothing() {
    let bench = Bench::start();
    let before = bench.upstream.sellers();
    for body in ["{", "null", "[]", r#"{"customerDisplayId":"7"}"#, r#"{"isActive":null}"#, r#"{"name":5}"#] {
        let reply = bench.send("POST", "/api/Seller", body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.json()["errors"].is_object(), "{body}");
    }
    let auth = format!("Authorization: Bearer {}\r\n", bench.token);
    let text = format!("{auth}Content-Type: text/plain\r\nContent-Length: 2\r\n");
    assert_eq!(bench.raw("POST", "/api/Seller", &text, "{}").await.status, 415);
    assert_eq!(bench.raw("POST", "/api/Seller", &auth, "").await.status, 400);
    let backwards = r#"{"startDate":"2026-01-02T00:00:00","endDate":"2026-01-01T00:00:00","sellerIds":[42]}"#;
    assert_eq!(bench.send("POST", "/api/Catalog", backwards).await.status, 400);
    let unknown =
        r#"{"startDate":"2026-01-02T00:00:00","endDate":"2026-01-03T00:00:00","sellerIds":[999999]}"#;
    assert_eq!(bench.send("POST", "/api/Catalog", unknown).await.status, 404);
    assert_eq!(bench.upstream.sellers(), before);
}

#[tokio::test]
async fn each_generation_refuses_the_paths_of_the_other() {
    let bench = Bench::with(Options { generation: Generation::Second, ..Options::default() });
    assert_eq!(bench.send("POST", "/api/Bulk/insert", "{}").await.status, 404);
    assert_eq!(bench.send("POST", "/api/Lot/get-overrides", "{}").await.status, 405);
    assert_eq!(bench.get("/api/Platform/1").await.status, 200);
}

#[tokio::test]
async fn tokens_are_granted_for_passwords_and_published_keys_name_their_signer() {
    let bench = Bench::start();
    let form =
        "grant_type=password&username=demo&password=demo&client_id=c&client_secret=s&scope=offline_access";
    let fields = |form: &str| {
        let length = form.len();
        format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n")
    };
    let grant = bench.raw("POST", "/connect/token", &fields(form), form).await;
    assert_eq!(grant.status, 200, "{}", grant.text());
    let token = grant.json()["access_token"].as_str().unwrap().to_owned();
    let auth = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(bench.raw("GET", "/api/Seller/42", &auth, "").await.status, 200);
    let wrong = form.replace("password=demo", "password=no");
    let refused = bench.raw("POST", "/connect/token", &fields(&wrong), &wrong).await;
    assert_eq!((refused.status, refused.text().as_str()), (400, r#"{"error":"invalid_grant"}"#));
    let discovery = bench.raw("GET", "/.well-known/openid-configuration", "", "").await.json();
    let keys = discovery["jwks_uri"].as_str().unwrap().strip_prefix(bench.upstream.url()).unwrap();
    let keys = bench.raw("GET", keys, "", "").await.json();
    assert_eq!(
        (keys["keys"][0]["kty"].as_str(), keys["keys"][0]["alg"].as_str()),
        (Some("RSA"), Some("RS256"))
    );
    let form = format!("token={token}");
    bench.raw("POST", "/connect/revocation", &fields(&form), &form).await;
    assert_eq!(bench.raw("GET", "/api/Seller/42", &auth, "").await.status, 401);
}

#[tokio::test]
async fn keys_rotate_and_what_a_retired_one_signed_is_refused() {
    let bench = Bench::start();
    let of = |token: String| format!("Authorization: Bearer {token}\r\n");
    let old = of(bench.upstream.token("demo"));
    bench.upstream.rotate_keys();
    let new = of(bench.upstream.token("demo"));
    for auth in [&old, &new] {
        assert_eq!(bench.raw("GET", "/api/Seller/42", auth, "").await.status, 200);
    }
    bench.upstream.retire_keys();
    assert_eq!(bench.raw("GET", "/api/Seller/42", &old, "").await.status, 401);
    assert_eq!(bench.raw("GET", "/api/Seller/42", &new, "").await.status, 200);
    let keys = bench.raw("GET", "/.well-known/openid-configuration/jwks", "", "").await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    let (header, mut claims) = bench.upstream.header_and_claims("demo");
    let made = of(bench.upstream.sign(&header, &claims));
    assert_eq!(bench.raw("GET", "/api/Seller/42", &made, "").await.status, 200);
    claims["aud"] = "another".into();
    let made = of(bench.upstream.sign(&header, &claims));
    assert_eq!(bench.raw("GET", "/api/Seller/42", &made, "").await.status, 401);
}

#[tokio::test]
async fn what_is_not_http_is_refused_without_harm() {
    let bench = Bench::start();
    let reply = exchange(bench.upstream.addr(), b"\x16\x03\x01 nonsense\r\n\r\n").await;
    assert!(!reply.starts_with(b"HTTP/1.1 200"));
    assert_eq!(bench.get("/api/Seller/42").await.status, 200);
}
