//! What JSON's escapes stand for.

use super::{
    fault::{Fault, What},
    scan, walk,
};

/// Checks the escape whose backslash is at `at`, appends what it stands for, and returns the place behind it. Half of a
/// surrogate pair is in RFC 8259's grammar but is no character: it is appended as the three bytes that UTF-8 would have
/// for it, and `is_text` becomes false.
pub(super) fn decode(text: &[u8], at: usize, out: &mut Vec<u8>, is_text: &mut bool) -> Result<usize, Fault> {
    match text[at + 1] {
        b'u' => decode_unicode(text, at, out, is_text),
        letter => {
            out.push(simple(letter).ok_or(Fault::new(at, What::BadEscape))?);
            Ok(at + 2)
        }
    }
}

/// What the escape of this letter stands for, if it is one of two bytes.
#[inline]
pub(super) fn simple(letter: u8) -> Option<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Some(letter),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'r' => Some(b'\r'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

fn decode_unicode(text: &[u8], at: usize, out: &mut Vec<u8>, is_text: &mut bool) -> Result<usize, Fault> {
    let mut behind = walk::escape(text, at)?;
    let mut code = unit(text, at);
    if (0xd800..0xdc00).contains(&code) && text[behind..].starts_with(b"\\u") {
        let next = walk::escape(text, behind)?;
        let low = unit(text, behind);
        if (0xdc00..0xe000).contains(&low) {
            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            behind = next;
        }
    }
    if let Some(character) = char::from_u32(code) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        *is_text = false;
        out.extend([
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]);
    }
    Ok(behind)
}

/// The code unit of the `\u` escape at `at`, whose digits were checked.
fn unit(text: &[u8], at: usize) -> u32 {
    text[at + 2..at + 6].iter().fold(0, |code, digit| {
        code << 4 | char::from(*digit).to_digit(16).unwrap_or(0)
    })
}

/// Appends what a string stands for, from behind its opening quote on, and returns the place behind its closing one.
pub(super) fn string(text: &[u8], mut at: usize, out: &mut Vec<u8>, is_text: &mut bool) -> Result<usize, Fault> {
    loop {
        let stop = scan::string_stop(text, at);
        out.extend_from_slice(&text[at..stop]);
        match text[stop] {
            b'"' => return Ok(stop + 1),
            b'\\' => at = decode(text, stop, out, is_text)?,
            _ => return Err(Fault::new(stop, What::ControlCharacter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> (Result<usize, What>, Vec<u8>, bool) {
        let mut out = Vec::new();
        let mut is_text = true;
        let text = format!("{json}\n          ");
        let end = string(text.as_bytes(), 1, &mut out, &mut is_text).map_err(Fault::what);
        (end, out, is_text)
    }

    #[test]
    fn escapes_become_what_they_stand_for() {
        let json = r#""a\"\\\/\b\f\n\r\t\u0041\u00e9\u65E5\ud83d\ude00z""#;
        let (end, out, is_text) = decoded(json);
        assert_eq!((end, is_text), (Ok(json.len()), true));
        assert_eq!(out, "a\"\\/\u{8}\u{c}\n\r\tAé日😀z".as_bytes());
    }

    #[test]
    fn half_of_a_surrogate_pair_is_no_text() {
        for json in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\n""#,
            r#""\ud800\u0041""#,
            r#""\udc00\ud800""#,
        ] {
            let (end, _, is_text) = decoded(json);
            assert_eq!((end, is_text), (Ok(json.len()), false), "{json}");
        }
        assert_eq!(decoded(r#""\ud800\ud83d\ude00""#).1, b"\xed\xa0\x80\xf0\x9f\x98\x80");
    }

    #[test]
    fn escapes_that_json_does_not_have_are_refused() {
        for json in [r#""\x""#, r#""\u00""#, r#""\u00g0""#, r#""\ud800\u1""#, r#""\"#] {
            assert_eq!(decoded(json).0, Err(What::BadEscape), "{json}");
        }
    }
}
