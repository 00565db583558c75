//! The checks of `make fuzz` hold for their seeds, among them everything that was once found by it.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::{
    fs,
    panic::{catch_unwind, set_hook, take_hook},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A panic in a task of the proxy's own is a defect, too, although nobody else notices it.
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn what_must_hold_whatever_comes_in_holds_for_the_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let print = take_hook();
    set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        print(panic);
    }));
    let mut failed = Vec::new();
    for (name, check) in checks::ALL {
        let files: Vec<_> = fs::read_dir(seeds.join(name)).expect(name).flatten().collect();
        assert!(files.len() > 2, "only {} seeds of {name} were found", files.len());
        for file in files {
            let bytes = fs::read(file.path()).expect("a seed");
            if catch_unwind(|| check(&bytes)).is_err() || PANICS.swap(0, Ordering::SeqCst) > 0 {
                PANICS.store(0, Ordering::SeqCst);
                failed.push(file.path().display().to_string());
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_folder_of_seeds_is_of_a_check() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for folder in fs::read_dir(seeds).expect("seeds").flatten() {
        let name = folder.file_name();
        assert!(checks::ALL.iter().any(|(known, _)| name == *known), "{name:?}");
    }
}
