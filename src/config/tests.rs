//! Tests of the settings of the file, the environment and flags, and of their errors.

use super::*;

pub(super) fn load(text: &str, env: &[(&str, &str)]) -> Result<Config> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(FILE), text).unwrap();
    let lookup = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
    };
    Config::load(directory.path(), &lookup)
}

#[test]
fn defaults() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::load(directory.path(), &|_| None).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!((config.batch_size, config.timeout, config.memory_limit), (4096, None, None));
    assert!(config.parallel_workers >= 1);
    assert_eq!(load("", &[]).unwrap().batch_size, 4096);
    assert_eq!(load("# nothing\nsources:\ntargets: {}\n", &[]).unwrap().batch_size, 4096);
}

#[test]
fn every_key() {
    let text = "sources:\n  bars: s3://bucket/bars/\n  trades: {location: /data/trades, entity: ticker, \
                time: day, duplicates: error}\ntargets: {out: 'postgres://host/db?table=f'}\n\
                batch_size: 1024\nparallel_workers: 3\ntimeout_seconds: 1.5\nmemory_limit: 2GB\n\
                compression: zstd:9\nfloat32: true\n";
    let config = load(text, &[]).unwrap();
    assert_eq!(config.sources["bars"], SourceConfig::new("s3://bucket/bars/"));
    assert_eq!(
        config.sources["trades"],
        SourceConfig {
            location: "/data/trades".into(),
            entity: "ticker".into(),
            time: "day".into(),
            duplicates: Duplicates::Error,
            inputs: ChangeDetection::State,
            revision: None,
        }
    );
    assert_eq!(config.targets["out"], "postgres://host/db?table=f");
    assert_eq!((config.batch_size, config.parallel_workers), (1024, 3));
    assert_eq!(config.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(config.memory_limit, Some(2_000_000_000));
    assert_eq!((config.compression, config.float32), (Compression::Zstd(9), true));
}

#[test]
fn variables_stand_for_secrets() {
    let env = [("DB_PASSWORD", "p@ss/w:rd"), ("HOST", "db:5433")];
    let text = "targets:\n  t: postgres://u:${DB_PASSWORD}@${HOST}/d?table=f\n";
    let config = load(text, &env).unwrap();
    assert_eq!(config.targets["t"], "postgres://u:p%40ss%2Fw%3Ard@db:5433/d?table=f");
    let told = |text| load(text, &env).unwrap_err().to_string();
    let config = load("sources:\n  bars: 's3://${NOWHERE}/bars'\n", &env).unwrap();
    assert_eq!(config.sources["bars"].location, "s3://${NOWHERE}/bars");
    assert!(told("sources:\n  bars: '${HOST/bars'\n").contains("${ has no end"));
}

#[test]
fn lists_of_web_addresses() {
    let told = |text: &str| load(text, &[]).unwrap_err().to_string();
    let list = load("sources: {bars: ['https://h/a.csv', 'http://h/b.csv']}", &[]).unwrap();
    assert_eq!(list.sources["bars"].location, "https://h/a.csv,http://h/b.csv");
    assert!(told("sources: {bars: [a.csv, b.csv]}").contains("something else than web addresses"));
}

#[test]
fn compressions() {
    let words = ["auto", "none", "snappy", "lz4", "zstd:1", "zstd:22"];
    for word in words {
        assert_eq!(Compression::parse(word).unwrap().to_string(), word);
    }
    assert_eq!(Compression::parse("zstd"), Some(Compression::Zstd(1)));
    for word in ["zstd:0", "zstd:23", "zstd:", "gzip", "LZ4", ""] {
        assert_eq!(Compression::parse(word), None, "{word}");
    }
}

#[test]
fn the_file_is_found_upwards_and_its_paths_start_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let file = directory.path().join(FILE);
    std::fs::write(&file, "sources: {a: data/, b: ./*.csv, c: ../up}\ntargets: {t: out}\n")
        .unwrap();
    let config = Config::load(&below, &|_| None).unwrap();
    assert_eq!(config.file.as_deref(), Some(file.as_path()));
    let at = |path: &str| format!("{}/{path}", directory.path().display());
    for (name, path) in [("a", "data/"), ("b", "*.csv"), ("c", "../up")] {
        assert_eq!(config.sources[name].location, at(path));
    }
    assert_eq!(config.targets["t"], at("out"));
    std::fs::write(&file, "batch_size: 10\n").unwrap();
    let error = Config::load(&below, &|_| None).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}:1:13: ", file.display())));
}

