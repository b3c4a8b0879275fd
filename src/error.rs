//! The one error type of the program; its kind says who must act.
//!
//! A message is one sentence: what is wrong with the value, where, and how to fix it. Modules build errors with the
//! constructor of the kind; only `main` turns an error into an exit code.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use datafusion::arrow::error::ArrowError;

/// The result of fallible operations in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Formats a count with its noun: `1 row`, `1,234 rows`.
pub fn pluralize_count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", group_digits(number), if number == 1 { "" } else { "s" })
}

/// Formats a number with thousands separators: `1,234,567`.
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The kind of an error: it says who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the configuration is wrong: exit code 2.
    Usage,
    /// A query or a feature set is wrong: exit code 1.
    Query,
    /// The data that a query reads is wrong or missing: exit code 1.
    Data,
    /// The target of a run cannot be written: exit code 1.
    Target,
    /// The time limit passed: exit code 1.
    Timeout,
    /// The user stopped the command: exit code 130.
    Interrupted,
    /// A bug in windrow: exit code 1.
    Internal,
}

/// A position in a file that a person wrote; line and column are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// The file as the user named it, or a name such as `SQL` for text typed at a prompt.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// An error: a message, its position in a file, and a hint on how to fix it.
#[derive(Clone, Debug)]
pub struct Error(Box<ErrorDetails>);

#[derive(Clone, Debug)]
struct ErrorDetails {
    kind: Kind,
    message: String,
    place: Option<TextPlace>,
    hint: Option<String>,
    file: Option<String>,
    symbol: Option<String>,
    transient: bool,
    disk_full: bool,
    target_held: bool,
}

impl Error {
    /// Creates an error of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(ErrorDetails {
            kind,
            message,
            place: None,
            hint: None,
            file: None,
            symbol: None,
            transient: false,
            disk_full: false,
            target_held: false,
        }))
    }

    /// Creates an error for a wrong command line or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Creates an error for a wrong query or feature set.
    pub fn query(message: impl Into<String>) -> Self {
        Self::new(Kind::Query, message)
    }

    /// Creates an error for wrong or missing data.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// Creates an error for a target that cannot be written.
    pub fn target(message: impl Into<String>) -> Self {
        Self::new(Kind::Target, message)
    }

    /// Converts an error of arrow: wrong values are faults of the data, anything else is a bug of the program.
    pub fn from_arrow_error(error: &ArrowError) -> Self {
        if let Some(own) = downcast_own_error(error) {
            return own.clone();
        }
        match error {
            ArrowError::CastError(what)
            | ArrowError::ParseError(what)
            | ArrowError::ArithmeticOverflow(what) => {
                Self::data(what.clone()).hint("correct the value, or leave its rows out")
            }
            other => Self::internal(other.to_string()),
        }
    }

    /// Creates an error for a state that should be impossible.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Adds the position, unless a more exact one is set.
    #[must_use]
    pub fn at_place(mut self, place: TextPlace) -> Self {
        self.0.place.get_or_insert(place);
        self
    }

    /// Maps the position, such as from generated text to the file that the text was generated from.
    #[must_use]
    pub fn relocate(mut self, place: impl FnOnce(&TextPlace) -> TextPlace) -> Self {
        self.0.place = self.0.place.as_ref().map(place);
        self
    }

    /// Adds the hint, unless a more exact one is set.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Names the data file that cannot be read, so that `--keep-going` can leave it out.
    #[must_use]
    pub fn with_bad_file(mut self, file: impl Into<String>) -> Self {
        self.0.file = Some(file.into());
        self
    }

    /// Names the symbol that cannot be computed, so that `--keep-going` can leave it out.
    #[must_use]
    pub fn with_bad_symbol(mut self, symbol: impl Into<String>) -> Self {
        self.0.symbol = Some(symbol.into());
        self
    }

    /// Marks the error as transient: the same call may succeed when it is retried.
    #[must_use]
    pub fn as_transient(mut self) -> Self {
        self.0.transient = true;
        self
    }

    /// Returns whether the same call may succeed when it is retried.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Marks the error of a disk that has no space left.
    #[must_use]
    pub fn as_disk_full(mut self) -> Self {
        self.0.disk_full = true;
        self
    }

    /// Marks the error of a target that another run has to itself.
    #[must_use]
    pub fn as_target_held(mut self) -> Self {
        self.0.target_held = true;
        self
    }

    /// Returns whether another run has the target to itself.
    pub fn is_target_held(&self) -> bool {
        self.0.target_held
    }

    /// Returns whether a disk has no space left.
    pub fn is_disk_full(&self) -> bool {
        self.0.disk_full
    }

    /// Returns the hint on how to fix it, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the kind, which says who must act.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the position in a file that a person wrote, if known.
    pub fn place(&self) -> Option<&TextPlace> {
        self.0.place.as_ref()
    }

    /// Returns the error with `what` in front of its message.
    pub fn with_context(mut self, what: &str) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// Returns the message without position and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the data file at fault, if one file is.
    pub fn bad_file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// Returns the symbol at fault, if one symbol is.
    pub fn bad_symbol(&self) -> Option<&str> {
        self.0.symbol.as_deref()
    }

    /// Returns the exit code of a command that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            Kind::Usage => 2,
            Kind::Interrupted => 130,
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        if self.0.kind == Kind::Internal {
            f.write_str("; this is a bug in windrow, please report it with the command you ran")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

thread_local! {
    /// True while this thread is within [`catch_panic`], whose panics are not printed.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Runs work that may panic on malformed input, and returns its result.
///
/// # Errors
/// If `work` panics; the error is the text of the panic.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !WITHIN.get() {
                tell(panic);
            }
        }));
    });
    let before = WITHIN.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    WITHIN.set(before);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        text.unwrap_or("its bytes make no sense").to_string()
    })
}

