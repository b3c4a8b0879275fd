//! Lists the uploads in an S3 bucket that were begun and neither completed nor aborted. `object_store`
//! begins and ends uploads, but cannot list them. This module requests the list, signed in the same
//! way.

use crate::limits::UPLOAD_PAGES;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpConnector, HttpRequest};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, MultipartId, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::http::RetryingConnector;

/// The list of the pending uploads of one bucket.
#[derive(Debug)]
pub(super) struct UploadList {
    pub(super) store: Arc<AmazonS3>,
    /// The region that requests are signed for.
    pub(super) region: String,
    /// Creates the client on demand, as the list is rarely requested.
    pub(super) connector: RetryingConnector,
    pub(super) options: ClientOptions,
}

/// One page of the answer of `ListMultipartUploads`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UploadPage {
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    upload: Vec<PendingUpload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PendingUpload {
    key: String,
    upload_id: String,
}

fn upload_list_error(why: impl Display) -> object_store::Error {
    let source = format!("the list of uploads: {why}").into();
    object_store::Error::Generic { store: "S3", source }
}

impl UploadList {
    /// Lists the uploads of keys that begin with a prefix.
    ///
    /// # Errors
    /// The server has no such list, refuses the request, or cannot be reached.
    pub(super) async fn list_pending(&self, prefix: &Path) -> Result<Vec<(Path, MultipartId)>> {
        let client = self.connector.connect(&self.options)?;
        let (mut found, mut after) = (Vec::new(), String::new());
        for _ in 0..UPLOAD_PAGES {
            let page = self.fetch_page(&client, prefix, &after).await?;
            for PendingUpload { key, upload_id } in page.upload {
                found.push((Path::parse(key)?, upload_id));
            }
            if !page.is_truncated {
                return Ok(found);
            }
            let marker = |name: &str, value: Option<String>| match value {
                Some(value) => format!("&{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)),
                None => String::new(),
            };
            after = marker("key-marker", page.next_key_marker)
                + &marker("upload-id-marker", page.next_upload_id_marker);
        }
        Ok(found) // If there are more, the next run removes them.
    }

    async fn fetch_page(
        &self,
        client: &HttpClient,
        prefix: &Path,
        after: &str,
    ) -> Result<UploadPage> {
        // The address of the bucket is the address of an object in it, without the object's name.
        let get = "GET".parse().map_err(upload_list_error)?;
        let signed = self.store.signed_url(get, &Path::from("x"), SIGNATURE_LIFETIME).await?;
        let object = signed.as_str().split('?').next().unwrap_or_default();
        let bucket =
            object.strip_suffix("/x").ok_or_else(|| upload_list_error("an odd address"))?;
        let prefix = utf8_percent_encode(prefix.as_ref(), NON_ALPHANUMERIC);
        let address = format!("{bucket}/?uploads=&prefix={prefix}{after}");
        let mut request = HttpRequest::new(Bytes::new().into());
        *request.uri_mut() = address.parse().map_err(upload_list_error)?;
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        let (head, body) = client.execute(request).await.map_err(upload_list_error)?.into_parts();
        if !head.status.is_success() {
            return Err(upload_list_error(format_args!("the server answers {}", head.status)));
        }
        let bytes = body.bytes().await.map_err(upload_list_error)?;
        quick_xml::de::from_reader(&bytes[..]).map_err(upload_list_error)
    }
}

/// The lifetime of a signature whose URL is only parsed here.
const SIGNATURE_LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read() {
        let text = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"x\"><Bucket>b</Bucket>\
            <Upload><Key>a/b&amp;c.parquet</Key><UploadId>1</UploadId><Initiated>now</Initiated></Upload>\
            <IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>\
            <Upload><Key>d</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>";
        let page: UploadPage = quick_xml::de::from_reader(text.as_bytes()).unwrap();
        let found: Vec<_> = page.upload.iter().map(|u| (&*u.key, &*u.upload_id)).collect();
        assert_eq!(found, [("a/b&c.parquet", "1"), ("d", "2")]);
        assert!(page.is_truncated && page.next_upload_id_marker.is_none());
        let empty = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
        let page: UploadPage = quick_xml::de::from_reader(empty.as_bytes()).unwrap();
        assert!(page.upload.is_empty() && !page.is_truncated);
    }
}
