//! `catproxy project`: what a route keeps of an answer, and what that saves.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use jiff::tz::TimeZone;

use super::{Project, check, options::Environment};
use crate::{
    clock::Clock,
    config::{Route, RouteKind, report::masked},
    page::{Collection, keep},
    project::{ProjectError, ProjectedPage},
};

/// How much of each text is shown.
const SHOWN: usize = 50;

/// Reads the standard input, writes what is kept to the standard output and the comparison to the standard
/// error, so that the output can be piped on.
pub(super) fn run(project: &Project, environment: Environment<'_>) -> ExitCode {
    let config = match project.options.load(environment) {
        Ok((config, _)) => config,
        Err(report) => return check::refuse(report, environment),
    };
    let Some(route) = config.routes.iter().find(|route| route.name == project.route) else {
        let names: Vec<_> = config.routes.iter().map(|route| route.name.as_str()).collect();
        let (named, names) = (masked(&project.route), names.join(", "));
        return fail(&format!("no route is named `{named}`; the routes are {names}"));
    };
    let mut body = Vec::new();
    if let Err(error) = io::stdin().lock().read_to_end(&mut body) {
        return fail(&format!("the standard input does not read: {error}"));
    }
    match kept(route, &body) {
        Ok(page) => match show(route, &config.time_zone, &body, &page) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => fail(&format!("this is no answer of `{}`: {error}", route.name)),
    }
}

fn kept(route: &Route, body: &[u8]) -> Result<ProjectedPage, ProjectError> {
    match route.kind {
        RouteKind::List { .. } => route.projection.page(body),
        RouteKind::Single => route.projection.object(body),
    }
}

fn show(route: &Route, zone: &TimeZone, body: &[u8], page: &ProjectedPage) -> io::Result<()> {
    let items = page.items.clone();
    let all =
        Collection { text: page.text.clone().into(), total: items.len() as u64, items, kept_from: None };
    let kept = match &route.keep {
        Some(keep) => keep::from_today(all, &keep.field, Clock::system().today(zone), zone).0,
        None => all,
    };
    let mut after = kept.text.to_vec();
    if let RouteKind::List { .. } = route.kind {
        after.insert(0, b'[');
        after.push(b']');
    }
    let mut out = io::stdout().lock();
    out.write_all(&after)?;
    out.write_all(b"\n")?;
    let mut err = io::stderr().lock();
    let share = 100.0 - 100.0 * after.len() as f64 / body.len().max(1) as f64;
    writeln!(err, "\nbefore  {:>9} bytes  {}", body.len(), shown(body))?;
    writeln!(err, "after   {:>9} bytes  {}", after.len(), shown(&after))?;
    writeln!(
        err,
        "saved   {:>9} bytes  {share:.1} % of {} items",
        body.len().saturating_sub(after.len()),
        page.items.len()
    )?;
    let past = page.items.len() - kept.items.len();
    if past > 0 {
        writeln!(err, "dropped {past:>9} items  are before today, or without a date")?;
    }
    for (field, count) in route.projection.field_names().zip(&page.absent).filter(|(_, count)| **count > 0) {
        writeln!(err, "absent  {count:>9} items  have no `{field}`")?;
    }
    Ok(())
}

/// The beginning of a text, on one line.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

fn fail(what: &str) -> ExitCode {
    // Where nobody can read it, the exit code still tells.
    let _ = writeln!(io::stderr().lock(), "error: {what}");
    ExitCode::FAILURE
}
