//! Text to predicates and field paths. What is accepted is the grammar that the room's header gives, and no more: a filter
//! that was meant otherwise is refused here, with its place, rather than run.

mod word;

use std::str::FromStr;

use super::{FieldPath, Literal, Operator, Predicate, Term};

/// What helps where a key ends at a character that is not behind keys.
const KEY_IN_QUOTES: &str = "a key with other characters is written in double quotes, as in \"a (b)\"";

/// Why text is no predicate or field path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {character}: {problem}")]
pub struct ParseError {
    /// Where: 1 for the first character.
    pub character: usize,
    /// What is wrong there, and what would be right.
    pub problem: String,
}

impl FromStr for Predicate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { text, at: 0 };
        let mut terms = Vec::new();
        loop {
            terms.push(parser.term()?);
            parser.white_space();
            let start = parser.at;
            let word = parser.word();
            if word.is_empty() {
                return Ok(Self { terms });
            }
            if !word.eq_ignore_ascii_case("and") {
                let problem = format!("found `{word}`, expected `and` or the end; text with spaces needs quotes");
                return Err(parser.error(start, problem));
            }
        }
    }
}

impl FromStr for FieldPath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { text, at: 0 };
        let path = parser.path()?;
        parser.white_space();
        match parser.rest().chars().next() {
            None => Ok(path),
            Some(other) => Err(parser.error(
                parser.at,
                format!("found `{other}` behind the path, expected its end; {KEY_IN_QUOTES}"),
            )),
        }
    }
}

impl FieldPath {
    /// The paths of a list with commas between them.
    pub fn list(text: &str) -> Result<Vec<Self>, ParseError> {
        let mut parser = Parser { text, at: 0 };
        let mut paths = Vec::new();
        loop {
            paths.push(parser.path()?);
            parser.white_space();
            match parser.rest().chars().next() {
                None => return Ok(paths),
                Some(',') => parser.at += 1,
                Some(other) => {
                    return Err(parser.error(
                        parser.at,
                        format!("found `{other}` behind a path, expected a comma; {KEY_IN_QUOTES}"),
                    ));
                }
            }
        }
    }
}

/// Whether a key with this character in it can do without quotes.
pub(super) fn may_be_unquoted(character: char) -> bool {
    !character.is_whitespace() && !character.is_control() && character != '.' && !word::needs_quotes(character)
}

