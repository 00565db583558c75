//! The configuration, as its author, its operator and the program meet it.

#![cfg(test)]
#![allow(clippy::string_slice, reason = "a test fails by panicking")]

use std::{ffi::OsString, fmt::Write as _, path::PathBuf, time::Duration};

use catproxy::{
    cli::{
        Cli, Command,
        logging::{LogFormat, Logging},
        options::Options,
    },
    config::{
        Config, KeyPart, RouteKind, SessionKey, StoreKind, Ui,
        check::{self, Origin, Overrides, Setting},
        profile::Profile,
        report::{Report, Source, Warning},
    },
    telemetry::log::Filter,
};
use clap::{CommandFactory, Parser};

type Loaded = Result<(Config, Vec<Warning>), Report>;

const BASE: &str = "[upstream]\nurl = \"https://catalog.example\"\n";
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
const ROUTE: &str =
    "[routes.sellers]\npath = \"/api/Seller\"\nkey = \"sellers\"\nfields = { id = \"$.id\" }\n";

fn load(text: &str, overrides: Overrides) -> Loaded {
    // The machine's own time zone, or its lack, is not what these tests are about.
    let zone = Setting { value: "UTC".to_owned(), origin: Origin::Environment("CATPROXY_TIME_ZONE") };
    let overrides = Overrides { time_zone: overrides.time_zone.or(Some(zone)), ..overrides };
    // Nor is that nobody can sign in.
    let set =
        |value: &str| Some(Setting { value: value.to_owned(), origin: Origin::Environment("CATPROXY_UI") });
    let overrides = Overrides {
        ui_client_id: overrides.ui_client_id.or_else(|| set("id")),
        ui_client_secret: overrides.ui_client_secret.or_else(|| set("hunter3")),
        ui_key: overrides.ui_key.or_else(|| set(KEY)),
        ..overrides
    };
    check::load(Source { name: "my.toml".to_owned(), text: text.to_owned() }, overrides)
}

fn good(text: &str) -> Config {
    let (config, warnings) = load(text, Overrides::default()).expect(text);
    assert_eq!(warnings, []);
    config
}

/// What is reported of a file: `line:column title`, a line for each problem.
fn problems(text: &str) -> String {
    outline(&load(text, Overrides::default()).expect_err(text))
}

fn outline(report: &Report) -> String {
    let mut outline = String::new();
    let mut title = "";
    let drawn = report.to_string();
    for line in drawn.lines() {
        if let Some(rest) = line.strip_prefix("error: ") {
            title = rest;
        } else if let Some((_, place)) = line.split_once("--> ") {
            let place = place.trim_start_matches("my.toml").trim_start_matches(':');
            writeln!(outline, "{place} {title}").unwrap();
        }
    }
    outline
}

/// The options of `catproxy serve` with these flags, under this environment.
fn serve(flags: &[&str], environment: &[(&str, &str)]) -> Loaded {
    let cli = Cli::try_parse_from(["catproxy", "serve"].iter().chain(flags)).expect("flags");
    let Command::Serve(options) = cli.command else { panic!("serve") };
    load_with(&options, environment)
}

fn load_with(options: &Options, environment: &[(&str, &str)]) -> Loaded {
    let usual = [
        ("CATPROXY_TIME_ZONE", "UTC"),
        ("CATPROXY_UI_CLIENT_ID", "id"),
        ("CATPROXY_UI_CLIENT_SECRET", "hunter3"),
        ("CATPROXY_UI_KEY", KEY),
    ];
    let environment: Vec<_> = environment.iter().chain(&usual).copied().collect();
    options.load(&|name| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    })
}

fn redis(config: &Config) -> &str {
    match &config.store.kind {
        StoreKind::Redis(url) => url.reveal(),
        other => panic!("{other}"),
    }
}

fn names(config: &Config) -> Vec<&str> {
    config.routes.iter().map(|route| route.name.as_str()).collect()
}

mod profiles {
    use super::*;

    #[test]
    fn all_load_without_warnings() {
        for profile in [Profile::Panels, Profile::CatalogUi, Profile::Demo] {
            good(&profile.source().text);
        }
    }

    #[test]
    fn panels_is_the_default() {
        let (config, _) = serve(&[], &[]).unwrap();
        assert_eq!(config.name, "panels");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.upstream.url(), "https://catalog-api.abconnect.co");
        assert_eq!(redis(&config), "redis://127.0.0.1:6379");
        assert_eq!(config.store.prefix, "cat_");
        assert_eq!(names(&config), ["sellers", "catalogs"]);
        let catalogs = &config.routes[1];
        assert_eq!(catalogs.ttl, Duration::from_secs(300));
        assert_eq!(catalogs.query, ["SellerIds"]);
        assert_eq!(catalogs.key, [KeyPart::Literal("catalogs_seller_".to_owned()), KeyPart::Parameter(0)]);
        assert_eq!(catalogs.kind, RouteKind::List { default_page_size: Some(10), max_page_size: 500 });
        assert_eq!(catalogs.keep.as_ref().map(|keep| keep.field.as_str()), Some("startDate"));
    }

    #[test]
    fn panels_says_at_the_end_who_needs_the_other() {
        let summary = good(&Profile::Panels.source().text).summary();
        assert!(summary.ends_with("; strict SDK clients need --profile catalog-ui"), "{summary}");
        assert!(!summary.contains('\n') && summary.len() <= 180, "{summary}");
    }

    #[test]
    fn panels_shows_the_choices_that_the_program_makes_itself() {
        let text = Profile::Panels.source().text;
        let (_, routes) = text.split_once("[routes.sellers]").unwrap();
        let url = "[upstream]\nurl = \"https://catalog-api.abconnect.co\"\n";
        let (shown, chosen) = (good(&text), good(&format!("{url}[routes.sellers]{routes}")));
        let settings = |config: &Config| {
            let Config { listen, upstream, store, admission, fill, ui, .. } = config;
            format!("{listen:?} {upstream:?} {store:?} {admission:?} {fill:?} {ui:?} {}", redis(config))
        };
        assert_eq!(settings(&shown), settings(&chosen));
    }

    #[test]
    fn catalog_ui_keeps_past_catalogs_and_a_single_seller() {
        let (config, _) = serve(&["--profile", "catalog-ui"], &[]).unwrap();
        assert_eq!(names(&config), ["sellers", "seller", "catalogs"]);
        assert!(config.routes.iter().all(|route| route.keep.is_none()));
        assert_eq!(config.routes[1].kind, RouteKind::Single);
        assert_eq!(config.note, None);
    }

    #[test]
    fn a_write_changes_the_routes_that_show_it() {
        let changed = |profile: Profile, method: &str, path: &str| {
            let config = good(&profile.source().text);
            assert!(!config.harmless.iter().any(|write| write.matches(method, path)), "{method} {path}");
            let routes = config.routes.iter();
            let routes =
                routes.filter(|route| route.invalidated_by.iter().any(|by| by.matches(method, path)));
            routes.map(|route| route.name.clone()).collect::<Vec<_>>()
        };
        for (method, path) in
            [("POST", "/api/Bulk/insert"), ("POST", "/api/Bulk/upsert"), ("PUT", "/api/Seller/4")]
        {
            assert_eq!(changed(Profile::Panels, method, path), ["sellers", "catalogs"]);
            assert_eq!(changed(Profile::CatalogUi, method, path), ["sellers", "seller", "catalogs"]);
        }
        for path in ["/api/Catalog", "/api/catalog/7", "/api/Catalog/7/merge/8", "/api/Platform/1"] {
            assert_eq!(changed(Profile::Panels, "POST", path), ["catalogs"]);
            assert_eq!(changed(Profile::CatalogUi, "POST", path), ["catalogs"]);
        }
    }

    #[test]
    fn a_write_to_lots_changes_nothing() {
        for profile in [Profile::Panels, Profile::CatalogUi, Profile::Demo] {
            let config = good(&profile.source().text);
            for path in
                ["/api/Lot", "/api/Lot/get-overrides", "/api/Lot/ItemData", "/api/Lot/1/ClientItemData/2"]
            {
                assert!(config.harmless.iter().any(|write| write.matches("POST", path)), "{path}");
            }
        }
    }
}

mod files {
    use super::*;

