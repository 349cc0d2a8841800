//! Thrift's compact protocol ("thrift-compact-protocol.md" of the Thrift project), walked once without recursion: so nobody is
//! led into nesting without end, and lists are as long as they say, before the `parquet` crate believes any of it.

/// Structs, lists and maps within each other. Parquet's own have fewer than ten.
const NESTING_MAX: usize = 128;

/// Why bytes can't be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// They end too early.
    Short,
    /// They are no such text.
    Malformed,
    /// They are nested too deep.
    Deep,
}

/// What is told of a walk. A path is the numbers of the fields that lead to a value; elements of a list have the list's.
pub(super) trait Visitor {
    /// A number or a truth value.
    fn number(&mut self, path: &[i16], value: i64);
    /// Text or bytes.
    fn bytes(&mut self, _path: &[i16], _value: &[u8]) {}
    /// The end of a struct.
    fn end(&mut self, _path: &[i16]) {}
}

struct Frame {
    kind: Kind,
    /// Whether the last field of the path leads to it.
    has_path: bool,
}

enum Kind {
    Fields { last: i16 },
    Elements { element: u8, left: usize },
    Pairs { key: u8, value: u8, left: usize },
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Walks over one struct, and says how long it is.
pub(super) fn walk(text: &[u8], visitor: &mut impl Visitor) -> Result<usize, Trouble> {
    let mut cursor = Cursor { text, at: 0 };
    let mut path: Vec<i16> = Vec::new();
    let mut frames = vec![Frame {
        kind: Kind::Fields { last: 0 },
        has_path: false,
    }];
    while let Some(frame) = frames.last_mut() {
        let (kind, is_field) = match &mut frame.kind {
            Kind::Fields { last } => {
                let head = cursor.byte()?;
                if head == 0 {
                    visitor.end(&path);
                    (None, false)
                } else {
                    let number = match i16::from(head >> 4) {
                        0 => i16::try_from(cursor.number()?).map_err(|_| Trouble::Malformed)?,
                        step => last.checked_add(step).ok_or(Trouble::Malformed)?,
                    };
                    *last = number;
                    path.push(number);
                    (Some(head & 0xf), true)
                }
            }
            Kind::Elements { left: 0, .. } | Kind::Pairs { left: 0, .. } => (None, false),
            Kind::Elements { element, left } => {
                *left -= 1;
                (Some(*element), false)
            }
            Kind::Pairs { key, value, left } => {
                *left -= 1;
                (Some(if *left % 2 == 1 { *key } else { *value }), false)
            }
        };
        let Some(kind) = kind else {
            if frames.pop().is_some_and(|frame| frame.has_path) {
                path.pop();
            }
            continue;
        };
        let inner = match kind {
            // A field's truth value is its type; an element's is a byte.
            TRUE | FALSE if is_field => {
                visitor.number(&path, i64::from(kind == TRUE));
                None
            }
            TRUE | FALSE | BYTE => {
                visitor.number(&path, i64::from(cursor.byte()?));
                None
            }
            I16 | I32 | I64 => {
                visitor.number(&path, cursor.number()?);
                None
            }
            DOUBLE => {
                cursor.take(8)?;
                None
            }
            UUID => {
                cursor.take(16)?;
                None
            }
            BINARY => {
                let length = cursor.length()?;
                visitor.bytes(&path, cursor.take(length)?);
                None
            }
            LIST | SET => {
                let head = cursor.byte()?;
                let left = match head >> 4 {
                    15 => cursor.length()?,
                    short => usize::from(short),
                };
                // Each element has a byte at least.
                if left > cursor.left() {
                    return Err(Trouble::Short);
                }
                Some(Kind::Elements {
                    element: head & 0xf,
                    left,
                })
            }
            MAP => {
                let pairs = cursor.length()?;
                let kinds = if pairs == 0 { 0 } else { cursor.byte()? };
                let left = pairs.checked_mul(2).ok_or(Trouble::Malformed)?;
                if left > cursor.left() {
                    return Err(Trouble::Short);
                }
                let (key, value) = (kinds >> 4, kinds & 0xf);
                Some(Kind::Pairs { key, value, left })
            }
            STRUCT => Some(Kind::Fields { last: 0 }),
            _ => return Err(Trouble::Malformed),
        };
        match inner {
            Some(_) if frames.len() >= NESTING_MAX => return Err(Trouble::Deep),
            Some(kind) => frames.push(Frame {
                kind,
                has_path: is_field,
            }),
            None if is_field => {
                path.pop();
            }
            None => {}
        }
    }
    Ok(cursor.at)
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.text.len() - self.at
    }

    fn byte(&mut self) -> Result<u8, Trouble> {
        let byte = *self.text.get(self.at).ok_or(Trouble::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Trouble> {
        let end = self.at.checked_add(length).ok_or(Trouble::Malformed)?;
        let taken = self.text.get(self.at..end).ok_or(Trouble::Short)?;
        self.at = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Trouble> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Trouble::Malformed)
    }

    /// A number with its sign in the lowest bit.
    fn number(&mut self) -> Result<i64, Trouble> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn length(&mut self) -> Result<usize, Trouble> {
        u32::try_from(self.varint()?)
            .ok()
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(Trouble::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Visitor for Told {
        fn number(&mut self, path: &[i16], value: i64) {
            self.0.push(format!("{path:?}={value}"));
        }

        fn bytes(&mut self, path: &[i16], value: &[u8]) {
            self.0.push(format!("{path:?}={}", String::from_utf8_lossy(value)));
        }

        fn end(&mut self, path: &[i16]) {
            self.0.push(format!("{path:?} ends"));
        }
    }

    #[test]
    fn each_value_is_told_with_the_fields_that_lead_to_it() {
        let text = [
            0x15, 0x03, // 1: i32 -2
            0x11, // 2: true
            0x19, 0x2c, 0x18, 0x01, b'a', 0x00, 0x00, // 3: two structs, the first with 1: "a"
            0x1b, 0x01, 0x85, 0x01, b'k', 0x02, // 4: a map of "k" to 1
            0x05, 0xd0, 0x0f, 0x04, // 1000: i32 2
            0x00, 0xff,
        ];
        let mut told = Told::default();
        assert_eq!(walk(&text, &mut told), Ok(text.len() - 1));
        assert_eq!(
            told.0,
            [
                "[1]=-2", "[2]=1", "[3, 1]=a", "[3] ends", "[3] ends", "[4]=k", "[4]=1", "[1000]=2", "[] ends"
            ]
        );
        for cut in 0..text.len() - 1 {
            assert_eq!(walk(&text[..cut], &mut Told::default()), Err(Trouble::Short), "{cut}");
        }
    }

    #[test]
    fn nesting_without_end_and_lists_longer_than_the_text_are_refused() {
        assert_eq!(walk(&vec![0x1c; 100_000], &mut Told::default()), Err(Trouble::Deep));
        let lists = std::iter::repeat_n(0x19, 100_001);
        assert_eq!(
            walk(&lists.collect::<Vec<_>>(), &mut Told::default()),
            Err(Trouble::Deep)
        );
        let long = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        assert_eq!(walk(&long, &mut Told::default()), Err(Trouble::Short));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut told = Told::default();
            if let Ok(length) = walk(&text, &mut told) {
                prop_assert!(length <= text.len());
            }
            prop_assert!(told.0.len() <= 2 * text.len());
        }
    }
}
