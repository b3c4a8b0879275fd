//! `windrow token`: makes, lists and revokes tokens of the service.

use clap::{Args, Subcommand};

use super::stdout::{print_json, print_text};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::service::{
    StoredToken, TokenScope, create_token, list_tokens, revoke_token, token_path,
};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it; nobody can read it again
    New {
        /// The name of its owner
        name: String,
        /// What it may do: read, compute (and read), or admin (and both)
        #[arg(long, value_name = "SCOPE")]
        scope: String,
    },
    /// List the tokens, without their secrets
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token back; a running service refuses it within a second
    Revoke {
        /// The name of its owner
        name: String,
    },
}

pub(super) fn manage_tokens(args: TokenArgs, config: &Config) -> Result<u8> {
    let path = token_path(config);
    match args.command {
        TokenCommand::New { name, scope } => {
            let token = create_token(&path, &name, parse_scope(&scope)?)?;
            eprintln!("the token of {name}, which is stored as a hash in {}:", path.display());
            print_text(&format!("{token}\n"))?;
        }
        TokenCommand::List { json } => {
            let tokens = list_tokens(&path)?;
            match json {
                true => print_json(&tokens.iter().map(describe_token).collect::<Vec<_>>())?,
                false => print_text(&format_tokens(&tokens))?,
            }
        }
        TokenCommand::Revoke { name } => {
            revoke_token(&path, &name)?;
            eprintln!("revoked {name}");
        }
    }
    Ok(0)
}

fn parse_scope(text: &str) -> Result<TokenScope> {
    TokenScope::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
        let names = TokenScope::ALL.map(TokenScope::name);
        Error::usage(format!("--scope is {text}, expected {}", names.join(", ")))
    })
}

fn describe_token(token: &StoredToken) -> serde_json::Value {
    serde_json::json!({
        "name": token.name, "id": token.id, "scope": token.scope.name(), "created": token.created,
    })
}

fn format_tokens(tokens: &[StoredToken]) -> String {
    if tokens.is_empty() {
        return "no tokens; `windrow token new NAME --scope read|compute|admin` makes one\n"
            .to_string();
    }
    let width = tokens.iter().map(|token| token.name.len()).max().unwrap_or(0);
    let line = |token: &StoredToken| {
        let StoredToken { name, id, scope, created, .. } = token;
        format!("{name:width$}  {:7}  {created}  {id}\n", scope.name())
    };
    tokens.iter().map(line).collect()
}
