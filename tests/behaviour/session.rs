//! Signing in, staying signed in and signing out, against the stand-in's identity server.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use catproxy::{
    config::{Config, SessionKey, secret::Secret},
    ui::session::{Found, Session, Sessions, SignInError, SignedOut, is_same},
};
use fake_abconnect::{Access, Close, FakeAbconnect, Matching, Options, Rule, Running, User};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, header};

use crate::support::{CLIENT, PATIENCE, Setup, TestClock, send};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// Of the stand-in's tokens.
const LIFE: Duration = Duration::from_secs(3600);
/// Within the last minute of one.
const NEARLY: Duration = Duration::from_secs(3545);

/// An identity server and the sessions of a proxy.
struct Desk {
    identity: Running,
    sessions: Sessions,
    clock: TestClock,
    config: Config,
}

impl Desk {
    fn open() -> Self {
        Self::with(|_| (), |_| ())
    }

    fn with(options: impl FnOnce(&mut Options), change: impl FnOnce(&mut Config)) -> Self {
        let mut given =
            Options { client: Some((CLIENT.0.to_owned(), CLIENT.1.to_owned())), ..Options::default() };
        options(&mut given);
        let identity = FakeAbconnect::start(given).expect("the stand-in starts");
        let mut config = Setup::new().configuration(identity.url());
        change(&mut config);
        let clock = TestClock::default();
        let sessions = Sessions::new(&config, clock.clock()).expect("sessions");
        Self { identity, sessions, clock, config }
    }

    /// The same after a restart, or in another replica.
    fn again(&self, change: impl FnOnce(&mut Config)) -> Sessions {
        let mut config = self.config.clone();
        change(&mut config);
        Sessions::new(&config, self.clock.clock()).expect("sessions")
    }

    /// A browser in which `demo` has signed in.
    async fn browser(&self) -> Browser {
        let mut browser = Browser::default();
        browser.take(&self.sign_in("demo").await.expect("signed in").1);
        browser
    }

    async fn sign_in(&self, password: &str) -> Result<(Session, Vec<HeaderValue>), SignInError> {
        let attempt = self.sessions.sign_in("demo", password, HERE);
        tokio::time::timeout(PATIENCE, attempt).await.expect("in time")
    }

    async fn of(&self, browser: &Browser) -> Found {
        let fields = browser.fields();
        tokio::time::timeout(PATIENCE, self.sessions.of(&fields)).await.expect("in time")
    }

    /// How often tokens were asked for by this kind of grant.
    fn grants(&self, kind: &str) -> usize {
        let calls = self.identity.calls_to("/connect/token");
        let asks = format!("grant_type={kind}&");
        calls.iter().filter(|call| String::from_utf8_lossy(&call.body_start).starts_with(&asks)).count()
    }

    fn tokens_are(&self, rule: Rule) {
        self.identity.rule(Rule { on: tokens(), ..rule });
    }

    fn stay_away(&self) {
        self.tokens_are(Rule { close: Some(Close::Reset), ..Rule::default() });
    }
}

/// Only the limit for the whole exchange ends a wait.
fn impatient(config: &mut Config) {
    let ui = config.ui.as_mut().expect("it is on");
    ui.identity_timeout = Duration::from_millis(300);
    ui.identity.head_timeout = PATIENCE * 10;
    ui.identity.body_timeout = PATIENCE * 10;
}

fn tokens() -> Matching {
    Matching::path("/connect/token")
}

/// The cookies of a browser.
#[derive(Clone, Default)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    fn take(&mut self, set_cookies: &[HeaderValue]) {
        for line in set_cookies {
            assert!(line.len() <= 4096, "browsers refuse a cookie of {} bytes", line.len());
            let (pair, attributes) = line.to_str().expect("text").split_once("; ").expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            for attribute in ["Path=/ui", "HttpOnly"] {
                assert!(attributes.split("; ").any(|given| given == attribute), "{attributes}");
            }
            if attributes.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        if !self.0.is_empty() {
            let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.insert(header::COOKIE, pairs.join("; ").parse().expect("a value"));
        }
        fields
    }
}

#[track_caller]
fn token(found: &Found) -> String {
    let session = found.session.as_ref().unwrap_or_else(|| panic!("nobody is signed in: {found:?}"));
    assert_eq!(session.user(), "demo");
    session.authorization().to_str().expect("text").to_owned()
}

