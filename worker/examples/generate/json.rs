//! A record as one line of JSON.

use std::io::Write as _;

use crate::record::{Content, Draw, Field, Row};

/// Once in so many rows, text beyond ASCII is spelled with `\u` escapes: the same text in other bytes.
const ESCAPED_ROWS: u64 = 64;

/// Makes lines; holds the buffers that are used again for each.
pub(crate) struct Lines<'a> {
    fields: &'a [Field],
    shuffles_keys: bool,
    order: Vec<usize>,
    scratch: String,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(fields: &'a [Field], shuffles_keys: bool) -> Self {
        Self {
            fields,
            shuffles_keys,
            order: (0..fields.len()).collect(),
            scratch: String::new(),
        }
    }

    /// Appends the row's line with its newline.
    pub(crate) fn write(&mut self, row: Row, out: &mut Vec<u8>) {
        let mut draw = row.draw(0);
        let ascii = draw.once_in(ESCAPED_ROWS);
        if self.shuffles_keys {
            shuffle(&mut self.order, &mut draw);
        }
        let fields = self.order.iter().map(|&field| &self.fields[field]);
        write_object(fields, row, ascii, &mut self.scratch, out);
        out.push(b'\n');
    }
}

/// Puts the order anew, from the sorted one, so that a row's order depends on nothing but the row.
fn shuffle(order: &mut [usize], draw: &mut Draw) {
    for (position, field) in order.iter_mut().enumerate() {
        *field = position;
    }
    for end in (1..order.len()).rev() {
        order.swap(end, draw.below(end as u64 + 1) as usize);
    }
}

fn write_object<'f>(
    fields: impl Iterator<Item = &'f Field>,
    row: Row,
    ascii: bool,
    scratch: &mut String,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    let mut separator: &[u8] = b"";
    for field in fields.filter(|field| field.is_present(row)) {
        out.extend_from_slice(separator);
        separator = b",";
        write_text(&field.name, ascii, out);
        out.push(b':');
        write_value(field, row, ascii, scratch, out);
    }
    out.push(b'}');
}

fn write_value(field: &Field, row: Row, ascii: bool, scratch: &mut String, out: &mut Vec<u8>) {
    let mut draw = field.draw(row);
    scratch.clear();
    match &field.content {
        Content::Bool(make) => out.extend_from_slice(if make(&mut draw) { b"true" } else { b"false" }),
        Content::Int(make) => write!(out, "{}", make(&mut draw)).expect("writing to memory cannot fail"),
        Content::Float(make) => write!(out, "{:?}", make(&mut draw)).expect("writing to memory cannot fail"),
        Content::Text(make) => {
            make(&mut draw, scratch);
            write_text(scratch, ascii, out);
        }
        Content::Json(make) => {
            make(&mut draw, scratch);
            out.extend_from_slice(scratch.as_bytes());
        }
        Content::Texts(make) => {
            make(&mut draw, scratch);
            out.push(b'[');
            for (position, text) in scratch.split_terminator('\0').enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_text(text, ascii, out);
            }
            out.push(b']');
        }
        Content::Group(fields) => write_object(fields.iter(), row, ascii, scratch, out),
    }
}

fn write_text(text: &str, ascii: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\t' => out.extend_from_slice(b"\\t"),
            ' '..='~' => out.push(character as u8),
            _ if ascii || character.is_ascii_control() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to memory cannot fail");
                }
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
