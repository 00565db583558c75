//! Past one piece of JSON: each function takes what is left of a text and gives what is left behind the piece.
//!
//! Most of a page is not wanted, so this is what a projection's time goes into. Strings go by in steps of eight bytes;
//! nothing recurses, and nothing is allocated but a byte for each bracket that is open.

/// What is left behind a piece; or, where it stops to be JSON, how many bytes are left there. A count and no more, because
/// this fits into the registers that a slice takes: what an error says costs a tenth of the speed.
pub(super) type Past<'b> = Result<&'b [u8], usize>;

/// Past a value of any kind and depth. `due` is used to remember which brackets are open.
pub(super) fn value<'b>(mut rest: &'b [u8], due: &mut Vec<u8>) -> Past<'b> {
    due.clear();
    loop {
        rest = match blanks(rest) {
            [b'"', rest @ ..] => string(rest)?,
            rest @ [b'-' | b'0'..=b'9', ..] => number(rest)?,
            [b'{', inside @ ..] => match blanks(inside) {
                [b'}', behind @ ..] => behind,
                inside => {
                    due.push(b'}');
                    rest = colon(name(inside)?)?;
                    continue;
                }
            },
            [b'[', inside @ ..] => match blanks(inside) {
                [b']', behind @ ..] => behind,
                inside => {
                    due.push(b']');
                    rest = inside;
                    continue;
                }
            },
            [b't', b'r', b'u', b'e', rest @ ..] => rest,
            [b'f', b'a', b'l', b's', b'e', rest @ ..] => rest,
            [b'n', b'u', b'l', b'l', rest @ ..] => rest,
            rest => return Err(rest.len()),
        };
        loop {
            let Some(close) = due.last() else { return Ok(rest) };
            rest = match blanks(rest) {
                [b',', rest @ ..] if *close == b'}' => colon(name(blanks(rest))?)?,
                [b',', rest @ ..] => rest,
                [byte, behind @ ..] if byte == close => {
                    due.pop();
                    rest = behind;
                    continue;
                }
                rest => return Err(rest.len()),
            };
            break;
        }
    }
}

/// Past a name with its quotes.
pub(super) fn name(rest: &[u8]) -> Past<'_> {
    match rest {
        [b'"', rest @ ..] => string(rest),
        _ => Err(rest.len()),
    }
}

/// Past the colon behind a name.
pub(super) fn colon(rest: &[u8]) -> Past<'_> {
    match blanks(rest) {
        [b':', rest @ ..] => Ok(rest),
        rest => Err(rest.len()),
    }
}

#[inline]
pub(super) fn blanks(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\t' | b'\r', behind @ ..] = rest {
        rest = behind;
    }
    rest
}

/// Past a string whose first quote lies behind. Whether an escape means a character is not asked.
fn string(mut rest: &[u8]) -> Past<'_> {
    loop {
        rest = match plain(rest) {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
            [b'\\', b'u', a, b, c, d, rest @ ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                rest
            }
            rest => return Err(rest.len()),
        };
    }
}

/// Past everything that stands for itself in a string: to the next quote, backslash or control character.
fn plain(mut rest: &[u8]) -> &[u8] {
    while let Some((eight, behind)) = rest.split_first_chunk() {
        let special = first_special(u64::from_le_bytes(*eight));
        if special < 8 {
            return rest.get(special..).unwrap_or_default();
        }
        rest = behind;
    }
    while let [byte, behind @ ..] = rest {
        if matches!(byte, b'"' | b'\\' | 0..b' ') {
            break;
        }
        rest = behind;
    }
    rest
}

/// Of eight bytes, the lowest first: which is the first quote, backslash or control character; 8 if there is none.
///
/// `(x - 0x01…01) & !x & 0x80…80` has the high bit of each byte of `x` that is zero. It may have that of a byte above a
/// zero too, to which that one's borrow went, but never of one below all zeros, and only the first counts.
fn first_special(bytes: u64) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let control = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    let quote = zero(bytes ^ (ONES * u64::from(b'"')));
    let backslash = zero(bytes ^ (ONES * u64::from(b'\\')));
    ((control | quote | backslash) & (ONES << 7)).trailing_zeros() as usize / 8
}

fn number(rest: &[u8]) -> Past<'_> {
    let rest = match rest {
        [b'-', rest @ ..] => rest,
        rest => rest,
    };
    let rest = match rest {
        [b'0', rest @ ..] => rest,
        rest => digits(rest)?,
    };
    let rest = match rest {
        [b'.', rest @ ..] => digits(rest)?,
        rest => rest,
    };
    match rest {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => digits(rest),
        rest => Ok(rest),
    }
}

/// Past one digit or more.
fn digits(rest: &[u8]) -> Past<'_> {
    let [b'0'..=b'9', behind @ ..] = rest else {
        return Err(rest.len());
    };
    let mut rest = behind;
    while let [b'0'..=b'9', behind @ ..] = rest {
        rest = behind;
    }
    Ok(rest)
}
