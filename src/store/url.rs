//! Places in object stores and on web servers, as a user writes them.

use std::fmt;

use object_store::path::Path;

use super::location::check_variables_set;
use crate::config::STORE_SCHEMES;
use crate::error::{Error, Result};

/// An object, a prefix or a glob: `s3://bucket/bars/`, `https://host/bars.parquet`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectUrl {
    scheme: String,
    /// The bucket or container; the host with its port.
    bucket: String,
    /// What stands behind it, without slashes at the ends.
    key: String,
    /// What stands behind the question mark of a web address, which may be a secret.
    query: String,
}

impl fmt::Debug for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ObjectUrl {
    /// The URL without its query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket_url(), self.key)
    }
}

impl ObjectUrl {
    /// Reads a URL; None if its scheme is another.
    ///
    /// # Errors
    /// No bucket, or a variable that is not set.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        let scheme = scheme.to_ascii_lowercase();
        // What Hadoop calls S3.
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

    /// What stands behind the bucket, without slashes at the ends.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands behind a question mark.
    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// The bucket alone: `s3://bucket`.
    pub fn bucket_url(&self) -> String {
        format!("{}://{}", self.scheme, self.bucket)
    }

    /// Whether it is on a web server, which lists nothing.
    pub fn is_web(&self) -> bool {
        self.scheme.starts_with("http")
    }

    /// The key as object stores take it.
    ///
    /// # Errors
    /// A key with empty parts, or with `.` and `..`.
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

    /// Whether it stands for many: `*`, `?` and `[` in it.
    pub fn is_glob(&self) -> bool {
        self.key.contains(['*', '?', '['])
    }

    /// What stands before the first part of a glob that is no name; all of it if it is no glob.
    pub fn fixed(&self) -> String {
        let is_name = |part: &&str| !part.contains(['*', '?', '[']);
        self.key.split('/').take_while(is_name).collect::<Vec<_>>().join("/")
    }

    /// What says whether a key is one of those that this stands for.
    ///
    /// # Errors
    /// A glob that is none.
    pub fn matcher(&self) -> Result<impl Fn(&str) -> bool + use<>> {
        let pattern = glob::Pattern::new(&self.key)
            .map_err(|error| Error::usage(format!("the glob {self} is wrong: {}", error.msg)))?;
        let pattern = self.is_glob().then_some(pattern);
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let prefix = self.key.clone();
        Ok(move |key: &str| match &pattern {
            // A folder that is asked for is asked for with all that is in it.
            Some(pattern) => {
                let mut ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
                ends.any(|end| pattern.matches_with(&key[..end], options))
            }
            None => is_within_prefix(&prefix, key),
        })
    }

    /// A URL below it.
    pub fn below(&self, name: &str) -> Self {
        let key =
            if self.key.is_empty() { name.to_string() } else { format!("{}/{name}", self.key) };
        Self { key, ..self.clone() }
    }

    /// Whether one of the two stands within the other, or both are one.
    pub fn meets(&self, other: &Self) -> bool {
        self.bucket_url() == other.bucket_url()
            && (is_within_prefix(&self.key, &other.key) || is_within_prefix(&other.key, &self.key))
    }
}

fn is_within_prefix(outer: &str, inner: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    outer.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