    #[test]
    fn a_file_needs_an_upstream_and_a_route_and_nothing_else() {
        assert_eq!(names(&good(&format!("{BASE}{ROUTE}"))), ["sellers"]);
        assert_eq!(problems(""), " `upstream.url` is missing\n `routes` is missing\n");
    }

    #[test]
    fn all_problems_are_reported_at_once_each_at_its_line_and_column() {
        let text = r#"listen = "localhost"
time-zone = "Europe/Berln"

[upstream]
url = "https://catalog.example/api"
connect-timeout = 3
head-timeout = "30"

[store]
kind = "disk"
prefix = "cat _"
budget = "20s"
max-entry-bytes = "16"

[admission]
mode = "jkws"

[fill]
page-size = 501

[writes]
harmless = ["GET /api/Lot"]

[routes.sellers]
path = "/api//Seller"
key = "sellers"
fields = { id = "id", name = [], more = {} }
"#;
        let expected = r#"1:10 `listen` is not an address and a port such as "127.0.0.1:8080"
2:13 `time-zone` is not a time zone such as "Europe/Berlin"
5:31 `upstream.url` is not a URL such as "https://catalog.example"
6:19 `upstream.connect-timeout` is not a duration such as "3s"
7:19 `upstream.head-timeout` is not a duration such as "3s"
10:8 `store.kind` is not a kind of store
11:14 `store.prefix` is not a prefix such as "cat_"
12:10 `store.budget` is out of bounds
13:22 `store.max-entry-bytes` is not a size such as "16MiB"
16:8 `admission.mode` is not a mode of admission
19:13 `fill.page-size` is out of bounds
22:14 `writes.harmless` is not a write such as "PUT /api/Order/{id}"
25:14 `routes.sellers.path` is not a path such as "/api/Order/{id}"
27:18 `routes.sellers.fields.id` is not a JSONPath
27:30 `routes.sellers.fields.name` comes from nowhere
27:34 `routes.sellers.fields.more` keeps nothing
"#;
        assert_eq!(problems(text), expected);
    }

    #[test]
    fn a_problem_is_drawn_with_a_caret() {
        let drawn = load("listen = \"x\"", Overrides::default()).unwrap_err().to_string();
        let picture = "\
error: `listen` is not an address and a port such as \"127.0.0.1:8080\"
 --> my.toml:1:10
  |
1 | listen = \"x\"
  |          ^^^ write an IP address, a colon and a port";
        assert!(drawn.starts_with(picture), "{drawn}");
    }