#[track_caller]
fn is_nobody(found: &Found, why: Option<SignedOut>) {
    assert!(found.session.is_none());
    assert_eq!(found.signed_out, why);
}

#[tokio::test]
async fn who_signs_in_is_signed_in_and_the_api_takes_the_token() {
    let desk = Desk::open();
    let mut browser = Browser::default();
    is_nobody(&desk.of(&browser).await, None);
    let (session, cookies) = desk.sessions.sign_in(" demo ", "demo", HERE).await.expect("signed in");
    browser.take(&cookies);
    let found = desk.of(&browser).await;
    assert!(found.set_cookies.is_empty());
    assert_eq!(token(&found), session.authorization().to_str().unwrap());
    assert!(is_same(session.csrf(), found.session.as_ref().unwrap().csrf()));
    let fields = [("Authorization", token(&found))].map(|(name, value)| (name, value));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    send(desk.identity.addr(), "GET", "/api/Seller", &fields, "").await.is(200);
    assert_eq!((desk.grants("password"), desk.grants("refresh_token")), (1, 0));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_the_same() {
    let desk = Desk::open();
    let wrong = desk.sign_in("dem0").await.unwrap_err();
    let unknown = desk.sessions.sign_in("nobody", "demo", HERE).await.unwrap_err();
    assert_eq!((wrong.sentence(), wrong.to_string()), (unknown.sentence(), unknown.to_string()));
    assert!(matches!(wrong, SignInError::Wrong), "{wrong}");
    let asked = desk.grants("password");
    for (user, password) in
        [("", "x"), ("x", ""), (" ", "x"), (&"x".repeat(257), "x"), ("x", &"x".repeat(1025))]
    {
        assert!(matches!(desk.sessions.sign_in(user, password, HERE).await, Err(SignInError::Wrong)));
    }
    assert_eq!(desk.grants("password"), asked, "nobody is asked about what cannot be right");
}

#[tokio::test]
async fn any_character_may_stand_in_a_user_and_a_password() {
    let (user, password) = ("a&b=c+d @é%41", "&client_id=x; +%é😀\"\\");
    let desk = Desk::with(|options| options.users.push(User::new(user, password, Access::Full)), |_| ());
    let (session, _) = desk.sessions.sign_in(user, password, HERE).await.expect("signed in");
    assert_eq!(session.user(), user);
}

#[tokio::test]
async fn a_token_near_its_end_is_refreshed_once_and_the_session_stays_the_same() {
    let desk = Desk::open();
    let mut browser = desk.browser().await;
    let first = desk.of(&browser).await;
    desk.clock.forward(LIFE - Duration::from_secs(70));
    assert_eq!(token(&desk.of(&browser).await), token(&first));
    assert_eq!(desk.grants("refresh_token"), 0);
    desk.clock.forward(Duration::from_secs(15));
    let newer = desk.of(&browser).await;
    assert_ne!(token(&newer), token(&first));
    assert_eq!(newer.session.as_ref().unwrap().csrf(), first.session.as_ref().unwrap().csrf());
    browser.take(&newer.set_cookies);
    desk.clock.forward(NEARLY);
    let newest = desk.of(&browser).await;
    assert_ne!(token(&newest), token(&newer));
    assert_eq!(desk.grants("refresh_token"), 2);
}

#[tokio::test]
async fn two_tabs_at_once_refresh_once_and_both_stay_signed_in() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    desk.clock.forward(LIFE);
    let gate = desk.identity.gate(tokens());
    let (one, two, ()) = tokio::join!(desk.of(&browser), desk.of(&browser), async {
        desk.identity.wait_for_calls(&tokens(), 2).await;
        gate.open();
    });
    assert_eq!(token(&one), token(&two));
    assert!(!one.set_cookies.is_empty() && !two.set_cookies.is_empty());
    assert_eq!(desk.grants("refresh_token"), 1);
}

