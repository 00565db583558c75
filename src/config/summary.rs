//! What is active, for the operator's eyes. No credentials.

use std::fmt;

use super::{
    Admin, Admission, Config, Route, SessionKey, Store, StoreKind, Tls, Traces, Ui, VouchFor,
    jwks::{Jwks, KeysAt},
    redis_url,
    units::{show_bytes, show_duration},
};

impl Config {
    /// One line: the profile or file, where clients and the operator connect, the upstream, the store, the routes, who may
    /// read, and the configuration's own note at the end.
    #[must_use]
    pub fn summary(&self) -> String {
        let routes: Vec<_> = self.routes.iter().map(|route| route.name.as_str()).collect();
        let note = self.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
        let admin = self.admin.as_ref().map_or_else(String::new, |admin| format!(", admin {}", admin.listen));
        format!(
            "{}: {}{} -> {}, {}, routes {}, admission {}{admin}{note}",
            self.name,
            if self.tls.is_some() { "https://" } else { "" },
            self.listen,
            self.upstream.url(),
            self.store.kind,
            routes.join(" "),
            match self.admission {
                Admission::Upstream { .. } => "upstream",
                Admission::Jwks(_) => "jwks",
                Admission::Open => "open",
            },
        )
    }

    /// All that runs, in words.
    #[must_use]
    pub fn report(&self) -> String {
        format!("{}\n\n{}\n", self.summary(), self.details())
    }

    /// All settings, a line each.
    #[must_use]
    pub fn details(&self) -> String {
        let Self { clients, upstream, store, fill, .. } = self;
        let mut lines =
            vec![format!("configuration  {}", self.name), format!("listen         {}", self.listen)];
        lines.extend(self.tls.as_ref().map(|tls| format!("  tls          {tls}")));
        lines.extend([
            format!(
                "admin          {}",
                self.admin.as_ref().map_or_else(|| "off".to_owned(), Admin::to_string)
            ),
            format!(
                "clients        {} connections, {} of one address; a head within {}, unused for {}",
                clients.connections,
                clients.connections_per_address,
                show_duration(clients.head_timeout),
                show_duration(clients.idle_timeout),
            ),
            format!(
                "  bodies       pauses of {}, {} a second; drained within {}",
                show_duration(clients.stall_timeout),
                show_bytes(clients.min_rate),
                show_duration(clients.drain_timeout),
            ),
            format!(
                "upstream       {}{}",
                upstream.url(),
                if upstream.tls && upstream.http2 { ", HTTP/2 if it speaks that" } else { "" }
            ),
            format!(
                "  timeouts     connect {}, head {}, body {}",
                show_duration(upstream.connect_timeout),
                show_duration(upstream.head_timeout),
                show_duration(upstream.body_timeout),
            ),
            format!(
                "  connections  at most {}; {} are kept unused for {}",
                upstream.connections,
                upstream.idle_connections,
                show_duration(upstream.idle_timeout)
            ),
        ]);
        lines.extend(upstream.ca_file.as_ref().map(|file| format!("  ca-file      {}", file.display())));
        lines.extend([
            format!("store          {}", store.kind),
            format!("  entries      {store}"),
            format!("admission      {}", self.admission),
        ]);
        if let Admission::Jwks(jwks) = &self.admission {
            lines.extend(demands(jwks));
        }
        lines.extend([
            format!(
                "fill           pages of {}, {} at a time, {} fills at a time, {} wait, within {}",
                fill.page_size,
                fill.parallel_pages,
                fill.parallel_fills,
                fill.waiting_fills,
                show_duration(fill.timeout),
            ),
            format!(
                "  at most      {} pages, {} items, {} a page, {} in all; if larger, forwarded for {}",
                fill.max_pages,
                fill.max_items,
                show_bytes(fill.max_page_bytes as u64),
                show_bytes(fill.max_bytes as u64),
                show_duration(fill.too_large_for),
            ),
            format!("ui             {}", self.ui.as_ref().map_or_else(|| "off".to_owned(), Ui::to_string)),
            format!("traces         {}", self.traces.as_ref().map_or_else(untraced, Traces::to_string)),
            format!("time zone      {}", self.time_zone.iana_name().unwrap_or("the system's")),
        ]);
        for route in &self.routes {
            lines.push(format!("route          {route}"));
            lines.extend(folded(&route.description).iter().map(|part| format!("  {part}")));
            lines.push(format!("  invalidated by {}", list(&route.invalidated_by)));
        }
        lines.push(format!("harmless       {}", list(&self.harmless)));
        lines.push(format!("partial        {}", list(&self.partial)));
        lines.extend(self.note.as_ref().map(|note| format!("note           {note}")));
        lines.join("\n")
    }
}

