//! Opens servers and object stores with the settings of configuration and environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use configparser::ini::Ini;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, resolve_bucket_region};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, RetryConfig};
use tokio::runtime::Handle;

use super::bucket::{Bucket, BucketFiles, StoreHandles};
use super::file_cache::RemoteFileCache;
use super::http::RetryingConnector;
use super::retry::Retry;
use super::uploads::UploadList;
use super::url::ObjectUrl;
use crate::config::{Config, StoreConfig, StoreKey};
use crate::error::{Error, Result};

/// The stores and servers that a command reaches, with their settings. An opened store stays open for
/// as long as the registry lives.
pub struct StoreRegistry {
    limit: Option<Duration>,
    stores: BTreeMap<String, StoreConfig>,
    /// The memory that small files of a store may take.
    room: u64,
    /// The runtime for requests that must not wait for compute threads.
    control: Option<Handle>,
    /// The bytes of remote files on the local disk; None to keep none.
    file_cache: Option<Arc<RemoteFileCache>>,
    opened: Mutex<BTreeMap<String, Arc<Bucket>>>,
}

impl fmt::Debug for StoreRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreRegistry").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The memory that small files of a store may take if no limit is set.
const SMALL_FILE_MEMORY: u64 = 32 << 20;

impl StoreRegistry {
    /// Creates the registry of a configuration.
    pub fn from_config(config: &Config) -> Self {
        Self {
            limit: config.timeout,
            stores: config.stores.clone(),
            room: if config.memory_limit.is_some() { 0 } else { SMALL_FILE_MEMORY },
            control: None,
            file_cache: None,
            opened: Mutex::default(),
        }
    }

    /// Sets the runtime that drives requests of [`StoreRegistry::open_control_bucket`]: one without
    /// compute tasks.
    pub fn with_control_runtime(self, control: Handle) -> Self {
        Self { control: Some(control), ..self }
    }

    /// Sets the cache that keeps bytes of remote files on the local disk.
    pub fn with_file_cache(self, file_cache: Option<Arc<RemoteFileCache>>) -> Self {
        Self { file_cache, ..self }
    }

    /// The cache that keeps bytes of remote files; None if there is none.
    pub fn file_cache(&self) -> Option<Arc<RemoteFileCache>> {
        self.file_cache.clone()
    }

    /// The runtime without compute tasks; the current one if none was set.
    pub fn control_runtime(&self) -> Handle {
        self.control.clone().unwrap_or_else(Handle::current)
    }

    /// The time that the whole command may take.
    pub fn time_limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Opens the bucket or web server of a URL. Sends no request yet, except for the region of an S3
    /// bucket if none is set.
    ///
    /// # Errors
    /// Settings are wrong or missing.
    pub async fn open_bucket(&self, url: &ObjectUrl) -> Result<Arc<Bucket>> {
        self.open_with_driver(url, None).await
    }

    /// Opens the same with connections of its own, which [`StoreRegistry::control_runtime`] drives: for
    /// messages that must be sent in time, however busy the other threads are.
    ///
    /// # Errors
    /// As [`StoreRegistry::open_bucket`].
    pub async fn open_control_bucket(&self, url: &ObjectUrl) -> Result<Arc<Bucket>> {
        self.open_with_driver(url, self.control.clone()).await
    }

    async fn open_with_driver(
        &self,
        url: &ObjectUrl,
        driver: Option<Handle>,
    ) -> Result<Arc<Bucket>> {
        let beside = if driver.is_some() { " beside" } else { "" };
        let known = format!("{}?{}{beside}", url.bucket_url(), url.query());
        if let Some(found) = self.lock_opened_buckets().get(&known) {
            return Ok(Arc::clone(found));
        }
        let name = url.bucket_url();
        let every = format!("{}://", url.scheme());
        let general = self.stores.get(&every).cloned().unwrap_or_default();
        let settings = match self.stores.get(&name) {
            Some(own) => general.override_with(own),
            None => general,
        };
        let retry = Arc::new(Retry::new(name.clone(), self.limit));
        let connector = RetryingConnector { name: name.clone(), retry: Arc::clone(&retry), driver };
        let build = StoreBuilder { url, settings: &settings, connector };
        let (handles, server) = build.build_handles().await?;
        let files = self.file_cache.as_ref().map(|cache| BucketFiles {
            cache: Arc::clone(cache),
            place: format!("{server}\n{name}?{}", url.query()),
        });
        let objects = Arc::new(Bucket::new(name, handles, files, retry, self.room));
        Ok(Arc::clone(self.lock_opened_buckets().entry(known).or_insert(objects)))
    }