#[test]
fn flags_win_over_environment_and_environment_over_file() {
    let text = "batch_size: 1024\nparallel_workers: 2\nmemory_limit: 1GB\n";
    let env = [
        ("WINDROW_BATCH_SIZE", "2048"),
        ("WINDROW_PARALLEL_WORKERS", " 4 "),
        ("WINDROW_MEMORY_LIMIT", ""),
    ];
    let mut config = load(text, &env).unwrap();
    config.set_key("parallel_workers", "8", "--threads").unwrap();
    assert_eq!((config.batch_size, config.parallel_workers), (2048, 8));
    assert_eq!(config.memory_limit, Some(1_000_000_000));
    let names: Vec<String> = Config::environment_keys().map(|(_, name)| name).collect();
    let expected = [
        "BATCH_SIZE",
        "PARALLEL_WORKERS",
        "TIMEOUT_SECONDS",
        "MEMORY_LIMIT",
        "COMPRESSION",
        "FLOAT32",
        "DISABLED_RULES",
        "CACHE_TTL",
    ];
    assert_eq!(names, expected.map(|name| format!("WINDROW_{name}")));
}

const ERRORS: &[(&str, &str)] = &[
    ("\n\n\nbatch_size: 10", "4:13: batch_size is 10, expected 1024 to 1048576 rows"),
    ("batch_size: 1048577", "1:13: batch_size is 1048577, expected 1024 to 1048576 rows"),
    ("batch_size: 8192.5", "1:13: batch_size is 8192.5, expected 1024 to 1048576 rows"),
    ("batch_size: many", "1:13: batch_size is many, expected 1024 to 1048576 rows"),
    ("batch_size: [1]", "1:13: batch_size is a list, expected one value"),
    ("batch_size:", "1:11: batch_size is empty, expected one value"),
    ("parallel_workers: 0", "1:19: parallel_workers is 0, expected 1 to 1024 threads"),
    ("timeout_seconds: 0", "1:18: timeout_seconds is 0, expected 0.001 to 31536000 seconds"),
    ("timeout_seconds: -1", "1:18: timeout_seconds is -1, expected 0.001 to 31536000 seconds"),
    (
        "memory_limit: 2",
        "1:15: memory_limit is 2, expected a size from 128MB up, such as 2GB or 512MiB",
    ),
    (
        "memory_limit: 2 GX",
        "1:15: memory_limit is 2 GX, expected a size from 128MB up, such as 2GB or 512MiB",
    ),
    (
        "compression: gzip",
        "1:14: compression is gzip, expected auto, zstd, zstd:1 to zstd:22, lz4, snappy or none",
    ),
    (
        "compression: snapy",
        "1:14: compression is snapy, expected auto, zstd, zstd:1 to zstd:22, lz4, snappy or none; did you mean snappy?",
    ),
    ("float32: yes", "1:10: float32 is yes, expected true or false"),
    (
        "cache_ttl: 5 parsecs",
        "1:12: cache_ttl is 5 parsecs, expected a duration, such as 30s, 10m or 1d",
    ),
    ("serve: {worker: 1}", "1:9: unknown key worker of serve; did you mean workers?"),
    ("serve: {workers: many}", "1:18: serve.workers is many, expected 0 to 1024"),
    (
        "serve: {tls: {cert: a.pem}}",
        "1:14: serve.tls has not both cert and key; name the files of the certificate and of its private key",
    ),
    (
        "serve: {cors: ['https://a/b']}",
        "1:15: serve.cors: https://a/b is no origin; write https://HOST or http://HOST:PORT, without a path",
    ),
    (
        "serve: {endpoints: {bars: {per_second: 0}}}",
        "1:40: serve.endpoints.bars.per_second is 0, expected a whole number from 1 up",
    ),
    (
        "serve: {warm_up: [{symbols: [A]}]}",
        "1:19: serve.warm_up has no sets; name some: `sets: [momentum]`",
    ),
    #[cfg(feature = "otlp")]
    (
        "serve: {traces: {endpoint: 'me:pw@host:4318'}}",
        "1:28: serve.traces.endpoint is ***@host:4318, expected http://HOST:PORT or https://HOST:PORT, without a password",
    ),
    #[cfg(feature = "otlp")]
    (
        "serve: {traces: {sample_ratio: 1.5}}",
        "1:32: serve.traces.sample_ratio is 1.5, expected a number from 0 to 1",
    ),
    #[cfg(feature = "otlp")]
    (
        "serve: {traces: {sample: 1}}",
        "1:18: unknown key sample of serve.traces; keys: endpoint, sample_ratio, service_name",
    ),
    #[cfg(not(feature = "otlp"))]
    (
        "serve: {traces: {sample_ratio: 1}}",
        "1:17: serve.traces needs the feature otlp, which this windrow was built without; build it with `--features otlp`, or remove the key",
    ),
    ("batchsize: 1024", "1:1: unknown key batchsize; did you mean batch_size?"),
    (
        "colour: red",
        "1:1: unknown key colour; keys: sources, targets, stores, batch_size, parallel_workers, timeout_seconds, memory_limit, compression, float32, disabled_rules, cache_ttl, serve",
    ),
    (
        "batch_size: 1024\nbatch_size: 2048",
        "2:1: batch_size is given twice; the first one is in line 1",
    ),
    ("just text", "1:1: windrow.yaml is text, expected a mapping such as name: value"),
    (
        "sources: {a: b",
        "1:10: not valid YAML: unclosed bracket '{'; put text that contains `: `, ` #`, quotes or brackets in double quotes",
    ),
    ("sources: [a]", "1:10: sources is a list, expected a mapping such as name: value"),
    ("sources: {a: }", "1:12: source a is empty, expected text"),
    ("sources: {a: 5}", "1:14: source a is a number, expected text; put it in quotes"),
    (
        "sources: {my-bars: x}",
        "1:11: source my-bars is not a name that SQL can read; use lower-case letters, digits and _, and start with a letter",
    ),
    (
        "targets: {Out: x}",
        "1:11: target Out is not a name that SQL can read; use lower-case letters, digits and _, and start with a letter",
    ),
    (
        "sources: {a: {entity: x}}",
        "1:11: source a has no location; add `location:` with a directory, file, glob or URL",
    ),
    ("sources: {a: {locaton: x}}", "1:15: unknown key locaton of source a; did you mean location?"),
    (
        "sources: {a: {location: x, duplicates: any}}",
        "1:40: duplicates of source a is any, expected error, first, last or all",
    ),
    (
        "sources: {a: {location: x, bar_time: open}}",
        "1:28: bar_time is not supported yet; remove the key",
    ),
    (
        "sources: {a: {location: [x]}}",
        "1:26: location of source a is a list of something else than web addresses; name a directory or a glob: only http has no listing",
    ),
];

