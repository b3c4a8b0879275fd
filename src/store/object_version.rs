//! The version of a remote object: the parts of its metadata that tell its bytes from those before and after.

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;

use crate::limits::FILE_CACHE_SETTLED;

/// One version of an object.
#[derive(Clone, Debug)]
pub(super) struct ObjectVersion {
    /// The strong ETag, which identifies the content; None if the server sends none.
    tag: Option<String>,
    /// The name that the server gives the version; not every answer has it.
    version: Option<String>,
    modified: DateTime<Utc>,
    pub(super) size: u64,
}

impl ObjectVersion {
    /// Creates the version of the metadata of a listing or of an answer.
    pub(super) fn from_meta(meta: &ObjectMeta) -> Self {
        Self {
            tag: meta.e_tag.as_deref().and_then(strong_etag),
            version: meta.version.clone(),
            modified: meta.last_modified,
            size: meta.size,
        }
    }

    /// Returns the ETag for a condition.
    pub(super) fn strong_tag(&self) -> Option<String> {
        self.tag.clone()
    }

    fn time(&self) -> Option<i64> {
        let unknown = DateTime::UNIX_EPOCH.timestamp();
        Some(self.modified.timestamp()).filter(|time| *time != unknown)
    }

    /// Returns whether an answer is for this version: not every server checks conditions.
    pub(super) fn is_same(&self, answer: &Self) -> bool {
        let tag = answer.tag.as_ref().zip(self.tag.as_ref()).is_none_or(|(a, b)| a == b);
        let time = answer.time().zip(self.time()).is_none_or(|(a, b)| a == b);
        answer.size == self.size && tag && time
    }

    /// Returns whether an answer names this version by the mark that [`ObjectVersion::identity`] is made of. Times of
    /// answers have no parts of a second.
    pub(super) fn is_named_by(&self, answer: &Self) -> bool {
        match (&self.tag, &self.version) {
            (Some(tag), _) => answer.tag.as_ref() == Some(tag),
            (None, Some(version)) => answer.version.as_ref() == Some(version),
            (None, None) => self.time().is_some() && answer.time() == self.time(),
        }
    }

    /// Returns a text that no other version of the object has; None if the server says too little.
    pub(super) fn identity(&self) -> Option<String> {
        let by = match (&self.tag, &self.version, self.time()) {
            (Some(tag), _, _) => format!("tag {tag}"),
            (None, Some(version), _) => format!("version {version}"),
            (None, None, Some(_)) => format!("written {}", self.modified.to_rfc3339()),
            (None, None, None) => return None,
        };
        Some(format!("{} bytes, {by}", self.size))
    }

    /// Returns whether a later version will have another identity. Times count whole seconds, and so do the ETags that
    /// web servers make of them: within such a second, and the error of the clocks, a file may be written again.
    pub(super) fn is_settled(&self, on_web: bool, now: DateTime<Utc>) -> bool {
        let by_time = on_web || (self.tag.is_none() && self.version.is_none());
        let age = now.signed_duration_since(self.modified).to_std();
        !by_time || self.time().is_none() || age.is_ok_and(|age| age >= FILE_CACHE_SETTLED)
    }
}

/// Returns an ETag in the form that conditions take: in quotes, which some listings omit. None for a
/// weak tag, which does not promise the same bytes and is useless in a condition.
fn strong_etag(tag: &str) -> Option<String> {
    match tag.starts_with("W/") {
        true => None,
        false => Some(format!("\"{}\"", tag.trim_matches('"'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(tag: Option<&str>, version: Option<&str>, seconds: i64) -> ObjectMeta {
        ObjectMeta {
            location: "a".into(),
            last_modified: DateTime::from_timestamp(seconds, 0).unwrap(),
            size: 5,
            e_tag: tag.map(str::to_string),
            version: version.map(str::to_string),
        }
    }

    fn identity(tag: Option<&str>, version: Option<&str>, seconds: i64) -> Option<String> {
        ObjectVersion::from_meta(&meta(tag, version, seconds)).identity()
    }

    #[test]
    fn the_strongest_mark_is_the_identity() {
        assert_eq!(identity(Some("x"), Some("7"), 9).unwrap(), "5 bytes, tag \"x\"");
        assert_eq!(identity(Some("\"x\""), None, 8), identity(Some("x"), Some("7"), 9));
        assert_eq!(identity(Some("W/\"x\""), Some("7"), 9).unwrap(), "5 bytes, version 7");
        let written = identity(Some("W/\"x\""), None, 9).unwrap();
        assert_eq!(written, "5 bytes, written 1970-01-01T00:00:09+00:00");
        assert_eq!([identity(None, None, 0), identity(Some("W/x"), None, 0)], [None, None]);
    }

    #[test]
    fn a_time_of_whole_seconds_must_be_over() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let settled = |meta: &ObjectMeta, web| ObjectVersion::from_meta(meta).is_settled(web, now);
        assert!(settled(&meta(Some("x"), None, 999), false));
        assert!(!settled(&meta(Some("x"), None, 999), true));
        assert!(!settled(&meta(Some("W/x"), None, 999), false));
        assert!(settled(&meta(Some("x"), None, 900), true));
        assert!(settled(&meta(Some("x"), None, 0), true));
        assert!(!settled(&meta(None, None, 2_000), true), "in the future");
    }

    #[test]
    fn answers_are_of_the_same_version_or_not() {
        let of = |tag, seconds| ObjectVersion::from_meta(&meta(tag, None, seconds));
        let listed = of(Some("x"), 9);
        assert!(listed.is_same(&of(Some("\"x\""), 9)) && listed.is_same(&of(None, 0)));
        assert!(!listed.is_same(&of(Some("y"), 9)) && !listed.is_same(&of(Some("x"), 10)));
        assert!(listed.is_named_by(&of(Some("x"), 0)) && !listed.is_named_by(&of(None, 9)));
        let by_time = of(Some("W/\"x\""), 9);
        assert!(by_time.is_named_by(&of(Some("y"), 9)) && !by_time.is_named_by(&of(Some("y"), 0)));
        assert!(!of(None, 0).is_named_by(&of(None, 0)));
    }
}