#[tokio::test]
async fn a_third_tab_half_a_minute_later_with_the_old_cookie_is_signed_in_too() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    desk.clock.forward(NEARLY);
    let newer = desk.of(&browser).await;
    desk.clock.forward(Duration::from_secs(30));
    let third = desk.of(&browser).await;
    assert_eq!(token(&third), token(&newer));
    let mut same = browser.clone();
    same.take(&third.set_cookies);
    assert_eq!(token(&desk.of(&same).await), token(&newer));
    assert_eq!(desk.grants("refresh_token"), 1);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_refresh_loses_no_token() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    desk.clock.forward(LIFE);
    let gate = desk.identity.gate(tokens());
    let leaving = {
        let (sessions, fields) = (desk.sessions.clone(), browser.fields());
        tokio::spawn(async move { sessions.of(&fields).await })
    };
    desk.identity.wait_for_calls(&tokens(), 2).await;
    leaving.abort();
    leaving.await.unwrap_err();
    gate.open();
    assert!(desk.of(&browser).await.session.is_some());
    assert_eq!(desk.grants("refresh_token"), 1);
}

#[tokio::test]
async fn a_refresh_token_that_is_not_replaced_is_used_again() {
    let desk = Desk::open();
    let mut browser = desk.browser().await;
    let answer = |token: &str| {
        let body = format!(r#"{{"access_token":"{token}","expires_in":600,"token_type":"bearer"}}"#);
        Rule { body: Some(body), times: Some(1), ..Rule::default() }
    };
    desk.clock.forward(NEARLY);
    for number in 0..2 {
        desk.tokens_are(answer(&format!("token-{number}")));
        let found = desk.of(&browser).await;
        assert_eq!(token(&found), format!("Bearer token-{number}"));
        browser.take(&found.set_cookies);
        desk.clock.forward(Duration::from_secs(550));
    }
    desk.of(&browser).await.session.expect("signed in");
    assert_eq!(desk.grants("refresh_token"), 3);
}

#[tokio::test]
async fn a_revoked_refresh_token_ends_the_session() {
    let desk = Desk::open();
    let mut browser = desk.browser().await;
    desk.identity.revoke_refresh_tokens("demo");
    desk.clock.forward(NEARLY);
    for _ in 0..2 {
        is_nobody(&desk.of(&browser).await, Some(SignedOut::Refused));
    }
    assert_eq!(desk.grants("refresh_token"), 1, "who is refused is not asked about again at once");
    browser.take(&desk.of(&browser).await.set_cookies);
    assert!(browser.0.is_empty());
}

#[tokio::test]
async fn an_identity_server_that_is_away_ends_no_session_whose_token_is_good() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    let first = desk.of(&browser).await;
    desk.clock.forward(NEARLY);
    desk.stay_away();
    for _ in 0..3 {
        let found = desk.of(&browser).await;
        assert_eq!((token(&found), found.signed_out), (token(&first), None));
    }
    assert_eq!(desk.grants("refresh_token"), 1, "it is not asked at every request");
}

#[tokio::test]
async fn away_with_an_expired_token_is_signed_out_until_it_is_back() {
    let desk = Desk::open();
    let mut browser = desk.browser().await;
    desk.clock.forward(LIFE);
    desk.stay_away();
    let found = desk.of(&browser).await;
    is_nobody(&found, Some(SignedOut::Away));
    assert!(SignedOut::Away.sentence().contains("does not answer"));
    browser.take(&found.set_cookies);
    desk.identity.clear_rules();
    // After a restart, too: nothing but the key is needed.
    assert!(desk.again(|_| ()).of(&browser.fields()).await.session.is_some());
}

#[tokio::test]
async fn a_slow_identity_server_holds_nobody_up_whose_token_is_good_and_its_answer_is_not_lost() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    let first = desk.of(&browser).await;
    desk.clock.forward(NEARLY);
    let gate = desk.identity.gate(tokens());
    assert_eq!(token(&desk.of(&browser).await), token(&first));
    gate.open();
    let renewed = async {
        while token(&desk.of(&browser).await) == token(&first) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("a newer token");
    assert_eq!(desk.grants("refresh_token"), 1);
}

#[tokio::test]
async fn a_session_ends_at_its_limit_however_often_it_was_refreshed() {
    let desk = Desk::with(|_| (), |config| config.ui.as_mut().unwrap().session_limit = LIFE * 2);
    let mut browser = desk.browser().await;
    for _ in 0..2 {
        desk.clock.forward(NEARLY);
        let found = desk.of(&browser).await;
        token(&found);
        browser.take(&found.set_cookies);
    }
    desk.clock.forward(Duration::from_secs(110));
    is_nobody(&desk.of(&browser).await, Some(SignedOut::TooOld));
    browser.take(&desk.of(&browser).await.set_cookies);
    assert!(browser.0.is_empty());
}

