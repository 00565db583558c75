//! The bundled frontend: a catalog browser that asks the proxy as any client would, in process, with the user's own
//! token. Pages are made here; htmx puts the pieces in place.
//!
//! It knows the API's paths and no route, and keeps nothing but what is in the user's own cookie.

mod answer;
mod assets;
pub mod attempts;
mod events;
mod history;
pub mod identity;
mod inside;
mod list;
mod lots;
mod place;
mod sellers;
pub mod session;
mod status;
mod trouble;

use std::{net::IpAddr, sync::Arc, time::Duration};

use askama::Template;
use futures_util::future::{Either, ready};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use jiff::tz::TimeZone;

use self::{
    assets::{ASSETS, Addresses},
    events::{Asked, Show},
    history::History,
    inside::Inside,
    place::{Place, Query},
    session::{Session, Sessions, SessionsUnusable, SignedOut},
    status::Status,
    trouble::Trouble,
};
use crate::{
    body::Body,
    clock::Clock,
    config::{self, Config},
    deadline::Deadline,
    proxy::{Answering, Proxy},
    upstream::Spelling,
};

/// A form of ours is far smaller.
const FORM_BYTES: usize = 16 * 1024;
/// And is sent at once.
const FORM_TIME: Duration = Duration::from_secs(10);

/// Answers what is under `/ui/`. Cheap to clone.
#[derive(Clone)]
pub struct Ui(Arc<Inner>);

struct Inner {
    /// As it was made.
    config: Option<config::Ui>,
    proxy: Proxy,
    sessions: Sessions,
    history: History,
    clock: Clock,
    zone: TimeZone,
    host: HeaderValue,
    /// Whose name and password the sign-in page has filled in.
    demo_user: Option<String>,
}

#[derive(Template)]
#[template(path = "browser.html")]
struct Browser<'p> {
    assets: &'p Addresses,
    place: Place,
    user: &'p str,
    csrf: &'p str,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'p> {
    assets: &'p Addresses,
    csrf: &'p str,
    back: &'p str,
    user: &'p str,
    password: &'p str,
    message: Option<&'p str>,
    hint: Option<&'p str>,
    ready: bool,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct Failed<'p> {
    trouble: Trouble,
    again: &'p str,
}

/// A page by itself about what is not there.
#[derive(Template)]
#[template(path = "lost.html")]
struct Lost<'p> {
    assets: &'p Addresses,
    trouble: Trouble,
}

/// Whether the frontend answers a request.
enum Whose {
    Proxys,
    Ours,
    /// A browser at the front door.
    Visitors,
}

impl Ui {
    /// A frontend of this proxy.
    ///
    /// # Errors
    /// Where the identity server cannot be asked as configured.
    pub fn new(config: &Config, proxy: Proxy, clock: Clock) -> Result<Self, SessionsUnusable> {
        let sessions = Sessions::new(config, clock.clone())?;
        let history = History::of(Arc::clone(proxy.telemetry()));
        Ok(Self::with(sessions, history, config, proxy, clock))
    }

    /// A frontend of another proxy that takes over from this one: who is signed in stays so, where `[ui]` stays the
    /// same or its key was given.
    ///
    /// # Errors
    /// As [`Ui::new`].
    pub fn successor(&self, config: &Config, proxy: Proxy) -> Result<Self, SessionsUnusable> {
        let Inner { clock, history, .. } = &*self.0;
        let sessions = if config.ui == self.0.config {
            self.0.sessions.clone()
        } else {
            Sessions::new(config, clock.clone())?
        };
        Ok(Self::with(sessions, history.clone(), config, proxy, clock.clone()))
    }

    fn with(sessions: Sessions, history: History, config: &Config, proxy: Proxy, clock: Clock) -> Self {
        let host = HeaderValue::try_from(config.upstream.authority.as_str());
        Self(Arc::new(Inner {
            config: config.ui.clone(),
            sessions,
            history,
            clock,
            zone: config.time_zone.clone(),
            host: host.unwrap_or(HeaderValue::from_static("catproxy")),
            demo_user: config.ui.as_ref().and_then(|ui| ui.demo_user.clone()),
            proxy,
        }))
    }

    /// Answers a request from this address: the frontend's own, or the proxy's.
    pub fn handle(
        &self,
        request: Request<Incoming>,
        spelling: Option<Arc<Spelling>>,
        from: IpAddr,
    ) -> Answering {
        match whose(&request) {
            Whose::Proxys => self.0.proxy.handle(request, spelling),
            Whose::Visitors => Either::Left(ready(answer::go("/ui/", request.headers()))),
            Whose::Ours => {
                let ui = Arc::clone(&self.0);
                Either::Right(Box::pin(async move { ui.answer(request, from).await }))
            }
        }
    }
}

