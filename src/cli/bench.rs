//! `catproxy bench`: how long reads of a proxy that runs take, cold and warm. Asks as a client does, knows nothing of
//! what runs there, and counts only times of which the proxy says in `Cache-Status` what they are the times of.

mod client;
mod histogram;
mod json;
mod lists;
mod look;
mod measure;
pub mod options;
mod origin;
mod samples;
mod table;
mod tokens;
mod trouble;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use indicatif::{ProgressBar, ProgressStyle};

use self::{
    client::Client,
    look::{Look, digits},
    options::Bench,
    samples::Measured,
    tokens::Tokens,
    trouble::Trouble,
};
use super::{check, options::Environment};
use crate::{config::Config, server, telemetry::Chain};

/// Measures, and says what came of it on the standard output; all else goes to the standard error.
pub(super) fn run(bench: &Bench, environment: Environment<'_>) -> ExitCode {
    let config = match bench.load(environment) {
        Ok(config) => config,
        Err(report) => return check::refuse(report, environment),
    };
    if bench.token.is_some() || !bench.other_token.is_empty() {
        say("warning: others can read a token on the command line; CATPROXY_BENCH_TOKEN keeps it from them");
    }
    let measured = Tokens::of(bench, config.ui.as_ref(), environment)
        .and_then(|tokens| server::block_on(measure(bench, &config, &tokens)));
    let lists = match measured {
        Ok(lists) => lists,
        Err(trouble) => {
            say(&format!("error: {}", Chain(&trouble)));
            return ExitCode::FAILURE;
        }
    };
    let told = tell(bench, &config.upstream.url(), &lists, environment);
    if told.is_ok() && suffices(bench, &lists) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(bench: &Bench, config: &Config, tokens: &Tokens) -> Result<[Measured; 2], Trouble> {
    let client = Client::new(&config.upstream)?;
    // It shows itself in a terminal only.
    let progress = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:20} {bar:36} {pos}/{len}") {
        progress.set_style(style);
    }
    let measured = measure::all(bench, &client, tokens, &progress).await;
    progress.finish_and_clear();
    measured
}

fn tell(bench: &Bench, url: &str, lists: &[Measured], environment: Environment<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if bench.json {
        return json::write(out, bench, url, lists);
    }
    let plain = !out.is_terminal() || environment("NO_COLOR").is_some_and(|value| !value.is_empty());
    let look = if plain { Look::Plain } else { Look::Rich };
    let mut text = format!(
        "{url}\n\n\
         One kept connection, one read at a time. A read is one request, of the first\n\
         page of up to {} items, uncompressed. Its time runs from before it is written\n\
         to the last byte of the answer.\n\n",
        bench.page_size
    );
    text += &table::table(lists, look);
    lists.iter().for_each(|list| text += &histogram::histogram(list, look));
    let saved: u64 = lists.iter().map(|list| list.warm.count()).sum();
    text += &format!(
        "{saved} calls of the API were saved by the warm reads: at least one by each.
"
    );
    out.write_all(text.as_bytes())
}

/// Whether warm reads are as much faster as is required; says where not.
fn suffices(bench: &Bench, lists: &[Measured]) -> bool {
    let Some(required) = bench.require else { return true };
    let below: Vec<_> = lists.iter().filter(|list| list.ratio() < required).collect();
    for list in &below {
        let ratio = digits(list.ratio());
        say(&format!("error: {}: {ratio} times as fast, and {required} times are required", list.list));
    }
    below.is_empty()
}

/// Where nobody can read it, the exit code still tells.
fn say(what: &str) {
    let _ = writeln!(io::stderr().lock(), "{what}");
}