    /// The number of retried requests to object stores.
    pub fn total_retries(&self) -> u64 {
        self.lock_opened_buckets().values().map(|objects| objects.retry_count()).sum()
    }

    fn lock_opened_buckets(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Bucket>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that is being configured.
struct StoreBuilder<'a> {
    url: &'a ObjectUrl,
    settings: &'a StoreConfig,
    connector: RetryingConnector,
}

/// Switches off the retries of `object_store`: the module `http` retries instead.
fn single_attempt() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

impl StoreBuilder<'_> {
    /// Returns the handles of the store, and its server: an endpoint or an account, whose buckets may have the names
    /// of buckets elsewhere. It is empty for the provider's own server.
    async fn build_handles(&self) -> Result<(StoreHandles, String)> {
        let wrong = |error: object_store::Error| self.settings_error(&error);
        match self.url.scheme() {
            "s3" => {
                let (store, list, server) = self.build_s3().await?;
                Ok(((Arc::clone(&store) as _, Some(store as _), Some(list)), server))
            }
            "gs" => {
                let builder = self.gcs_builder()?;
                let server = builder.get_config_value(&GoogleConfigKey::BaseUrl);
                let store = Arc::new(builder.build().map_err(wrong)?);
                let handles = (Arc::clone(&store) as _, Some(store as _), None);
                Ok((handles, server.unwrap_or_default()))
            }
            "az" => {
                let builder = self.azure_builder()?;
                let keys = [AzureConfigKey::AccountName, AzureConfigKey::Endpoint];
                let named = keys.map(|key| builder.get_config_value(&key).unwrap_or_default());
                let emulator = builder.get_config_value(&AzureConfigKey::UseEmulator);
                let server = format!("{} {}", named.join(" "), emulator.unwrap_or_default());
                let store = Arc::new(builder.build().map_err(wrong)?);
                Ok(((Arc::clone(&store) as _, Some(store as _), None), server))
            }
            _ => {
                let store = Arc::new(self.http_builder().build().map_err(wrong)?);
                Ok(((store, None, None), String::new()))
            }
        }
    }

    fn settings_error(&self, error: &object_store::Error) -> Error {
        let text = error.to_string();
        let text = text.rsplit("error: ").next().unwrap_or(&text);
        Error::usage(format!("{}: {text}", self.url.bucket_url()))
            .hint("correct its keys under stores in windrow.yaml, or the environment")
    }

    fn get_setting(&self, key: StoreKey) -> Option<&str> {
        self.settings.get(key).filter(|value| !value.is_empty())
    }

    /// Checks that every setting is present, and that the endpoint is encrypted unless plain HTTP is
    /// allowed.
    fn check_settings(&self, endpoint: Option<&str>, allow_http: bool) -> Result<()> {
        for (key, value) in self.settings.iter() {
            super::url::check_variables_set(value)?;
            self.check_header_value(&key.to_string(), value)?;
        }
        let host = endpoint.map(|endpoint| endpoint.split_once("://"));
        if let (Some(endpoint), Some(parts)) = (endpoint, host)
            && !parts.is_some_and(|(scheme, host)| scheme.starts_with("http") && !host.is_empty())
        {
            return Err(Error::usage(format!(
                "{}: its endpoint {endpoint} is no web address",
                self.url.bucket_url()
            ))
            .hint("write it as https://host or http://host:port"));
        }
        match endpoint.filter(|endpoint| endpoint.starts_with("http://") && !allow_http) {
            None => Ok(()),
            Some(endpoint) => Err(Error::usage(format!(
                "{}: its endpoint {endpoint} is not encrypted",
                self.url.bucket_url()
            ))
            .hint("write https://, or set allow_http: true under stores in windrow.yaml, or AWS_ALLOW_HTTP=true")),
        }
    }

