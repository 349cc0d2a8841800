//! Why a line is not a record: where and what, small enough to travel in a register through the walk.

/// What is wrong at a place. Made on the hot path's edge, put into words only when a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault(u64);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    ExpectedObject,
    ExpectedValue,
    ExpectedKey,
    ExpectedKeyOrEnd,
    ExpectedColon,
    ExpectedCommaOrBrace,
    ExpectedCommaOrBracket,
    ExpectedLineEnd,
    ExpectedDigit,
    LeadingZero,
    BadLiteral,
    BadEscape,
    ControlCharacter,
    TooDeep,
    DuplicateKey,
    KeyNotText,
    TooManyKeys,
}

const ALL: [What; 17] = [
    What::ExpectedObject,
    What::ExpectedValue,
    What::ExpectedKey,
    What::ExpectedKeyOrEnd,
    What::ExpectedColon,
    What::ExpectedCommaOrBrace,
    What::ExpectedCommaOrBracket,
    What::ExpectedLineEnd,
    What::ExpectedDigit,
    What::LeadingZero,
    What::BadLiteral,
    What::BadEscape,
    What::ControlCharacter,
    What::TooDeep,
    What::DuplicateKey,
    What::KeyNotText,
    What::TooManyKeys,
];

impl Fault {
    /// A fault at a place of the text. A `u64` and not a struct, so that `Result<usize, Fault>` is returned in two
    /// registers.
    #[cold]
    pub(super) fn new(at: usize, what: What) -> Self {
        Self((at as u64) << 8 | what as u64)
    }

    pub(super) fn at(self) -> usize {
        (self.0 >> 8) as usize
    }

    pub(super) fn what(self) -> What {
        ALL[(self.0 & 0xff) as usize]
    }

    /// The reason in words. `line` is the record's place in `text`, without its line ending; places are said as the
    /// number of bytes before them in the line. `key` is the key that the fault is about, where it is about one.
    pub(super) fn reason(self, text: &[u8], line: std::ops::Range<usize>, key: &str) -> String {
        let byte = self.at().saturating_sub(line.start);
        let ended = self.at() >= line.end;
        let expected = |what: &str| {
            if ended {
                format!("not a JSON object: expected {what} at byte {byte}, where the line ends")
            } else {
                format!("not a JSON object: expected {what} at byte {byte}")
            }
        };
        match self.what() {
            What::ExpectedObject => expected("'{'"),
            What::ExpectedValue => expected("a value"),
            What::ExpectedKey => expected("a key in double quotes"),
            What::ExpectedKeyOrEnd => expected("a key in double quotes or '}'"),
            What::ExpectedColon => expected("':'"),
            What::ExpectedCommaOrBrace => expected("',' or '}'"),
            What::ExpectedCommaOrBracket => expected("',' or ']'"),
            What::ExpectedLineEnd if text.get(self.at()) == Some(&b'{') => {
                format!("not one JSON object: another object follows on the same line at byte {byte}")
            }
            What::ExpectedLineEnd => expected("the end of the line"),
            What::ExpectedDigit => expected("a digit"),
            What::LeadingZero => format!("not a JSON object: a number with a leading zero at byte {byte}"),
            What::BadLiteral => expected("true, false or null"),
            What::BadEscape => format!("not a JSON object: an escape that JSON does not have at byte {byte}"),
            What::ControlCharacter if ended => {
                format!("not a JSON object: a string without its closing quote at byte {byte}, where the line ends")
            }
            What::ControlCharacter => {
                let code = text.get(self.at()).copied().unwrap_or_default();
                format!("not a JSON object: control character U+{code:04X} in a string at byte {byte}")
            }
            What::TooDeep => format!("nested deeper than {} levels at byte {byte}", super::walk::DEPTH_MAX),
            What::DuplicateKey => format!("duplicate key {key:?} at byte {byte}"),
            What::KeyNotText => {
                format!("a key with half of a surrogate pair, which no column can be named, at byte {byte}")
            }
            What::TooManyKeys => {
                format!(
                    "more than {} keys in one record, too many for columns",
                    super::decode::ROOT_KEYS_MAX
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_gives_back_what_and_where() {
        for what in ALL {
            let fault = Fault::new(1 << 40, what);
            assert_eq!((fault.at(), fault.what()), (1 << 40, what));
        }
    }
}
