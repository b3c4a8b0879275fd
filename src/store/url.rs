//! URLs of object stores and web servers, as the user writes them.

use std::fmt;

use object_store::path::Path;

use crate::config::STORE_SCHEMES;
use crate::error::{Error, Result};

/// An object, a prefix or a glob: `s3://bucket/bars/`, `https://host/bars.parquet`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectUrl {
    scheme: String,
    /// The bucket or container; the host with its port.
    bucket: String,
    /// The path after the bucket, without slashes at the ends.
    key: String,
    /// The query of a web address, which may contain a secret.
    query: String,
}

impl fmt::Debug for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ObjectUrl {
    /// Writes the URL without its query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket_url(), self.key)
    }
}

impl ObjectUrl {
    /// Parses a URL; None if its scheme is another.
    ///
    /// # Errors
    /// The URL has no bucket, contains a user or password, or names a variable that is not set.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        let scheme = scheme.to_ascii_lowercase();
        // Hadoop's name for S3.
        let scheme = if scheme == "s3a" { "s3" } else { scheme.as_str() };
        let web = matches!(scheme, "http" | "https");
        if !web && !STORE_SCHEMES.contains(&scheme) {
            return Ok(None);
        }
        check_variables_set(text)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) if web => (rest, query),
            _ => (rest, ""),
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            let what = if web { "host" } else { "bucket" };
            return Err(Error::usage(format!("{scheme}:// names no {what}"))
                .hint(format!("write {scheme}://{what}/path")));
        }
        if bucket.contains('@') {
            return Err(Error::usage(format!("{scheme}:// with a user or a password in it"))
                .hint("set them in windrow.yaml under stores, or in the environment"));
        }
        let [scheme, bucket, query] = [scheme, bucket, query].map(str::to_string);
        Ok(Some(Self { scheme, bucket, key: key.trim_matches('/').to_string(), query }))
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The bucket or the host.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The path after the bucket, without slashes at the ends.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The query of a web address.
    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// The URL of the bucket alone: `s3://bucket`.
    pub fn bucket_url(&self) -> String {
        format!("{}://{}", self.scheme, self.bucket)
    }

    /// Returns whether it is on a web server, which cannot list files.
    pub fn is_web(&self) -> bool {
        self.scheme.starts_with("http")
    }

    /// Returns the key in the form of object stores.
    ///
    /// # Errors
    /// The key has empty parts, or `.` or `..`.
    pub fn path(&self) -> Result<Path> {
        let path = match self.is_web() {
            true => Path::from_url_path(&self.key),
            false => Path::parse(&self.key),
        };
        path.map_err(|error| {
            Error::usage(format!("{self} is no key of an object: {error}"))
                .hint("write the names between the slashes as they are, without . and ..")
        })
    }

    /// Returns whether it is a glob: it contains `*`, `?` or `[`.
    pub fn is_glob(&self) -> bool {
        self.key.contains(['*', '?', '['])
    }

    /// Returns the path before the first part with a wildcard; the whole key if it is no glob.
    pub fn fixed(&self) -> String {
        let is_name = |part: &&str| !part.contains(['*', '?', '[']);
        self.key.split('/').take_while(is_name).collect::<Vec<_>>().join("/")
    }

    /// Returns a function that tests whether a key matches the URL.
    ///
    /// # Errors
    /// The glob is invalid.
    pub fn matcher(&self) -> Result<impl Fn(&str) -> bool + use<>> {
        let pattern = glob::Pattern::new(&self.key)
            .map_err(|error| Error::usage(format!("the glob {self} is wrong: {}", error.msg)))?;
        let pattern = self.is_glob().then_some(pattern);
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let prefix = self.key.clone();
        Ok(move |key: &str| match &pattern {
            // A glob that matches a folder selects everything in it.
            Some(pattern) => {
                let mut ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
                ends.any(|end| pattern.matches_with(&key[..end], options))
            }
            None => is_within_prefix(&prefix, key),
        })
    }

    /// Returns a URL below this one.
    pub fn below(&self, name: &str) -> Self {
        let key =
            if self.key.is_empty() { name.to_string() } else { format!("{}/{name}", self.key) };
        Self { key, ..self.clone() }
    }

    /// Returns whether one of the two lies within the other, or both are equal.
    pub fn meets(&self, other: &Self) -> bool {
        self.bucket_url() == other.bucket_url()
            && (is_within_prefix(&self.key, &other.key) || is_within_prefix(&other.key, &self.key))
    }
}

fn is_within_prefix(outer: &str, inner: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    outer.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses a location of `windrow.yaml` that names a variable which is not set.
pub(super) fn check_variables_set(text: &str) -> Result<()> {
    let name = text.split_once("${").and_then(|(_, rest)| rest.split_once('}'));
    match name {
        None => Ok(()),
        Some((name, _)) => Err(Error::usage(format!("the environment variable {name} is not set"))
            .hint("set it: a location of windrow.yaml names it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ObjectUrl {
        ObjectUrl::parse(text).unwrap().unwrap()
    }

    #[test]
    fn urls() {
        let cases = [
            ("s3://b", "s3://b", "", "s3://b/"),
            ("s3a://b/x/y/", "s3://b", "x/y", "s3://b/x/y"),
            ("gs://b//x", "gs://b", "x", "gs://b/x"),
            (
                "https://h:81/a%20b.csv?secret=1",
                "https://h:81",
                "a%20b.csv",
                "https://h:81/a%20b.csv",
            ),
            ("S3://b/x", "s3://b", "x", "s3://b/x"),
            ("s3://b/what?.parquet", "s3://b", "what?.parquet", "s3://b/what?.parquet"),
        ];
        for (text, bucket, key, shown) in cases {
            let found = url(text);
            assert_eq!((found.bucket_url().as_str(), found.key()), (bucket, key), "{text}");
            assert_eq!((found.to_string(), format!("{found:?}")), (shown.into(), shown.into()));
        }
        assert_eq!(url("https://h/a%20b.csv").path().unwrap().as_ref(), "a b.csv");
        assert!(ObjectUrl::parse("ftp://h/x").unwrap().is_none());
        assert!(ObjectUrl::parse("bars/").unwrap().is_none());
        assert!(ObjectUrl::parse("s3:///x").is_err());
        assert!(url("s3://b/a/../c").path().is_err());
    }

    #[test]
    fn what_it_stands_for() {
        let cases = [
            ("s3://b/x", "x/y/z.parquet", true),
            ("s3://b/x", "xy/z.parquet", false),
            ("s3://b/x/*/z.parquet", "x/y/z.parquet", true),
            ("s3://b/x/*", "x/y/z.parquet", true),
            ("s3://b/*.parquet", "x/y.parquet", false),
            ("s3://b/x/y*/z", "x/w/z", false),
        ];
        for (text, key, stands) in cases {
            assert_eq!(url(text).matcher().unwrap()(key), stands, "{text} {key}");
        }
        assert_eq!(url("s3://b/x/y*/z").fixed(), "x");
        assert!(url("s3://b/x[").matcher().is_err());
    }

    #[test]
    fn what_meets() {
        let cases = [
            ("s3://b/x", "s3://b/x", true),
            ("s3://b/x", "s3://b/x/y", true),
            ("s3://b", "s3://b/x", true),
            ("s3://b/x", "s3://b/xy", false),
            ("s3://b/x", "s3://c/x", false),
        ];
        for (one, two, meets) in cases {
            assert_eq!(url(one).meets(&url(two)), meets, "{one} {two}");
            assert_eq!(url(two).meets(&url(one)), meets, "{one} {two}");
        }
    }
}