/// What a token must be, and where its key is found.
fn demands(jwks: &Jwks) -> Vec<String> {
    let algorithms: Vec<_> = jwks.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    let (KeysAt::Discovery(target) | KeysAt::Keys(target)) = &jwks.keys;
    let mut lines = vec![
        format!("  keys         {}{target}", jwks.identity.url()),
        format!(
            "  fetched      every {}, within {}",
            show_duration(jwks.keys_limit),
            show_duration(jwks.keys_timeout)
        ),
        format!("  audience     {}", jwks.audience.join(" or ")),
        format!("  algorithms   {}, leeway {}", algorithms.join(" "), show_duration(jwks.leeway)),
    ];
    lines.extend(jwks.identity.ca_file.as_ref().map(|file| format!("  ca-file      {}", file.display())));
    let claims = jwks.required_claims.iter();
    lines.extend(claims.map(|(claim, value)| format!("  claim        {claim} = {value}")));
    lines
}

fn list(writes: &[impl fmt::Display]) -> String {
    let writes: Vec<_> = writes.iter().map(ToString::to_string).collect();
    if writes.is_empty() { "-".to_owned() } else { writes.join(",\n                 ") }
}

/// A route's description with its settings on a line and each field on one of its own; what is kept stands last.
fn folded(description: &str) -> Vec<String> {
    let (settings, fields) = description.split_once(" fields={").unwrap_or((description, ""));
    let mut lines: Vec<String> = settings.split(" items=").map(str::to_owned).collect();
    lines.iter_mut().skip(1).for_each(|line| line.insert_str(0, "items="));
    let (mut start, mut depth, mut quoted, mut escaped) = (0, 0_u32, false, false);
    for (place, symbol) in fields.char_indices() {
        match symbol {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' if depth > 0 => depth -= 1,
            // Between two fields, or behind the last one.
            ',' | '}' if depth == 0 => {
                lines.extend(fields.get(start..place).map(|field| format!("  {}", field.trim_start())));
                start = place + 1;
            }
            _ => {}
        }
    }
    lines.extend(fields.get(start..).map(str::trim).filter(|rest| !rest.is_empty()).map(str::to_owned));
    lines
}

impl fmt::Display for StoreKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(url) => out.write_str(&redis_url::show(url.reveal())),
            Self::Memory { max_bytes } => write!(out, "memory of {}", show_bytes(*max_bytes)),
            Self::Absent => out.write_str("no store"),
        }
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}, {}",
            self.listen,
            if self.token.is_some() { "with a token" } else { "without a token" }
        )
    }
}

impl fmt::Display for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, budget) = (show_bytes(self.max_entry_bytes as u64), show_duration(self.budget));
        write!(out, "of at most {bytes}, keys begin with {}, {budget} a request", self.prefix)?;
        if let Some(near) = &self.near {
            let (bytes, limit) = (show_bytes(near.max_bytes), show_duration(near.limit));
            write!(out, "; copies of {bytes} for {limit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "certificate {}, key {}", self.certificate.display(), self.key.display())
    }
}

impl fmt::Display for Admission {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream { vouch_limit, vouch_for } => {
                let per = if *vouch_for == VouchFor::Route { " a route" } else { "" };
                write!(out, "upstream ({}{per})", show_duration(*vouch_limit))
            }
            Self::Jwks(jwks) => {
                write!(out, "jwks of {} (refused for {})", jwks.issuer, show_duration(jwks.refused_for))
            }
            Self::Open => out.write_str("open"),
        }
    }
}

impl fmt::Display for Ui {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, limit) = (self.identity.url(), show_duration(self.identity_timeout));
        match &self.client {
            Some(client) => write!(out, "sign-in as {} at {url} within {limit}", client.id)?,
            None => write!(out, "nobody can sign in at {url}: no client")?,
        }
        let secure = if self.secure_cookie { "over HTTPS only" } else { "also without HTTPS" };
        let key = match self.key {
            SessionKey::Given(_) => "with the environment's key",
            SessionKey::Random => "with a key of this process",
        };
        let (scope, limit) = (&self.scope, show_duration(self.session_limit));
        write!(out, ", scope {scope}\n  sessions     for {limit}, {secure}, sealed {key}")
    }
}

fn untraced() -> String {
    let why = if cfg!(feature = "otel") { "off" } else { "off; built without the feature `otel`" };
    why.to_owned()
}

impl fmt::Display for Traces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "to {}{} as {}", self.collector.url(), self.target, self.service)?;
        let ratio = self.ratio;
        if self.parent_based {
            write!(out, ", where a client says so; of the others a part of {ratio}")
        } else {
            write!(out, ", of a part of {ratio}, whatever a client says")
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} for {}", self.name, show_duration(self.ttl))?;
        for (window, when) in
            [(self.stale.while_revalidate, "while it is filled anew"), (self.stale.if_error, "if that fails")]
        {
            if !window.is_zero() {
                write!(out, ", {} longer {when}", show_duration(window))?;
            }
        }
        Ok(())
    }
}
