//! Which configuration, and what stands above its file: flags, and below them the environment.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use crate::config::{
    Config,
    check::{self, Origin, Overrides, Setting, traces},
    profile::Profile,
    report::{Report, Source, Warning},
};

/// A look at the environment by name: `std::env::var_os`, or a test's own.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// The options that `serve`, `check` and `project` share.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// A configuration that comes with the program [default: panels] [env: CATPROXY_PROFILE]
    #[arg(long, value_enum, conflicts_with = "config")]
    pub profile: Option<Profile>,
    /// A configuration of your own, in place of a profile [env: CATPROXY_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect, such as 127.0.0.1:8080 [env: CATPROXY_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where the operator connects, such as 127.0.0.1:9180; a token for it is kept in CATPROXY_ADMIN_TOKEN
    /// [env: CATPROXY_ADMIN_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// The API's base, such as `https://catalog-api.abconnect.co` [env: CATPROXY_UPSTREAM]
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// The Redis that keeps entries, such as redis://127.0.0.1:6379; a password is better kept in the
    /// environment [env: CATPROXY_REDIS_URL, then REDIS_URL]
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A Redis URL holds a password and is left out.
        out.debug_struct("Options")
            .field("profile", &self.profile)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Reads the configuration that flags, environment and file give together.
    ///
    /// An empty variable counts as not set, except that an empty `REDIS_URL` (or `CATPROXY_REDIS_URL`) is an
    /// unusable one.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once; or that a file cannot be read.
    pub fn load(&self, environment: Environment<'_>) -> Result<(Config, Vec<Warning>), Report> {
        let file = self.file(environment)?;
        check::load(file, self.overrides(environment)?)
    }

    fn file(&self, environment: Environment<'_>) -> Result<Source, Report> {
        if let Some(path) = &self.config {
            return read(path);
        }
        if let Some(profile) = self.profile {
            return Ok(profile.source());
        }
        let path = environment("CATPROXY_CONFIG").filter(|path| !path.is_empty());
        match (path, variable(environment, "CATPROXY_PROFILE")?) {
            (Some(_), Some(_)) => {
                let help = "unset one of them, or give --config or --profile";
                Err(Report::of(
                    "CATPROXY_CONFIG and CATPROXY_PROFILE exclude one another".to_owned(),
                    Some(help.to_owned()),
                ))
            }
            (Some(path), None) => read(Path::new(&path)),
            (None, Some(name)) => Profile::from_str(&name, false).map(Profile::source).map_err(|_| {
                let title = format!("CATPROXY_PROFILE is no profile: {name:?}");
                Report::of(title, Some("the profiles are panels and catalog-ui".to_owned()))
            }),
            (None, None) => Ok(Profile::Panels.source()),
        }
    }

    fn overrides(&self, environment: Environment<'_>) -> Result<Overrides, Report> {
        let choose = |flag: Option<(&'static str, &String)>, name: &'static str| match flag {
            Some((flag, value)) => Ok(Some(Setting { value: value.clone(), origin: Origin::Flag(flag) })),
            None => variable(environment, name)
                .map(|value| value.map(|value| Setting { value, origin: Origin::Environment(name) })),
        };
        let redis_url = match &self.redis_url {
            Some(url) => Some(Setting { value: url.clone(), origin: Origin::Flag("--redis-url") }),
            None => ["CATPROXY_REDIS_URL", "REDIS_URL"].into_iter().find_map(|name| {
                // What is not UTF-8 is not usable either, and the check says so.
                let value = environment(name)?.to_string_lossy().into_owned();
                Some(Setting { value, origin: Origin::Environment(name) })
            }),
        };
        Ok(Overrides {
            listen: choose(self.listen.as_ref().map(|value| ("--listen", value)), "CATPROXY_LISTEN")?,
            admin_listen: choose(
                self.admin_listen.as_ref().map(|value| ("--admin-listen", value)),
                "CATPROXY_ADMIN_LISTEN",
            )?,
            admin_token: choose(None, "CATPROXY_ADMIN_TOKEN")?,
            tls_certificate: choose(None, "CATPROXY_TLS_CERTIFICATE")?,
            tls_key: choose(None, "CATPROXY_TLS_KEY")?,
            upstream: choose(self.upstream.as_ref().map(|value| ("--upstream", value)), "CATPROXY_UPSTREAM")?,
            redis_url,
            prefix: choose(None, "CATPROXY_PREFIX")?,
            time_zone: choose(None, "CATPROXY_TIME_ZONE")?,
            ui_identity: choose(None, "CATPROXY_UI_IDENTITY_URL")?,
            ui_client_id: choose(None, "CATPROXY_UI_CLIENT_ID")?,
            ui_client_secret: choose(None, "CATPROXY_UI_CLIENT_SECRET")?,
            ui_key: choose(None, "CATPROXY_UI_KEY")?,
            traces: traces::Outside {
                endpoint: choose(None, "OTEL_EXPORTER_OTLP_ENDPOINT")?,
                traces_endpoint: choose(None, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")?,
                service_name: choose(None, "OTEL_SERVICE_NAME")?,
                resource_attributes: choose(None, "OTEL_RESOURCE_ATTRIBUTES")?,
                sampler: choose(None, "OTEL_TRACES_SAMPLER")?,
                sampler_argument: choose(None, "OTEL_TRACES_SAMPLER_ARG")?,
                exporter: choose(None, "OTEL_TRACES_EXPORTER")?,
                disabled: choose(None, "OTEL_SDK_DISABLED")?,
            },
        })
    }
}

/// A variable's text; an empty one counts as not set.
pub(super) fn variable(environment: Environment<'_>, name: &str) -> Result<Option<String>, Report> {
    let value = environment(name).filter(|value| !value.is_empty());
    let text = value.map(OsString::into_string).transpose();
    text.map_err(|_| Report::of(format!("{name} is not UTF-8"), None))
}

/// Reads a span of time such as `150ms`, for clap.
#[cfg(feature = "demo")]
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::config::units::duration(text).map_err(|fault| fault.to_string())
}

fn read(path: &Path) -> Result<Source, Report> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| Report::of(format!("cannot read {name}: {error}"), None);
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(Source { name, text })
}
