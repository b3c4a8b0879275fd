//! The line editor: rustyline with the names of the session, and the history on disk.

use super::complete::{Completion, SessionNames, complete_input};
use super::highlight::highlight_line;
use super::hint::signature_hint;
use crate::error::{Error, Result};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Behavior, ColorMode, CompletionType, Config, Context, Helper};
use std::borrow::Cow;
use std::env;
use std::fs;
use std::path::PathBuf;

/// The input of the user at the prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PromptInput {
    Line(String),
    /// Ctrl-C.
    Cleared,
    /// Ctrl-D.
    End,
}

/// A reader of lines with completion, colours and history.
pub(super) struct LineEditor {
    inner: rustyline::Editor<EditorHelper, DefaultHistory>,
    history: Option<PathBuf>,
}

const PROMPT: &str = "windrow> ";
const CONTINUATION_PROMPT: &str = "     -> ";

impl LineEditor {
    /// Creates an editor on the terminal.
    ///
    /// # Errors
    /// If there is no terminal to edit on.
    pub(super) fn new(color: bool, stdout_is_terminal: bool) -> Result<Self> {
        let config = Config::builder()
            .auto_add_history(false)
            .history_ignore_space(true)
            .history_ignore_dups(true)
            .and_then(|config| config.max_history_size(10_000))
            .map_err(from_readline)?
            .completion_type(CompletionType::List)
            .completion_prompt_limit(100)
            .color_mode(if color { ColorMode::Enabled } else { ColorMode::Disabled })
            // The prompt must not end up in a file to which the results are redirected.
            .behavior(if stdout_is_terminal { Behavior::Stdio } else { Behavior::PreferTerm })
            .build();
        let mut inner = rustyline::Editor::with_config(config).map_err(from_readline)?;
        inner.set_helper(Some(EditorHelper { color, ..EditorHelper::default() }));
        let history =
            history_file(env::var_os("XDG_STATE_HOME").map(PathBuf::from), env::home_dir());
        if let Some(path) = &history {
            // The first session has no history, and one that cannot be read is ignored.
            let _ = inner.load_history(path);
        }
        Ok(Self { inner, history })
    }

    /// Reads a line that continues the lines in `pending`.
    ///
    /// # Errors
    /// If the terminal fails.
    pub(super) fn read_input(
        &mut self,
        names: &mut SessionNames,
        pending: &str,
    ) -> Result<PromptInput> {
        if let Some(helper) = self.inner.helper_mut() {
            helper.names = std::mem::take(names);
            helper.pending = pending.to_string();
        }
        let read =
            self.inner.readline(if pending.is_empty() { PROMPT } else { CONTINUATION_PROMPT });
        if let Some(helper) = self.inner.helper_mut() {
            *names = std::mem::take(&mut helper.names);
        }
        match read {
            Ok(line) => Ok(PromptInput::Line(line)),
            Err(ReadlineError::Interrupted) => Ok(PromptInput::Cleared),
            Err(ReadlineError::Eof) => Ok(PromptInput::End),
            Err(error) => Err(from_readline(error)),
        }
    }

    /// Adds the typed text as one entry to the history of this session and of later ones.
    pub(super) fn record_history(&mut self, text: &str) {
        let added = self.inner.add_history_entry(text.trim_end()).unwrap_or(false);
        let (true, Some(path)) = (added, &self.history) else { return };
        if let Some(folder) = path.parent() {
            let _ = fs::create_dir_all(folder);
        }
        // A read-only home directory must not stop the session or cause a message at every line.
        let _ = self.inner.append_history(path);
    }
}

/// Returns `$XDG_STATE_HOME/windrow/history`, or else `~/.local/state/windrow/history`.
fn history_file(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(home?.join(".local/state")))?;
    Some(state.join("windrow/history"))
}

fn from_readline(error: ReadlineError) -> Error {
    Error::internal(format!("the terminal cannot be read: {error}"))
}

/// The callbacks of rustyline while a line is typed.
#[derive(Default)]
struct EditorHelper {
    names: SessionNames,
    pending: String,
    color: bool,
}

impl Helper for EditorHelper {}
impl Validator for EditorHelper {}

impl Completer for EditorHelper {
    type Candidate = Completion;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Completion>)> {
        let before = format!("{}{}", self.pending, &line[..pos]);
        let (start, found) = complete_input(&self.names, &before, &line[pos..]);
        Ok((start.saturating_sub(self.pending.len()), found))
    }
}

impl rustyline::completion::Candidate for Completion {
    fn display(&self) -> &str {
        &self.display
    }

    fn replacement(&self) -> &str {
        &self.replacement
    }
}

/// A hint that is shown but cannot be inserted.
struct ReadOnlyHint(String);

impl Hint for ReadOnlyHint {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for EditorHelper {
    type Hint = ReadOnlyHint;

    /// Returns no hint without colours: it would look like typed text.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<ReadOnlyHint> {
        if !self.color || pos < line.len() {
            return None;
        }
        signature_hint(&self.names, &format!("{}{line}", self.pending)).map(ReadOnlyHint)
    }
}

impl Highlighter for EditorHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Owned(highlight_line(&self.names, &self.pending, line))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Owned(format!("\u{1b}[1m{prompt}\u{1b}[0m"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\u{1b}[90m{hint}\u{1b}[0m"))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_history_is() {
        let path = |text: &str| Some(PathBuf::from(text));
        let cases = [
            (path("/state"), path("/home/a"), path("/state/windrow/history")),
            (None, path("/home/a"), path("/home/a/.local/state/windrow/history")),
            (path("relative"), path("/home/a"), path("/home/a/.local/state/windrow/history")),
            (None, None, None),
        ];
        for (state, home, expected) in cases {
            assert_eq!(history_file(state, home), expected);
        }
    }
}
