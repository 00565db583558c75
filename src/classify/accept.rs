//! Whether a request takes JSON (RFC 9110 section 12.5.1).

use http::{HeaderMap, header};

use super::weight;

/// True without an `Accept` field, or where the most specific range that covers
/// `application/json` has a weight above 0. A field that does not read takes none.
pub(super) fn takes_json(fields: &HeaderMap) -> bool {
    let mut lines = fields.get_all(header::ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return true;
    }
    let mut best: Option<(u8, bool)> = None;
    for line in lines {
        let Ok(line) = line.to_str() else { return false };
        for part in line.split(',') {
            let Some((rank, wanted)) = (match range(part) {
                Ok(range) => range,
                Err(NotUnderstood) => return false,
            }) else {
                continue;
            };
            if best.is_none_or(|(known, taken)| rank > known || (rank == known && wanted && !taken)) {
                best = Some((rank, wanted));
            }
        }
    }
    best.is_some_and(|(_, wanted)| wanted)
}

/// A parameter of a range that would cover `application/json`.
struct NotUnderstood;

/// How specific a media range is, where it covers `application/json`, and whether it is wanted.
fn range(text: &str) -> Result<Option<(u8, bool)>, NotUnderstood> {
    let mut parts = text.split(';').map(str::trim_ascii);
    let media = parts.next().unwrap_or_default();
    let rank = match media {
        "*/*" => 0,
        _ if media.eq_ignore_ascii_case("application/*") => 1,
        _ if media.eq_ignore_ascii_case("application/json") => 2,
        _ => return Ok(None),
    };
    let mut wanted = true;
    for part in parts {
        let (name, value) = part.split_once('=').ok_or(NotUnderstood)?;
        if name.trim_ascii().eq_ignore_ascii_case("q") {
            wanted = weight(part).ok_or(NotUnderstood)? > 0.0;
        } else if !(name.trim_ascii().eq_ignore_ascii_case("charset")
            && value.trim_ascii().trim_matches('"').eq_ignore_ascii_case("utf-8"))
        {
            return Err(NotUnderstood);
        }
    }
    Ok(Some((rank, wanted)))
}
