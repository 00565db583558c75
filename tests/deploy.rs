//! What operators install by says of this program what is true. Whether it runs by it, `make packages` tries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

const FILES: [&str; 6] = [
    "Dockerfile",
    "compose.yaml",
    "deploy/kubernetes/configmap.yaml",
    "deploy/kubernetes/deployment.yaml",
    "deploy/kubernetes/secret.example.yaml",
    "deploy/README.md",
];

/// The words of a text that begin like this and go on in capitals.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|symbol: char| !(symbol.is_ascii_alphanumeric() || symbol == '_'));
    words.filter(|word| word.starts_with("CATPROXY_") && word.len() > 9).map(str::to_owned).collect()
}

#[test]
fn every_variable_that_is_set_is_one_that_the_program_reads() {
    // Of Compose's own: which image and where it is published.
    let composed = [
        "CATPROXY_IMAGE",
        "CATPROXY_PORT",
        "CATPROXY_MEMORY",
        "CATPROXY_STOP_GRACE_PERIOD",
        "CATPROXY_DEMO_PORT",
        "CATPROXY_STAND_IN_IMAGE",
    ];
    let read =
        variables(&["src/cli/options.rs", "src/cli/logging.rs", "src/cli/operator.rs"].map(text).concat());
    assert!(read.len() > 12, "{read:?}");
    for file in FILES {
        let named = variables(&text(file));
        assert!(!named.is_empty(), "{file} sets nothing");
        for variable in named {
            let known = read.contains(&variable) || file != "Dockerfile" && composed.contains(&&*variable);
            assert!(known, "{file} sets {variable}, which nothing reads");
        }
    }
}

#[test]
fn the_image_is_built_by_the_toolchain_and_has_the_version_of_the_program() {
    let toolchain = text("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{}-slim-", channel.expect("a channel"))));
    assert!(dockerfile.contains(concat!("ARG VERSION=", env!("CARGO_PKG_VERSION"), "\n")));
    let kustomization = text("deploy/kubernetes/kustomization.yaml");
    assert!(kustomization.contains(concat!("newTag: \"", env!("CARGO_PKG_VERSION"), "\"\n")));
}

/// The layer of dependencies is built of the manifest without its last part.
#[test]
fn what_the_image_cuts_off_the_manifest_is_benchmarks_and_tests_alone() {
    let manifest = text("Cargo.toml");
    let (_, cut) = manifest.split_once("\n[[").expect("benchmarks");
    let tables = format!("[[{cut}");
    let others: Vec<_> = tables
        .lines()
        .filter(|line| line.starts_with('[') && !["[[bench]]", "[[test]]"].contains(line))
        .collect();
    assert_eq!(
        others,
        Vec::<&str>::new(),
        "these stand behind the first [[bench]] or [[test]] of Cargo.toml"
    );
}

#[test]
fn a_package_holds_what_it_is_built_of_and_its_licences() {
    for (package, files) in [
        (
            "catproxy",
            &[
                "askama.toml",
                "LICENSE-MIT",
                "LICENSE-APACHE",
                "README.md",
                "src/main.rs",
                "config/panels.toml",
            ][..],
        ),
        ("fake-abconnect", &["LICENSE-MIT", "LICENSE-APACHE", "src/main.rs"]),
    ] {
        let output = Command::new(env!("CARGO"))
            .args(["package", "--package", package, "--list", "--allow-dirty", "--offline", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let list = String::from_utf8(output.stdout).unwrap();
        let listed: BTreeSet<_> = list.lines().collect();
        for file in files {
            assert!(
                listed.contains(file),
                "{package} lacks {file}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let strange = ["tests/", "benches/", "charts/", "deploy/", "fuzz/", "model/", ".ci/", "scripts/"];
        let stray: Vec<_> =
            listed.iter().filter(|file| strange.iter().any(|folder| file.starts_with(folder))).collect();
        assert!(stray.is_empty(), "{package}: {stray:?}");
    }
}