#[tokio::test]
async fn without_a_refresh_token_a_session_ends_with_its_token() {
    let desk = Desk::open();
    let body = r#"{"access_token":"a.b.c","expires_in":600,"token_type":"Bearer"}"#.to_owned();
    desk.tokens_are(Rule { body: Some(body), ..Rule::default() });
    let browser = desk.browser().await;
    desk.clock.forward(Duration::from_secs(595));
    token(&desk.of(&browser).await);
    desk.clock.forward(Duration::from_secs(5));
    is_nobody(&desk.of(&browser).await, Some(SignedOut::TooOld));
    assert_eq!(desk.grants("refresh_token"), 0);
}

#[tokio::test]
async fn a_token_of_any_usual_size_fits_into_cookies_and_comes_back() {
    let mut parts = Vec::new();
    for bytes in [0, 2500, 5000, 8000] {
        let desk = Desk::with(|options| options.token_bytes = bytes, |_| ());
        let mut browser = Browser::default();
        let (session, cookies) = desk.sign_in("demo").await.expect("signed in");
        browser.take(&cookies);
        assert!(session.authorization().len() > bytes.saturating_sub(100), "{bytes}");
        let found = desk.of(&browser).await;
        assert_eq!(token(&found), session.authorization().to_str().unwrap());
        desk.clock.forward(NEARLY);
        browser.take(&desk.of(&browser).await.set_cookies);
        token(&desk.of(&browser).await);
        // A token is base64 in base64: what that costs is taken back.
        let size: usize = browser.0.values().map(String::len).sum();
        let token = session.authorization().len();
        assert!(size < token + token / 10 + 200, "{size} for a token of {token}");
        parts.push(browser.0.len());
    }
    assert_eq!(parts, [1, 1, 2, 3]);
}

#[tokio::test]
async fn a_shorter_session_is_read_where_a_longer_one_left_cookies_behind() {
    let long = Desk::with(|options| options.token_bytes = 8000, |_| ());
    let mut browser = long.browser().await;
    assert!(browser.0.len() > 1);
    let short = Desk::open();
    let (_, cookies) = short.sign_in("demo").await.expect("signed in");
    browser.take(&cookies[..1]);
    token(&short.of(&browser).await);
    browser.take(&cookies);
    assert_eq!(browser.0.len(), 1);
}

#[tokio::test]
async fn a_cookie_that_is_not_whole_and_ours_is_nobody_s() {
    let desk = Desk::with(|options| options.token_bytes = 5000, |_| ());
    let browser = desk.browser().await;
    assert_eq!(browser.0.len(), 2);
    for (name, value) in &browser.0 {
        let changed = |value: String| {
            let mut changed = browser.clone();
            changed.0.insert(name.clone(), value);
            changed
        };
        // Number of parts, version, nonce, text, tag: every so many characters, and both ends.
        let places = (0..60).chain((60..value.len() - 60).step_by(97)).chain(value.len() - 60..value.len());
        for at in places {
            let other = if &value[at..=at] == "A" { "B" } else { "A" };
            let broken = changed(format!("{}{other}{}", &value[..at], &value[at + 1..]));
            is_nobody(&desk.of(&broken).await, None);
        }
        for at in [0, 1, 2, 20, value.len() / 2, value.len() - 1] {
            is_nobody(&desk.of(&changed(value[..at].to_owned())).await, None);
        }
        is_nobody(&desk.of(&changed(format!("{value}A"))).await, None);
        let mut missing = browser.clone();
        missing.0.remove(name);
        is_nobody(&desk.of(&missing).await, None);
    }
    let (one, two) = (browser.0["catproxy_session"].clone(), browser.0["catproxy_session_1"].clone());
    let mut exchanged = browser.clone();
    exchanged.0.insert("catproxy_session".to_owned(), two);
    exchanged.0.insert("catproxy_session_1".to_owned(), one);
    is_nobody(&desk.of(&exchanged).await, None);
    token(&desk.of(&browser).await);
}

#[tokio::test]
async fn a_cookie_is_known_wherever_the_key_is_and_nowhere_else() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    let with = |key: SessionKey| desk.again(|config| config.ui.as_mut().unwrap().key = key);
    token(&desk.again(|_| ()).of(&browser.fields()).await);
    for other in [with(SessionKey::Given(Secret::new([8; 32]))), with(SessionKey::Random)] {
        let found = other.of(&browser.fields()).await;
        is_nobody(&found, None);
        assert!(found.set_cookies.is_empty(), "another replica may know it");
    }
}

