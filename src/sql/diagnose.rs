//! Turns an error of DataFusion into one sentence with its place in the text and a hint.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{location_place, message_patterns};
use crate::error::{Error, TextPlace, did_you_mean, nearest_name};
use crate::limits::STATEMENT_DEPTH;

/// Returns one sentence for an error of planning or running `text`. `tables` are the names that FROM may use.
pub fn diagnose_error(error: &DataFusionError, text: &str, tables: &[String]) -> Error {
    if let Some(own) = find_wrapped_error(error) {
        return own.clone();
    }
    tracing::debug!("DataFusion: {}", error.strip_backtrace());
    let root = error.find_root();
    let spanned = diagnostic_place(error);
    let located =
        |name: &str, call: bool| spanned.clone().or_else(|| find_word_place(text, name, call));
    match root {
        DataFusionError::SchemaError(schema, _) => {
            schema_error(schema, located, &|name| text.contains(&format!("\"{name}\"")))
        }
        DataFusionError::SQL(parser, _) => syntax_error(&parser.to_string()),
        DataFusionError::ResourcesExhausted(message) => {
            Error::data(format!("the memory limit is too small: {}", first_line(message)))
                .hint("raise --memory-limit, or lower batch_size or --threads")
        }
        other => plan_error(&unprefixed_message(other), text, tables, spanned),
    }
}

/// Returns the error of windrow that DataFusion wrapped, if there is one.
fn find_wrapped_error(error: &DataFusionError) -> Option<&Error> {
    match error {
        DataFusionError::External(inner) => inner
            .downcast_ref::<Error>()
            .or_else(|| inner.downcast_ref::<DataFusionError>().and_then(find_wrapped_error)),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            find_wrapped_error(inner)
        }
        DataFusionError::Shared(inner) => find_wrapped_error(inner),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            datafusion::arrow::error::ArrowError::ExternalError(inner) => inner
                .downcast_ref::<Error>()
                .or_else(|| inner.downcast_ref::<DataFusionError>().and_then(find_wrapped_error)),
            _ => None,
        },
        DataFusionError::Collection(all) => all.iter().find_map(find_wrapped_error),
        _ => None,
    }
}

fn diagnostic_place(error: &DataFusionError) -> Option<TextPlace> {
    let start = error.diagnostic()?.span?.start;
    (start.line > 0).then(|| location_place(Location { line: start.line, column: start.column }))
}

/// Returns the sentence for an error about columns. `quoted` returns whether a name is in double quotes in
/// the text.
fn schema_error(
    schema: &SchemaError,
    located: impl Fn(&str, bool) -> Option<TextPlace>,
    quoted: &dyn Fn(&str) -> bool,
) -> Error {
    let (error, name) = match schema {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = field.name().to_string();
            let valid = valid_fields.iter().map(|c| c.name()).filter(|n| !n.starts_with("__"));
            let valid: Vec<&str> = valid.collect();
            let from = field.relation.as_ref().map(|table| table.table());
            let known = |table: &str| {
                valid_fields.iter().filter_map(|c| c.relation.as_ref()).any(|r| r.table() == table)
            };
            if let Some(table) = from.filter(|table| !known(table)) {
                let mut tables: Vec<&str> = valid_fields
                    .iter()
                    .filter_map(|c| c.relation.as_ref())
                    .map(|r| r.table())
                    .collect();
                tables.dedup();
                let error = Error::query(format!("there is no table {table} here"))
                    .hint(did_you_mean(table, "tables", tables));
                return match located(table, false) {
                    Some(place) => error.at_place(place),
                    None => error,
                };
            }
            let hint = match valid.iter().find(|v| v.eq_ignore_ascii_case(&name) && **v != name) {
                Some(v) if v.chars().any(char::is_uppercase) => {
                    format!("write \"{v}\" in double quotes: it is not lower case")
                }
                Some(v) => format!("write {v} without quotes, which keep upper case"),
                None if quoted(&name) && nearest_name(&name, valid.iter().copied()).is_none() => {
                    format!(
                        "write '{name}' in single quotes if it is a text: double quotes are for names"
                    )
                }
                None => {
                    let columns = did_you_mean(&name, "columns", valid);
                    match name.as_str() {
                        "symbol" => format!(
                            "{columns}; `entity:` under the source in windrow.yaml names the column of symbols"
                        ),
                        "ts" => format!(
                            "{columns}; `time:` under the source in windrow.yaml names the column of times"
                        ),
                        _ => columns,
                    }
                }
            };
            (Error::query(format!("unknown column {name}")).hint(hint), name)
        }
        SchemaError::AmbiguousReference { field } => {
            let name = field.name().to_string();
            let error = Error::query(format!("column {name} is in more than one table"));
            (error.hint("put the table's name before it"), name)
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            let error = Error::query(format!("output column {name} is there twice"));
            (error.hint("give each a name of its own with AS"), name.clone())
        }
    };
    match located(&name, false) {
        Some(place) => error.at_place(place),
        None => error,
    }
}

