//! Parses SQL, rewrites it before planning, and finds the places of names in the text.
//!
//! Places are lines and columns of the parsed text; the engine maps them to the file that the text came from.
//! This module knows the table of indicators and plans nothing.

mod depth;
mod diagnose;
mod distinct_from;
mod dropped_clauses;
mod indicator_calls;
mod lint;
mod message_patterns;
mod misread_forms;
mod named_windows;
mod nested_windows;
mod qualify_clause;
mod table_references;
mod tuples;
mod using_columns;
mod walk;

use crate::sql::table_references::TableReferences;
use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, SelectItem, SetExpr, Spanned, Statement, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

use crate::error::{Error, Result, TextPlace};
use crate::limits::STATEMENT_DEPTH;

pub use diagnose::diagnose_error;

/// One parsed statement.
#[derive(Clone, Debug)]
pub struct Sql {
    statement: Parsed,
}

/// An output column of a query as written.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectOutput {
    /// Its name; None for a wildcard.
    pub name: Option<String>,
    /// Its place in the text.
    pub place: TextPlace,
}

/// Parses exactly one statement.
///
/// # Errors
/// The text has a syntax error, no statement, or more than one.
pub fn parse(text: &str) -> Result<Sql> {
    depth::check_depth(text)?;
    let parsed = DFParserBuilder::new(text)
        .with_recursion_limit(STATEMENT_DEPTH)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| diagnose_error(&error, text, &[]))?;
    let mut statements = parsed.into_iter();
    match (statements.next(), statements.next()) {
        (Some(statement), None) => Ok(Sql { statement }),
        (None, _) => Err(Error::query("there is no statement").hint("write a SELECT")),
        (Some(_), Some(second)) => {
            let error = Error::query("there is more than one statement").hint("give one at a time");
            Err(match &second {
                Parsed::Statement(second) => error.at_place(span_place(second.span())),
                _ => error,
            })
        }
    }
}

impl Sql {
    /// Returns the statement, for planning.
    pub fn into_statement(self) -> Parsed {
        self.statement
    }

    /// Returns the normalized text of the statement. Statements that differ only in white space, comments and
    /// the case of keywords have the same text.
    pub fn normalized_text(&self) -> String {
        self.statement.to_string()
    }

    /// Returns the query, if the statement is one.
    pub fn query(&self) -> Option<&Query> {
        match &self.statement {
            Parsed::Statement(statement) => match statement.as_ref() {
                Statement::Query(query) => Some(query),
                _ => None,
            },
            _ => None,
        }
    }

