//! `windrow repl`: a line editor and commands on top of the engine.
//!
//! Statements end with `;`, commands start with a backslash, as in psql and duckdb. Data goes to
//! standard output, everything else to standard error. This module must not know how a query is
//! planned or where a source lies: it asks the engine.

mod commands;
mod complete;
mod editor;
mod function_catalog;
mod highlight;
mod hint;
mod lexer;
mod plot;
mod query_runner;
mod session;
mod session_commands;
mod split;
mod type_names;

use crate::engine::Engine;
use crate::error::Result;
use crate::render::{Terminal, output_closed};
use editor::{LineEditor, PromptInput};
use query_runner::Interrupt;
use session::{Flow, Session};
use split::{InputPiece, has_open_token, is_blank_text, is_idle_text, split_input};
use std::io::{self, BufRead, BufWriter, IsTerminal};

/// Reads statements and commands until the end of the input, and returns the exit code.
///
/// At a terminal it offers a prompt, completion and history, and goes on after an error. Otherwise
/// it runs standard input as a script, up to the first error. It writes errors of statements to
/// standard error; an `Err` comes from the terminal itself.
///
/// This function blocks the caller's thread while it waits for input: call it in `block_on` of a
/// multi-threaded runtime.
///
/// # Errors
/// If the terminal cannot be read.
pub async fn run_session(engine: Engine) -> Result<u8> {
    let out = Box::new(BufWriter::new(io::stdout()));
    let mut session = Session::new(engine, out, Box::new(io::stderr()));
    session.terminal = Terminal::from_stdout();
    if io::stdin().is_terminal() {
        session.interrupt = Some(Interrupt::new()?);
        run_interactive(&mut session).await
    } else {
        run_script(&mut session, &mut io::stdin().lock()).await
    }
}

async fn run_interactive(session: &mut Session) -> Result<u8> {
    let color = session.terminal.is_some_and(|terminal| terminal.color);
    let mut editor = LineEditor::new(color, session.terminal.is_some())?;
    let version = env!("CARGO_PKG_VERSION");
    session.print_note(&format!("windrow {version}: \\? for help, \\q to quit"));
    let mut pending = String::new();
    loop {
        session.refresh_names().await;
        let line = match editor.read_input(&mut session.names, &pending)? {
            PromptInput::Line(line) => line,
            PromptInput::Cleared => {
                pending.clear();
                continue;
            }
            PromptInput::End => return Ok(0),
        };
        session.terminal = Terminal::from_stdout();
        // A command in the middle of a statement runs at once; the statement stays pending.
        let aside =
            !pending.is_empty() && line.trim_start().starts_with('\\') && !has_open_token(&pending);
        let flow = if aside {
            editor.record_history(&line);
            session.run_typed(&[InputPiece::Command(line.trim())]).await
        } else {
            pending.push_str(&line);
            pending.push('\n');
            run_complete_pieces(session, &mut editor, &mut pending).await
        };
        // An error was printed already, and an interactive session goes on.
        if let Ok(Flow::Quit) = flow {
            return Ok(0);
        }
    }
}

/// Runs the complete pieces of `pending` and leaves the rest there.
async fn run_complete_pieces(
    session: &mut Session,
    editor: &mut LineEditor,
    pending: &mut String,
) -> Result<Flow> {
    let typed = std::mem::take(pending);
    let (mut pieces, mut rest) = split_input(&typed);
    // Other shells accept these words without a semicolon.
    let word = rest.trim();
    if pieces.is_empty() && ["quit", "exit", "help"].iter().any(|w| word.eq_ignore_ascii_case(w)) {
        pieces.push(InputPiece::Statement(word));
        rest = "";
    }
    if is_idle_text(rest) {
        rest = "";
    }
    if !pieces.is_empty() {
        editor.record_history(&typed[..typed.len() - rest.len()]);
    }
    *pending = rest.trim_start().to_string();
    session.run_typed(&pieces).await
}

/// Runs statements from a pipe or file, each as soon as it is complete. The last statement needs no
/// semicolon.
async fn run_script(session: &mut Session, input: &mut dyn BufRead) -> Result<u8> {
    let mut pending = String::new();
    loop {
        let read = input.read_line(&mut pending);
        let ended = match read {
            Ok(bytes) => bytes == 0,
            Err(error) => {
                session.print_note(&format!("error: cannot read standard input: {error}"));
                return Ok(1);
            }
        };
        if !ended && !pending.ends_with('\n') {
            continue;
        }
        let (mut pieces, rest) = split_input(&pending);
        // A comment that nobody closed may hide statements: the parser says where it begins.
        if ended && (!is_blank_text(rest) || has_open_token(rest)) {
            pieces.push(InputPiece::Statement(rest.trim()));
        }
        let flow = session.run_typed(&pieces).await;
        match flow {
            Ok(Flow::Continue) if ended => return Ok(0),
            Ok(Flow::Continue) => {}
            Ok(Flow::Quit) => return Ok(0),
            Err(error) if output_closed(&error) => return Ok(0),
            Err(error) => return Ok(error.exit_code().min(1)),
        }
        let keep = rest.len();
        pending.drain(..pending.len() - keep);
    }
}