#[test]
fn every_error_has_its_place_and_way_out() {
    for (text, expected) in ERRORS {
        let error = load(text, &[]).unwrap_err();
        assert_eq!(error.to_string(), format!("windrow.yaml:{expected}"), "{text}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn errors_of_environment_and_flags_name_their_origin() {
    let error = load("", &[("WINDROW_BATCH_SIZE", "10")]).unwrap_err();
    let expected = "WINDROW_BATCH_SIZE: batch_size is 10, expected 1024 to 1048576 rows";
    assert_eq!(error.to_string(), expected);
    let cases = [
        (
            "parallel_workers",
            "many",
            "--threads: parallel_workers is many, expected 1 to 1024 threads",
        ),
        (
            "cache_ttl",
            "0",
            "--threads: cache_ttl is 0, expected a duration, such as 30s, 10m or 1d",
        ),
        ("sources", "x", "--threads: sources can only be set in windrow.yaml"),
        ("batchsize", "1", "--threads: unknown key batchsize; did you mean batch_size?"),
    ];
    for (key, text, expected) in cases {
        let error = Config::default().set_key(key, text, "--threads").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn sizes() {
    let cases = [
        ("1048576", Some(1_048_576)),
        ("2GB", Some(2_000_000_000)),
        ("2 gb", Some(2_000_000_000)),
        ("512MiB", Some(512 << 20)),
        ("1.5 GB", Some(1_500_000_000)),
        (" 0.5KiB ", Some(512)),
        ("4G", Some(4_000_000_000)),
        ("1TiB", Some(1 << 40)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("99999999TB", None),
        ("1e300GB", None),
        ("-1", None),
        ("", None),
        ("GB", None),
        ("1.2.3GB", None),
        ("2 parsecs", None),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_size(text).ok(), expected, "{text}");
    }
    let expected = "2 parsecs is not a size; write a number and a unit, such as 2GB or 512MiB";
    assert_eq!(parse_size("2 parsecs").unwrap_err().to_string(), expected);
}

#[test]
fn the_documentation_has_the_tables_of_keys() {
    let path = "docs/configuration.md";
    for (first_line, table) in super::keys_markdown() {
        let text = std::fs::read_to_string(path).unwrap();
        let begin = text.find(first_line).unwrap();
        let end = begin + text[begin..].find("\n\n").unwrap() + 1;
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{}{table}{}", &text[..begin], &text[end..])).unwrap();
        } else {
            assert!(text[begin..end] == table, "{path} is old: run the tests with UPDATE_DOCS=1");
        }
    }
}

#[test]
fn durations() {
    let ms = |text| parse_duration(text).map(|of| of.as_millis());
    let cases = [
        ("500ms", Some(500)),
        ("30s", Some(30_000)),
        ("1.5", Some(1_500)),
        ("10 m", Some(600_000)),
        ("2h", Some(7_200_000)),
        ("7d", Some(604_800_000)),
        ("0s", Some(0)),
        ("-1s", None),
        ("", None),
        ("s", None),
        ("1e300d", None),
        ("5 parsecs", None),
    ];
    for (text, expected) in cases {
        assert_eq!(ms(text), expected, "{text}");
    }
}

#[test]
fn the_service() {
    let text = "serve:\n  listen: 0.0.0.0:80\n  queue: postgres://u:${PASSWORD}@h/d\n  workers: 0\n  \
                max_workers: 8\n  grace: 5s\n  cache: s3://b/p/\n  cache_memory: 1GB\n  file_cache: kept\n  file_cache_bytes: 0\n  inputs_check: 0s\n  \
                tls: {cert: a.pem, key: /k.pem}\n  endpoints: {bars: {per_second: 5, at_once: 2}}\n  \
                cors: ['https://a']\n  warm_up: [{sets: [momentum], cron: '0 6 * * *'}]\ncache_ttl: 1h\n";
    let config = load(text, &[("PASSWORD", "p/w")]).unwrap();
    let serve = &config.serve;
    assert_eq!((serve.workers, serve.max_workers), (0, Some(8)));
    assert_eq!(serve.queue.as_deref(), Some("postgres://u:p%2Fw@h/d"));
    assert_eq!((serve.grace, serve.inputs_check), (Duration::from_secs(5), Some(Duration::ZERO)));
    assert_eq!((serve.cache_memory, serve.file_cache_bytes), (1_000_000_000, 0));
    let kept = serve.file_cache.as_deref().unwrap();
    assert!(kept.is_absolute() && kept.ends_with("kept"));
    let tls = serve.tls.as_ref().unwrap();
    assert!(tls.cert.is_absolute() && tls.cert.ends_with("a.pem"));
    assert_eq!(tls.key, Path::new("/k.pem"));
    let limits = EndpointLimits { per_second: Some(5), at_once: Some(2) };
    assert_eq!(serve.endpoints["bars"], limits);
    assert_eq!(serve.warm_up[0].cron.as_deref(), Some("0 6 * * *"));
    assert_eq!(config.cache_ttl, Some(Duration::from_secs(3600)));
}

#[cfg(feature = "otlp")]
#[test]
fn variables_of_traces_go_before_keys() {
    let text =
        "serve: {traces: {endpoint: 'https://a:4318/', sample_ratio: 0.25, service_name: b}}";
    let mut traces = load(text, &[]).unwrap().serve.traces;
    assert_eq!(traces.endpoint.as_deref(), Some("https://a:4318/v1/traces"));
    assert_eq!((traces.sampled_per_million, traces.service_name.as_str()), (250_000, "b"));
    let mut apply = |variables: &[(&str, &str)]| {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        traces.apply_environment(&|name| find(name).map(|(_, value)| value.to_string())).unwrap();
        (traces.endpoint.clone().unwrap_or_default(), traces.sampled_per_million)
    };
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    assert_eq!(apply(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).0, "https://a:4318/v1/traces");
    assert_eq!(apply(&[base]).0, "http://c:4318/v1/traces");
    let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/spans");
    assert_eq!(
        apply(&[base, whole, ("OTEL_TRACES_SAMPLER_ARG", "0")]),
        ("http://d/spans".into(), 0)
    );
    assert_eq!(apply(&[base, ("OTEL_SDK_DISABLED", "true")]).0, "");
}
