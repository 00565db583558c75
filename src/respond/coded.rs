//! Content codings of our own answers.

use std::io::Write as _;

use bytes::Bytes;

use crate::classify::coding::Coding;

/// Made once and sent often: worth some work, but somebody waits for the first.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
const ZSTD_LEVEL: i32 = 9;

/// The body in this coding; `None` for none, or where the coder fails, which memory does not.
#[must_use]
pub fn coded(body: &[u8], coding: Coding) -> Option<Bytes> {
    let coded = match coding {
        Coding::Identity => return None,
        Coding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(body).ok()?;
            writer.finish().ok()?
        }
        Coding::Brotli => {
            let mut coded = Vec::new();
            let mut writer =
                brotli::CompressorWriter::new(&mut coded, body.len().max(1), BROTLI_QUALITY, BROTLI_WINDOW);
            writer.write_all(body).ok()?;
            drop(writer);
            coded
        }
        Coding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).ok()?,
    };
    Some(coded.into())
}
