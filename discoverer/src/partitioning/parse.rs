//! Reads an expression, and refuses what could not be meant.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Field, Partitioning, Piece};
use crate::filter::{Filters, TIME};

impl Partitioning {
    /// Reads the expression, and sees that every filter has its placeholder.
    pub(crate) fn new(expression: &str, filters: Filters) -> Result<Self> {
        let pieces = pieces(expression).with_context(|| format!("--partitioning: `{expression}`"))?;
        let has_time = pieces.iter().any(|piece| matches!(piece, Piece::Time(_)));
        for name in filters.names() {
            let present = if name == TIME {
                has_time
            } else {
                pieces
                    .iter()
                    .any(|piece| matches!(piece, Piece::Value(value) if value == name))
            };
            ensure!(
                present,
                "--filter: `{name}` has no placeholder of that name in --partitioning `{expression}`"
            );
        }
        let ambiguous = Self::is_ambiguous(&pieces);
        Ok(Self {
            pieces,
            filters,
            ambiguous,
        })
    }
}

fn pieces(expression: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = expression;
    while let Some((literal, behind)) = rest.split_once("${") {
        push_literal(&mut pieces, literal);
        let (inside, after) = behind.split_once('}').context("a `${` has no `}`")?;
        match inside.split_once(':') {
            Some((TIME, format)) => push_time(&mut pieces, format)?,
            None if inside == TIME => bail!("`${{_time}}` needs a format, as in `${{_time:%Y-%m-%d}}`"),
            _ => {
                let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
                ensure!(
                    !inside.is_empty() && inside.chars().all(is_name),
                    "`${{{inside}}}` is no placeholder: write `${{name}}` or `${{_time:%Y}}`"
                );
                pieces.push(Piece::Value(inside.to_owned()));
            }
        }
        rest = after;
    }
    push_literal(&mut pieces, rest);
    check_start(&pieces)?;
    check_readable(&pieces)?;
    check_time(&pieces)?;
    Ok(pieces)
}

/// Adds text, cut behind each slash.
fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    pieces.extend(text.split_inclusive('/').map(|part| Piece::Literal(part.to_owned())));
}

fn push_time(pieces: &mut Vec<Piece>, format: &str) -> Result<()> {
    let mut rest = format;
    let mut tokens = 0;
    while let Some((literal, behind)) = rest.split_once('%') {
        push_literal(pieces, literal);
        let mut behind = behind.chars();
        let field = match behind.next() {
            Some('Y') => Field::Year,
            Some('y') => Field::ShortYear,
            Some('m') => Field::Month,
            Some('d') => Field::Day,
            Some('j') => Field::DayOfYear,
            Some('H') => Field::Hour,
            Some('M') => Field::Minute,
            other => {
                let token = other.map(String::from).unwrap_or_default();
                bail!("`%{token}` is not supported: %Y %y %m %d %j %H %M are");
            }
        };
        pieces.push(Piece::Time(field));
        tokens += 1;
        rest = behind.as_str();
    }
    push_literal(pieces, rest);
    ensure!(tokens > 0, "`${{_time:{format}}}` has no token, as %Y is one");
    Ok(())
}

/// An expression begins behind the prefix, and with its slash if there is to be one.
fn check_start(pieces: &[Piece]) -> Result<()> {
    if let Some(Piece::Literal(first)) = pieces.first() {
        ensure!(
            !first.starts_with('/'),
            "begins with `/`, which would make `//` in keys: end the prefix with the `/`, and begin behind it"
        );
    }
    Ok(())
}

/// A name's end must be told by something: by text, by digits of a known number, or by the end.
fn check_readable(pieces: &[Piece]) -> Result<()> {
    for pair in pieces.windows(2) {
        if let [Piece::Value(first), Piece::Value(second)] = pair {
            bail!("`${{{first}}}${{{second}}}` can't be told apart: put text between them");
        }
    }
    Ok(())
}

/// The tokens together must name one stretch of time.
fn check_time(pieces: &[Piece]) -> Result<()> {
    let fields: BTreeSet<Field> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Time(field) => Some(*field),
            _ => None,
        })
        .collect();
    let has = |field| fields.contains(&field);
    let has_date = has(Field::DayOfYear) || has(Field::Month) && has(Field::Day);
    ensure!(
        fields.is_empty() || has(Field::Year) || has(Field::ShortYear),
        "the time needs a year: %Y or %y"
    );
    ensure!(!has(Field::Day) || has(Field::Month), "%d needs %m");
    ensure!(!has(Field::Hour) || has_date, "%H needs %m and %d, or %j");
    ensure!(!has(Field::Minute) || has(Field::Hour), "%M needs %H");
    Ok(())
}
