//! Undoes the coding of a body as it comes, and writes what it stands for on as it is made: nothing is gathered here.
//! How much that may become is the writer's to say, who can refuse.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, header};
use zstd::{
    stream::{raw, zio},
    zstd_safe::DParameter,
};

/// The codings that are undone here.
pub(super) const CODINGS: HeaderValue = HeaderValue::from_static("gzip, br, zstd");

/// What is written on at a time.
const STEP_BYTES: usize = 64 * 1024;
/// A body that needs a larger window to be read back is none of HTTP's (RFC 9659).
const ZSTD_WINDOW: u32 = 23;

/// Undoes one body's coding.
pub(super) enum Decoder<W: Write> {
    Identity(W),
    Gzip(Box<MultiGzDecoder<W>>),
    Brotli(Box<brotli::DecompressorWriter<W>>),
    Zstd(Box<zio::Writer<W, raw::Decoder<'static>>>),
}

impl<W: Write> Decoder<W> {
    /// Of the coding that these fields name; `None` for one that was not asked for, and for several.
    pub(super) fn of(fields: &HeaderMap, writer: W) -> Option<Self> {
        let mut codings = fields.get_all(header::CONTENT_ENCODING).iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => "identity".to_owned(),
            (Some(coding), None) => coding.to_str().ok()?.trim().to_ascii_lowercase(),
            (Some(_), Some(_)) => return None,
        };
        match coding.as_str() {
            "identity" => Some(Self::Identity(writer)),
            "gzip" | "x-gzip" => Some(Self::Gzip(MultiGzDecoder::new(writer).into())),
            "br" => Some(Self::Brotli(brotli::DecompressorWriter::new(writer, STEP_BYTES).into())),
            "zstd" => {
                let mut decoder = raw::Decoder::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).ok()?;
                Some(Self::Zstd(zio::Writer::new_with_capacity(writer, decoder, STEP_BYTES).into()))
            }
            _ => None,
        }
    }

    pub(super) fn is_identity(&self) -> bool {
        matches!(self, Self::Identity(_))
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// The writer's, as it gave it; or that this is not the coding that was named.
    pub(super) fn decode(&mut self, coded: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(writer) => writer.write_all(coded),
            Self::Gzip(decoder) => decoder.write_all(coded),
            Self::Brotli(decoder) => decoder.write_all(coded),
            Self::Zstd(decoder) => decoder.write_all(coded),
        }
    }

    /// The body has ended: gives the writer back, which has all of it.
    ///
    /// # Errors
    /// As [`Decoder::decode`], and where the coding is not at its end.
    pub(super) fn end(self) -> io::Result<W> {
        match self {
            Self::Identity(writer) => Ok(writer),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Brotli(mut decoder) => {
                decoder.close()?;
                decoder.into_inner().map_err(|_| io::ErrorKind::UnexpectedEof.into())
            }
            Self::Zstd(mut decoder) => {
                decoder.finish()?;
                Ok(decoder.into_inner().0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{classify::coding::Coding, respond};

    fn fields(codings: &[&'static str]) -> HeaderMap {
        let value = |coding: &&'static str| (header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        codings.iter().map(value).collect()
    }

    fn decoded(coding: &'static str, pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut decoder = Decoder::of(&fields(&[coding]), Vec::new()).expect("a coding");
        pieces.iter().try_for_each(|piece| decoder.decode(piece))?;
        decoder.end()
    }

    fn coded(coding: &str, text: &[u8]) -> Vec<u8> {
        let coding = match coding {
            "gzip" => Coding::Gzip,
            "br" => Coding::Brotli,
            "zstd" => Coding::Zstd,
            _ => return text.to_vec(),
        };
        respond::coded::coded(text, coding).expect("coded").to_vec()
    }

    #[test]
    fn every_coding_is_undone_wherever_it_is_cut_and_half_of_it_is_none() {
        let text = b"{\"items\":[{\"id\":1},{\"id\":1},{\"id\":1}]}".repeat(10);
        for coding in ["identity", "gzip", "br", "zstd"] {
            let body = coded(coding, &text);
            for cut in 0..=body.len() {
                let (one, two) = body.split_at(cut);
                assert_eq!(decoded(coding, &[one, two]).expect(coding), text, "{coding} cut at {cut}");
                if coding != "identity" && cut < body.len() {
                    assert!(decoded(coding, &[one]).is_err(), "{coding} broken off at {cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_in_the_coding_that_was_named_is_refused() {
        for coding in ["gzip", "br", "zstd"] {
            assert!(decoded(coding, &[b"{\"items\":[]}"]).is_err(), "{coding}");
            let behind = [coded(coding, b"[]"), b"garbage".to_vec()].concat();
            assert!(decoded(coding, &[&behind]).is_err(), "{coding} with something behind it");
        }
    }

    #[test]
    fn one_coding_that_was_asked_for_is_known_and_no_other() {
        for known in [&[][..], &["GZIP "], &["x-gzip"], &["br"], &["zstd"], &["identity"]] {
            assert!(Decoder::of(&fields(known), Vec::new()).is_some(), "{known:?}");
        }
        for unknown in [&["deflate"][..], &["gzip, br"], &["gzip", "gzip"], &[""]] {
            assert!(Decoder::of(&fields(unknown), Vec::new()).is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn a_bomb_ends_where_its_writer_has_enough() {
        struct Little(usize);
        impl Write for Little {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += bytes.len();
                if self.0 > 100_000 { Err(io::Error::other("enough")) } else { Ok(bytes.len()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for coding in ["gzip", "br", "zstd"] {
            let bomb = coded(coding, &vec![b' '; 20_000_000]);
            let mut decoder = Decoder::of(&fields(&[coding]), Little(0)).expect("a coding");
            let refused = decoder.decode(&bomb).expect_err(coding);
            assert_eq!(refused.to_string(), "enough", "{coding}");
        }
    }
}