/// Returns the sentence for a message of the SQL parser, which ends with `at Line: 1, Column: 15`.
fn syntax_error(message: &str) -> Error {
    let message = message.trim_start_matches("sql parser error: ");
    let (text, at) = match message.rsplit_once(" at Line: ") {
        Some((text, at)) => (text, at.split_once(", Column: ")),
        None => (message, None),
    };
    let error = match text.starts_with("recursion limit exceeded") {
        true => Error::query(format!(
            "the statement is nested deeper than the limit of {STATEMENT_DEPTH} levels"
        ))
        .hint("compute parts of it in a WITH query"),
        false => Error::query(format!("syntax error: {}", lowercase_first(&first_line(text)))),
    };
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    match at.and_then(|(line, column)| Some((number(line)?, number(column)?))) {
        Some((line, column)) => error.at_place(location_place(Location { line, column })),
        None => error,
    }
}

fn plan_error(message: &str, text: &str, tables: &[String], spanned: Option<TextPlace>) -> Error {
    None.or_else(|| unknown_function_error(message, text, spanned.clone()))
        .or_else(|| repeated_output_error(message, text))
        .or_else(|| unknown_table_error(message, text, tables, spanned.clone()))
        .or_else(|| argument_type_error(message, text, spanned.clone()))
        .or_else(|| unmatched_signature_error(message, text, spanned.clone()))
        .unwrap_or_else(|| known_message_error(message, text, spanned))
}

/// Returns the text between a start of the message and the next quote.
fn quoted_after(message: &str, start: &str) -> Option<String> {
    let rest = message.strip_prefix(start)?;
    rest.split('\'').next().map(str::to_string)
}

/// An unknown function, with the nearest known name.
fn unknown_function_error(message: &str, text: &str, spanned: Option<TextPlace>) -> Option<Error> {
    let name = quoted_after(message, "Invalid function '")?;
    let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| name.eq_ignore_ascii_case(theirs));
    let near = elsewhere.map(|(_, ours)| *ours);
    let near =
        near.or_else(|| nearest_name(&name, windrow_udfs::all_functions().map(|e| e.spec.name)));
    let theirs = message.split("Did you mean '").nth(1).and_then(|r| r.split('\'').next());
    let theirs = theirs.and_then(|theirs| nearest_name(&name, [theirs]));
    let error = Error::query(format!("unknown function {name}"));
    let error = match near.or(theirs) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("`windrow functions` lists the indicators"),
    };
    Some(attach_place(error, spanned.or_else(|| find_word_place(text, &name, true))))
}

/// Two outputs of one name.
fn repeated_output_error(message: &str, text: &str) -> Option<Error> {
    let start = "Projections require unique expression names but the";
    let rest = message.strip_prefix(start)?;
    let name = rest.split("expression \"").nth(1).unwrap_or_default();
    let name = name.split("\" at position").next().unwrap_or_default();
    let name = match name.rsplit_once('.') {
        Some((_, column)) if !name.contains(['(', ' ']) => column,
        _ => name,
    };
    let error = Error::query(format!(
        "output column {} is there twice",
        message_patterns::to_sql_wording(name)
    ))
    .hint("give each a name of its own with AS, and leave it out of *");
    Some(attach_place(error, find_word_place(text, name, false)))
}

