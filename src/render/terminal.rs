//! The size and the colours of the terminal at standard output.

use std::env;
use std::io::{IsTerminal, stdout};

/// Size and colours of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// The number of columns.
    pub width: usize,
    /// The number of lines.
    pub height: usize,
    /// True if colours are wanted: `NO_COLOR` is unset or empty, and the terminal is not dumb.
    pub color: bool,
}

impl Terminal {
    /// Returns the terminal at standard output with its current size; None if standard output is no terminal.
    pub fn from_stdout() -> Option<Self> {
        if !stdout().is_terminal() {
            return None;
        }
        let (width, height) = match rustix::termios::tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => (80, 24),
        };
        let color =
            wants_color(env::var("NO_COLOR").ok().as_deref(), env::var("TERM").ok().as_deref());
        Some(Self { width: width.into(), height: height.into(), color })
    }
}

/// Returns whether colours are wanted. By <https://no-color.org>, a `NO_COLOR` that is not empty turns them
/// off.
fn wants_color(no_color: Option<&str>, term: Option<&str>) -> bool {
    no_color.is_none_or(str::is_empty) && term.is_none_or(|term| !matches!(term, "" | "dumb"))
}

#[cfg(test)]
mod tests {
    use super::wants_color;

    #[test]
    fn colours_are_off_when_unwanted() {
        assert!(wants_color(None, Some("xterm-256color")));
        assert!(wants_color(Some(""), None));
        assert!(!wants_color(Some("1"), Some("xterm")));
        assert!(!wants_color(None, Some("dumb")));
    }
}