struct Parser<'a> {
    text: &'a str,
    /// Offset in bytes, always at a character's border.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> ParseError {
        ParseError {
            character: self.text[..at].chars().count() + 1,
            problem: problem.into(),
        }
    }

    fn white_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Everything up to white space.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let word = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn term(&mut self) -> Result<Term, ParseError> {
        let path = self.path()?;
        let operator_at = {
            self.white_space();
            self.at
        };
        let operator = self.operator()?;
        let literal = self.literal()?;
        if literal == Literal::Null && !matches!(operator, Operator::Equal | Operator::NotEqual) {
            return Err(self.error(operator_at, "null has no order: expected `=` or `!=`"));
        }
        Ok(Term {
            path,
            operator,
            literal,
        })
    }

    fn path(&mut self) -> Result<FieldPath, ParseError> {
        self.white_space();
        let mut keys = vec![self.key()?];
        while self.rest().starts_with('.') {
            self.at += 1;
            keys.push(self.key()?);
        }
        Ok(FieldPath(keys))
    }

    fn key(&mut self) -> Result<String, ParseError> {
        if self.rest().starts_with('"') {
            return self.quoted('"');
        }
        let rest = self.rest();
        let key = &rest[..rest.find(|character| !may_be_unquoted(character)).unwrap_or(rest.len())];
        if key.is_empty() {
            let found = rest
                .chars()
                .next()
                .map_or("the end".to_owned(), |found| format!("`{found}`"));
            return Err(self.error(
                self.at,
                format!("found {found}, expected a key, as in `user.name`; {KEY_IN_QUOTES}"),
            ));
        }
        self.at += key.len();
        Ok(key.to_owned())
    }

    /// Text in quotes, at the first of which the parser is.
    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let opening = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(length) = self.rest().find(quote) else {
                return Err(self.error(opening, format!("the {quote} that opens here is never closed")));
            };
            text.push_str(&self.rest()[..length]);
            self.at += length + 1;
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += 1;
        }
    }

    fn operator(&mut self) -> Result<Operator, ParseError> {
        const OPERATORS: [(&str, Operator); 6] = [
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (written, operator) in OPERATORS {
            if self.rest().starts_with(written) {
                self.at += written.len();
                if self.rest().starts_with(['=', '<', '>', '!']) {
                    break;
                }
                return Ok(operator);
            }
        }
        let found = match self.rest().chars().next() {
            Some(found) if !found.is_whitespace() && !may_be_unquoted(found) => {
                format!(", not `{found}`; {KEY_IN_QUOTES}")
            }
            Some(found) => format!(", not `{found}`"),
            None => String::new(),
        };
        Err(self.error(
            self.at,
            format!("expected one of `=` `!=` `<` `<=` `>` `>=` behind the path{found}"),
        ))
    }

    fn literal(&mut self) -> Result<Literal, ParseError> {
        self.white_space();
        if let Some(quote) = self.rest().chars().next().filter(|first| matches!(first, '"' | '\'')) {
            return self.quoted(quote).map(Literal::Text);
        }
        let start = self.at;
        match self.word() {
            "" => Err(self.error(start, "expected a value: a number, true, false, null or text")),
            word => word::literal(word).map_err(|problem| self.error(start, problem)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Predicate {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn literal(text: &str) -> Literal {
        parsed(&format!("a = {text}")).terms.remove(0).literal
    }

    fn refused(text: &str) -> String {
        text.parse::<Predicate>().expect_err(text).to_string()
    }

    #[test]
    fn comparisons_are_joined_by_and() {
        let predicate = parsed(" user.name=alice AND \"a.b\".c >= -1.5e3 and d != null");
        assert_eq!(
            predicate.to_string(),
            "user.name = 'alice' and \"a.b\".c >= -1.5e3 and d != null"
        );
        assert_eq!(
            predicate.terms[1].path,
            FieldPath(vec!["a.b".to_owned(), "c".to_owned()])
        );
    }

    #[test]
    fn literals_are_told_apart_by_how_they_are_written() {
        assert_eq!(literal("true"), Literal::Bool(true));
        assert_eq!(literal("'true'"), Literal::Text("true".to_owned()));
        assert_eq!(literal("200"), Literal::Number("200".to_owned()));
        assert_eq!(literal("\"200\""), Literal::Text("200".to_owned()));
        assert_eq!(literal("2024-05-01"), Literal::Text("2024-05-01".to_owned()));
        assert_eq!(literal("'it''s \"x\"'"), Literal::Text("it's \"x\"".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert!(refused("").starts_with("character 1: found the end, expected a key"));
        assert!(refused("é ~ 1").starts_with("character 3: expected one of"));
        assert!(refused("a == 1").starts_with("character 4: expected one of"));
        assert!(refused("a = ").starts_with("character 5: expected a value"));
        assert!(refused("a = and b = 1").starts_with("character 5: found `and`"));
        assert!(refused("a = 1 or b = 2").starts_with("character 7: found `or`, expected `and`"));
        assert!(refused("a = 1 and").starts_with("character 10: found the end, expected a key"));
        assert!(refused("a = 'x").starts_with("character 5: the ' that opens here"));
        assert!(refused("a < null").starts_with("character 3: null has no order"));
        assert!(refused("a. = 1").starts_with("character 3: found ` `, expected a key"));
    }

    #[test]
    fn filters_that_were_meant_otherwise_are_refused() {
        for (text, problem) in [
            ("status = 05", "character 10: `05` is no JSON number: write 5"),
            ("ok = TRUE and x = 1", "character 6: found `TRUE`: write true"),
            ("status = 500,502", "character 10: `500,502` has `,` in it"),
            ("status=500 and k=v=7", "character 18: `v=7` has `=` in it"),
            ("status = 500;", "character 10: `500;` has `;` in it"),
            ("(status = 500)", "character 1: found `(`, expected a key"),
            ("items[0].status = 500", "character 6: expected one of"),
            ("lower(name) = x", "character 6: expected one of"),
            ("name = 'x',", "character 11: found `,`, expected `and`"),
        ] {
            let refusal = refused(text);
            assert!(refusal.starts_with(problem), "{text}: {refusal}");
        }
        assert!(FieldPath::list("a;b").is_err());
        assert_eq!(FieldPath::list("\"items[0]\",count").unwrap().len(), 2);
    }

    #[test]
    fn paths_stand_alone_and_in_lists() {
        assert_eq!("a.b".parse::<FieldPath>().unwrap().0, ["a", "b"]);
        assert!("a b".parse::<FieldPath>().is_err());
        let list = FieldPath::list("a.b, \"c,d\",e").unwrap();
        assert_eq!(
            list.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a.b", "\"c,d\"", "e"]
        );
        assert!(FieldPath::list("a,,b").is_err());
    }

    fn any_literal() -> impl Strategy<Value = Literal> {
        prop_oneof![
            Just(Literal::Null),
            any::<bool>().prop_map(Literal::Bool),
            any::<i64>().prop_map(|number| Literal::Number(number.to_string())),
            "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?".prop_map(Literal::Number),
            any::<String>().prop_map(Literal::Text),
        ]
    }

    fn any_term() -> impl Strategy<Value = Term> {
        let operators = [
            Operator::Equal,
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Greater,
            Operator::GreaterOrEqual,
        ];
        let path = prop::collection::vec(any::<String>(), 1..4).prop_map(FieldPath);
        (path, prop::sample::select(operators.to_vec()), any_literal()).prop_map(|(path, operator, literal)| Term {
            path,
            operator: if literal == Literal::Null {
                Operator::NotEqual
            } else {
                operator
            },
            literal,
        })
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a\"'.=<> !and,10é(x_+-]{0,24}|\\PC{0,24}") {
            let _ = text.parse::<FieldPath>();
            let _ = FieldPath::list(&text);
            if let Ok(predicate) = text.parse::<Predicate>() {
                prop_assert_eq!(predicate.to_string().parse::<Predicate>(), Ok(predicate));
            }
        }

        #[test]
        fn what_is_written_reads_back(terms in prop::collection::vec(any_term(), 1..4)) {
            let predicate = Predicate { terms };
            prop_assert_eq!(predicate.to_string().parse::<Predicate>(), Ok(predicate));
        }
    }
}