    /// Refuses a value with a line break, which no header may contain; files of secrets often end in
    /// one.
    fn check_header_value(&self, key: &str, value: &str) -> Result<()> {
        if value.bytes().all(|byte| (b' '..0x7F).contains(&byte)) {
            return Ok(());
        }
        Err(Error::usage(format!("{}: {key} has an odd character in it", self.url.bucket_url()))
            .hint("look for line breaks and for characters that are not ASCII"))
    }

    /// Reads the S3 settings of the environment. Keys are skipped if they come from elsewhere, because
    /// all parts of a key belong together.
    fn s3_environment(&self, keys: bool) -> Result<AmazonS3Builder> {
        let mut builder = AmazonS3Builder::new();
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            let known = name.strip_prefix("AWS_").and(name.to_ascii_lowercase().parse().ok());
            let Some(key) = known.filter(|_| !value.trim().is_empty()) else { continue };
            let secret = matches!(
                key,
                AmazonS3ConfigKey::AccessKeyId
                    | AmazonS3ConfigKey::SecretAccessKey
                    | AmazonS3ConfigKey::Token
            );
            if keys || !secret {
                self.check_header_value(name, value.trim())?;
                builder = builder.with_config(key, value.trim());
            }
        }
        Ok(builder)
    }

    fn client_options(&self, allow_http: bool) -> ClientOptions {
        // Timeouts are applied by the callers that wait.
        ClientOptions::new().with_timeout_disabled().with_allow_http(allow_http)
    }

    async fn build_s3(&self) -> Result<(Arc<AmazonS3>, UploadList, String)> {
        let own = [StoreKey::AccessKeyId, StoreKey::SecretAccessKey]
            .map(|key| self.get_setting(key).is_some());
        if own[0] != own[1] {
            return Err(Error::usage(format!(
                "{}: access_key_id and secret_access_key belong together",
                self.url.bucket_url()
            ))
            .hint("set both under stores in windrow.yaml, or neither"));
        }
        let named = own[0] || self.get_setting(StoreKey::Profile).is_some();
        let mut builder = self.s3_environment(!named)?.with_bucket_name(self.url.bucket());
        let env = |key| builder.get_config_value(&key).filter(|value| !value.is_empty());
        let keys = env(AmazonS3ConfigKey::AccessKeyId).is_some();
        let by_role = [
            AmazonS3ConfigKey::WebIdentityTokenFile,
            AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
            AmazonS3ConfigKey::ContainerCredentialsFullUri,
        ];
        let by_role = by_role.into_iter().any(|key| env(key).is_some());
        let region =
            env(AmazonS3ConfigKey::Region).or_else(|| env(AmazonS3ConfigKey::DefaultRegion));
        let endpoint =
            env(AmazonS3ConfigKey::S3Endpoint).or_else(|| env(AmazonS3ConfigKey::Endpoint));
        let http = env(AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp));
        // The order: an explicit profile or key, then keys of the environment, then roles, then the
        // default profile.
        let profile = match (self.get_setting(StoreKey::Profile), std::env::var("AWS_PROFILE").ok())
        {
            _ if own[0] => None,
            (Some(name), _) => Some(AwsProfile::read_profile(name)?),
            (None, Some(name)) if !name.is_empty() && !keys => {
                Some(AwsProfile::read_profile(&name)?)
            }
            _ if keys || by_role => None,
            _ => AwsProfile::read_default(),
        };
        let of_profile =
            |key: &str| profile.as_ref().and_then(|profile| profile.profile_value(key));
        let endpoint = self
            .get_setting(StoreKey::Endpoint)
            .map(str::to_string)
            .or(endpoint)
            .or_else(|| of_profile("endpoint_url"));
        let allow_http = self
            .settings
            .flag_value(StoreKey::AllowHttp)
            .unwrap_or(http.as_deref() == Some("true"));
        self.check_settings(endpoint.as_deref(), allow_http)?;
        if let Some(profile) = &profile {
            builder = profile.apply_credentials(builder)?;
        }
        builder = self.apply_own_keys(builder);
        let region = region.or_else(|| of_profile("region"));
        let region = self.s3_region(region, endpoint.is_some()).await;
        let virtual_host = match self.settings.flag_value(StoreKey::PathStyle) {
            Some(path_style) => !path_style,
            None => endpoint.is_none() && !self.url.bucket().contains('.'),
        };
        if let Some(endpoint) = &endpoint {
            builder = builder.with_endpoint(self.s3_endpoint(endpoint, virtual_host));
        }
        let options = self.client_options(allow_http);
        let store = builder
            .with_region(region.clone())
            .with_virtual_hosted_style_request(virtual_host)
            .with_client_options(options.clone())
            .with_http_connector(self.connector.clone())
            .with_retry(single_attempt())
            .build()
            .map_err(|error| self.settings_error(&error))?;
        let (store, connector) = (Arc::new(store), self.connector.clone());
        let uploads = UploadList { store: Arc::clone(&store), region, connector, options };
        Ok((store, uploads, endpoint.unwrap_or_default()))
    }

    /// Applies the keys of the configuration, and whether requests are signed.
    fn apply_own_keys(&self, mut builder: AmazonS3Builder) -> AmazonS3Builder {
        let keys = [
            (StoreKey::AccessKeyId, AmazonS3ConfigKey::AccessKeyId),
            (StoreKey::SecretAccessKey, AmazonS3ConfigKey::SecretAccessKey),
            (StoreKey::SessionToken, AmazonS3ConfigKey::Token),
        ];
        for (key, known) in keys {
            if let Some(value) = self.get_setting(key) {
                builder = builder.with_config(known, value);
            }
        }
        match self.settings.flag_value(StoreKey::Anonymous) {
            Some(anonymous) => builder.with_skip_signature(anonymous),
            None => builder,
        }
    }

    /// Returns the region: that of the configuration, or `known`, or the one that Amazon reports for the bucket.
    async fn s3_region(&self, known: Option<String>, has_endpoint: bool) -> String {
        const ANY: &str = "us-east-1";
        match self.get_setting(StoreKey::Region).map(str::to_string).or(known) {
            Some(region) => region,
            // A self-hosted server accepts any region.
            None if has_endpoint => ANY.to_string(),
            None => {
                let asked = resolve_bucket_region(self.url.bucket(), &ClientOptions::new()).await;
                asked.unwrap_or_else(|_| ANY.to_string())
            }
        }
    }

    /// Returns the endpoint as requests name it: with the bucket in its host, or without.
    fn s3_endpoint(&self, endpoint: &str, virtual_host: bool) -> String {
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if virtual_host => {
                format!("{scheme}://{}.{host}", self.url.bucket())
            }
            _ => endpoint.to_string(),
        };
        endpoint.trim_end_matches('/').to_string()
    }

    fn gcs_builder(&self) -> Result<GoogleCloudStorageBuilder> {
        let endpoint = self.get_setting(StoreKey::Endpoint);
        let allow_http = self.settings.flag_value(StoreKey::AllowHttp).unwrap_or(false);
        self.check_settings(endpoint, allow_http)?;
        let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(self.url.bucket());
        if let Some(endpoint) = endpoint {
            builder = builder.with_base_url(endpoint);
        }
        if let Some(file) = self.get_setting(StoreKey::ServiceAccount) {
            builder = builder.with_service_account_path(file);
        }
        if let Some(anonymous) = self.settings.flag_value(StoreKey::Anonymous) {
            builder = builder.with_skip_signature(anonymous);
        }
        Ok(builder
            .with_client_options(self.client_options(allow_http))
            .with_http_connector(self.connector.clone())
            .with_retry(single_attempt()))
    }

    fn azure_builder(&self) -> Result<MicrosoftAzureBuilder> {
        let endpoint = self.get_setting(StoreKey::Endpoint);
        let emulator = self.settings.flag_value(StoreKey::Emulator).unwrap_or(false);
        let allow_http = self.settings.flag_value(StoreKey::AllowHttp).unwrap_or(emulator);
        self.check_settings(endpoint, allow_http)?;
        let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(self.url.bucket());
        let keys = [
            (StoreKey::Account, AzureConfigKey::AccountName),
            (StoreKey::AccessKey, AzureConfigKey::AccessKey),
            (StoreKey::SasToken, AzureConfigKey::SasKey),
            (StoreKey::Endpoint, AzureConfigKey::Endpoint),
        ];
        for (key, known) in keys {
            if let Some(value) = self.get_setting(key) {
                builder = builder.with_config(known, value);
            }
        }
        if let Some(anonymous) = self.settings.flag_value(StoreKey::Anonymous) {
            builder = builder.with_skip_signature(anonymous);
        }
        if emulator {
            builder = builder.with_use_emulator(true);
        }
        Ok(builder
            .with_client_options(self.client_options(allow_http))
            .with_http_connector(self.connector.clone())
            .with_retry(single_attempt()))
    }

    fn http_builder(&self) -> HttpBuilder {
        let query = self.url.query();
        let separator = if query.is_empty() { "" } else { "?" };
        HttpBuilder::new()
            .with_url(format!("{}{separator}{query}", self.url.bucket_url()))
            .with_client_options(self.client_options(self.url.scheme() == "http"))
            .with_http_connector(self.connector.clone())
            .with_retry(single_attempt())
    }
}

