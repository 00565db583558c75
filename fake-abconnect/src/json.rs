//! JSON as System.Text.Json writes it, and reads it.
//!
//! Writing: compact, and everything that its default encoder does not trust (all non-ASCII, `<>&'"+` and the
//! backtick) as `\uXXXX`. Reading: names compare case-insensitively, as ASP.NET's web defaults do.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// `value` in the upstream's spelling.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut out, WebEncoder))?;
    Ok(Bytes::from(out))
}

/// Reads a request body, which must be an object. Types name their fields in lower case; the caller may spell them in
/// any.
pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let value: Value = serde_json::from_slice(body)?;
    if !value.is_object() {
        // Left to itself, serde would take a list for the fields in their order.
        return Err(serde::de::Error::custom("the body is not an object"));
    }
    serde_json::from_value(with_lower_names(value))
}

fn with_lower_names(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, member)| (name.to_lowercase(), with_lower_names(member)))
                .collect(),
        ),
        Value::Array(elements) => Value::Array(elements.into_iter().map(with_lower_names).collect()),
        scalar => scalar,
    }
}

struct WebEncoder;

impl WebEncoder {
    fn is_plain(byte: u8) -> bool {
        (0x20..0x7f).contains(&byte)
            && !matches!(byte, b'<' | b'>' | b'&' | b'\'' | b'"' | b'+' | b'`' | b'\\')
    }

    fn escaped<W: ?Sized + io::Write>(writer: &mut W, character: char) -> io::Result<()> {
        let mut units = [0; 2];
        character.encode_utf16(&mut units).iter().try_for_each(|unit| write!(writer, "\\u{unit:04X}"))
    }
}

impl Formatter for WebEncoder {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        // Display, unlike serde_json, writes 12.0 as `12`, which is also what .NET does.
        write!(writer, "{value}")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(Self::is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            match u8::try_from(character) {
                Ok(byte) if Self::is_plain(byte) => writer.write_all(&[byte])?,
                _ => Self::escaped(writer, character)?,
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let short: &[u8] = match escape {
            CharEscape::Quote => b"\\u0022",
            CharEscape::ReverseSolidus => b"\\\\",
            CharEscape::Solidus => b"/",
            CharEscape::Backspace => b"\\b",
            CharEscape::FormFeed => b"\\f",
            CharEscape::LineFeed => b"\\n",
            CharEscape::CarriageReturn => b"\\r",
            CharEscape::Tab => b"\\t",
            CharEscape::AsciiControl(byte) => return Self::escaped(writer, char::from(byte)),
        };
        writer.write_all(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<T: Serialize>(value: T) -> String {
        String::from_utf8(to_json(&value).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn text_is_escaped_as_system_text_json_does() {
        assert_eq!(written("A & B <b>'\"+`"), r#""A \u0026 B \u003Cb\u003E\u0027\u0022\u002B\u0060""#);
        assert_eq!(written("é 東 😀\u{7f}"), r#""\u00E9 \u6771 \uD83D\uDE00\u007F""#);
        assert_eq!(written("\\ / \n \t \u{1}"), r#""\\ / \n \t \u0001""#);
    }

    #[test]
    fn whole_numbers_lose_their_fraction() {
        assert_eq!(written([12.0, 12.5, -0.25]), "[12,12.5,-0.25]");
    }
}
