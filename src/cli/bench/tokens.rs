//! By whom the proxy is asked: tokens that are given, or those that the identity server gives for a user and a password.

use std::io::{self, IsTerminal as _};

use console::Term;
use http::HeaderValue;

use super::{options::Bench, trouble::Trouble};
use crate::{
    cli::options::{Environment, variable},
    config::{self, secret::Secret},
    ui::identity::Identity,
};

/// A token, as it stands in a request. Not printed.
#[derive(Clone)]
pub(super) struct Token(HeaderValue);

impl Token {
    fn new(token: &str) -> Result<Self, Trouble> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Trouble::Token);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Trouble::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(super) fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Where tokens come from.
pub(super) enum Tokens {
    /// They were given.
    Given {
        /// For all reads but those by another token.
        main: Token,
        /// Each for one read of each list.
        others: Vec<Token>,
    },
    /// A user and a password, for as many as are needed.
    Of(Box<Identity>, String, Secret<String>),
}

impl Tokens {
    /// Asks for the password where that is to be done; for no token yet.
    pub(super) fn of(
        bench: &Bench,
        ui: Option<&config::Ui>,
        environment: Environment<'_>,
    ) -> Result<Self, Trouble> {
        let outside = |name| variable(environment, name).map_err(Trouble::Options);
        let Some(user) = &bench.user else {
            let token = match &bench.token {
                Some(token) => Some(token.reveal().clone()),
                None => outside("CATPROXY_BENCH_TOKEN")?,
            };
            let main = Token::new(token.ok_or(Trouble::Nobody)?.trim())?;
            let others = bench
                .other_token
                .iter()
                .map(|token| Token::new(token.reveal().trim()))
                .collect::<Result<_, _>>()?;
            return Ok(Self::Given { main, others });
        };
        let (ui, client) = ui.and_then(|ui| Some((ui, ui.client.clone()?))).ok_or(Trouble::NoClient)?;
        let password = match outside("CATPROXY_BENCH_PASSWORD")? {
            Some(password) => password,
            None => asked_for(user)?,
        };
        Ok(Self::Of(Box::new(Identity::new(ui, client)?), user.clone(), Secret::new(password)))
    }

    /// The token of most reads.
    pub(super) async fn main(&self) -> Result<Token, Trouble> {
        match self {
            Self::Given { main, .. } => Ok(main.clone()),
            Self::Of(..) => self.new_one().await,
        }
    }

    /// How many tokens there are that have read nothing of a list yet, up to `wanted`.
    pub(super) fn others(&self, wanted: u32) -> u32 {
        match self {
            Self::Given { others, .. } => u32::try_from(others.len()).unwrap_or(wanted),
            Self::Of(..) => wanted,
        }
    }

    /// One that has read nothing of this list yet; the n-th of them, from 0.
    pub(super) async fn other(&self, place: u32) -> Result<Token, Trouble> {
        match self {
            Self::Given { others, .. } => others.get(place as usize).cloned().ok_or(Trouble::Nobody),
            Self::Of(..) => self.new_one().await,
        }
    }

    async fn new_one(&self) -> Result<Token, Trouble> {
        let Self::Of(identity, user, password) = self else { return Err(Trouble::Nobody) };
        let grant = identity.by_password(user, password.reveal()).await?;
        Token::new(grant.access_token.reveal())
    }
}

/// The password, typed without being shown.
fn asked_for(user: &str) -> Result<String, Trouble> {
    let terminal = Term::stderr();
    if !terminal.is_term() || !io::stdin().is_terminal() {
        return Err(Trouble::NoPassword);
    }
    let asked =
        terminal.write_str(&format!("Password of {user}: ")).and_then(|()| terminal.read_secure_line());
    asked.map_err(|_| Trouble::NoPassword)
}
