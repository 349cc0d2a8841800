//! Columns of bytes as text: as they are where they are UTF-8, as base64, or as hexadecimal digits.
//!
//! Many writers put text into columns without saying that it is text; Elasticsearch's own field type for bytes is base64.

use std::{fmt, io::Write as _, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Binary {
    /// Each value as text where its bytes are UTF-8, and as base64 where they are not.
    #[default]
    Text,
    /// Base64 with padding (RFC 4648 section 4), as Elasticsearch's field type `binary` takes it.
    Base64,
    /// Two hexadecimal digits for each byte, in lower case.
    Hex,
}

impl Binary {
    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Hex => "hex",
        }
    }

    /// Appends the text of a value, without quotes or escapes.
    pub fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Text if simdutf8::basic::from_utf8(value).is_ok() => out.extend_from_slice(value),
            Self::Text | Self::Base64 => {
                let start = out.len();
                out.resize(start + value.len().div_ceil(3) * 4, 0);
                BASE64_STANDARD
                    .encode_slice(value, &mut out[start..])
                    .expect("three bytes are four characters");
            }
            Self::Hex => {
                for byte in value {
                    write!(out, "{byte:02x}").expect("memory takes it");
                }
            }
        }
    }
}

impl FromStr for Binary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Text, Self::Base64, Self::Hex]
            .into_iter()
            .find(|form| form.name() == text)
            .ok_or_else(|| format!("bytes are written as text, base64 or hex, not as `{text}`"))
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_writes_every_value() {
        let text = |form: Binary, value: &[u8]| {
            let mut out = b"x".to_vec();
            form.write(value, &mut out);
            String::from_utf8(out.split_off(1)).unwrap()
        };
        assert_eq!(text(Binary::Text, "é\n".as_bytes()), "é\n");
        assert_eq!(text(Binary::Text, b"\xff\x00"), "/wA=");
        assert_eq!(text(Binary::Text, b""), "");
        assert_eq!(text(Binary::Base64, b"ERROR"), "RVJST1I=");
        assert_eq!(text(Binary::Hex, b"\x00\xff"), "00ff");
        assert_eq!("hex".parse(), Ok(Binary::Hex));
        assert!("utf8".parse::<Binary>().unwrap_err().contains("text, base64 or hex"));
    }
}