    /// Resolves named windows, completes calls of indicators, hoists nested windows, and rewrites forms that
    /// DataFusion reads differently.
    ///
    /// # Errors
    /// A call has wrong arguments, a window is unknown, or nested windows cannot be hoisted.
    pub fn rewrite_statement(&mut self) -> Result<()> {
        if let Parsed::CopyTo(copy) = &mut self.statement {
            return match &mut copy.source {
                CopyToSource::Query(query) => rewrite_queries(query.as_mut()),
                CopyToSource::Relation(_) => Ok(()),
            };
        }
        let statement = match &mut self.statement {
            Parsed::Statement(statement) => statement.as_mut(),
            Parsed::Explain(explain) => match explain.statement.as_mut() {
                Parsed::Statement(statement) => statement.as_mut(),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        rewrite_queries(statement)
    }

    /// Returns the location that a COPY writes to, also behind EXPLAIN, which may run it.
    pub fn copy_target(&self) -> Option<&str> {
        match self.explained_statement() {
            Parsed::CopyTo(copy) => Some(&copy.target),
            _ => None,
        }
    }

    /// Makes a COPY write to another location.
    pub fn set_copy_target(&mut self, place: String) {
        let mut parsed = &mut self.statement;
        while let Parsed::Explain(explain) = parsed {
            parsed = explain.statement.as_mut();
        }
        if let Parsed::CopyTo(copy) = parsed {
            copy.target = place;
        }
    }

    /// Returns the locations of CREATE EXTERNAL TABLE; empty for any other statement.
    pub fn external_locations(&self) -> &[String] {
        match self.explained_statement() {
            Parsed::CreateExternalTable(table) => &table.locations,
            _ => &[],
        }
    }

    /// Returns the statement without EXPLAIN in front of it.
    /// Returns whether it is RESET, which DataFusion parses by itself.
    fn is_reset(&self) -> bool {
        matches!(self.explained_statement(), Parsed::Reset(_))
    }

    fn explained_statement(&self) -> &Parsed {
        let mut parsed = &self.statement;
        while let Parsed::Explain(explain) = parsed {
            parsed = explain.statement.as_ref();
        }
        parsed
    }

    /// Returns the tables that the statement reads, without the names that its WITH clauses define.
    pub fn referenced_tables(&self) -> Vec<(String, TextPlace)> {
        let mut tables = TableReferences::default();
        let _ = self.visit_statement(&mut tables);
        if let Parsed::CopyTo(copy) = &self.statement
            && let CopyToSource::Relation(name) = &copy.source
        {
            tables.add_relation(name);
        }
        let mut seen = std::collections::BTreeSet::new();
        tables.read.retain(|(name, _)| seen.insert(name.clone()));
        tables.read
    }

    /// Returns whether a word occurs in the statement anywhere but directly behind AS.
    pub fn mentions_word(&self, word: &str) -> bool {
        let text = self.normalized_text();
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, &text).tokenize() else { return true };
        let mut behind_as = false;
        tokens.into_iter().any(|token| match token {
            Token::Whitespace(_) => false,
            Token::Word(found) => {
                let after = std::mem::replace(&mut behind_as, found.keyword == Keyword::AS);
                let ident = Ident {
                    value: found.value,
                    quote_style: found.quote_style,
                    span: Span::empty(),
                };
                !after && normalize_ident(&ident) == word
            }
            _ => {
                behind_as = false;
                false
            }
        })
    }

    /// Passes all nodes of the statement to a visitor, also those behind EXPLAIN or in COPY.
    fn visit_statement<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break> {
        match self.explained_statement() {
            Parsed::Statement(statement) => walk::read(statement.as_ref(), visitor),
            Parsed::CopyTo(copy) => match &copy.source {
                CopyToSource::Query(query) => walk::read(query.as_ref(), visitor),
                CopyToSource::Relation(_) => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }

    /// Returns the output columns of the query as written.
    ///
    /// # Errors
    /// An output is an expression without a name, or the statement is no SELECT.
    pub fn select_outputs(&self) -> Result<Vec<SelectOutput>> {
        let Some(query) = self.query() else {
            return Err(Error::query("a feature set is one SELECT").hint("write a SELECT"));
        };
        let mut body = query.body.as_ref();
        let select = loop {
            match body {
                SetExpr::Select(select) => break select,
                SetExpr::SetOperation { left, .. } => body = left,
                SetExpr::Query(query) => body = &query.body,
                _ => return Err(Error::query("a feature set is one SELECT")),
            }
        };
        select.projection.iter().map(output_from_item).collect()
    }
}

/// Resolves named windows, completes calls of indicators, hoists nested windows, and rewrites forms that
/// DataFusion reads differently.
fn rewrite_queries(part: &mut impl VisitMut) -> Result<()> {
    struct QueryRewriter;
    impl VisitorMut for QueryRewriter {
        type Break = Error;
        fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
            distinct_from::bind_distinct_from(query);
            using_columns::qualify_using_columns(query);
            let rewritten = tuples::expand_tuples(query)
                .and_then(|()| named_windows::resolve_windows(query))
                .and_then(|()| indicator_calls::complete_calls(query))
                .and_then(|()| nested_windows::hoist_windows(query));
            match rewritten {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        }
    }
    match walk::rewrite(part, &mut QueryRewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn output_from_item(item: &SelectItem) -> Result<SelectOutput> {
    let at = location_place(item.span().start);
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(normalize_ident(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(normalize_ident(ident)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(normalize_ident)
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => None,
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAliases { .. } => {
            return Err(Error::query(format!("the output {item} has no name"))
                .hint("add AS and a name")
                .at_place(at));
        }
    };
    Ok(SelectOutput { name, place: at })
}

/// Returns an identifier as DataFusion reads it: in lower case unless quoted.
fn normalize_ident(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Returns a place in the parsed text; the engine adds the file.
fn location_place(location: Location) -> TextPlace {
    TextPlace {
        file: String::new(),
        line: usize::try_from(location.line).unwrap_or(1).max(1),
        column: usize::try_from(location.column).unwrap_or(1).max(1),
    }
}

fn span_place(span: Span) -> TextPlace {
    location_place(span.start)
}
