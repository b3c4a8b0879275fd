//! Tokens: random secrets, of which only hashes are stored.
//!
//! A token reads `wr_ID_SECRET`. The file has the SHA-256 of each secret, which suffices for 256 random bits. It is
//! replaced by a rename, and read again when it changes, so that a revoked token ends within a second.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::identity::encode_hex;
use crate::outside::{self, files};

/// The interval at which the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The permissions of a token; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// Reads sets, features, jobs and health.
    Read,
    /// Starts and cancels jobs.
    Compute,
    /// Reloads the configuration.
    Admin,
}

impl TokenScope {
    /// All scopes, the smallest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Compute, Self::Admin];

    /// Returns the word that users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Compute => "compute",
            Self::Admin => "admin",
        }
    }
}

/// A token as the file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredToken {
    /// The part of the token that is no secret.
    pub id: String,
    /// The name that its owner gave it.
    pub name: String,
    /// Its permissions.
    pub scope: TokenScope,
    /// The SHA-256 of its secret, in hexadecimal digits.
    pub hash: String,
    /// The time at which it was made, RFC 3339 in UTC.
    pub created: String,
}

/// The file of tokens.
#[derive(Debug, Default, Serialize, Deserialize)]
struct TokenFile {
    tokens: Vec<StoredToken>,
}

/// Creates a token and returns it. Only its hash is stored: nobody can read the token again.
///
/// # Errors
/// If there is a token of that name, or the file cannot be read or written.
pub fn create_token(path: &Path, name: &str, scope: TokenScope) -> Result<String> {
    let plain = !name.is_empty() && name.len() <= 64;
    if !plain || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c)) {
        return Err(Error::usage(format!("{name} is no name for a token"))
            .hint("use up to 64 letters, digits, and any of - _ . @"));
    }
    let mut file = read_file(path)?;
    if file.tokens.iter().any(|token| token.name == name) {
        return Err(Error::usage(format!("there is a token {name}"))
            .hint(format!("take another name, or revoke it: windrow token revoke {name}")));
    }
    let (id, secret) = (random_digits::<4>()?, random_digits::<32>()?);
    file.tokens.push(StoredToken {
        id: id.clone(),
        name: name.to_string(),
        scope,
        hash: hash_secret(&secret),
        created: outside::utc_now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    });
    write_file(path, &file)?;
    Ok(format!("wr_{id}_{secret}"))
}

/// Returns all tokens.
///
/// # Errors
/// If the file cannot be read.
pub fn list_tokens(path: &Path) -> Result<Vec<StoredToken>> {
    Ok(read_file(path)?.tokens)
}

/// Removes a token.
///
/// # Errors
/// If there is no token of that name, or the file cannot be read or written.
pub fn revoke_token(path: &Path, name: &str) -> Result<()> {
    let mut file = read_file(path)?;
    let before = file.tokens.len();
    let names: Vec<String> = file.tokens.iter().map(|token| token.name.clone()).collect();
    file.tokens.retain(|token| token.name != name);
    if file.tokens.len() == before {
        let known = names.iter().map(String::as_str);
        let hint = crate::error::did_you_mean(name, "tokens", known);
        return Err(Error::usage(format!("there is no token {name}")).hint(hint));
    }
    write_file(path, &file)
}

/// The tokens of a process.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    known: Mutex<KnownTokens>,
}

#[derive(Debug)]
struct KnownTokens {
    tokens: Vec<StoredToken>,
    /// True once there was a token.
    ever: bool,
    stamp: Option<(u64, std::time::SystemTime)>,
    looked: Instant,
}

