//! `windrow repl`: a line editor and commands over the engine.
//!
//! Statements end with `;`, commands start with a backslash, as in psql and duckdb. Data goes to
//! standard output, everything else to standard error. This room must not know how a query is
//! planned or where a source lies: it asks the engine.

mod color;
mod commands;
mod complete;
mod editor;
mod functions;
mod hint;
mod lexer;
mod plot;
mod query;
mod session;
mod split;
mod types;

use crate::engine::Engine;
use crate::error::Result;
use crate::render::{Terminal, output_closed};
use editor::{Editor, Read};
use query::Interrupt;
use session::{Flow, Session};
use split::{Piece, is_blank, is_idle, is_within, split};
use std::io::{self, BufRead, BufWriter, IsTerminal};

/// Reads statements and commands until the end, and gives the exit code: from a terminal with
/// prompt, completion and history, where errors are told and the session goes on; otherwise from
/// standard input as a script, up to the first error. Errors of statements are written to
/// standard error here; an `Err` is the terminal's own.
///
/// The caller's thread waits for input, so this belongs in `block_on` on a multi-threaded runtime.
///
/// # Errors
/// When the terminal cannot be read.
pub async fn run(engine: Engine) -> Result<u8> {
    let out = Box::new(BufWriter::new(io::stdout()));
    let mut session = Session::new(engine, out, Box::new(io::stderr()));
    session.terminal = Terminal::of_stdout();
    if io::stdin().is_terminal() {
        session.interrupt = Some(Interrupt::new()?);
        interactive(&mut session).await
    } else {
        script(&mut session, &mut io::stdin().lock()).await
    }
}

async fn interactive(session: &mut Session) -> Result<u8> {
    let color = session.terminal.is_some_and(|terminal| terminal.color);
    let mut editor = Editor::new(color, session.terminal.is_some())?;
    let version = env!("CARGO_PKG_VERSION");
    session.note(&format!("windrow {version}: \\? for help, \\q to quit"));
    let mut pending = String::new();
    loop {
        session.refresh_names().await;
        let line = match editor.read(&mut session.names, &pending)? {
            Read::Line(line) => line,
            Read::Cleared => {
                pending.clear();
                continue;
            }
            Read::End => return Ok(0),
        };
        session.terminal = Terminal::of_stdout();
        // A command in the middle of a statement leaves the statement as it is.
        let aside =
            !pending.is_empty() && line.trim_start().starts_with('\\') && !is_within(&pending);
        let flow = if aside {
            editor.remember(&line);
            session.run_typed(&[Piece::Command(line.trim())]).await
        } else {
            pending.push_str(&line);
            pending.push('\n');
            take(session, &mut editor, &mut pending).await
        };
        // The error was told; a person goes on.
        if let Ok(Flow::Quit) = flow {
            return Ok(0);
        }
    }
}

/// Runs what is complete in `pending` and leaves the rest there.
async fn take(session: &mut Session, editor: &mut Editor, pending: &mut String) -> Result<Flow> {
    let typed = std::mem::take(pending);
    let (mut pieces, mut rest) = split(&typed);
    // What other shells take without a semicolon.
    let word = rest.trim();
    if pieces.is_empty() && ["quit", "exit", "help"].iter().any(|w| word.eq_ignore_ascii_case(w)) {
        pieces.push(Piece::Statement(word));
        rest = "";
    }
    if is_idle(rest) {
        rest = "";
    }
    if !pieces.is_empty() {
        editor.remember(&typed[..typed.len() - rest.len()]);
    }
    *pending = rest.trim_start().to_string();
    session.run_typed(&pieces).await
}

/// Statements from a pipe or file, each as soon as it is complete. What is left at the end runs
/// without its semicolon.
async fn script(session: &mut Session, input: &mut dyn BufRead) -> Result<u8> {
    let mut pending = String::new();
    loop {
        let read = input.read_line(&mut pending);
        let ended = match read {
            Ok(bytes) => bytes == 0,
            Err(error) => {
                session.note(&format!("error: cannot read standard input: {error}"));
                return Ok(1);
            }
        };
        if !ended && !pending.ends_with('\n') {
            continue;
        }
        let (mut pieces, rest) = split(&pending);
        if ended && !is_blank(rest) {
            pieces.push(Piece::Statement(rest.trim()));
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
