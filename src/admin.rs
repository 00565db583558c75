//! The operator's own listener: how the proxy is, what is cached, emptying it. Speaks HTTP/1.1, on an address of its own
//! and never on the clients'.

mod answer;
mod entries;
mod gate;
mod health;
mod metrics;
mod orders;
mod process;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use self::{
    answer::{allowing, json, problem, text},
    gate::{Gate, Turned},
};
use crate::{body::Body, config, guard, proxy::Proxy, respond};

/// Operators, scrapers and probes at a time; one more waits.
const CONNECTIONS: usize = 64;
/// From a connection's opening, or an answer, to the next whole head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After accepting failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What the paths take and answer, for machines, where there is a token.
const OPENAPI: &str = include_str!("admin/openapi.json");
/// How the document demands the token, and what stands there where there is none.
const SECURITY: [&str; 2] = [r#""security": [{ "token": [] }]"#, r#""security": []"#];
/// What the paths take and answer, for who looks by hand.
const OVERVIEW: &str = "\
catproxy, for its operator (/openapi.json has the details)

GET  /livez         the process answers
GET  /readyz        it takes requests, and what it lacks
GET  /status        the same with counts; `catproxy status` shows it
GET  /metrics       for Prometheus
GET  /config        what runs, without secrets
GET  /entries       what is in the store: ?limit=100&from=…
GET  /log           what is logged; PUT {\"filter\": \"info,access=info\"} changes it until the end
POST /purge         {\"route\": \"…\"}, {\"key\": \"…\"} or {\"all\": true}; `catproxy purge` sends it
POST /refresh       {\"key\": \"…\", \"token\": \"…\"}: fetched anew, as a client of this token would
";

/// What is administered.
pub trait Subject: Send + Sync + 'static {
    /// The proxy that is in office now.
    fn proxy(&self) -> Proxy;
    /// What it runs on, in words and without secrets.
    fn configuration(&self) -> Arc<str>;
    /// Clients' connections.
    fn connections(&self) -> usize;
    /// It was told to stop, and takes nobody in any more.
    fn is_stopping(&self) -> bool;
}

/// The listener.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    desk: Desk,
}

/// Who answers.
struct Desk {
    subject: Box<dyn Subject>,
    gate: Gate,
    document: String,
    began: Instant,
}

impl Admin {
    /// Listens. From here on connections queue; [`Admin::serve`] answers them.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub async fn bind(config: &config::Admin, subject: impl Subject) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let gate = Gate::new(config.token.clone());
        let document = document(config.token.is_some());
        let desk = Desk { subject: Box::new(subject), gate, document, began: Instant::now() };
        Ok(Self { listener, address, desk })
    }

    /// With port 0 configured, the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers operators, for ever; dropped, it answers nobody any more.
    pub async fn serve(self) {
        let (desk, places) = (Arc::new(self.desk), Arc::new(Semaphore::new(CONNECTIONS)));
        let mut conversations = tokio::task::JoinSet::new();
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let desk = Arc::clone(&desk);
                    conversations.spawn(async move {
                        converse(stream, desk).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
            while conversations.try_join_next().is_some() {}
        }
    }
}

async fn converse(stream: TcpStream, desk: Arc<Desk>) {
    let answerer = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // A connection's error is its client's: it left, or sent what is no HTTP.
    let _ = builder.serve_connection(TokioIo::new(stream), answerer).await;
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let is_health = matches!(head.uri.path(), "/livez" | "/readyz");
        let mut answer = match guard::check_host(&head.uri, head.version, &head.headers) {
            Ok(()) => match self.gate.check(&head.headers, is_health) {
                Ok(()) => self.dispatch(&head, body).await,
                Err(turned) => turned_away(&turned),
            },
            Err(refusal) => respond::refused(&refusal),
        };
        let fields = answer.headers_mut();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
    }

    async fn dispatch(&self, head: &http::request::Parts, body: Incoming) -> Response<Body> {
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let (posts, puts) = (head.method == Method::POST, head.method == Method::PUT);
        match head.uri.path() {
            "/" if reads => text(OVERVIEW),
            "/livez" if reads => text("ok\n"),
            "/readyz" if reads => health::ready(&*self.subject),
            "/status" if reads => health::status(&*self.subject, self.began.elapsed()),
            "/metrics" if reads => metrics::metrics(&*self.subject),
            "/config" if reads => text(&*self.subject.configuration()),
            "/entries" if reads => entries::list(&self.subject.proxy(), head.uri.query()).await,
            "/log" if reads => orders::filter(),
            "/log" if puts => orders::change_filter(&head.headers, body).await,
            "/openapi.json" if reads => json(StatusCode::OK, &*self.document),
            "/purge" if posts => orders::purge(&self.subject.proxy(), &head.headers, body).await,
            "/refresh" if posts => orders::refresh(&self.subject.proxy(), &head.headers, body).await,
            "/" | "/livez" | "/readyz" | "/status" | "/metrics" | "/config" | "/entries"
            | "/openapi.json" => allowing("GET, HEAD"),
            "/purge" | "/refresh" => allowing("POST"),
            "/log" => allowing("GET, HEAD, PUT"),
            _ => problem(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is"),
        }
    }
}

fn document(has_token: bool) -> String {
    let [demanded, free] = SECURITY;
    if has_token { OPENAPI.to_owned() } else { OPENAPI.replacen(demanded, free, 1) }
}

fn turned_away(turned: &Turned) -> Response<Body> {
    let status = match turned {
        Turned::Token => StatusCode::UNAUTHORIZED,
        Turned::Site | Turned::Host => StatusCode::FORBIDDEN,
    };
    let mut answer = problem(status, &turned.to_string());
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"catproxy admin\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// The one value of a field; `None` where there is none, or several.
fn only<'f>(fields: &'f HeaderMap, name: &header::HeaderName) -> Option<&'f str> {
    let mut lines = fields.get_all(name).iter();
    let line = lines.next().and_then(|line| line.to_str().ok());
    line.filter(|_| lines.next().is_none())
}
