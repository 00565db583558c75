//! `catproxy demo`: the stand-in upstream, the proxy and a store in one process, and what to try.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use fake_abconnect::{FakeAbconnect, Generation, Knobs, Options as Stand, Rule};

use super::{
    Demo, check,
    logging::Logging,
    options::Environment,
    serve::{ended, until_stopped},
    signals::Stops,
};
use crate::{
    clock::Clock,
    config::Config,
    server::{self, Server, StartError, Stopped},
};

/// The demo's user; its password is its name.
const USER: &str = "demo";
/// Threads of the stand-in.
const THREADS: usize = 1;

/// Runs the demo until it is told to stop.
pub(super) fn run(demo: &Demo, environment: Environment<'_>) -> ExitCode {
    match Logging::load(environment) {
        Ok(logging) => logging.begin(),
        Err(report) => return check::refuse(report, environment),
    }
    let stand = match FakeAbconnect::start_on_own_threads(stand_in(demo), THREADS) {
        Ok(stand) => stand,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "error: the stand-in does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match demo.load(stand.url().to_owned()) {
        Ok((mut config, _)) => {
            config.ui.iter_mut().for_each(|ui| ui.demo_user = Some(USER.to_owned()));
            ended(server::block_on(serve(config, demo, &stand)))
        }
        Err(report) => check::refuse(report, environment),
    }
}

fn stand_in(demo: &Demo) -> Stand {
    let latency = u64::try_from(demo.latency.as_millis()).unwrap_or(u64::MAX);
    let slow = Rule { latency_ms: Some(latency), ..Rule::default() };
    Stand {
        generation: if demo.generation == 2 { Generation::Second } else { Generation::First },
        knobs: Knobs { rules: vec![slow], ..Knobs::default() },
        log_calls: false,
        ..Stand::default()
    }
}

async fn serve(
    mut config: Config,
    demo: &Demo,
    stand: &fake_abconnect::Running,
) -> Result<Stopped, StartError> {
    let server = Server::bind(&config, Clock::system()).await?;
    let stops = Stops::listen();
    config.listen = server.address();
    let welcome = welcome(&config, demo, stand);
    // Where nobody can read it, the demo runs all the same.
    let _ = io::stdout().lock().write_all(welcome.as_bytes());
    Ok(until_stopped(server, &stops, std::future::pending()).await)
}

fn welcome(config: &Config, demo: &Demo, stand: &fake_abconnect::Running) -> String {
    let proxy = format!("http://{}", config.listen);
    let store = &config.store.kind;
    let seller = stand.seller_with_many_catalogs();
    let token = stand.token(USER);
    let latency = demo.latency.as_millis();
    format!(
        r#"
catproxy    {proxy}
browser     {proxy}/ui/  (sign in as `{USER}`: it is filled in)
ABConnect   {upstream}  (a stand-in, {latency} ms an answer)
store       {store}

A token of the user `{USER}`, valid for an hour:

TOKEN={token}

Try, in another terminal:

1. Cold: `fwd=miss`. All pages are fetched, projected and stored.
curl -s -o /dev/null -D - -w '%{{time_total}} s\n' \
  -H "Authorization: Bearer $TOKEN" \
  '{proxy}/api/Seller?PageNumber=1&PageSize=500'

2. Warm: `hit`. Any page comes from the same copy, without ABConnect.
curl -s -D - -w '\n%{{time_total}} s\n' \
  -H "Authorization: Bearer $TOKEN" \
  '{proxy}/api/Seller?PageNumber=7&PageSize=3'

3. Forwarded, untouched: `fwd=bypass; detail=query`. All fields are there.
curl -s -D - -w '\n%{{time_total}} s\n' \
  -H "Authorization: Bearer $TOKEN" \
  '{proxy}/api/Seller?Name=Fine&PageSize=1'

Seller {seller} has the most catalogs: try /api/Catalog?SellerIds={seller}, too.

Ctrl-C ends it.
"#,
        upstream = stand.url(),
    )
}