/// An unknown table, with the nearest known name.
fn unknown_table_error(
    message: &str,
    text: &str,
    tables: &[String],
    spanned: Option<TextPlace>,
) -> Option<Error> {
    let name = quoted_after(message, "table '").filter(|_| message.ends_with("not found"))?;
    let name = name.rsplit('.').next().unwrap_or(&name).to_string();
    if tables.contains(&name) && find_word_place(text, "recursive", false).is_some() {
        let error = Error::query(format!("WITH RECURSIVE {name} reads itself without UNION"));
        let error =
            error.hint("leave RECURSIVE out to read the source, or give the query another name");
        return Some(attach_place(error, spanned.or_else(|| find_word_place(text, &name, false))));
    }
    let known = tables.iter().map(String::as_str);
    let error = Error::query(format!("unknown table {name}"));
    let error = match nearest_name(&name, known) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("give --source {name}=LOCATION, or name it in windrow.yaml")),
    };
    Some(attach_place(error, spanned.or_else(|| find_word_place(text, &name, false))))
}

/// Arguments of types that a function does not take.
fn argument_type_error(message: &str, text: &str, spanned: Option<TextPlace>) -> Option<Error> {
    let start = "Failed to coerce arguments to satisfy a call to '";
    let name = quoted_after(message, start)?;
    let given = message.split(&format!("argument types '{name}")).nth(1);
    let given = given.and_then(|rest| rest.split('\'').next()).unwrap_or_default();
    let error =
        Error::query(format!("{name} cannot take {}", message_patterns::to_sql_wording(given)));
    let error = match windrow_udfs::find_function(&name) {
        Some(entry) => error.hint(format!("write {}, with numbers", entry.spec.call_signature())),
        None => error.hint("cast the arguments to types that it takes"),
    };
    Some(attach_place(error, spanned.or_else(|| find_word_place(text, &name, true))))
}

/// Arguments that match no form of a function.
fn unmatched_signature_error(
    message: &str,
    text: &str,
    spanned: Option<TextPlace>,
) -> Option<Error> {
    let name = message.split('\'').nth(1).filter(|_| message.contains("match any signature"))?;
    // DataFusion reports `mean` under its other name, `avg`.
    let written =
        if find_word_place(text, name, true).is_none() && name == "avg" { "mean" } else { name };
    let error =
        signature_error(name, message, &first_call_arguments(text, written).unwrap_or_default());
    Some(attach_place(error, spanned.or_else(|| find_word_place(text, written, true))))
}

/// Any other message: in words of its own if it is known, and at the function that it names.
fn known_message_error(message: &str, text: &str, spanned: Option<TextPlace>) -> Error {
    let error = match message_patterns::match_known_message(message)
        .or_else(|| unsupported_form_error(message))
    {
        Some(error) => error,
        None => Error::query(first_line(&message_patterns::to_sql_wording(message))),
    };
    let sentence = first_line(message);
    // Messages of indicators start with the indicator's name; DataFusion quotes the function.
    let function = sentence
        .split_once(": ")
        .map(|(name, _)| name)
        .filter(|name| windrow_udfs::find_function(name).is_some())
        .or_else(|| {
            sentence.split_once("' function").and_then(|(head, _)| head.rsplit('\'').next())
        });
    let at = spanned.or_else(|| function.and_then(|name| find_word_place(text, name, true)));
    attach_place(error, at)
}

/// Function names in pandas and other tools, and the names to use here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("pct_change", "roc"),
    ("diff", "mom"),
    ("shift", "lag"),
    ("std", "stddev"),
    ("moving_average", "sma"),
    ("mavg", "sma"),
    ("rolling_mean", "sma"),
    ("ewm", "ema"),
    ("bollinger", "bbands"),
    ("bollinger_bands", "bbands"),
    ("stochastic", "stoch"),
    ("williams_r", "willr"),
    ("percentile_disc", "percentile_cont"),
    ("quantile", "percentile_cont"),
    ("rolling_std", "stddev"),
    ("rolling_sum", "sum"),
    ("rolling_max", "max"),
    ("rolling_min", "min"),
    ("rolling_corr", "correl"),
    ("cumsum", "sum"),
    ("delta", "mom"),
    ("delay", "lag"),
    ("last", "last_value"),
    ("first", "first_value"),
    ("slope", "linearreg_slope"),
    ("linreg", "linearreg"),
    ("year", "date_part"),
    ("if", "CASE WHEN"),
    ("iff", "CASE WHEN"),
];

