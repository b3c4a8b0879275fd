//! The settings of traces: the key `traces` of the section `serve`, and the variables that OpenTelemetry defines.

use super::unexpected_value_message;
use super::yaml::YamlNode;
use crate::error::{Error, Result, did_you_mean};

/// The path of spans below the address of a collector.
const SPANS_PATH: &str = "v1/traces";
/// The names of the keys.
const NAMES: [&str; 3] = ["endpoint", "sample_ratio", "service_name"];
/// All traces, in millionths.
const ALL: u32 = 1_000_000;
const ENDPOINT: &str = "http://HOST:PORT or https://HOST:PORT, without a password";
const RATIO: &str = "a number from 0 to 1";

/// The settings of traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// The address that spans are sent to; None to make no spans.
    pub endpoint: Option<String>,
    /// Of a million traces that begin here, those that are kept. A trace that began at a caller is kept if the caller
    /// keeps it.
    pub sampled_per_million: u32,
    /// The name of the service in traces.
    pub service_name: String,
}

impl Default for TraceConfig {
    fn default() -> Self {
        let service_name = "windrow".to_string();
        Self { endpoint: None, sampled_per_million: ALL, service_name }
    }
}

impl TraceConfig {
    /// Reads the mapping `serve.traces`.
    pub(super) fn from_yaml(node: &YamlNode) -> Result<Self> {
        if !cfg!(feature = "otlp") {
            return Err(node
                .error_here(
                    "serve.traces needs the feature otlp, which this windrow was built without",
                )
                .hint("build it with `--features otlp`, or remove the key"));
        }
        let mut traces = Self::default();
        for (key, value) in node.require_entries("serve.traces")? {
            let what = format!("serve.traces.{}", key.text);
            let wrong = |text: &str, expected: &str| {
                value.error_here(unexpected_value_message(&what, text, expected))
            };
            match key.text.as_str() {
                "endpoint" => {
                    let base = value.require_text(&what)?;
                    let url = spans_url(base).ok_or_else(|| wrong(&hide_user(base), ENDPOINT));
                    traces.endpoint = Some(url?);
                }
                "sample_ratio" => {
                    let text = value.require_scalar(&what)?;
                    let ratio = parse_ratio(&text).ok_or_else(|| wrong(&text, RATIO));
                    traces.sampled_per_million = ratio?;
                }
                "service_name" => traces.service_name = value.require_text(&what)?.to_string(),
                other => {
                    return Err(key
                        .error_here(format!("unknown key {other} of serve.traces"))
                        .hint(did_you_mean(other, "keys", NAMES)));
                }
            }
        }
        Ok(traces)
    }

    /// Lets the variables of OpenTelemetry take precedence, as those of windrow do.
    ///
    /// # Errors
    /// If the value of one is wrong.
    pub fn apply_environment(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        // An empty variable counts as unset.
        let set = |name: &str| env(name).map(|text| text.trim().to_string());
        let set = |name: &str| set(name).filter(|text| !text.is_empty());
        let wrong = |name: &str, text: &str, expected: &str| {
            Err(Error::usage(unexpected_value_message(name, text, expected)))
        };
        if let Some(base) = set("OTEL_EXPORTER_OTLP_ENDPOINT") {
            match spans_url(&base) {
                Some(url) => self.endpoint = Some(url),
                None => return wrong("OTEL_EXPORTER_OTLP_ENDPOINT", &hide_user(&base), ENDPOINT),
            }
        }
        if let Some(url) = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            if !is_endpoint(&url) {
                let name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
                return wrong(name, &hide_user(&url), ENDPOINT);
            }
            self.endpoint = Some(url);
        }
        if let Some(text) = set("OTEL_TRACES_SAMPLER_ARG") {
            match parse_ratio(&text) {
                Some(ratio) => self.sampled_per_million = ratio,
                None => return wrong("OTEL_TRACES_SAMPLER_ARG", &text, RATIO),
            }
        }
        if let Some(name) = set("OTEL_SERVICE_NAME") {
            self.service_name = name;
        }
        let is_off = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
        if is_off {
            self.endpoint = None;
        }
        Ok(())
    }
}

/// Returns the address of spans below that of a collector; None if it is none.
fn spans_url(base: &str) -> Option<String> {
    let base = base.trim();
    is_endpoint(base).then(|| format!("{}/{SPANS_PATH}", base.trim_end_matches('/')))
}

/// Returns whether a text is the address of a collector. One with a user is none: logs show addresses.
fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', ':'])
            && rest.chars().all(|c| c.is_ascii_graphic() && !"@?#\"<>\\${}".contains(c))
    })
}

/// Returns an address without the part before its host, which may hold a password.
fn hide_user(text: &str) -> String {
    text.rsplit_once('@').map_or_else(|| text.to_string(), |(_, host)| format!("***@{host}"))
}

/// Returns a ratio in millionths.
fn parse_ratio(text: &str) -> Option<u32> {
    let ratio: f64 = text.trim().parse().ok()?;
    (0.0..=1.0).contains(&ratio).then(|| (ratio * f64::from(ALL)).round() as u32)
}