#[tokio::test]
async fn who_signs_out_is_signed_out_in_every_tab_and_so_is_a_copy_of_the_cookie() {
    let desk = Desk::open();
    let old = desk.browser().await;
    desk.clock.forward(NEARLY);
    let mut newer = old.clone();
    newer.take(&desk.of(&old).await.set_cookies);
    let copy = newer.clone();
    let elsewhere = desk.browser().await;
    let cookies = desk.sessions.sign_out(&newer.fields());
    newer.take(&cookies);
    assert!(newer.0.is_empty());
    for browser in [&newer, &copy, &old] {
        is_nobody(&desk.of(browser).await, None);
    }
    token(&desk.of(&elsewhere).await);
    assert_eq!(desk.grants("refresh_token"), 1);
}

#[tokio::test]
async fn signing_out_while_another_tab_waits_for_a_refresh_signs_that_out_as_well() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    desk.clock.forward(LIFE);
    let gate = desk.identity.gate(tokens());
    let (waiting, ()) = tokio::join!(desk.of(&browser), async {
        desk.identity.wait_for_calls(&tokens(), 2).await;
        let _ = desk.sessions.sign_out(&browser.fields());
        gate.open();
    });
    is_nobody(&waiting, None);
    assert!(waiting.set_cookies.is_empty());
}

#[tokio::test]
async fn failed_attempts_are_limited_by_address_and_a_right_password_does_not_help() {
    let desk = Desk::open();
    // All at once, so that the pause cannot be over: an attempt counts from its start.
    let mut attempts =
        join_all((0..6).map(|number| desk.sign_in(if number < 5 { "wrong" } else { "demo" }))).await;
    let refused = attempts.pop().unwrap().unwrap_err();
    assert!(attempts.iter().all(|attempt| matches!(attempt, Err(SignInError::Wrong))));
    assert_eq!(refused.wait_seconds(), 1);
    assert_eq!(refused.sentence(), "Too many failed attempts: try again in 1 second.");
    assert_eq!(desk.grants("password"), 5, "the identity server is not asked");
    let there = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    assert!(desk.sessions.sign_in("demo", "demo", there).await.is_ok());
}

#[tokio::test]
async fn failed_attempts_are_limited_by_user_from_wherever_they_come() {
    let desk = Desk::open();
    let attempt = |number: u8| {
        let from = IpAddr::V4(Ipv4Addr::new(10, 0, 1, number));
        desk.sessions.sign_in(if number < 10 { "demo" } else { "DEMO" }, "wrong", from)
    };
    let mut attempts = join_all((0..11).map(attempt)).await;
    let refused = attempts.pop().unwrap().unwrap_err();
    assert!(attempts.iter().all(|attempt| matches!(attempt, Err(SignInError::Wrong))));
    assert!(refused.wait_seconds() > 0, "{refused}");
    assert!(desk.sessions.sign_in("second", "second", HERE).await.is_ok());
}

#[tokio::test]
async fn what_is_not_the_user_s_fault_is_said_and_does_not_count() {
    let page = Rule { html: true, ..Rule::default() };
    let tokens = r#"{"access_token":"a","token_type":"Bearer","expires_in":9,"x":""#;
    let long = Rule { body: Some(format!("{tokens}{}\"}}", "x".repeat(70_000))), ..Rule::default() };
    let redirect = Rule { status: Some(302), ..Rule::default() };
    let cut = Rule { truncate: Some(100), ..Rule::default() };
    let failing = Rule { status: Some(503), ..Rule::default() };
    let silent = Rule { hang: true, ..Rule::default() };
    let reset = Rule { close: Some(Close::Reset), ..Rule::default() };
    for (rule, may_pass) in [
        (page, false),
        (long, false),
        (redirect, false),
        (cut, true),
        (failing, true),
        (silent, true),
        (reset, true),
    ] {
        let desk = Desk::with(|_| (), impatient);
        desk.tokens_are(rule.clone());
        for _ in 0..6 {
            let error = desk.sign_in("demo").await.unwrap_err();
            let SignInError::Identity(_) = &error else { panic!("{rule:?}: {error:?}") };
            assert_eq!(error.sentence().contains("does not answer"), may_pass, "{rule:?}: {error:?}");
        }
    }
    let desk = Desk::with(|options| options.client = Some(("other".to_owned(), "x".to_owned())), |_| ());
    let error = desk.sign_in("demo").await.unwrap_err();
    assert!(error.sentence().contains("the log of catproxy says why"), "{error:?}");
    assert!(format!("{error:?}").contains("invalid_client"), "{error:?}");
}