impl Tokens {
    /// Reads the tokens of a file, which need not exist.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (stamp, tokens) = (stamp_of(path), read_file(path)?.tokens);
        let ever = !tokens.is_empty();
        let known = KnownTokens { tokens, ever, stamp, looked: Instant::now() };
        Ok(Self { path: path.to_path_buf(), known: Mutex::new(known) })
    }

    /// Returns whether there is no token.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().tokens.is_empty()
    }

    /// Returns whether there was a token at any look of this process.
    pub(super) fn were_there(&self) -> bool {
        self.lock().ever
    }

    /// Returns the name and the scope of a token; None if it is none.
    pub(super) fn check(&self, token: &str) -> Option<(String, TokenScope)> {
        let (id, secret) = token.strip_prefix("wr_")?.split_once('_')?;
        let known = self.lock();
        let found = known.tokens.iter().find(|token| token.id == id)?;
        let equal = hash_secret(secret).as_bytes().ct_eq(found.hash.as_bytes());
        bool::from(equal).then(|| (found.name.clone(), found.scope))
    }

    /// Returns the tokens, after a look at the file if the last one is old.
    fn lock(&self) -> std::sync::MutexGuard<'_, KnownTokens> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK {
            known.looked = Instant::now();
            let stamp = stamp_of(&self.path);
            if stamp != known.stamp {
                // A file that cannot be read keeps the tokens that are known: the next look tries again.
                match read_file(&self.path) {
                    Ok(file) => {
                        known.ever |= !file.tokens.is_empty();
                        (known.tokens, known.stamp) = (file.tokens, stamp);
                    }
                    Err(error) => tracing::warn!("{error}"),
                }
            }
        }
        known
    }
}

fn stamp_of(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let meta = files::read_metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

fn hash_secret(secret: &str) -> String {
    encode_hex(&Sha256::digest(secret.as_bytes()))
}

/// Returns random bytes of the system as hexadecimal digits.
fn random_digits<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0_u8; BYTES];
    getrandom::getrandom(&mut bytes)
        .map_err(|error| Error::data(format!("the system gives no random numbers: {error}")))?;
    Ok(encode_hex(&bytes))
}

fn read_file(path: &Path) -> Result<TokenFile> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::data(format!("{}: the tokens cannot be read: {error}", path.display()))
            .hint("name another file in serve.tokens, or make tokens anew with `windrow token new`")
    };
    match files::read_text(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| wrong(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(TokenFile::default()),
        Err(error) => Err(wrong(&error)),
    }
}

/// Replaces the file; only its owner may read it.
fn write_file(path: &Path, file: &TokenFile) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let wrong = |error: std::io::Error| {
        Error::data(format!("{}: the tokens cannot be written: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let text = serde_json::to_string_pretty(file).map_err(|error| wrong(error.into()))?;
    let beside = path.with_extension(format!("{}.new", outside::process_id()));
    let written = files::write_synced(&beside, text.as_bytes())
        .and_then(|()| std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o600)))
        .and_then(|()| files::rename_path(&beside, path));
    if written.is_err() {
        let _ = files::remove_file(&beside);
    }
    written.map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_are_stored_and_revoked_tokens_end() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/tokens.json");
        let tokens = Tokens::open(&path).unwrap();
        assert!(tokens.is_empty());
        let reader = create_token(&path, "ann", TokenScope::Read).unwrap();
        let admin = create_token(&path, "bob", TokenScope::Admin).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(reader.rsplit('_').next().unwrap()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let tokens = Tokens::open(&path).unwrap();
        assert_eq!(tokens.check(&reader), Some(("ann".to_string(), TokenScope::Read)));
        assert_eq!(tokens.check(&admin), Some(("bob".to_string(), TokenScope::Admin)));
        let other = format!("{}0", &reader[..reader.len() - 1]);
        for wrong in ["", "wr_", "wr__", "ann", &reader[..20], &format!("{reader}0")] {
            assert_eq!(tokens.check(wrong), None, "{wrong}");
        }
        assert!(other == reader || tokens.check(&other).is_none());
        assert!(create_token(&path, "ann", TokenScope::Read).is_err());
        assert!(create_token(&path, "a b", TokenScope::Read).is_err());
        revoke_token(&path, "ann").unwrap();
        let error = revoke_token(&path, "bobb").unwrap_err();
        assert_eq!(error.to_string(), "there is no token bobb; did you mean bob?");
        tokens.known.lock().unwrap().looked -= 2 * LOOK;
        assert_eq!(tokens.check(&reader), None);
        assert!(tokens.check(&admin).is_some());
    }
}