/// Finds the [`Error`] of this crate in another error or its chain of sources.
pub fn downcast_own_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // The error that an I/O error wraps is not among its sources.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Returns the name among `candidates` that a misspelt `name` most likely means.
pub fn nearest_name<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    // `talib_rsi` and `rsi14` mean rsi.
    let part = |part: &str| part.trim_end_matches(|c: char| c.is_ascii_digit()).to_string();
    let parts: Vec<String> = name.split('_').map(part).collect();
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let within = candidate.len() > 2 && parts.contains(&candidate);
        if within { 1 } else { strsim::damerau_levenshtein(&name, &candidate) }
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of names that a hint lists.
pub const NAMES_TOLD: usize = 20;

/// Returns a hint for [`Error::hint`]: `did you mean X?`, or the list of names if none is near.
pub fn did_you_mean<'a>(
    name: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match nearest_name(name, candidates.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let all: Vec<&str> = candidates.into_iter().collect();
            match all.len().saturating_sub(NAMES_TOLD) {
                _ if all.is_empty() => format!("there are no {what}"),
                0 => format!("{what}: {}", all.join(", ")),
                more => {
                    format!(
                        "{what}: {} and {} more",
                        all[..NAMES_TOLD].join(", "),
                        group_digits(more as u64)
                    )
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_with_place_and_way_out() {
        let place = TextPlace { file: "momentum.sql".into(), line: 3, column: 14 };
        let error = Error::query("unknown column clos").at_place(place).hint("did you mean close?");
        assert_eq!(
            error.to_string(),
            "momentum.sql:3:14: unknown column clos; did you mean close?"
        );
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(group_digits(0), "0");
        assert_eq!(pluralize_count(1, "row"), "1 row");
        assert_eq!(pluralize_count(1_234_567, "row"), "1,234,567 rows");
    }

    #[test]
    fn a_list_of_names_ends() {
        let names: Vec<String> = (0..22).map(|n| format!("n{n}")).collect();
        let hint =
            |names: &[String]| did_you_mean("other", "names", names.iter().map(String::as_str));
        assert!(hint(&names).ends_with("n18, n19 and 2 more"), "{}", hint(&names));
        assert_eq!(hint(&names[..2]), "names: n0, n1");
    }

    #[test]
    fn nearest_names() {
        let names = ["batch_size", "parallel_workers", "timeout_seconds"];
        assert_eq!(nearest_name("batchsize", names), Some("batch_size"));
        assert_eq!(nearest_name("colour", names), None);
        let names = ["stochrsi", "rsi", "trange", "sma"];
        assert_eq!(nearest_name("talib_rsi", names), Some("rsi"));
        assert_eq!(nearest_name("RSI14", names), Some("rsi"));
        assert_eq!(nearest_name("pct_change", names), None);
    }
}
