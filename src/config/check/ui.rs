//! The bundled frontend: where its users sign in, as whom it asks for them, and what seals their sessions.
//!
//! Secrets come from the environment. A report never holds one: its place is a text of stars.

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Overrides, Setting, base_url, choose, limits};
use crate::config::{
    Client, SessionKey, Ui, Upstream,
    raw::RawUi,
    report::{Fault, Problems},
    secret::Secret,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

const DEFAULT_IDENTITY: &str = "https://login.abconnect.co";
const DEFAULT_SCOPE: &str = "offline_access";

/// What comes from outside of the file.
pub(super) struct Outside {
    identity: Option<Setting>,
    client_id: Option<Setting>,
    client_secret: Option<Setting>,
    key: Option<Setting>,
}

impl Outside {
    /// Takes it out of the overrides.
    pub(super) fn of(overrides: &mut Overrides) -> Self {
        Self {
            identity: overrides.ui_identity.take(),
            client_id: overrides.ui_client_id.take(),
            client_secret: overrides.ui_client_secret.take(),
            key: overrides.ui_key.take(),
        }
    }
}

/// `None` where it is switched off, or where there was a problem. `https`: that is what browsers speak with this proxy.
pub(super) fn ui(raw: RawUi, outside: Outside, https: bool, problems: &mut Problems) -> Option<Ui> {
    let is_on = raw.enabled.as_ref().is_none_or(|enabled| enabled.value);
    let base = choose(raw.identity_url, outside.identity, problems, |text, problems| {
        problems.parse(text, "a URL such as \"https://login.example\"", base_url)
    });
    let (tls, authority) = base.or_else(|| base_url(DEFAULT_IDENTITY).ok())?;
    let ca_file = raw.identity_ca_file.as_ref().and_then(|file| super::ca_file(file, problems));
    let bounds = SECOND / 100..=60 * SECOND;
    let identity_timeout = limits::duration(raw.identity_timeout.as_ref(), 10 * SECOND, bounds, problems);
    let scope =
        raw.scope.and_then(|scope| problems.parse(&scope, "a scope such as \"offline_access\"", scopes));
    let bounds = 60 * SECOND..=30 * DAY;
    let session_limit = limits::duration(raw.session_limit.as_ref(), 12 * HOUR, bounds, problems);
    let key = outside.key.map(|setting| key(&setting, problems));
    let client = client(outside.client_id, outside.client_secret);
    if !is_on {
        return None;
    }
    match (&client, &key) {
        (Err(missing), _) => problems.warn(None, format!("{missing} not set, so nobody can sign in at /ui")),
        (Ok(_), None) => problems.warn(
            None,
            "CATPROXY_UI_KEY is not set, so sessions of /ui are sealed with a random key: a restart signs everybody out, \
             and so does another replica",
        ),
        (Ok(_), Some(_)) => {}
    }
    let identity = Upstream {
        tls,
        authority,
        ca_file,
        // A request now and then gains nothing by it.
        http2: false,
        connect_timeout: identity_timeout,
        head_timeout: identity_timeout,
        body_timeout: identity_timeout,
        idle_timeout: SECOND,
        idle_connections: 1,
        connections: 64,
    };
    Some(Ui {
        identity,
        identity_timeout,
        scope: scope.unwrap_or_else(|| DEFAULT_SCOPE.to_owned()),
        client: client.ok(),
        key: key.flatten().map_or(SessionKey::Random, SessionKey::Given),
        session_limit,
        secure_cookie: raw.secure_cookie.map_or(https, |secure| secure.value),
        demo_user: None,
    })
}

/// The client, or what is not set.
fn client(id: Option<Setting>, secret: Option<Setting>) -> Result<Client, &'static str> {
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Client { id: id.value, secret: Secret::new(secret.value) }),
        (None, Some(_)) => Err("CATPROXY_UI_CLIENT_ID is"),
        (Some(_), None) => Err("CATPROXY_UI_CLIENT_SECRET is"),
        (None, None) => Err("CATPROXY_UI_CLIENT_ID and CATPROXY_UI_CLIENT_SECRET are"),
    }
}

fn key(setting: &Setting, problems: &mut Problems) -> Option<Secret<[u8; 32]>> {
    // Not the value: what is nearly a key is a secret as well.
    let shown = problems.outside(setting.origin.to_string(), "***".to_owned());
    let bytes = bytes(setting.value.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    if bytes.is_none() {
        let help = Some("make one with: openssl rand -hex 32".to_owned());
        let label = "64 hexadecimal digits, or base64";
        problems.add_with_help(&shown.place, format!("`{}` is not 32 bytes", shown.key), label, help);
    }
    bytes.map(Secret::new)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
}

/// Scopes as RFC 6749 spells them: words with single spaces between them.
fn scopes(text: &str) -> Result<String, Fault> {
    let is_scope = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
    };
    if text.split(' ').all(is_scope) {
        Ok(text.to_owned())
    } else {
        Err(Fault::whole("words with one space between them"))
    }
}
