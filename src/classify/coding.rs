//! In which coding an answer is wanted (RFC 9110 section 12.5.3).

use http::{HeaderMap, header};

use super::{Reason, weight};

/// A content coding of our answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// Ours, the ones that make the least bytes first: among equally wanted ones the first is taken.
const CODED: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

impl Coding {
    /// As `Content-Encoding` says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// What a request accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The coding that is wanted most.
    pub coding: Coding,
    /// Whether no coding would do, too.
    pub identity: bool,
}

impl Accepted {
    /// Reads all `Accept-Encoding` fields.
    ///
    /// # Errors
    /// Where nothing that can be made here is accepted, or a field does not read: the reason to forward.
    pub fn read(fields: &HeaderMap) -> Result<Self, Reason> {
        let mut weights = Weights::default();
        for line in fields.get_all(header::ACCEPT_ENCODING) {
            let line = line.to_str().map_err(|_| Reason::Accept)?;
            line.split(',').try_for_each(|part| weights.add(part))?;
        }
        weights.choose().ok_or(Reason::Accept)
    }
}

/// From 0 to 1, where the request names them.
#[derive(Default)]
struct Weights {
    named: [Option<f32>; 3],
    identity: Option<f32>,
    any: Option<f32>,
}

impl Weights {
    fn add(&mut self, part: &str) -> Result<(), Reason> {
        let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = if parameters.is_empty() { Some(1.0) } else { weight(parameters) };
        let weight = weight.ok_or(Reason::Accept)?;
        let name = name.trim_ascii();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name {
            _ if is("*") => self.any = Some(weight),
            _ if is("identity") => self.identity = Some(weight),
            _ => {
                let is_gzip = is("x-gzip");
                let known = |coding: &Coding| is(coding.name()) || (is_gzip && *coding == Coding::Gzip);
                let place = CODED.iter().position(known);
                if let Some(named) = place.and_then(|place| self.named.get_mut(place)) {
                    *named = Some(weight);
                }
            }
        }
        Ok(())
    }

    fn choose(&self) -> Option<Accepted> {
        // Not named, identity is acceptable, but whatever is named with a weight is wanted more.
        let identity =
            self.identity.or(self.any.filter(|weight| *weight == 0.0)).unwrap_or(f32::MIN_POSITIVE);
        let mut best = (Coding::Identity, identity);
        for (coding, named) in CODED.iter().zip(self.named) {
            let weight = named.or(self.any).unwrap_or(0.0);
            if weight > 0.0 && (weight > best.1 || (weight == best.1 && best.0 == Coding::Identity)) {
                best = (*coding, weight);
            }
        }
        (best.1 > 0.0).then_some(Accepted { coding: best.0, identity: identity > 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<(Coding, bool)> {
        let fields = lines.iter().map(|line| (header::ACCEPT_ENCODING, line.parse().unwrap())).collect();
        Accepted::read(&fields).ok().map(|accepted| (accepted.coding, accepted.identity))
    }

    #[test]
    fn the_most_wanted_coding_is_taken_and_among_equals_the_smallest() {
        for (lines, coding, identity) in [
            (&[][..], Coding::Identity, true),
            (&[""], Coding::Identity, true),
            (&["identity"], Coding::Identity, true),
            (&["deflate, compress"], Coding::Identity, true),
            (&["gzip"], Coding::Gzip, true),
            (&["X-GZIP"], Coding::Gzip, true),
            (&["gzip, deflate, br, zstd"], Coding::Brotli, true),
            (&["gzip, zstd"], Coding::Zstd, true),
            (&["gzip", "br"], Coding::Brotli, true),
            (&["br;q=0.5, gzip;q=0.8"], Coding::Gzip, true),
            (&["br ; q=0, *"], Coding::Zstd, true),
            (&["*"], Coding::Brotli, true),
            (&["*;q=0.1, gzip;q=0.05, identity;q=0.2"], Coding::Identity, true),
            (&["identity;q=0.5, gzip;q=0.5"], Coding::Gzip, true),
            (&["identity;q=0.5, gzip;q=0.4"], Coding::Identity, true),
            (&["gzip;q=0.001"], Coding::Gzip, true),
            (&["gzip, identity;q=0"], Coding::Gzip, false),
            (&["zstd, *;q=0"], Coding::Zstd, false),
            (&["*;q=0, identity;q=0.1"], Coding::Identity, true),
        ] {
            assert_eq!(read(lines), Some((coding, identity)), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_made_or_read_is_for_the_upstream() {
        for line in ["identity;q=0", "*;q=0", "deflate, identity;q=0", "gzip;q=x", "gzip;level=9", "gzip;q=2"]
        {
            assert_eq!(read(&[line]), None, "{line}");
        }
    }
}