    #[test]
    fn colours_come_only_when_asked_for() {
        let report = load("listen = 1", Overrides::default()).unwrap_err();
        assert!(!report.to_string().contains('\u{1b}'));
        assert!(report.coloured(true).to_string().contains('\u{1b}'));
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_is_suggested() {
        let text = format!("lsiten = \"x\"\n{BASE}head_timeout = \"3s\"\n{ROUTE}pth = \"/\"\ncolour = 1\n");
        let drawn = load(&text, Overrides::default()).unwrap_err().to_string();
        for (title, help) in [
            ("`lsiten` is not a key", "did you mean `listen`?"),
            ("`upstream.head_timeout` is not a key", "did you mean `head-timeout`?"),
            ("`routes.sellers.pth` is not a key", "did you mean `path`?"),
            ("`routes.sellers.colour` is not a key", "the keys here are kind, path,"),
        ] {
            let (_, after) = drawn.split_once(title).expect(title);
            let (_, helped) = after.split_once("= help: ").expect(title);
            assert!(helped.starts_with(help), "{drawn}");
        }
    }

    #[test]
    fn a_bad_json_path_is_shown_at_its_very_character() {
        for path in [
            r#""$.a[?(@.k = 1)].b""#,
            r#"'$.a[?(@.k = 1)].b'"#,
            r#"["$.ok", "$.a[?(@.k = 1)].b"]"#,
            r#""$.\u00e9[?(@.k = 1)].b""#,
            r#""$.\U0001F600\u0061[?(@.k = 1)].b""#,
            r#""$.é[?(@.k = 1)].b""#,
        ] {
            let line = format!("fields.x = {path}");
            let column = line.chars().count() - line.chars().rev().position(|it| it == '=').expect(path);
            let outline = problems(&format!("{BASE}[routes.a]\npath = \"/a\"\nkey = \"a\"\n{line}\n"));
            assert_eq!(outline, format!("6:{column} `routes.a.fields.x` is not a JSONPath\n"));
        }
    }

    #[test]
    fn ill_formed_lines_are_reported_together_and_with_the_problems_of_others() {
        let text = format!("listen = \nbudget = \"a\n[upstream\n{ROUTE}ttl = \"3\"\n");
        let expected = "1:10 this is not TOML\n2:12 this is not TOML\n3:10 this is not TOML\n\
                        8:9 `routes.sellers.ttl` is not a duration such as \"3s\"\n";
        assert_eq!(problems(&text), expected);
    }

    #[test]
    fn no_file_is_too_broken_to_be_reported() {
        let text = format!(
            "{BASE}[store]\nredis-url = \"redis://u:p@h\" # é\n{ROUTE}keep = {{ date = \"id\", from = \"today\" }}\n"
        );
        for (at, character) in text.char_indices() {
            for broken in ["", "é", "\"", "\n", "{", "]", "=", "\\", "\r", "\u{1b}", "\0"] {
                let (before, after) = (&text[..at], &text[at + character.len_utf8()..]);
                for text in [format!("{before}{broken}{after}"), format!("{before}{broken}")] {
                    if let Err(report) = load(&text, Overrides::default()) {
                        assert!(report.to_string().starts_with("error: "), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_file_with_a_byte_order_mark_and_windows_line_ends_is_read() {
        good(&format!("\u{feff}{BASE}{ROUTE}").replace('\n', "\r\n"));
        assert!(problems(&format!("{BASE}{ROUTE}ttl = \"3\"\n").replace('\n', "\r\n")).starts_with("7:9 "));
    }

    #[test]
    fn an_upstream_is_a_scheme_a_host_and_a_port() {
        for url in ["https://a.example", "http://127.0.0.1:8081", "HTTPS://a.example/", "http://[::1]:80"] {
            good(&format!("[upstream]\nurl = \"{url}\"\n{ROUTE}"));
        }
        for url in [
            "",
            "a.example",
            "ftp://a",
            "https://",
            "https://a/api",
            "https://a?x",
            "https://u:p@a",
            "https://a:",
            "https://a:0",
            "https://a:99999",
            "https://a b",
            "https://:80",
        ] {
            problems(&format!("[upstream]\nurl = \"{url}\"\n{ROUTE}"));
        }
    }

    #[test]
    fn a_file_of_authorities_must_be_readable() {
        let outline = problems(&format!("{BASE}ca-file = \"/no/such/file\"\n{ROUTE}"));
        assert_eq!(outline, "3:11 `upstream.ca-file` is not a readable file\n");
    }

    #[test]
    fn keys_of_another_kind_are_problems() {
        let text = format!("{BASE}[store]\nkind = \"memory\"\nredis-url = \"redis://h\"\n{ROUTE}");
        assert_eq!(problems(&text), "5:13 `store.redis-url` is of no use here\n");
        let text = format!("{BASE}[store]\nmax-bytes = \"1MiB\"\n{ROUTE}");
        assert_eq!(problems(&text), "4:13 `store.max-bytes` is of no use here\n");
        let text = format!("{BASE}[admission]\nmode = \"open\"\nvouch-limit = \"1m\"\n{ROUTE}");
        assert_eq!(problems(&text), "5:15 `admission.vouch-limit` is of no use here\n");
        let text = format!(
            "{BASE}{ROUTE}kind = \"single\"\nitems = \"$.items[*]\"\nidentity = \"$.id\"\nmax-page-size = 5\n\
             default-page-size = 5\nkeep = {{ date = \"id\", from = \"today\" }}\n"
        );
        let titles = problems(&text);
        for key in ["items", "identity", "max-page-size", "default-page-size", "keep"] {
            assert!(titles.contains(&format!("`routes.sellers.{key}` is of no use here")), "{titles}");
        }
    }
}

mod published_keys {
    use catproxy::config::{
        Admission,
        jwks::{Algorithm, Jwks, KeysAt},
    };

    use super::*;

    const NEEDED: &str = "issuer = \"https://login.example\"\naudience = \"catalog\"\n";

    fn file(lines: &str) -> String {
        format!("{BASE}[admission]\nmode = \"jwks\"\n{lines}{ROUTE}")
    }

    fn jwks(text: &str) -> Jwks {
        let Admission::Jwks(jwks) = good(text).admission else { panic!("{text}") };
        Jwks::clone(&jwks)
    }

    #[test]
    fn an_issuer_and_an_audience_are_needed_and_nothing_else() {
        assert_eq!(
            problems(&file("")),
            "3:2 `admission.issuer` is missing\n3:2 `admission.audience` is missing\n"
        );
        let jwks = jwks(&file(NEEDED));
        assert_eq!(jwks.issuer, "https://login.example");
        assert_eq!(jwks.identity.url(), "https://login.example");
        assert_eq!(jwks.keys, KeysAt::Discovery("/.well-known/openid-configuration".to_owned()));
        assert_eq!((jwks.audience, jwks.algorithms), (vec!["catalog".to_owned()], vec![Algorithm::Rs256]));
        assert_eq!(jwks.required_claims, []);
    }

    #[test]
    fn panels_shows_each_key_with_the_choice_that_the_program_makes_itself() {
        let text = Profile::Panels.source().text;
        let (before, after) = text.split_once("\n# issuer = ").unwrap();
        let (keys, after) = after.split_once("\n\n").unwrap();
        let keys: String = format!("# issuer = {keys}").lines().fold(String::new(), |keys, line| {
            let line = line.strip_prefix("# ").unwrap();
            // Files that are not there, and what has no default.
            let shown = line.contains(" = ") && !line.starts_with("ca-file") && !line.starts_with("required");
            if shown { format!("{keys}\n{line}") } else { keys }
        });
        let before = before.replace("mode = \"upstream\"\n#", "mode = \"jwks\"\n#");
        let before = before.replace("\nvouch-for = \"key\"", "");
        let shown = jwks(&format!("{before}{keys}\n\n{after}"));
        let chosen = jwks(&file(
            "issuer = \"https://login.abconnect.co\"\naudience = \"catalog-api\"\nkeys-url = \
             \"https://login.abconnect.co/.well-known/openid-configuration/jwks\"\n",
        ));
        assert_eq!(format!("{shown:?}"), format!("{chosen:?}"));
    }

    #[test]
    fn an_issuer_keeps_its_slash_and_its_path_and_a_url_of_keys_takes_its_place() {
        let slash = jwks(&file("issuer = \"https://a.example/realms/x/\"\naudience = [\"a\", \"b\"]\n"));
        assert_eq!(slash.issuer, "https://a.example/realms/x/");
        assert_eq!(slash.keys, KeysAt::Discovery("/realms/x/.well-known/openid-configuration".to_owned()));
        assert_eq!(slash.audience, ["a", "b"]);
        let direct = "issuer = \"urn:x\"\naudience = \"a\"\nkeys-url = \"https://b.example:8443/keys?v=1\"\n";
        let direct = jwks(&file(direct));
        assert_eq!(
            (direct.issuer.as_str(), direct.identity.url()),
            ("urn:x", "https://b.example:8443".to_owned())
        );
        assert_eq!(direct.keys, KeysAt::Keys("/keys?v=1".to_owned()));
    }

    #[test]
    fn all_that_is_wrong_is_reported_each_at_its_place() {
        let text = file(
            r#"issuer = "https://u:p@login.example"
ca-file = "/no/such/file"
audience = ["catalog", ""]
algorithms = ["RS256", "none", "HS256", "ES512"]
leeway = "6m"
required-claims = { scope = "", exp = "1", client = 5 }
keys-limit = "1s"
keys-timeout = "0s"
vouch-for = "route"
"#,
        );
        let expected = r#"5:19 `admission.issuer` is not a URL such as "https://login.example"
6:11 `admission.ca-file` is not a readable file
7:24 `admission.audience` is not an audience
8:24 `admission.algorithms` is not an algorithm
8:32 `admission.algorithms` is not an algorithm
8:41 `admission.algorithms` is not an algorithm
9:10 `admission.leeway` is out of bounds
10:29 `admission.required-claims.scope` is not what a claim must say
10:33 `admission.required-claims.exp` is checked anyway
10:53 `admission.required-claims.client` is not a text
11:14 `admission.keys-limit` is out of bounds
12:16 `admission.keys-timeout` is out of bounds
13:13 `admission.vouch-for` is of no use here
"#;
        assert_eq!(problems(&text), expected);
        let empty = "issuer = \"https://a\"\naudience = []\nalgorithms = []\n";
        assert_eq!(
            problems(&file(empty)),
            "6:12 `admission.audience` is not a text or an array of texts\n\
             7:14 `admission.algorithms` is not an array such as [\"RS256\"]\n"
        );
    }

    #[test]
    fn urls_that_lead_nowhere_are_refused() {
        for issuer in [
            "",
            "login.example",
            "ftp://a",
            "https://",
            "https://a?x",
            "https://a/x?y",
            "https://a/#x",
            "https://a/b c",
        ] {
            let text = file(&format!("issuer = \"{issuer}\"\naudience = \"a\"\n"));
            assert!(problems(&text).contains("`admission.issuer` is not"), "{issuer}");
        }
        for url in ["", "https://a", "https://a?x", "https://a/x#y", "ws://a/x", "https://u@a/x"] {
            let text = file(&format!("{NEEDED}keys-url = \"{url}\"\n"));
            assert!(problems(&text).contains("`admission.keys-url` is not"), "{url}");
        }
    }

    #[test]
    fn they_are_of_no_use_in_other_modes() {
        for (mode, count) in [("upstream", 9), ("open", 9)] {
            let keys = "keys-url = \"https://a/k\"\nca-file = \"/x\"\nalgorithms = \"RS256\"\nleeway = \"1s\"\n\
                        required-claims = {}\nkeys-limit = \"1m\"\nkeys-timeout = \"1s\"\n";
            let text = file(&format!("{NEEDED}{keys}")).replace("\"jwks\"", &format!("\"{mode}\""));
            let outline = problems(&text);
            assert_eq!(outline.matches("is of no use here").count(), count, "{outline}");
        }
    }

    #[test]
    fn keys_that_come_without_tls_are_warned_about_but_on_this_machine() {
        let warned = |host: &str| {
            let text = file(&NEEDED.replace("https://login.example", &format!("http://{host}")));
            load(&text, Overrides::default()).unwrap().1.len()
        };
        assert_eq!(warned("login.example"), 1);
        for here in ["localhost", "127.0.0.1:81", "[::1]:81"] {
            assert_eq!(warned(here), 0, "{here}");
        }
    }

    #[test]
    fn what_runs_is_shown() {
        let config = good(&file(&format!("{NEEDED}required-claims = {{ scope = \"catalog\" }}\n")));
        assert!(config.summary().ends_with("admission jwks"), "{}", config.summary());
        let expected = "\
admission      jwks of https://login.example (refused for 5m)
  keys         https://login.example/.well-known/openid-configuration
  fetched      every 10m, within 3s
  audience     catalog
  algorithms   RS256, leeway 30s
  claim        scope = catalog
";
        assert!(config.details().contains(expected), "{}", config.details());
    }
}

mod routes {
    use super::*;

    fn one(lines: &str) -> String {
        problems(&format!("{BASE}[routes.a]\nfields = {{ id = \"$.id\" }}\n{lines}"))
    }

    #[test]
    fn a_route_needs_path_key_and_fields() {
        let outline = problems(&format!("{BASE}[routes.a]\n"));
        assert_eq!(
            outline,
            "3:9 `routes.a.path` is missing\n3:9 `routes.a.key` is missing\n3:9 `routes.a.fields` is missing\n"
        );
    }

    #[test]
    fn a_route_s_name_fits_into_keys() {
        assert!(problems(&format!("{BASE}[routes.\"a b\"]\n")).starts_with("3:9 `routes.a b` is not a name"));
    }

    #[test]
    fn every_parameter_stands_in_the_key() {
        let path = "path = \"/a/{id}\"\nquery = [\"SellerIds\"]\n";
        assert_eq!(
            one(&format!("{path}key = \"a_{{id}}\"")),
            "7:7 `routes.a.key` is not a key such as \"seller_{id}\"\n"
        );
        assert_eq!(
            one(&format!("{path}key = \"a_{{id}}{{SellerIds}}\"")),
            "7:14 `routes.a.key` is not a key such as \"seller_{id}\"\n"
        );
        assert_eq!(
            one(&format!("{path}key = \"a_{{id}}_{{SelerIds}}\"")),
            "7:15 `routes.a.key` is not a key such as \"seller_{id}\"\n"
        );
        assert_eq!(
            one("path = \"/a\"\nkey = \"gen_a\""),
            "6:8 `routes.a.key` is not a key such as \"seller_{id}\"\n"
        );
    }

    #[test]
    fn a_query_names_each_parameter_once_and_no_page() {
        for query in ["[\"pagesize\"]", "[\"A\", \"a\"]", "[\"a b\"]", "[\"\"]", "[\"ID\"]"] {
            let outline = one(&format!("path = \"/a/{{id}}\"\nquery = {query}\nkey = \"a_{{id}}_{{A}}\""));
            assert!(outline.contains("`routes.a.query` is not a query parameter"), "{query}: {outline}");
        }
    }

    #[test]
    fn two_routes_answer_different_requests_under_different_keys() {
        let two = |path: &str, query: &str, key: &str| {
            let other = "path = \"/api/X/{id}\"\nquery = [\"SellerIds\"]\nkey = \"x_{id}_{SellerIds}\"\n";
            let fields = "fields = { id = \"$.id\" }\n";
            let second = format!("path = \"{path}\"\nquery = {query}\nkey = \"{key}\"\n");
            load(
                &format!("{BASE}[routes.a]\n{other}{fields}[routes.b]\n{second}{fields}"),
                Overrides::default(),
            )
            .map_or_else(|report| outline(&report), |_| String::new())
        };
        let same_request = "9:8 routes `a` and `b` match the same request\n";
        let same_key = "11:7 routes `a` and `b` can have the same key\n";
        assert_eq!(two("/API/x/{number}", "[\"sellerids\"]", "y_{number}_{sellerids}"), same_request);
        assert_eq!(two("/api/X/42", "[\"SellerIds\"]", "y_{SellerIds}"), same_request);
        assert_eq!(two("/api/Y", "[\"SellerIds\"]", "x_1_{SellerIds}"), same_key);
        assert_eq!(two("/api/X/{id}", "[]", "y_{id}"), "");
        assert_eq!(two("/api/X/export", "[\"SellerIds\"]", "x_{SellerIds}"), "");
    }

    #[test]
    fn items_are_kept_by_a_field_that_is_kept() {
        let keep = |keep: &str| problems(&format!("{BASE}{ROUTE}keep = {keep}\n"));
        assert_eq!(
            keep("{ date = \"startDate\", from = \"today\" }"),
            "7:17 `routes.sellers.keep.date` is no kept field\n"
        );
        assert_eq!(keep("{ date = \"id\", from = \"now\" }"), "7:30 `routes.sellers.keep.from` is no day\n");
        assert_eq!(keep("{ date = \"id\" }"), "7:1 `routes.sellers.keep.from` is missing\n");
    }

    #[test]
    fn a_write_is_not_both_harmless_and_a_change() {
        let text = format!("{BASE}[writes]\nharmless = [\"* /a\"]\n{ROUTE}invalidated-by = [\"* /a\"]\n");
        assert_eq!(problems(&text), "9:19 `routes.sellers.invalidated-by` contradicts `writes.harmless`\n");
    }

    #[test]
    fn items_that_are_no_list_are_shown_at_their_path() {
        let outline = one("path = \"/a\"\nkey = \"a\"\nitems = \"$.items\"");
        assert_eq!(outline, "7:9 `routes.a.items` cannot be projected\n");
    }

    #[test]
    fn a_route_s_life_is_the_store_s_unless_it_says_otherwise() {
        let config = good(&format!(
            "{BASE}[store]\nttl = \"2m\"\n{ROUTE}[routes.b]\npath = \"/b\"\nkey = \"b\"\nttl = \"7s\"\nfields.id = \"$.id\"\n"
        ));
        assert_eq!(config.routes[0].ttl, Duration::from_secs(120));
        assert_eq!(config.routes[1].ttl, Duration::from_secs(7));
    }

    #[test]
    fn without_a_default_page_size_none_is_guessed() {
        let config = good(&format!("{BASE}{ROUTE}"));
        assert_eq!(config.routes[0].kind, RouteKind::List { default_page_size: None, max_page_size: 500 });
    }

    #[test]
    fn descriptions_differ_wherever_entries_could() {
        let describe = |lines: &str| {
            let config = good(&format!("{BASE}[routes.a]\n{lines}"));
            assert!(!config.routes[0].description.contains('\n'));
            config.routes[0].description.clone()
        };
        let path = "path = \"/a\"\nkey = \"a\"\n";
        let descriptions = [
            describe(&format!("{path}fields = {{ a = \"$.a\", b = \"$.b\" }}")),
            describe(&format!("{path}fields = {{ b = \"$.b\", a = \"$.a\" }}")),
            describe(&format!("{path}fields = {{ a = [\"$.a\", \"$.b\"] }}")),
            describe(&format!("{path}fields = {{ a = \"$.a\" }}")),
            describe(&format!("{path}fields = {{ a = {{ a = \"$.a\" }} }}")),
            describe(&format!("{path}fields = {{ 'a\": [\"$.a\"], \"b' = \"$.b\" }}")),
            describe(&format!("{path}fields = {{ a = \"$.a\" }}\nkind = \"single\"")),
            describe(&format!(
                "{path}fields = {{ a = \"$.a\" }}\nkeep = {{ date = \"a\", from = \"today\" }}"
            )),
            describe(&format!("{path}fields = {{ a = \"$.a\" }}\nidentity = \"$.a\"")),
            describe(&format!("{path}fields = {{ a = \"$.a\" }}\nitems = \"$.list[*]\"")),
            describe("path = \"/b\"\nkey = \"a\"\nfields = { a = \"$.a\" }"),
            describe("path = \"/a\"\nkey = \"b\"\nfields = { a = \"$.a\" }"),
            describe("path = \"/a\"\nquery = [\"q\"]\nkey = \"a{q}\"\nfields = { a = \"$.a\" }"),
        ];
        for (index, description) in descriptions.iter().enumerate() {
            assert!(!descriptions[..index].contains(description), "{description}");
        }
        let control = describe(&format!("{path}fields = {{ a = \"$['\\u0061']\" }}"));
        assert_eq!(control, describe(&format!("{path}fields = {{ a = \"$['a']\" }}")));
    }
}

mod warnings {
    use super::*;

    #[test]
    fn a_vouch_that_ends_before_an_entry_is_warned_about_at_its_line() {
        let text = format!("{BASE}[admission]\nvouch-limit = \"60s\"\n{ROUTE}");
        let (_, warnings) = load(&text, Overrides::default()).unwrap();
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        let expected = "my.toml:4: admission.vouch-limit (1m) is shorter than the ttl of sellers (5m)";
        assert!(warning.to_string().starts_with(expected), "{warning}");
    }

    #[test]
    fn an_unusable_redis_url_of_the_environment_is_a_warning_and_no_store() {
        for name in ["REDIS_URL", "CATPROXY_REDIS_URL"] {
            for url in ["", "hunter2", "redis://:hunter2@", "http://hunter2", "redis://h:hunter2"] {
                let (config, warnings) = serve(&[], &[(name, url)]).unwrap();
                assert!(matches!(config.store.kind, StoreKind::Absent), "{url}");
                let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
                let warning = warning.to_string();
                assert!(warning.starts_with(name) && !warning.contains("hunter2"), "{warning}");
                assert!(config.summary().contains("no store"), "{}", config.summary());
            }
        }
    }

    #[test]
    fn an_unusable_redis_url_of_the_file_or_a_flag_is_an_error() {
        let text = format!("{BASE}[store]\nredis-url = \"redis://h:port\"\n{ROUTE}");
        assert_eq!(problems(&text), "4:13 `store.redis-url` is not a Redis URL\n");
        let report = serve(&["--redis-url", "redis://h:port"], &[]).unwrap_err();
        assert_eq!(outline(&report), "--redis-url:1:1 `--redis-url` is not a Redis URL\n");
    }
}

mod precedence {
    use super::*;

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let environment = [
            ("CATPROXY_LISTEN", "127.0.0.2:2"),
            ("CATPROXY_UPSTREAM", "http://environment"),
            ("CATPROXY_REDIS_URL", "redis://environment"),
            ("REDIS_URL", "redis://shared"),
            ("CATPROXY_PREFIX", "mine_"),
        ];
        let shown = |config: &Config| {
            format!("{} {} {} {}", config.listen, config.upstream.url(), redis(config), config.store.prefix)
        };
        let (config, _) = serve(&[], &environment).unwrap();
        assert_eq!(shown(&config), "127.0.0.2:2 http://environment redis://environment mine_");
        let flags = ["--listen", "127.0.0.3:3", "--upstream", "http://flag", "--redis-url", "redis://flag"];
        let (config, _) = serve(&flags, &environment).unwrap();
        assert_eq!(shown(&config), "127.0.0.3:3 http://flag redis://flag mine_");
        let (config, _) = serve(&[], &environment[3..4]).unwrap();
        assert_eq!(redis(&config), "redis://shared");
    }

    #[test]
    fn a_bad_value_from_outside_is_shown_under_its_name() {
        let report = serve(&["--listen", "x"], &[("CATPROXY_UPSTREAM", "https://a/b")]).unwrap_err();
        let outline = outline(&report);
        assert!(outline.contains("--listen:1:1 `--listen` is not an address"), "{outline}");
        assert!(outline.contains("CATPROXY_UPSTREAM:1:10 `CATPROXY_UPSTREAM` is not a URL"), "{outline}");
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let empty =
            ["LISTEN", "UPSTREAM", "PREFIX", "PROFILE", "CONFIG"].map(|name| format!("CATPROXY_{name}"));
        let empty: Vec<_> = empty.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(serve(&[], &empty).unwrap().0.name, "panels");
    }

    #[test]
    fn a_profile_or_a_file_is_chosen_by_flag_and_else_by_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{BASE}{ROUTE}")).unwrap();
        let path = file.path().to_str().unwrap();
        let name = |flags: &[&str], environment: &[(&str, &str)]| serve(flags, environment).unwrap().0.name;
        assert_eq!(name(&[], &[("CATPROXY_PROFILE", "catalog-ui")]), "catalog-ui");
        assert_eq!(name(&["--profile", "panels"], &[("CATPROXY_PROFILE", "catalog-ui")]), "panels");
        assert_eq!(name(&[], &[("CATPROXY_CONFIG", path)]), path);
        assert_eq!(name(&["--config", path], &[("CATPROXY_PROFILE", "catalog-ui")]), path);
        assert_eq!(name(&["--profile", "panels"], &[("CATPROXY_CONFIG", path)]), "panels");
        let both = [("CATPROXY_PROFILE", "panels"), ("CATPROXY_CONFIG", path)];
        assert!(serve(&[], &both).unwrap_err().to_string().contains("exclude one another"));
        assert!(serve(&[], &[("CATPROXY_PROFILE", "pannels")]).is_err());
        assert!(Cli::try_parse_from(["catproxy", "serve", "--profile", "panels", "--config", path]).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
        let options = Options { config: Some(PathBuf::from("/no/such.toml")), ..Options::default() };
        let report = load_with(&options, &[]).unwrap_err().to_string();
        assert!(report.contains("cannot read /no/such.toml"), "{report}");
    }

    #[test]
    fn a_redis_url_makes_a_memory_store_a_redis_unless_it_only_happens_to_be_there() {
        let memory = format!("{BASE}[store]\nkind = \"memory\"\nmax-bytes = \"1MiB\"\n{ROUTE}");
        let with = |origin| {
            let url = Setting { value: "redis://h".to_owned(), origin };
            load(&memory, Overrides { redis_url: Some(url), ..Overrides::default() }).unwrap()
        };
        assert_eq!(redis(&with(Origin::Flag("--redis-url")).0), "redis://h");
        assert_eq!(redis(&with(Origin::Environment("CATPROXY_REDIS_URL")).0), "redis://h");
        let (config, warnings) = with(Origin::Environment("REDIS_URL"));
        assert!(matches!(config.store.kind, StoreKind::Memory { max_bytes: 1_048_576 }));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn an_upstream_from_outside_is_enough() {
        let url = Setting { value: "http://a".to_owned(), origin: Origin::Flag("--upstream") };
        assert!(load(ROUTE, Overrides { upstream: Some(url), ..Overrides::default() }).is_ok());
    }

    #[test]
    fn the_log_is_for_people_unless_the_environment_says_otherwise() {
        let log = |name: &'static str, value: &'static str| {
            Logging::load(&|asked| (asked == name).then(|| value.into()))
        };
        assert_eq!(
            log("CATPROXY_LOG", "debug").unwrap(),
            Logging { filter: Filter::parse("debug").ok(), format: LogFormat::People }
        );
        assert_eq!(
            log("CATPROXY_LOG_FORMAT", "json").unwrap(),
            Logging { filter: None, format: LogFormat::Json }
        );
        assert!(log("CATPROXY_LOG_FORMAT", "xml").is_err());
    }
}

mod secrets {
    use super::*;

    #[test]
    fn a_password_is_neither_in_what_runs_nor_in_what_is_wrong() {
        let url = "redis://hatter:hunter2@h:6379/1";
        let (config, _) = serve(&["--redis-url", url], &[]).unwrap();
        for text in [config.summary(), config.details(), format!("{config:?}")] {
            assert!(!text.contains("hunter2") && !text.contains("hatter"), "{text}");
        }
        assert!(config.summary().contains("redis://h:6379/1"));
        for line in [
            "redis-url = \"redis://:hunter2@h:port\"",
            "redis-url = \"hunter2\"",
            "redis-url = \"hunter2",
            "redis-url = \"redis://:hunter2@h",
            "redis-url = \"redis://h\\u003a:hunter2@h\"\n[admission]\nmode = 1",
            "redis-ulr = \"redis://:hunter2@h\"",
            "password = \"hunter2\"",
            "redis-url = [\"redis://:hunter2@h\"]",
        ] {
            let report = load(&format!("{BASE}{ROUTE}[store]\n{line}\n"), Overrides::default()).unwrap_err();
            let drawn = format!("{report} {report:?}");
            assert!(!drawn.contains("hunter2"), "{line}: {drawn}");
        }
        let report = serve(&["--redis-url", "redis://:hunter2@h:port"], &[]).unwrap_err().to_string();
        assert!(!report.contains("hunter2"), "{report}");
        let report = serve(&["--upstream", "https://me:hunter2@h"], &[]).unwrap_err().to_string();
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[test]
    fn options_and_settings_print_no_password() {
        let cli = Cli::try_parse_from(["catproxy", "serve", "--redis-url", "redis://:hunter2@h"]).unwrap();
        let setting = Setting { value: "hunter2".to_owned(), origin: Origin::Flag("--redis-url") };
        assert!(!format!("{cli:?} {setting:?}").contains("hunter2"));
    }
}

mod admin {
    use super::*;

    const TOKEN: &str = "hunter2-hunter2-hunter2";

    #[test]
    fn it_is_off_unless_an_address_is_given() {
        let off = good(&format!("{BASE}{ROUTE}"));
        assert!(off.admin.is_none() && off.details().contains("admin          off"), "{}", off.details());
        let on = good(&format!("{BASE}{ROUTE}[admin]\nlisten = \"127.0.0.1:9180\"\n"));
        assert!(on.details().contains("admin          127.0.0.1:9180, without a token"), "{}", on.details());
        assert!(on.summary().contains(", admin 127.0.0.1:9180"), "{}", on.summary());
        for (args, environment) in [
            (&["--admin-listen", "127.0.0.1:9181"][..], &[("CATPROXY_ADMIN_LISTEN", "127.0.0.1:9")][..]),
            (&[], &[("CATPROXY_ADMIN_LISTEN", "127.0.0.1:9181")]),
        ] {
            let (config, _) = serve(args, environment).unwrap();
            assert_eq!(config.admin.unwrap().listen.port(), 9181);
        }
    }

    #[test]
    fn its_address_is_its_own_and_one_that_others_reach_needs_a_token() {
        let lines = |listen: &str| {
            format!("listen = \"127.0.0.1:80\"\n[admin]\nlisten = \"{listen}\"\n{BASE}{ROUTE}")
        };
        for (listen, title) in [
            ("127.0.0.1:80", "`admin.listen` is where clients connect"),
            ("0.0.0.0:9180", "`admin.listen` can be reached from other machines, and there is no token"),
            ("localhost:9180", "`admin.listen` is not an address and a port such as \"127.0.0.1:8080\""),
        ] {
            let outline = problems(&lines(listen));
            assert!(outline.starts_with("3:10 ") && outline.trim_end().ends_with(title), "{outline}");
        }
        let (config, _) =
            serve(&["--admin-listen", "[::]:9180"], &[("CATPROXY_ADMIN_TOKEN", TOKEN)]).unwrap();
        for text in [config.summary(), config.details(), format!("{config:?}")] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(config.admin.unwrap().token.unwrap().reveal(), TOKEN);
    }

    #[test]
    fn a_token_is_long_and_visible_and_no_report_repeats_another_one() {
        for text in ["hunter2", "hunter2 hunter2 hunter2", "hunter2-hunter2-hunter\u{e9}"] {
            let report =
                serve(&["--admin-listen", "127.0.0.1:9"], &[("CATPROXY_ADMIN_TOKEN", text)]).unwrap_err();
            assert_eq!(outline(&report), "CATPROXY_ADMIN_TOKEN:1:1 `CATPROXY_ADMIN_TOKEN` is no token\n");
            assert!(!report.to_string().contains("hunter2"), "{report}");
        }
        let report = load(&format!("{BASE}{ROUTE}[admin]\ntoken = \"{TOKEN}\"\n"), Overrides::default());
        let report = report.unwrap_err().to_string();
        assert!(report.contains("is not a key") && !report.contains("hunter2"), "{report}");
    }
}

#[test]
fn http_2_is_offered_to_an_upstream_with_tls_unless_it_is_switched_off() {
    let details =
        |url: &str, line: &str| good(&format!("[upstream]\nurl = \"{url}\"\n{line}{ROUTE}")).details();
    let offered = "upstream       https://a, HTTP/2 if it speaks that\n";
    assert!(details("https://a", "").contains(offered));
    assert!(details("https://a", "http2 = false\n").contains("upstream       https://a\n"));
    assert!(details("http://a", "http2 = true\n").contains("upstream       http://a\n"));
    let mistyped = format!("{BASE}http2 = \"yes\"\n{ROUTE}");
    assert_eq!(problems(&mistyped), "3:9 `upstream.http2` is not true or false without quotes\n");
}

mod tls {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};

    use super::*;

    fn written(folder: &Path, name: &str, text: &str) -> String {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A certificate and its key, good from this year to that.
    fn certified(from: i32, to: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn table(certificate: &str, key: &str) -> String {
        format!("[clients.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n{BASE}{ROUTE}")
    }

    #[test]
    fn clients_speak_tls_where_both_files_are_given_by_whomever() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = certified(2020, 4000);
        // Others may stand behind the server's own, and the key beside them.
        let one =
            written(folder.path(), "one.pem", &format!("{certificate}{}{key}", certified(2020, 2021).0));
        let config = good(&table(&one, &one));
        let tls = config.tls.as_ref().unwrap();
        assert_eq!((tls.certificate.as_path(), tls.key.as_path()), (Path::new(&one), Path::new(&one)));
        assert!(config.summary().contains(": https://127.0.0.1:8080 -> "), "{}", config.summary());
        assert!(config.details().contains(&format!("tls          certificate {one}, key {one}")));
        assert!(config.ui.unwrap().secure_cookie, "browsers speak HTTPS with it");
        let plainly = format!("{}[ui]\nsecure-cookie = false\n", table(&one, &one));
        assert!(!good(&plainly).ui.unwrap().secure_cookie);

        let outside = [("CATPROXY_TLS_CERTIFICATE", one.as_str()), ("CATPROXY_TLS_KEY", one.as_str())];
        assert_eq!(serve(&[], &outside).unwrap().0.tls, good(&table(&one, &one)).tls);
        let report = serve(&[], &outside[..1]).unwrap_err().to_string();
        assert!(report.contains("`clients.tls.key` is missing"), "{report}");
        assert!(good(&format!("{BASE}{ROUTE}")).tls.is_none());
    }

    #[test]
    fn each_problem_is_at_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = certified(2020, 4000);
        let (good_certificate, good_key) =
            (written(folder.path(), "c.pem", &certificate), written(folder.path(), "k.pem", &key));
        let file = |name, text: &str| written(folder.path(), name, text);
        let another = file("another", &certified(2020, 4000).1);
        let two = file("two", &format!("{key}{key}"));
        let encrypted = file("encrypted", &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
        let no_pem = file("no", &certificate.replace("MII", "!!!"));
        let no_certificate = file("none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let empty = file("empty", "");
        let (of_certificate, of_key) = (
            "2:15 `clients.tls.certificate` is not a file with a certificate\n",
            "3:7 `clients.tls.key` is not a file with the certificate's key\n",
        );
        let both = format!("{of_certificate}{of_key}");
        for (certificate, key, expected, why) in [
            ("/no/such", "/no/such", both.as_str(), "No such file"),
            (&empty, &good_key, of_certificate, "there is no certificate in it"),
            (&no_pem, &good_key, of_certificate, "it is no PEM"),
            (&no_certificate, &good_key, of_certificate, "no certificate that is understood"),
            (&good_certificate, &another, of_key, "it is the key of another certificate"),
            (&good_certificate, &two, of_key, "there are 2 keys in it"),
            (&good_certificate, &encrypted, of_key, "its key is encrypted"),
            (&good_certificate, &empty, of_key, "there is no private key in it"),
            (&good_certificate, &good_certificate, of_key, "there is no private key in it"),
        ] {
            let text = table(certificate, key);
            assert_eq!(problems(&text), expected);
            let report = load(&text, Overrides::default()).unwrap_err().to_string();
            assert!(report.contains(why), "{why}: {report}");
        }
        let half = format!("[clients.tls]\ncertificat = 1\nkey = \"{good_key}\"\n{BASE}{ROUTE}");
        let expected =
            "1:10 `clients.tls.certificate` is missing\n2:1 `clients.tls.certificat` is not a key\n";
        assert_eq!(problems(&half), expected);
    }

    #[test]
    fn a_key_in_the_place_of_its_file_is_shown_to_nobody() {
        let key = certified(2020, 4000).1.replace('\n', "\\n");
        let report = load(&table("/no/such", &key), Overrides::default()).unwrap_err().to_string();
        let secret = key.split("\\n").nth(1).unwrap();
        assert!(report.contains("clients.tls.key") && !report.contains(secret), "{report}");
        let outside = [("CATPROXY_TLS_CERTIFICATE", "/no/such"), ("CATPROXY_TLS_KEY", key.as_str())];
        let report = serve(&[], &outside).unwrap_err().to_string();
        assert!(report.contains("CATPROXY_TLS_KEY") && !report.contains(secret), "{report}");
    }

    #[test]
    fn a_key_that_may_not_be_read_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = certified(2020, 4000);
        let (certificate, key) =
            (written(folder.path(), "c.pem", &certificate), written(folder.path(), "k.pem", &key));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
        // Who may read everything is not told anything.
        if fs::read(&key).is_err() {
            let report = load(&table(&certificate, &key), Overrides::default()).unwrap_err().to_string();
            assert!(report.contains("Permission denied"), "{report}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_good_now_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        for ((from, to), word) in [((2000, 2001), "has expired"), ((3000, 3001), "is not good yet")] {
            let (certificate, key) = certified(from, to);
            let certificate = written(folder.path(), "c.pem", &certificate);
            let text = table(&certificate, &written(folder.path(), "k.pem", &key));
            let (config, warnings) = load(&text, Overrides::default()).unwrap();
            let [warning] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(config.tls.is_some());
            let expected =
                format!("my.toml:2: clients.tls.certificate: the certificate {word}; clients will refuse it");
            assert_eq!(warning.to_string(), expected);
        }
    }

    #[test]
    fn all_usual_keys_will_do() {
        let folder = tempfile::tempdir().unwrap();
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            let certificate = written(folder.path(), "c.pem", &params.self_signed(&key).unwrap().pem());
            good(&table(&certificate, &written(folder.path(), "k.pem", &key.serialize_pem())));
        }
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["b.example".to_owned()]).unwrap();
        let certificate = written(folder.path(), "c.pem", &cert.pem());
        good(&table(&certificate, &written(folder.path(), "k.pem", &signing_key.serialize_pem())));
    }
}

mod ui {
    use super::*;

    fn ui(text: &str) -> Ui {
        good(&format!("{BASE}{ROUTE}[ui]\n{text}")).ui.expect("it is on")
    }

    fn warned(environment: &[(&str, &str)]) -> String {
        let (config, warnings) = serve(&[], environment).unwrap();
        let ui = config.ui.expect("it is on");
        let can = if ui.client.is_some() { "can sign in" } else { "cannot sign in" };
        format!("{can} {}", warnings.iter().map(ToString::to_string).collect::<String>())
    }

    #[test]
    fn it_is_on_with_abconnect_s_own_sign_in_and_can_be_switched_off() {
        let on = ui("");
        assert_eq!(on.identity.url(), "https://login.abconnect.co");
        assert_eq!((on.scope.as_str(), on.secure_cookie), ("offline_access", false));
        assert_eq!((on.identity_timeout.as_secs(), on.session_limit.as_secs()), (10, 12 * 3600));
        let client = on.client.expect("a client");
        assert_eq!((client.id.as_str(), client.secret.reveal().as_str()), ("id", "hunter3"));
        assert!(ui("secure-cookie = true").secure_cookie);
        assert!(good(&format!("{BASE}{ROUTE}[ui]\nenabled = false")).ui.is_none());
        assert!(
            good(&format!("{BASE}{ROUTE}[ui]\nenabled = false")).details().contains("ui             off")
        );
    }

    #[test]
    fn each_problem_is_at_its_place() {
        let lines = "[ui]\nenabled = \"no\"\nidentity-url = \"https://a/connect\"\nidentity-timeout = \"2m\"\n\
                     scope = \"a  b\"\nsession-limit = \"1s\"\nsecure-cookie = 1\nidentity-ca-file = \"/no/such\"\n";
        let expected = "2:11 `ui.enabled` is not true or false without quotes\n\
                        3:26 `ui.identity-url` is not a URL such as \"https://login.example\"\n\
                        4:20 `ui.identity-timeout` is out of bounds\n\
                        5:9 `ui.scope` is not a scope such as \"offline_access\"\n\
                        6:17 `ui.session-limit` is out of bounds\n\
                        7:17 `ui.secure-cookie` is not true or false without quotes\n\
                        8:20 `ui.identity-ca-file` is not a readable file\n";
        assert_eq!(problems(&format!("{lines}{BASE}{ROUTE}")), expected);
    }

    #[test]
    fn a_key_is_32_bytes_in_any_usual_spelling_and_no_report_repeats_another_one() {
        let bytes: Vec<u8> = (0..32).collect();
        let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        for text in [KEY, base64, &format!("{base64}="), &format!(" {KEY}\n")] {
            let (config, _) = serve(&[], &[("CATPROXY_UI_KEY", text)]).unwrap();
            let Some(Ui { key: SessionKey::Given(key), .. }) = config.ui else { panic!("{text}") };
            assert_eq!(key.reveal().as_slice(), bytes);
        }
        for text in ["hunter2", "hunter2://hunter2", &KEY[..62], &format!("{KEY}00"), "AAECAwQF"] {
            let report = serve(&[], &[("CATPROXY_UI_KEY", text)]).unwrap_err();
            assert_eq!(outline(&report), "CATPROXY_UI_KEY:1:1 `CATPROXY_UI_KEY` is not 32 bytes\n");
            assert!(!report.to_string().contains(text), "{report}");
        }
    }

    #[test]
    fn what_is_not_set_is_one_warning() {
        assert_eq!(warned(&[]), "can sign in ");
        let without = warned(&[("CATPROXY_UI_CLIENT_ID", ""), ("CATPROXY_UI_CLIENT_SECRET", "")]);
        let both =
            "CATPROXY_UI_CLIENT_ID and CATPROXY_UI_CLIENT_SECRET are not set, so nobody can sign in at /ui";
        assert_eq!(without, format!("cannot sign in {both}"));
        let half = warned(&[("CATPROXY_UI_CLIENT_SECRET", ""), ("CATPROXY_UI_KEY", "")]);
        assert_eq!(half, "cannot sign in CATPROXY_UI_CLIENT_SECRET is not set, so nobody can sign in at /ui");
        let key = warned(&[("CATPROXY_UI_KEY", "")]);
        assert!(key.starts_with("can sign in CATPROXY_UI_KEY is not set, so sessions"), "{key}");
    }

    #[test]
    fn the_environment_names_another_identity_server() {
        let (config, _) = serve(&[], &[("CATPROXY_UI_IDENTITY_URL", "http://127.0.0.1:9")]).unwrap();
        assert_eq!(config.ui.unwrap().identity.url(), "http://127.0.0.1:9");
    }

    #[test]
    fn no_secret_is_shown_also_where_it_stands_in_a_file() {
        let (config, _) = serve(&[], &[]).unwrap();
        for text in [config.summary(), config.details(), format!("{config:?}")] {
            assert!(!text.contains("hunter3") && !text.contains("0, 1, 2, 3"), "{text}");
        }
        for key in ["key", "client-secret", "cookie"] {
            let report = load(&format!("{BASE}{ROUTE}[ui]\n{key} = \"hunter2\"\n"), Overrides::default());
            let report = report.unwrap_err().to_string();
            assert!(report.contains("is not a key") && !report.contains("hunter2"), "{report}");
        }
    }
}

#[cfg(feature = "otel")]
mod traces {
    use super::*;
    use catproxy::config::Traces;

    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

    fn traces(lines: &str) -> Traces {
        good(&format!("{BASE}{ROUTE}[traces]\nendpoint = \"http://127.0.0.1:4318\"\n{lines}")).traces.unwrap()
    }

    /// With these variables beside an endpoint, and the warnings.
    fn from_environment(environment: &[(&str, &str)]) -> (Traces, String) {
        let endpoint = [(ENDPOINT, "http://collector:4318")];
        let (config, warnings) = serve(&[], &[&endpoint, environment].concat()).unwrap();
        (config.traces.expect("they are on"), warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn panels_shows_each_key_with_the_choice_that_the_program_makes_itself() {
        let text = Profile::Panels.source().text;
        let (before, after) = text.split_once("\n# [traces]\n").unwrap();
        let (keys, after) = after.split_once("\n\n").unwrap();
        let keys = keys.lines().map(|line| line.strip_prefix("# ").expect(line));
        let keys = keys.filter(|line| line.contains(" = ") && !line.starts_with("ca-file"));
        let keys: Vec<&str> = keys.collect();
        let shown = good(&format!("{before}\n[traces]\n{}\n\n{after}", keys.join("\n")));
        assert_eq!(shown.traces.unwrap(), traces(""));
        assert_eq!(good(&text).traces, None);
        assert!(good(&text).details().contains("traces         off\n"));
    }

    #[test]
    fn a_collector_is_a_base_url_below_which_traces_have_their_place() {
        let chosen = traces("");
        assert_eq!(
            (chosen.collector.url(), chosen.target),
            ("http://127.0.0.1:4318".into(), "/v1/traces".into())
        );
        assert_eq!((chosen.ratio, chosen.parent_based, chosen.service.as_str()), (1.0, true, "catproxy"));
        for (url, target) in [("http://c/", "/v1/traces"), ("https://c:1/otlp/", "/otlp/v1/traces")] {
            let (config, _) = serve(&[], &[(ENDPOINT, url)]).unwrap();
            let traces = config.traces.unwrap();
            assert_eq!((traces.target.as_str(), traces.collector.tls), (target, url.starts_with("https")));
        }
        let whole = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x?y=1")];
        let (whole, _) = from_environment(&whole);
        assert_eq!((whole.collector.url(), whole.target), ("http://t".into(), "/x?y=1".into()));
    }

    #[test]
    fn each_problem_is_at_its_place() {
        let lines = "[traces]\nendpoint = \"http://me:hunter2@c\"\nsample-ratio = 1.5\nservice-name = \"\"\n\
                     ca-file = \"/no/such\"\nheaders = \"hunter2\"\n";
        let report = load(&format!("{lines}{BASE}{ROUTE}"), Overrides::default()).unwrap_err();
        let expected = "2:20 `traces.endpoint` is not a URL such as \"http://127.0.0.1:4318\"\n\
                        3:16 `traces.sample-ratio` is out of bounds\n\
                        4:16 `traces.service-name` is not a name\n\
                        5:11 `traces.ca-file` is not a readable file\n\
                        6:1 `traces.headers` is not a key\n";
        assert_eq!(outline(&report), expected);
        assert!(!report.to_string().contains("hunter2"), "{report}");
        assert_eq!(problems(&format!("[traces]\n{BASE}{ROUTE}")), "1:2 `traces.endpoint` is missing\n");
        let quoted = format!("{BASE}{ROUTE}[traces]\nendpoint = \"http://c\"\nsample-ratio = \"1\"\n");
        assert!(problems(&quoted).ends_with("`traces.sample-ratio` is not a number without quotes\n"));
    }

    #[test]
    fn the_variables_of_opentelemetry_win_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = "[traces]\nendpoint = \"http://file:4318\"\nsample-ratio = 0\nservice-name = \"file\"\n";
        std::fs::write(&file, format!("{lines}{BASE}{ROUTE}")).unwrap();
        let path = file.path().to_str().unwrap();
        let of = |environment: &[(&str, &str)]| {
            let config = serve(&["--config", path], environment).unwrap().0;
            config
                .traces
                .map(|traces| (traces.collector.url(), traces.ratio, traces.parent_based, traces.service))
        };
        assert_eq!(of(&[]), Some(("http://file:4318".into(), 0.0, true, "file".into())));
        let all = [
            (ENDPOINT, "http://variable:4318"),
            ("OTEL_SERVICE_NAME", "variable"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ];
        assert_eq!(of(&all), Some(("http://variable:4318".into(), 0.25, false, "variable".into())));
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(of(&[off]), None);
        }
    }

    #[test]
    fn samplers_are_those_of_opentelemetry() {
        for (name, argument, expected) in [
            ("always_on", "0.5", (false, 1.0)),
            ("always_off", "0.5", (false, 0.0)),
            ("traceidratio", "0.5", (false, 0.5)),
            ("parentbased_always_on", "0.5", (true, 1.0)),
            ("parentbased_always_off", "0.5", (true, 0.0)),
            ("parentbased_traceidratio", "0.5", (true, 0.5)),
        ] {
            let (traces, warnings) =
                from_environment(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
            assert_eq!(((traces.parent_based, traces.ratio), warnings.as_str()), (expected, ""), "{name}");
        }
    }

    #[test]
    fn what_the_process_is_is_said_by_name_and_attributes() {
        let said = ("OTEL_RESOURCE_ATTRIBUTES", "a=1, b=x%2Cy+z ,service.name=shop");
        let (traces, warnings) = from_environment(&[said]);
        assert_eq!((traces.service.as_str(), warnings.as_str()), ("shop", ""));
        assert_eq!(traces.resource, [("a".into(), "1".into()), ("b".into(), "x,y+z".into())]);
        assert_eq!(from_environment(&[said, ("OTEL_SERVICE_NAME", "named")]).0.service, "named");
    }

    #[test]
    fn a_variable_that_is_not_understood_is_a_warning_and_keeps_nothing_from_starting() {
        for (name, value, why) in [
            ("OTEL_TRACES_SAMPLER", "sometimes", "it is none of always_on"),
            ("OTEL_RESOURCE_ATTRIBUTES", "nonsense", "it is not key=value"),
        ] {
            let (traces, warnings) = from_environment(&[(name, value)]);
            assert!(warnings.contains(name) && warnings.contains(why), "{warnings}");
            assert_eq!((traces.ratio, traces.resource.len()), (1.0, 0));
        }
        let many = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "many")];
        let (traces, warnings) = from_environment(&many);
        assert!(traces.ratio == 1.0 && warnings.contains("OTEL_TRACES_SAMPLER_ARG"), "{warnings}");
        for url in ["collector:4317", "http://u:hunter2@c", "http://c/?x", "http://"] {
            let (config, warnings) = serve(&[], &[(ENDPOINT, url)]).unwrap();
            let warnings: String = warnings.iter().map(ToString::to_string).collect();
            assert!(config.traces.is_none() && warnings.contains(ENDPOINT), "{url}: {warnings}");
            assert!(!warnings.contains("hunter2"), "{warnings}");
        }
    }

    #[test]
    fn a_collector_is_believed_by_the_authorities_of_the_upstream_or_its_own() {
        let (one, other) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let upstream = format!("{BASE}ca-file = {:?}\n{ROUTE}", one.path());
        let own = "[traces]\nendpoint = \"https://c\"\n";
        let config = good(&format!("{own}{upstream}"));
        assert_eq!(config.traces.unwrap().collector.ca_file.as_deref(), Some(one.path()));
        let config = good(&format!("{own}ca-file = {:?}\n{upstream}", other.path()));
        assert_eq!(config.traces.unwrap().collector.ca_file.as_deref(), Some(other.path()));
    }
}

#[cfg(not(feature = "otel"))]
mod traces {
    use super::*;

    #[test]
    fn a_program_that_cannot_trace_says_so_where_it_is_asked_to() {
        let text = format!("{BASE}{ROUTE}[traces]\nendpoint = \"http://127.0.0.1:4318\"\n");
        let report = load(&text, Overrides::default()).unwrap_err();
        assert_eq!(outline(&report), "7:2 there can be no traces\n");
        assert!(report.to_string().contains("built without the feature `otel`"), "{report}");
        let (config, warnings) = serve(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]).unwrap();
        assert_eq!(config.traces, None);
        let warning = "OTEL_EXPORTER_OTLP_ENDPOINT is not used: built without the feature `otel`";
        assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [warning]);
        assert!(config.details().contains("traces         off; built without the feature `otel`\n"));
        let off = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "true")];
        assert_eq!(serve(&[], &off).unwrap().1, []);
    }
}

mod command_line {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_there_is_help_and_no_proxy() {
        let error = Cli::try_parse_from(["catproxy"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("Usage: catproxy"), "{error}");
    }

    #[test]
    fn every_command_has_an_example() {
        let command = Cli::command();
        let mut commands = 0;
        for command in command.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with(&format!("Example: catproxy {}", command.get_name())), "{help}");
            commands += 1;
        }
        assert!(commands >= 3);
    }
}

#[cfg(feature = "demo")]
#[test]
fn the_demo_stands_before_its_stand_in_with_entries_in_memory() {
    let demo = |flags: &[&str]| {
        let cli = Cli::try_parse_from(["catproxy", "demo"].iter().chain(flags)).expect("flags");
        let Command::Demo(demo) = cli.command else { panic!("demo") };
        demo
    };
    let plain = demo(&[]);
    assert_eq!((plain.generation, plain.latency), (1, Duration::from_millis(150)));
    let (config, _) = plain.load("http://127.0.0.1:9".to_owned()).unwrap();
    assert_eq!(config.upstream.url(), "http://127.0.0.1:9");
    assert!(matches!(config.store.kind, StoreKind::Memory { .. }));
    let ui = config.ui.expect("it is on");
    assert_eq!((ui.identity.url().as_str(), ui.client.is_some()), ("http://127.0.0.1:9", true));
    let (config, _) =
        demo(&["--redis-url", "redis://h", "--listen", "127.0.0.1:1"]).load("http://a".to_owned()).unwrap();
    assert_eq!((redis(&config), config.listen.port()), ("redis://h", 1));
    assert!(Cli::try_parse_from(["catproxy", "demo", "--generation", "3"]).is_err());
    assert!(Cli::try_parse_from(["catproxy", "demo", "--latency", "150"]).is_err());
}
