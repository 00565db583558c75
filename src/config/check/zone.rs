//! The time zone that a day begins in. The system's file is read by its name where it is where most systems have it: jiff
//! lists all files before it gives one, which takes a good part of a start.

use std::{fs, path::Path};

use jiff::tz::TimeZone;

const FILES: &str = "/usr/share/zoneinfo/";
const LOCAL: &str = "/etc/localtime";

/// The zone of this name, by the system's rules or else by those that came with the program.
pub(super) fn named(name: &str) -> Option<TimeZone> {
    from_file(name).or_else(|| TimeZone::get(name).ok())
}

/// The zone that the system is set to. Where `TZ` or `TZDIR` say otherwise jiff understands them.
pub(super) fn of_system() -> Option<TimeZone> {
    let set = std::env::var_os("TZ").is_none().then(|| fs::read_link(LOCAL).ok()).flatten();
    let zone = set.and_then(|file| named(file.to_str()?.split_once("/zoneinfo/")?.1));
    zone.or_else(|| TimeZone::try_system().ok())
}

fn from_file(name: &str) -> Option<TimeZone> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    if std::env::var_os("TZDIR").is_some() || !name.split('/').all(is_part) {
        return None;
    }
    TimeZone::tzif(name, &fs::read(Path::new(FILES).join(name)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_by_its_name_wherever_its_rules_are() {
        for name in ["America/New_York", "Europe/Berlin", "UTC", "Etc/GMT+3", "america/new_york"] {
            let zone = named(name).unwrap_or_else(|| panic!("{name}"));
            assert!(zone.iana_name().is_some_and(|known| known.eq_ignore_ascii_case(name)), "{zone:?}");
        }
    }

    #[test]
    fn what_is_no_name_is_no_file() {
        for name in [
            "",
            "/",
            "..",
            "../zoneinfo/UTC",
            "/etc/localtime",
            "Europe",
            "Europe/",
            "Europe/Berln",
            "tzdata.zi",
        ] {
            assert!(named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_systems_zone_is_the_one_that_jiff_finds() {
        assert_eq!(of_system(), TimeZone::try_system().ok());
    }
}