/// Whether a target may be the frontend's.
#[must_use]
pub fn is_under(target: &str) -> bool {
    target == "/" || target.starts_with("/?") || target.starts_with("/ui")
}

fn whose<B>(request: &Request<B>) -> Whose {
    let path = request.uri().path();
    let is_browser = || {
        let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        accepts.is_some_and(|accept| accept.contains("text/html"))
    };
    match path {
        "/" if request.method() == Method::GET && is_browser() => Whose::Visitors,
        "/ui" => Whose::Visitors,
        _ if path.starts_with("/ui/") => Whose::Ours,
        _ => Whose::Proxys,
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(2).collect();
        let query = Query::read(head.uri.query().unwrap_or_default().as_bytes());
        let fields = &head.headers;
        match (&head.method, segments.as_slice()) {
            (&Method::POST, ["sign-in"]) => self.sign_in(fields, body, from).await,
            (&Method::POST, ["sign-out"]) => self.sign_out(fields, body).await,
            (&Method::GET | &Method::HEAD, ["assets", _]) => {
                ASSETS.answer(&path, fields).await.unwrap_or_else(|| self.not_found(fields))
            }
            (&Method::GET | &Method::HEAD, ["sign-in"]) => self.door(fields, &query, None, ""),
            (&Method::GET | &Method::HEAD, segments) => {
                self.signed_in(&head.uri, segments, &query, fields).await
            }
            _ => self.not_found(fields),
        }
    }

    /// What only a user may see.
    async fn signed_in(
        &self,
        uri: &http::Uri,
        segments: &[&str],
        query: &Query,
        fields: &HeaderMap,
    ) -> Response<Body> {
        let found = self.sessions.of(fields).await;
        let Some(session) = found.session else {
            let mut answer = answer::go(&door_before(uri, fields, found.signed_out), fields);
            set_cookies(&mut answer, found.set_cookies);
            return answer;
        };
        let now = || Status::of(&self.proxy, &self.history);
        let mut answer = match segments {
            ["status"] => {
                let (assets, user, csrf) = (&ASSETS.addresses, session.user(), session.csrf());
                let page = status::Page { assets, user, csrf, status: now() };
                answer::html(StatusCode::OK, &page, fields)
            }
            ["panel", "status"] => answer::html(StatusCode::OK, &now(), fields),
            ["panel" | "lot", ..] => self.piece(&session, uri, segments, query, fields).await,
            _ => match Place::read(segments, query) {
                Some(place) => self.browser(&session, place, fields),
                None => self.not_found(fields),
            },
        };
        set_cookies(&mut answer, found.set_cookies);
        answer
    }

    fn browser(&self, session: &Session, place: Place, fields: &HeaderMap) -> Response<Body> {
        let assets = &ASSETS.addresses;
        let page = Browser { assets, place, user: session.user(), csrf: session.csrf() };
        answer::html(StatusCode::OK, &page, fields)
    }

    /// What goes into a panel, or why there is nothing.
    async fn piece(
        &self,
        session: &Session,
        uri: &http::Uri,
        segments: &[&str],
        query: &Query,
        fields: &HeaderMap,
    ) -> Response<Body> {
        let inside = Inside::new(self.proxy.clone(), self.host.clone(), session.authorization().clone());
        let typed = query.text("q").unwrap_or_default();
        let (seller, event) = (query.number("seller"), query.number("event"));
        let failed = match (segments, seller, event) {
            (["panel", "sellers"], ..) => {
                let panel = sellers::panel(&inside, typed, query.number("page"), query.number("selected"));
                panel.await.map(|piece| answer::html(StatusCode::OK, &piece, fields))
            }
            (["panel", "events"], Some(seller), _) => {
                let asked = Asked {
                    seller,
                    query: typed.to_owned(),
                    show: Show::of(query.text("show")),
                    newest: query.text("newest").is_some(),
                    selected: query.number("selected"),
                };
                let newest = asked.newest;
                match events::panel(&inside, asked, self.clock.today(&self.zone)).await {
                    // What is shown is better than nothing.
                    Err(trouble) if newest && trouble != Trouble::SignedOut => return answer::nothing(),
                    panel => panel.map(|piece| answer::html(StatusCode::OK, &piece, fields)),
                }
            }
            (["panel", "lots"], Some(seller), Some(event)) => {
                let panel = lots::panel(&inside, seller, event, typed, query.number("page"));
                panel.await.map(|piece| answer::html(StatusCode::OK, &piece, fields))
            }
            (["lot", id], ..) => match id.parse() {
                Ok(id) => {
                    lots::detail(&inside, id).await.map(|piece| answer::html(StatusCode::OK, &piece, fields))
                }
                Err(_) => Err(Trouble::NotFound),
            },
            _ => Err(Trouble::NotFound),
        };
        match failed {
            Ok(piece) => piece,
            // The upstream has the last word on a token.
            Err(Trouble::SignedOut) => {
                let mut answer = answer::go(&door_before(uri, fields, Some(SignedOut::Refused)), fields);
                set_cookies(&mut answer, self.sessions.sign_out(fields));
                answer
            }
            Err(trouble) => {
                let again = uri.path_and_query().map_or("/ui/", http::uri::PathAndQuery::as_str);
                answer::html(StatusCode::OK, &Failed { trouble, again }, fields)
            }
        }
    }

    fn door(&self, fields: &HeaderMap, query: &Query, message: Option<&str>, user: &str) -> Response<Body> {
        let (csrf, cookie) = self.sessions.form_token(fields);
        let ended = query.text("ended").and_then(ended);
        let known = self.demo_user.as_deref().unwrap_or_default();
        let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let page = SignIn {
            assets: &ASSETS.addresses,
            csrf: &csrf,
            back: &place::back(query.text("back")),
            user: if user.is_empty() { known } else { user },
            password: if user.is_empty() || user == known { known } else { "" },
            message: message.or(ended.map(SignedOut::sentence)),
            hint: self.demo_user.as_ref().map(|_| "A demo: everything here is made up."),
            ready: self.sessions.is_configured(),
        };
        let mut answer = answer::html(status, &page, fields);
        set_cookies(&mut answer, cookie.into_iter().collect());
        answer
    }

    async fn sign_in(&self, fields: &HeaderMap, body: Incoming, from: IpAddr) -> Response<Body> {
        let Some(form) = form(body).await else { return self.door(fields, &Query::default(), None, "") };
        let text = |name: &str| form.text(name).unwrap_or_default();
        let honest = session::is_same_site(fields) && self.sessions.form_token_is_good(fields, text("csrf"));
        if !honest {
            return self.door(fields, &form, Some("This page was open for too long. Please try again."), "");
        }
        match self.sessions.sign_in(text("user"), text("password"), from).await {
            Ok((_, cookies)) => {
                let mut answer = answer::go(&place::back(form.text("back")), fields);
                set_cookies(&mut answer, cookies);
                answer
            }
            Err(error) => self.door(fields, &form, Some(&error.sentence()), text("user")),
        }
    }

    async fn sign_out(&self, fields: &HeaderMap, body: Incoming) -> Response<Body> {
        let (found, form) = (self.sessions.of(fields).await, form(body).await.unwrap_or_default());
        let given = form.text("csrf").unwrap_or_default();
        let meant = found.session.is_none_or(|session| session::is_same(session.csrf(), given));
        if !meant || !session::is_same_site(fields) {
            return answer::go("/ui/", fields);
        }
        let mut answer = answer::go("/ui/sign-in", fields);
        set_cookies(&mut answer, self.sessions.sign_out(fields));
        answer
    }

    fn not_found(&self, fields: &HeaderMap) -> Response<Body> {
        let page = Lost { assets: &ASSETS.addresses, trouble: Trouble::NotFound };
        answer::html(StatusCode::NOT_FOUND, &page, fields)
    }
}

