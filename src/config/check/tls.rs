//! What clients' TLS is made of: files that there are, and that fit one another.

use std::path::PathBuf;

use super::Setting;
use crate::{
    clock::Clock,
    config::{
        Tls,
        certificate::{Certificate, Flaw},
        raw::RawTls,
        report::{Fault, Problems, Text},
    },
};

/// `None`: clients speak in the clear, or what stands there does not do, which is a problem.
pub(super) fn tls(
    raw: RawTls,
    certificate: Option<Setting>,
    key: Option<Setting>,
    problems: &mut Problems,
) -> Option<Tls> {
    let place = raw.place.clone();
    let is_wanted = place.is_some() || certificate.is_some() || key.is_some();
    let mut given = |file: Option<Text>, outside: Option<Setting>| {
        let outside = outside.map(|setting| problems.outside(setting.origin.to_string(), setting.value));
        // A key itself, where its file should be named, is shown to nobody.
        outside
            .iter()
            .filter(|text| text.value.contains("PRIVATE KEY"))
            .for_each(|text| problems.hide(&text.place));
        outside.or(file)
    };
    let (certificate, key) = match (given(raw.certificate, certificate), given(raw.key, key)) {
        (Some(certificate), Some(key)) => (certificate, key),
        (certificate, key) => {
            for (name, there) in [("certificate", certificate.is_some()), ("key", key.is_some())] {
                if is_wanted && !there {
                    let help = format!("add `{name} = \"a PEM file\"` below `[clients.tls]`");
                    problems.missing(&format!("clients.tls.{name}"), place.as_ref(), &help);
                }
            }
            return None;
        }
    };
    let files = Tls { certificate: PathBuf::from(&certificate.value), key: PathBuf::from(&key.value) };
    match Certificate::read(&files) {
        Ok(read) => warn_of_its_time(&read, &certificate, problems),
        Err(flaws) => {
            for flaw in flaws {
                let (text, what, why) = match flaw {
                    Flaw::Certificate(why) => (&certificate, "a file with a certificate", why),
                    Flaw::Key(why) => (&key, "a file with the certificate's key", why),
                };
                problems.parse::<()>(text, what, |_| Err(Fault::whole(why)));
            }
        }
    }
    Some(files)
}

fn warn_of_its_time(read: &Certificate, place: &Text, problems: &mut Problems) {
    let now = Clock::system().now_ms() / 1_000;
    let key = &place.key;
    if now > read.not_after {
        problems
            .warn(Some(&place.place), format!("{key}: the certificate has expired; clients will refuse it"));
    } else if now < read.not_before {
        problems.warn(
            Some(&place.place),
            format!("{key}: the certificate is not good yet; clients will refuse it"),
        );
    }
}