/// A section of the files that Amazon's tools share.
struct AwsProfile {
    name: String,
    keys: BTreeMap<String, String>,
}

impl AwsProfile {
    /// Reads the default profile, if it exists and has keys.
    fn read_default() -> Option<Self> {
        Self::read_profile("default")
            .ok()
            .filter(|profile| profile.profile_value("aws_access_key_id").is_some())
    }

    fn read_profile(name: &str) -> Result<Self> {
        let home = std::env::var("HOME").unwrap_or_default();
        let file = |variable: &str, name: &str| {
            let named = std::env::var(variable).ok().filter(|path| !path.is_empty());
            named.map_or_else(|| PathBuf::from(&home).join(".aws").join(name), PathBuf::from)
        };
        // The second file overrides the first.
        let files = [
            (file("AWS_CONFIG_FILE", "config"), format!("profile {name}")),
            (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), name.to_string()),
        ];
        let mut keys = BTreeMap::new();
        let mut found = false;
        for (path, section) in files {
            let Ok(text) = crate::outside::files::read_text(&path) else { continue };
            let mut ini = Ini::new_cs();
            ini.set_default_section(" ");
            let wrong = |why: String| {
                // The message may quote a line with a secret.
                let why = why.split(':').next().unwrap_or_default().to_string();
                Error::usage(format!("{} cannot be read: {why}", path.display()))
            };
            let sections = ini.read(text).map_err(wrong)?;
            let plain = sections.get(&section).or_else(|| sections.get(name));
            found |= plain.is_some();
            let known = plain.into_iter().flatten();
            keys.extend(
                known.filter_map(|(key, value)| Some((key.to_lowercase(), value.clone()?))),
            );
        }
        if !found {
            return Err(Error::usage(format!("there is no profile {name} in ~/.aws"))
                .hint("correct the profile, or add it to ~/.aws/credentials"));
        }
        Ok(Self { name: name.to_string(), keys })
    }

    fn profile_value(&self, key: &str) -> Option<String> {
        self.keys.get(key).filter(|value| !value.is_empty()).cloned()
    }

    fn apply_credentials(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        let [id, secret] =
            ["aws_access_key_id", "aws_secret_access_key"].map(|key| self.profile_value(key));
        let (Some(id), Some(secret)) = (id, secret) else {
            let other = ["credential_process", "sso_session", "sso_start_url", "role_arn"];
            let other = other.into_iter().find(|key| self.profile_value(key).is_some());
            let why = other.map_or("has no keys", |key| match key {
                "credential_process" => "names a program that gives keys, which is not supported",
                "role_arn" => "takes on a role, which is not supported",
                _ => "signs in at a web page, which is not supported",
            });
            return Err(Error::usage(format!("the profile {} {why}", self.name)).hint(
                "put its keys into the environment: eval $(aws configure export-credentials --format env)",
            ));
        };
        let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        Ok(match self.profile_value("aws_session_token") {
            Some(token) => builder.with_token(token),
            None => builder,
        })
    }
}
