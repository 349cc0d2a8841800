//! Row predicates and field paths, as `--filter` and `--columns` take them: text in, checked values out.
//!
//! Grammar: `path op literal` joined by `and`. `op` is one of `=` `!=` `<` `<=` `>` `>=`. A literal is a JSON number,
//! `true`, `false`, `null`, text in single or double quotes, or a bare word, which ends at white space and is none that
//! could be meant otherwise: no `05`, `TRUE` or `a,b`. A path is a key, or keys joined by dots; a key in double quotes may
//! have any characters in it. A quote within quotes is doubled.
//!
//! Meaning, the same for NDJSON and Parquet: a missing field and a null match nothing but `= null`; present values match
//! `!= null`. A number compares with numbers by value. Quoted text compares with strings by code point. A bare word or an
//! unquoted number compares with a string as the text it was written as. Values of any other type match only `!=`. What
//! Parquet has beyond JSON compares as it is written (docs/values.md).

mod arrow;
mod number;
mod parse;

use std::fmt;

pub use self::parse::ParseError;

/// A conjunction of comparisons.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    /// All of these must hold; never empty.
    pub terms: Vec<Term>,
}

/// One comparison of a field with a literal.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// The field.
    pub path: FieldPath,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub literal: Literal,
}

/// Where a field is: the keys from the record down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath(pub Vec<String>);

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true` or `false`, unquoted.
    Bool(bool),
    /// An unquoted JSON number, as it was written.
    Number(String),
    /// A bare word, or text in quotes.
    Text(String),
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str(" and ")?;
            }
            write!(f, "{} {} {}", term.path, term.operator, term.literal)?;
        }
        Ok(())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if !key.is_empty() && key.chars().all(parse::may_be_unquoted) {
                f.write_str(key)?;
            } else {
                write!(f, "\"{}\"", key.replace('"', "\"\""))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}