#[tokio::test]
async fn an_identity_server_that_answers_no_more_is_waited_for_no_longer_than_configured() {
    let desk = Desk::with(|_| (), impatient);
    let browser = desk.browser().await;
    desk.clock.forward(LIFE);
    desk.tokens_are(Rule { hang: true, ..Rule::default() });
    is_nobody(&desk.of(&browser).await, Some(SignedOut::Away));
}

#[tokio::test]
async fn without_a_client_or_a_frontend_nobody_signs_in() {
    let desk = Desk::open();
    let browser = desk.browser().await;
    assert!(desk.sessions.is_configured());
    for sessions in [
        desk.again(|config| config.ui.as_mut().unwrap().client = None),
        desk.again(|config| config.ui = None),
    ] {
        assert!(!sessions.is_configured());
        let error = sessions.sign_in("demo", "demo", HERE).await.unwrap_err();
        assert!(matches!(error, SignInError::NotConfigured));
        is_nobody(&sessions.of(&browser.fields()).await, None);
    }
}

#[tokio::test]
async fn a_form_before_a_session_is_good_in_its_own_browser_only() {
    let desk = Desk::open();
    let (mut browser, mut other) = (Browser::default(), Browser::default());
    let (code, cookie) = desk.sessions.form_token(&browser.fields());
    let cookie = cookie.expect("a cookie");
    assert!(cookie.to_str().unwrap().contains("SameSite=Strict"));
    browser.take(&[cookie]);
    let (second, none) = desk.sessions.form_token(&browser.fields());
    assert_eq!((&second, none), (&code, None), "two tabs have the same");
    let (foreign, cookie) = desk.sessions.form_token(&other.fields());
    other.take(&[cookie.expect("a cookie")]);
    let good = |browser: &Browser, code: &str| desk.sessions.form_token_is_good(&browser.fields(), code);
    assert!(good(&browser, &code) && good(&other, &foreign));
    for bad in [foreign.as_str(), "", &browser.0["catproxy_form"], &code[1..]] {
        assert!(!good(&browser, bad), "{bad}");
    }
    assert!(!good(&Browser::default(), &code));
    assert!(desk.again(|_| ()).form_token_is_good(&browser.fields(), &code), "in any replica");
}

#[tokio::test]
async fn secure_cookies_are_asked_for_by_the_configuration() {
    let desk = Desk::with(|_| (), |config| config.ui.as_mut().unwrap().secure_cookie = true);
    let (_, cookies) = desk.sign_in("demo").await.expect("signed in");
    let form = desk.sessions.form_token(&HeaderMap::new()).1.expect("a cookie");
    for cookie in cookies.iter().chain([&form]) {
        assert!(cookie.to_str().unwrap().contains("; Secure; SameSite="));
    }
}

#[tokio::test]
async fn no_secret_is_printed_or_readable_in_a_cookie() {
    let desk = Desk::with(|options| options.users.push(User::new("me", "pa55word", Access::Full)), |_| ());
    let (session, cookies) = desk.sessions.sign_in("me", "pa55word", HERE).await.expect("signed in");
    let mut browser = Browser::default();
    browser.take(&cookies);
    let access = session.authorization().to_str().unwrap().trim_start_matches("Bearer ").to_owned();
    let mut printed = format!("{:?} {session:?} {cookies:?} {:?}", desk.sessions, desk.config);
    write!(printed, "{:?}", desk.of(&browser).await).unwrap();
    write!(printed, "{:?}", session.authorization()).unwrap();
    desk.stay_away();
    let error = desk.sessions.sign_in("me", "pa55word", HERE).await.unwrap_err();
    write!(printed, "{error:?} {error} {}", error.sentence()).unwrap();
    for secret in ["pa55word", CLIENT.1, &access, "Bearer ", session.csrf(), &browser.0["catproxy_session"]] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
    let value = &browser.0["catproxy_session"];
    assert!(!value.contains(&access[..20]) && !value.contains(session.csrf()));
}
