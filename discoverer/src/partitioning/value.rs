//! How the values of partitions are written into keys, by Hive and all that came after it: percent-encoded as far as each
//! writer thinks fit, and null by a name of its own.

use std::borrow::Cow;

/// What stands for null, whose partition still has to have a name (`hive.exec.default.partition.name`).
pub(crate) const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A value as it was before it was written into a key. What is no percent-encoding of text stays as it is: other layouts
/// may well have a `%` of their own.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(value) => Cow::Owned(value),
        Err(_) => Cow::Borrowed(text),
    }
}

/// Whether every writer writes a value as it is, so that its prefix is known without looking: these characters are not to
/// be encoded (RFC 3986, 2.3).
pub(crate) fn is_written_one_way(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

/// The value of a hexadecimal digit.
fn digit(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter - b'0',
        _ => letter.to_ascii_lowercase() - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encoded_values_are_decoded_and_others_stay() {
        for (text, expected) in [
            ("10%3A30", "10:30"),
            ("a%2fb", "a/b"),
            ("%C3%A9", "é"),
            ("50%25", "50%"),
            ("a+b", "a+b"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("%+1", "%+1"),
            ("%ff", "%ff"),
            ("", ""),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(value in any::<String>(), plain in prop::collection::vec(any::<bool>(), 64)) {
            let mut text = String::new();
            for (at, letter) in value.chars().enumerate() {
                let mut utf8 = [0; 4];
                let is_plain = letter != '%' && plain[at % plain.len()];
                match letter {
                    letter if is_plain => text.push(letter),
                    letter => for byte in letter.encode_utf8(&mut utf8).bytes() {
                        write!(text, "%{byte:02X}").unwrap();
                    },
                }
            }
            prop_assert_eq!(decoded(&text), value);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[%0-9a-gé+]{0,12}") {
            decoded(&text);
        }
    }
}
