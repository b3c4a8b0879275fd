//! The settings of object stores: the section `stores` of the file, and every key that it may contain.

use std::collections::BTreeMap;
use std::fmt;

use super::yaml::YamlNode;
use super::{Config, ConfigContext, expand_variables, unexpected_value_message};
use crate::error::{Result, did_you_mean};

/// The schemes of object stores.
pub const STORE_SCHEMES: [&str; 3] = ["s3", "gs", "az"];

/// A key of an object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // docs/object-stores.md describes each key; a test checks this.
pub enum StoreKey {
    Endpoint,
    AllowHttp,
    Anonymous,
    Region,
    PathStyle,
    Profile,
    AccessKeyId,
    SecretAccessKey,
    SessionToken,
    ServiceAccount,
    Account,
    AccessKey,
    SasToken,
    Emulator,
}

/// The name and the type of a key in the file.
struct StoreKeySpec {
    key: StoreKey,
    name: &'static str,
    /// The schemes that support the key.
    of: &'static [&'static str],
    /// True if the value is a boolean.
    flag: bool,
}

const fn text_key(key: StoreKey, name: &'static str, of: &'static [&'static str]) -> StoreKeySpec {
    StoreKeySpec { key, name, of, flag: false }
}

const fn flag_key(key: StoreKey, name: &'static str, of: &'static [&'static str]) -> StoreKeySpec {
    StoreKeySpec { key, name, of, flag: true }
}

/// Every key, in the order in which messages list them.
const WORDS: [StoreKeySpec; 14] = [
    text_key(StoreKey::Endpoint, "endpoint", &STORE_SCHEMES),
    flag_key(StoreKey::AllowHttp, "allow_http", &STORE_SCHEMES),
    flag_key(StoreKey::Anonymous, "anonymous", &STORE_SCHEMES),
    text_key(StoreKey::Region, "region", &["s3"]),
    flag_key(StoreKey::PathStyle, "path_style", &["s3"]),
    text_key(StoreKey::Profile, "profile", &["s3"]),
    text_key(StoreKey::AccessKeyId, "access_key_id", &["s3"]),
    text_key(StoreKey::SecretAccessKey, "secret_access_key", &["s3"]),
    text_key(StoreKey::SessionToken, "session_token", &["s3"]),
    text_key(StoreKey::ServiceAccount, "service_account", &["gs"]),
    text_key(StoreKey::Account, "account", &["az"]),
    text_key(StoreKey::AccessKey, "access_key", &["az"]),
    text_key(StoreKey::SasToken, "sas_token", &["az"]),
    flag_key(StoreKey::Emulator, "emulator", &["az"]),
];

impl fmt::Display for StoreKey {
    /// Writes the name of the key in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|word| word.key == *self);
        f.write_str(word.map_or("", |word| word.name))
    }
}

/// The settings of an object store in the file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreConfig(BTreeMap<StoreKey, String>);

impl fmt::Debug for StoreConfig {
    /// Writes the keys without values, because some values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl StoreConfig {
    /// Returns the value of a key.
    pub fn get(&self, key: StoreKey) -> Option<&str> {
        self.0.get(&key).map(String::as_str)
    }

    /// Returns all keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (StoreKey, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Returns these keys, overridden by the keys of `other`, which applies to fewer URLs.
    #[must_use]
    pub fn override_with(&self, other: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(other.0.iter().map(|(key, value)| (*key, value.clone())));
        Self(all)
    }

    /// Returns the value of a boolean key; None if the key is not set.
    pub fn flag_value(&self, key: StoreKey) -> Option<bool> {
        self.get(key).map(|text| text == "true")
    }
}

/// Reads `stores`.
pub(super) fn take_stores(
    config: &mut Config,
    node: &YamlNode,
    around: &ConfigContext<'_>,
) -> Result<()> {
    for (key, value) in node.require_entries("stores")? {
        let url = key.text.trim_end_matches('/');
        let (scheme, bucket) = url.split_once(':').unwrap_or((url, ""));
        let bucket = bucket.trim_start_matches('/');
        if !STORE_SCHEMES.contains(&scheme) || bucket.contains('/') {
            return Err(key.error_here(format!("{} is no object store", key.text)).hint(
                "write s3://BUCKET, gs://BUCKET or az://CONTAINER, or s3:// for every bucket",
            ));
        }
        let mut store = StoreConfig::default();
        for (text, value) in value.require_entries(&key.text)? {
            let what = format!("{} of {}", text.text, key.text);
            let known = WORDS.iter().filter(|word| word.of.contains(&scheme));
            let Some(word) = known.clone().find(|word| word.name == text.text) else {
                let hint = did_you_mean(&text.text, "keys", known.map(|word| word.name));
                return Err(text.error_here(format!("unknown key {what}")).hint(hint));
            };
            let said = match word.flag {
                true => value.require_scalar(&what)?,
                // Secrets that come from a file often end with a line break.
                false => expand_variables(&what, value, around.env)?.trim().to_string(),
            };
            if word.flag && !["true", "false"].contains(&said.as_str()) {
                return Err(value.error_here(unexpected_value_message(
                    &what,
                    &said,
                    "true or false",
                )));
            }
            store.0.insert(word.key, said);
        }
        config.stores.insert(format!("{scheme}://{bucket}"), store);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn stores() {
        let env = [("LAB", " s3cret\n")];
        let text = "stores:\n  's3://': {endpoint: https://h, path_style: true}\n  \
                    s3://lab/: {secret_access_key: '${LAB}', path_style: false}\n  az://x: {emulator: true}\n";
        let config = load(text, &env).unwrap();
        let both = config.stores["s3://"].override_with(&config.stores["s3://lab"]);
        assert_eq!(both.get(StoreKey::SecretAccessKey), Some("s3cret"));
        assert_eq!(both.get(StoreKey::Endpoint), Some("https://h"));
        assert_eq!(both.flag_value(StoreKey::PathStyle), Some(false));
        assert_eq!(format!("{both:?}"), "{Endpoint, PathStyle, SecretAccessKey}");
        assert_eq!(config.stores["az://x"].flag_value(StoreKey::Emulator), Some(true));
        let told = |text: &str| load(text, &env).unwrap_err().to_string();
        assert!(told("stores: {ftp://x: {}}").contains("ftp://x is no object store"));
        assert!(told("stores: {s3://x/y: {}}").contains("s3://x/y is no object store"));
        let odd = told("stores: {gs://x: {region: y}}");
        assert!(odd.contains("unknown key region of gs://x; keys: endpoint, allow_http"), "{odd}");
        let flag = told("stores: {s3://x: {anonymous: yes}}");
        assert!(flag.contains("anonymous of s3://x is yes, expected true or false"), "{flag}");
    }

    #[test]
    fn the_documentation_has_every_key() {
        let rows = include_str!("../../docs/object-stores.md").lines();
        let rows: Vec<&str> = rows.filter(|line| line.starts_with("| `")).collect();
        for word in &WORDS {
            let said = rows.iter().find(|row| row.contains(&format!("`{}`", word.name)));
            let of = said.and_then(|row| row.split('|').nth(2)).unwrap_or_default().trim();
            let of = if of == "all" { STORE_SCHEMES.join(", ") } else { of.to_string() };
            assert_eq!(of, word.of.join(", "), "{}", word.name);
        }
    }
}
