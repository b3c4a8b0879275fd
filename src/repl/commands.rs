//! The backslash commands: ONE table, which also gives the help and the completion.

use crate::error::{Error, Result, did_you_mean};

/// The kind of argument that Tab offers after the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArgumentKind {
    Nothing,
    Table,
    Function,
    File,
    Format,
    Switch,
    Parameter,
    Location,
    Plot,
}

/// The action of a command; `session_commands.rs` implements it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandAction {
    Help,
    DescribeTables,
    DescribeFunctions,
    SetFormat,
    IncludeFile,
    Plot,
    Quit,
    SetRows,
    SetParameter,
    SetSource,
    SetTiming,
    UnsetParameter,
}

/// One command.
pub(super) struct MetaCommand {
    /// The word after the backslash.
    pub(super) name: &'static str,
    /// The arguments, as the help shows them.
    pub(super) args: &'static str,
    /// The description in the help.
    pub(super) help: &'static str,
    /// The kind of argument that Tab offers.
    pub(super) argument: ArgumentKind,
    /// The action.
    pub(super) action: CommandAction,
}

/// Every command, in the order of the help.
#[rustfmt::skip]
pub(super) static COMMANDS: &[MetaCommand] = &[
    MetaCommand { name: "?", args: "", help: "this help", argument: ArgumentKind::Nothing,
        action: CommandAction::Help },
    MetaCommand { name: "d", args: "[TABLE]", help: "list tables, or the columns of one", argument: ArgumentKind::Table,
        action: CommandAction::DescribeTables },
    MetaCommand { name: "f", args: "[FUNCTION]", help: "list functions, or tell about one", argument: ArgumentKind::Function,
        action: CommandAction::DescribeFunctions },
    MetaCommand { name: "format", args: "[table|csv|json|markdown]", help: "how results are written", argument: ArgumentKind::Format,
        action: CommandAction::SetFormat },
    MetaCommand { name: "i", args: "FILE", help: "run a feature set or a file of statements", argument: ArgumentKind::File,
        action: CommandAction::IncludeFile },
    MetaCommand { name: "plot", args: "COLUMN[, COLUMN...] [of SYMBOL] [from TABLE|QUERY]",
        help: "draw columns of one symbol, from the last result unless told", argument: ArgumentKind::Plot,
        action: CommandAction::Plot },
    MetaCommand { name: "q", args: "", help: "quit (Ctrl-D too)", argument: ArgumentKind::Nothing,
        action: CommandAction::Quit },
    MetaCommand { name: "rows", args: "[NUMBER|auto]", help: "how many rows of a result the terminal shows", argument: ArgumentKind::Nothing,
        action: CommandAction::SetRows },
    MetaCommand { name: "set", args: "[NAME=VALUE]", help: "set a parameter of the feature sets that \\i runs, or list all", argument: ArgumentKind::Parameter,
        action: CommandAction::SetParameter },
    MetaCommand { name: "source", args: "NAME=LOCATION", help: "name a source: a directory, file or glob", argument: ArgumentKind::Location,
        action: CommandAction::SetSource },
    MetaCommand { name: "timing", args: "[on|off]", help: "tell how long each statement took", argument: ArgumentKind::Switch,
        action: CommandAction::SetTiming },
    MetaCommand { name: "unset", args: "NAME", help: "forget a parameter", argument: ArgumentKind::Parameter,
        action: CommandAction::UnsetParameter },
];

/// Returns the command with this name; `h`, `help`, `quit` and `exit` are known from other shells.
pub(super) fn find_command(name: &str) -> Option<&'static MetaCommand> {
    let name = match name {
        "h" | "help" => "?",
        "quit" | "exit" => "q",
        other => other,
    };
    COMMANDS.iter().find(|command| command.name == name)
}

/// Splits `\d bars` into the command and its arguments. A semicolon at the end is ignored.
///
/// # Errors
/// If there is no such command; the error names the nearest one.
pub(super) fn parse_command(line: &str) -> Result<(&'static MetaCommand, &str)> {
    let line = line.trim().trim_start_matches('\\');
    let (name, args) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let bare = name.trim_end_matches(';');
    let command = find_command(bare).ok_or_else(|| {
        let names = COMMANDS.iter().map(|command| command.name);
        let hint = match did_you_mean(bare, "commands", names) {
            near if near.starts_with("did") && bare.len() > 1 => near.replace("mean ", "mean \\"),
            _ => "\\? lists the commands".to_string(),
        };
        Error::usage(format!("unknown command \\{bare}")).hint(hint)
    })?;
    Ok((command, args.trim().trim_end_matches(';').trim_end()))
}

/// Returns the text of `\?`.
pub(super) fn help_text() -> String {
    let mut text = String::from(
        "SELECT ...;  runs a statement: it may span lines and ends with a semicolon\n\n",
    );
    for command in COMMANDS {
        let call = format!("\\{} {}", command.name, command.args);
        if call.len() > 36 {
            text.push_str(&format!("  {call}\n{:38}{}\n", "", command.help));
        } else {
            text.push_str(&format!("  {call:<36}{}\n", command.help));
        }
    }
    text.push_str(
        "\nTab completes, Ctrl-R searches the history, Ctrl-C cancels the query that runs\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for command in COMMANDS {
            assert!(help_text().contains(command.help), "{}", command.name);
            assert!(!command.help.ends_with('.'), "{}", command.name);
            assert_eq!(
                command.args.is_empty(),
                command.argument == ArgumentKind::Nothing && command.name != "rows"
            );
        }
    }

    #[test]
    fn lines_to_commands() {
        let cases = [
            ("\\d", "d", ""),
            ("\\d bars", "d", "bars"),
            ("\\d  bars ;", "d", "bars"),
            ("\\q;", "q", ""),
            ("\\help", "?", ""),
            ("\\plot close, rsi from SELECT 1;", "plot", "close, rsi from SELECT 1"),
        ];
        for (line, name, args) in cases {
            let (command, rest) = parse_command(line).unwrap();
            assert_eq!((command.name, rest), (name, args), "{line}");
        }
    }

    #[test]
    fn a_misspelt_command_names_the_nearest() {
        let cases = [
            ("\\timming on", "unknown command \\timming; did you mean \\timing?"),
            ("\\fromat", "unknown command \\fromat; did you mean \\format?"),
            ("\\x", "unknown command \\x; \\? lists the commands"),
            ("\\", "unknown command \\; \\? lists the commands"),
            ("\\completely", "unknown command \\completely; \\? lists the commands"),
        ];
        for (line, expected) in cases {
            let error = parse_command(line).err().unwrap();
            assert_eq!(error.to_string(), expected, "{line}");
        }
    }
}
