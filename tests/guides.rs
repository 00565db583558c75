//! The pages of docs/ belong together, and name what there is. Whether their commands do what they say, `make guides` tries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The Markdown files of a folder.
fn pages(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder of pages").flatten();
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let mut pages: Vec<_> = entries.map(|entry| entry.path()).filter(is_page).collect();
    pages.sort();
    pages
}

/// Everything that people read.
fn all_pages() -> Vec<PathBuf> {
    let all: Vec<_> = ["docs", "deploy", "."].into_iter().flat_map(pages).collect();
    assert!(all.len() > 14, "only {} pages were found", all.len());
    all
}

/// The lines outside of fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// Where the links of a page lead, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        for after in line.split("](").skip(1) {
            links.extend(after.split_once(')').map(|(link, _)| (number, link)));
        }
    }
    links
}

/// What a heading is called in an address: by GitHub and by mdBook alike.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().chars().filter_map(|symbol| match symbol {
        ' ' => Some('-'),
        '-' | '_' => Some(symbol),
        _ if symbol.is_alphanumeric() => Some(symbol.to_ascii_lowercase()),
        _ => None,
    });
    letters.collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text)
        .filter_map(|(_, line)| line.split_once("# "))
        .filter(|(marks, _)| marks.chars().all(|symbol| symbol == '#'));
    headings.map(|(_, heading)| anchor(heading)).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut followed = 0;
    let mut dead = Vec::new();
    for page in all_pages() {
        let text_of_page = text(&page);
        for (line, link) in links(&text_of_page).into_iter().filter(|(_, link)| !link.contains("://")) {
            followed += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let leads = target.exists() && (heading.is_empty() || anchors(&text(&target)).contains(heading));
            if !leads {
                dead.push(format!("{}:{line}: {link}", page.display()));
            }
        }
    }
    assert!(followed > 60, "only {followed} links were found");
    assert!(dead.is_empty(), "these lead nowhere: {dead:#?}");
}

#[test]
fn the_summary_has_every_page_once_by_its_own_title() {
    let summary = text(&root().join("docs/SUMMARY.md"));
    let listed: Vec<_> = links(&summary).into_iter().map(|(_, link)| link.to_owned()).collect();
    let mut pages: Vec<_> = pages("docs").iter().map(|page| file_name(page)).collect();
    pages.retain(|page| page != "SUMMARY.md");
    let mut sorted = listed.clone();
    sorted.sort();
    assert!(pages.len() > 8, "{pages:?}");
    assert_eq!(sorted, pages);
    for page in listed {
        let own = text(&root().join("docs").join(&page));
        let title = own.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title");
        assert!(summary.contains(&format!("[{title}]({page})")), "{page} is called {title:?}");
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// The words of a text that begin so.
fn words<'t>(text: &'t str, beginning: &str) -> BTreeSet<&'t str> {
    let words = text.split(|symbol: char| !(symbol.is_ascii_alphanumeric() || symbol == '_'));
    words.filter(|word| word.starts_with(beginning) && word.len() > beginning.len()).collect()
}

/// All words of the guides that begin so are among those of what says what there is.
fn known(beginning: &str, there_is: &str) {
    let there = words(there_is, beginning);
    let mut seen = 0;
    for page in pages("docs").into_iter().filter(|page| file_name(page) != "metrics.md") {
        for word in words(&text(&page), beginning) {
            seen += 1;
            assert!(there.contains(word), "{} names {word}, which there is not", page.display());
        }
    }
    assert!(seen > 5, "only {seen} words begin with {beginning}");
}

#[test]
fn every_metric_that_a_guide_names_is_in_the_table_of_metrics() {
    known("catproxy_", &text(&root().join("docs/metrics.md")));
}

#[test]
fn every_alert_that_a_guide_names_is_one() {
    known("Catproxy", &text(&root().join("deploy/prometheus/alerts.yml")));
}

#[test]
fn every_variable_that_a_guide_names_is_one_that_the_program_reads() {
    let read = [
        "options.rs",
        "logging.rs",
        "operator.rs",
        "operator/client.rs",
        "bench/tokens.rs",
        "bench/options.rs",
    ];
    let sources = read.map(|file| text(&root().join("src/cli").join(file))).concat();
    known("CATPROXY_", &sources);
}
