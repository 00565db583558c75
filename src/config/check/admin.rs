//! The operator's own listener: where it is, and what has to be said there.

use std::net::SocketAddr;

use super::{Setting, address, choose};
use crate::config::{
    ADMIN_TOKEN_BYTES, Admin,
    raw::RawAdmin,
    report::{Problems, Text},
    secret::Secret,
};

/// `None` where there is none, or where there was a problem. `clients`: where these connect.
pub(super) fn admin(
    raw: RawAdmin,
    listen: Option<Setting>,
    token: Option<Setting>,
    clients: SocketAddr,
    problems: &mut Problems,
) -> Option<Admin> {
    let token = token.and_then(|token| checked(&token, problems));
    let has_token = token.is_some();
    let listen = choose(raw.listen, listen, problems, |text, problems| {
        let listen = address(text, problems)?;
        judge(text, listen, has_token, clients, problems);
        Some(listen)
    })?;
    Some(Admin { listen, token })
}

fn judge(text: &Text, listen: SocketAddr, has_token: bool, clients: SocketAddr, problems: &mut Problems) {
    if listen == clients && listen.port() != 0 {
        let title = format!("`{}` is where clients connect", text.key);
        problems.add(&text.place, title, "an address of its own: whoever may read may not purge");
    }
    if !listen.ip().is_loopback() && !has_token {
        let help = "set CATPROXY_ADMIN_TOKEN, or listen on 127.0.0.1".to_owned();
        let title = format!("`{}` can be reached from other machines, and there is no token", text.key);
        problems.add_with_help(&text.place, title, "whoever reaches it could purge", Some(help));
    }
}

/// Its text is shown to nobody, wrong or not.
fn checked(setting: &Setting, problems: &mut Problems) -> Option<Secret<String>> {
    let token = setting.value.trim();
    if token.len() >= ADMIN_TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(Secret::new(token.to_owned()));
    }
    let shown = problems.outside(setting.origin.to_string(), "***".to_owned());
    let label = format!("at least {ADMIN_TOKEN_BYTES} visible ASCII characters");
    let help = Some("make one with: openssl rand -hex 32".to_owned());
    problems.add_with_help(&shown.place, format!("`{}` is no token", shown.key), label, help);
    None
}