/// Returns the sentence for a call with too many arguments or arguments of other types. `args` are the
/// arguments as written.
fn signature_error(name: &str, message: &str, args: &[String]) -> Error {
    if args.len() < 2 {
        let given = message.split(&format!("argument types '{name}")).nth(1);
        let given = given.and_then(|rest| rest.split('\'').next()).unwrap_or_default();
        let error =
            Error::query(format!("{name} cannot take {}", message_patterns::to_sql_wording(given)));
        return error.hint("cast the argument to a type that it takes");
    }
    let error =
        Error::query(format!("{name} does not take {} arguments of these types", args.len()));
    let rows = args[1].parse::<u32>().ok().and_then(|rows| rows.checked_sub(1));
    let value = &args[0];
    let frame = rows.map(|rows| {
        format!("{name}({value}) OVER (PARTITION BY symbol ORDER BY ts ROWS {rows} PRECEDING)")
    });
    match (name, frame) {
        ("avg" | "mean", Some(frame)) => {
            error.hint(format!("write sma({value}, {}) OVER ..., or {frame}", args[1]))
        }
        ("corr", _) if args.len() == 3 => error.hint(format!(
            "write correl({value}, {}, {}) OVER (PARTITION BY symbol ORDER BY ts)",
            args[1], args[2]
        )),
        ("sum" | "min" | "max" | "count" | "stddev" | "var" | "median", Some(frame)) => {
            error.hint(format!("write {frame}"))
        }
        _ => error.hint("cast the arguments to types that it takes, or leave some out"),
    }
}

/// Returns the arguments of the first call of a function, as written.
fn first_call_arguments(text: &str, name: &str) -> Option<Vec<String>> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().ok()?;
    let is_name = |t: &Token| matches!(t, Token::Word(w) if w.value.eq_ignore_ascii_case(name));
    let at = tokens.windows(2).position(|pair| is_name(&pair[0]) && pair[1] == Token::LParen)?;
    let (mut depth, mut args) = (0, vec![String::new()]);
    for token in &tokens[at + 2..] {
        match token {
            Token::RParen if depth == 0 => break,
            Token::Comma if depth == 0 => {
                args.push(String::new());
                continue;
            }
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            _ => {}
        }
        if let Some(last) = args.last_mut() {
            last.push_str(&token.to_string());
        }
    }
    Some(args.into_iter().map(|arg| arg.trim().to_string()).filter(|arg| !arg.is_empty()).collect())
}

/// Returns a readable sentence for a message that prints structs of the parser, which mean nothing to a user.
fn unsupported_form_error(message: &str) -> Option<Error> {
    let shows = message.contains("quote_style") || message.contains(": None");
    let what: String = message.chars().take_while(|c| *c != '{' && *c != '(').collect();
    let what = lowercase_first(what.trim().trim_end_matches(':'));
    (shows && message.contains(" { ")).then(|| {
        Error::query(format!("the statement has a form that is not supported ({what})"))
            .hint("write it in another way")
    })
}

fn attach_place(error: Error, place: Option<TextPlace>) -> Error {
    match place {
        Some(place) => error.at_place(place),
        None => error,
    }
}

/// Returns the message of an error without the prefixes that name the part of DataFusion that failed.
fn unprefixed_message(error: &DataFusionError) -> String {
    let text = match error {
        DataFusionError::External(inner) => inner.to_string(),
        other => other.strip_backtrace(),
    };
    const PREFIXES: &[&str] = &[
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Parquet error: ",
        "Schema error: ",
        "External error: ",
        "Optimizer rule 'optimize_projections' failed",
        "type_coercion",
        "caused by",
        "This feature is not implemented: ",
        "Resources exhausted: ",
        "Invalid argument error: ",
        "Cast error: ",
        "Compute error: ",
    ];
    let mut text = text.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|p| text.strip_prefix(p)) {
        text = rest.trim_start();
    }
    text.to_string()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_string()
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_string(),
    }
}

/// Returns the place where a word first occurs in the text: as a call if `call` is true, else not as one. If
/// there is no such occurrence, returns the first one of any kind.
fn find_word_place(text: &str, name: &str, call: bool) -> Option<TextPlace> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let tokens: Vec<&TokenWithSpan> =
        tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    tokens
        .iter()
        .enumerate()
        .find(|(i, token)| {
            let same = matches!(&token.token, Token::Word(w) if w.value.eq_ignore_ascii_case(name));
            let called = tokens.get(i + 1).is_some_and(|t| t.token == Token::LParen);
            same && called == call
        })
        .or_else(|| {
            tokens.iter().enumerate().find(
                |(_, t)| matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case(name)),
            )
        })
        .map(|(_, token)| location_place(token.span.start))
}
