//! Checks the depth of a statement before it is parsed: the parser, the planner and the plans they produce
//! are walked recursively.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};

use super::span_place;
use crate::error::{Error, Result, group_digits};
use crate::limits::{
    EXPRESSION_OPERATORS, STATEMENT_CASES, STATEMENT_PARTS, check_statement_length,
};

/// Refuses a statement that is longer or deeper than the limits.
pub(super) fn check_depth(text: &str) -> Result<()> {
    check_statement_length(text)?;
    // The parser reports text that is no SQL.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location() else {
        return Ok(());
    };
    let (mut open, mut level, mut parts) = (Vec::new(), BracketLevel::default(), 0);
    let mut cases = 0_usize;
    for token in tokens {
        match &token.token {
            Token::Word(word) if word.keyword == Keyword::CASE => cases += 1,
            Token::Word(word) if word.keyword == Keyword::END => cases = cases.saturating_sub(1),
            Token::LParen | Token::LBracket => {
                level.depth += usize::from(token.token == Token::LBracket);
                open.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket => {
                let inner = level.max_depth();
                level = open.pop().unwrap_or_default();
                level.depth += inner;
            }
            Token::Comma | Token::SemiColon => {
                parts += usize::from(level.lists_tables);
                level.end_expression();
            }
            Token::Word(word) if is_join_or_union(word) => {
                parts += 1;
                level.end_expression();
            }
            Token::Word(word) if is_expression_end(word) => {
                level.lists_tables = word.keyword == Keyword::FROM;
                level.end_expression();
            }
            token if is_operator(token) => level.depth += 1,
            _ => {}
        }
        if level.depth > EXPRESSION_OPERATORS {
            let most = group_digits(EXPRESSION_OPERATORS as u64);
            return Err(Error::query(format!(
                "an expression goes past the limit of {most} operators"
            ))
            .hint("write IN (...) for a chain of OR, or compute parts of it in a WITH query")
            .at_place(span_place(token.span)));
        }
        if cases > STATEMENT_CASES {
            return Err(Error::query(format!(
                "CASE stands in CASE past the limit of {STATEMENT_CASES} levels"
            ))
            .hint("write one CASE with more WHEN, or compute parts of it in a WITH query")
            .at_place(span_place(token.span)));
        }
        if parts > STATEMENT_PARTS {
            let most = group_digits(STATEMENT_PARTS as u64);
            return Err(Error::query(format!(
                "the statement goes past the limit of {most} tables and queries put together by JOIN, UNION and commas"
            ))
            .hint("put their rows into one source, or name its files with a glob")
            .at_place(span_place(token.span)));
        }
    }
    Ok(())
}

/// The counts of one bracket level.
#[derive(Default)]
struct BracketLevel {
    /// Operators of the current expression so far, including those in its brackets.
    depth: usize,
    /// The largest count of an earlier expression at this level.
    before: usize,
    /// True if FROM is the latest keyword that begins a clause: commas then separate tables.
    lists_tables: bool,
}

impl BracketLevel {
    fn end_expression(&mut self) {
        self.before = self.max_depth();
        self.depth = 0;
    }

    fn max_depth(&self) -> usize {
        self.before.max(self.depth)
    }
}

fn is_join_or_union(word: &Word) -> bool {
    use Keyword::{EXCEPT, INTERSECT, JOIN, UNION};
    matches!(word.keyword, UNION | EXCEPT | INTERSECT | JOIN)
}

/// Returns whether an expression ends before a word.
fn is_expression_end(word: &Word) -> bool {
    use Keyword::{
        BY, ELSE, FROM, GROUP, HAVING, LIMIT, ON, ORDER, QUALIFY, SELECT, THEN, WHEN, WHERE, WINDOW,
    };
    matches!(
        word.keyword,
        SELECT
            | FROM
            | WHERE
            | GROUP
            | ORDER
            | BY
            | HAVING
            | QUALIFY
            | WINDOW
            | LIMIT
            | ON
            | WHEN
            | THEN
            | ELSE
    )
}

fn is_operator(token: &Token) -> bool {
    use Keyword::{AND, AT, BETWEEN, ILIKE, IS, LIKE, NOT, OR};
    match token {
        Token::Word(word) => {
            word.quote_style.is_none()
                && matches!(word.keyword, AND | OR | NOT | IS | LIKE | ILIKE | BETWEEN | AT)
        }
        Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat
        | Token::Eq
        | Token::DoubleEq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Spaceship
        | Token::DoubleColon
        | Token::Pipe
        | Token::Ampersand
        | Token::Caret
        | Token::Sharp
        | Token::Tilde
        | Token::ShiftLeft
        | Token::ShiftRight
        | Token::Arrow
        | Token::LongArrow => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_statements_are_refused_and_wide_ones_are_not() {
        let chain =
            |link: &str, links: usize| format!("SELECT close{} AS x FROM bars", link.repeat(links));
        for link in ["+1", " OR a = 1", "||'a'", "::double", " + (1 + 1)", "[1]", " + f(1, 2 * 3)"]
        {
            assert!(check_depth(&chain(link, 100)).is_ok(), "{link}");
            let told = check_depth(&chain(link, 1_001)).map_err(|error| error.to_string());
            assert!(told.is_err_and(|told| told.contains("limit of 1,000 operators")), "{link}");
        }
        // Operators within brackets count too.
        let halves = format!("SELECT (a{}) + (a{})", "+1".repeat(600), "+1".repeat(600));
        assert!(check_depth(&halves).is_err());
        for wide in [
            chain(", close + 1 AS y", 5_000),
            format!("SELECT a IN ({}1)", "1 + 1, ".repeat(5_000)),
        ] {
            assert!(check_depth(&wide).is_ok());
        }
        let union = |queries: usize| vec!["SELECT 1"; queries].join(" UNION ALL ");
        assert!(check_depth(&union(501)).is_ok());
        assert!(
            check_depth(&union(502))
                .is_err_and(|error| error.to_string().contains("limit of 500 tables"))
        );
    }
}