/// The sign-in page, from which one comes back to where one was.
fn door_before(uri: &http::Uri, fields: &HeaderMap, why: Option<SignedOut>) -> String {
    let here = match fields.get("hx-current-url").and_then(|url| url.to_str().ok()) {
        Some(url) => url.find("/ui/").and_then(|at| url.get(at..)).unwrap_or_default(),
        None => uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str),
    };
    let back = place::back(Some(here));
    let asked: String = form_urlencoded::Serializer::new(String::new()).append_pair("back", &back).finish();
    let ended = why.map_or_else(String::new, |why| format!("&ended={}", word(why)));
    format!("/ui/sign-in?{asked}{ended}")
}

/// How an address says why somebody was signed out.
fn word(why: SignedOut) -> &'static str {
    match why {
        SignedOut::TooOld => "old",
        SignedOut::Refused => "refused",
        SignedOut::Away => "away",
    }
}

fn ended(text: &str) -> Option<SignedOut> {
    [SignedOut::TooOld, SignedOut::Refused, SignedOut::Away].into_iter().find(|why| word(*why) == text)
}

async fn form(body: Incoming) -> Option<Query> {
    let reading = Limited::new(body, FORM_BYTES).collect();
    let body = Deadline::after(FORM_TIME).within(reading).await.ok()?.ok()?;
    Some(Query::read(&body.to_bytes()))
}

fn set_cookies(answer: &mut Response<Body>, cookies: Vec<HeaderValue>) {
    for cookie in cookies {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
