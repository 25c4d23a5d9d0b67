//! The sources of settings, their precedence, and the errors for wrong values.

use std::time::Duration;

use figment::{
    Figment, Jail,
    providers::{Format, Toml},
};
use rocket_batch::{
    Config,
    config::{KeepSetting, RateLimitSetting},
};

#[expect(clippy::result_large_err, reason = "figment's own type, which its Jail asks for")]
fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let mut read = Err(String::new());
    Jail::expect_with(|jail| {
        environment.iter().for_each(|(key, value)| jail.set_env(key, value));
        let host = Figment::from(rocket::Config::figment()).merge(Toml::string(toml).nested());
        read = Config::from(&host).and_then(|config| config.check().map(|()| config)).map_err(|e| e.to_string());
        Ok(())
    });
    read
}

fn refusal(toml: &str, environment: &[(&str, &str)]) -> String {
    read(toml, environment).unwrap_err()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = read("", &[]).unwrap();

    assert_eq!(config, Config::default());
    assert_eq!((config.generate.concurrency, config.status.concurrency), (2, 5));
    assert_eq!(config.generate.rate_limit.to_string(), "5 per 10s");
    assert_eq!(config.status.rate_limit, RateLimitSetting(None));
    assert_eq!((config.generate.attempts, config.status.attempts), (3, 3));
    assert_eq!(config.keep_history, KeepSetting(None));
    assert_eq!((config.generate.keep_completed, config.generate.keep_failed), (10, 5));
    assert_eq!((config.status.keep_completed, config.status.keep_failed), (5, 3));
}

#[test]
fn later_sources_win() {
    let toml = "[default.batch]\nchunk_size = 70\nbatch_size = 700\nfeed_interval = \"3s\"";
    let environment = [("ROCKET_BATCH__CHUNK_SIZE", "80"), ("ROCKET_BATCH__GENERATE__RATE_LIMIT", "off")];

    let config = read(toml, &environment).unwrap();

    assert_eq!((config.chunk_size, config.batch_size), (80, 700));
    assert_eq!(config.feed_interval, Duration::from_secs(3));
    assert_eq!(config.generate.rate_limit, RateLimitSetting(None));
}

#[test]
fn a_list_is_written_alike_in_the_environment_and_in_a_file() {
    let toml = "[default.batch]\nallowed_origins = [\"https://admin.example\", \"http://localhost:3000\"]";
    let environment = [("ROCKET_BATCH__ALLOWED_ORIGINS", "[\"https://shop.example:8443\"]")];

    assert_eq!(read(toml, &[]).unwrap().allowed_origins, ["https://admin.example", "http://localhost:3000"]);
    assert_eq!(read(toml, &environment).unwrap().allowed_origins, ["https://shop.example:8443"]);
}

#[test]
fn keep_history_is_a_duration_or_forever() {
    let day = 24 * 60 * 60;
    let table =
        [("1s", Some(1)), ("90days", Some(90 * day)), ("10years", Some(3_652 * day + day / 2)), ("forever", None)];

    for (text, seconds) in table {
        let kept = KeepSetting(seconds.map(Duration::from_secs));
        assert_eq!(read(&format!("[default.batch]\nkeep_history = \"{text}\""), &[]).unwrap().keep_history, kept);
        assert_eq!(read("", &[("ROCKET_BATCH__KEEP_HISTORY", text)]).unwrap().keep_history, kept);
        assert_eq!(kept.to_string().parse(), Ok(kept), "what is displayed can be parsed again");
    }
}

#[test]
fn setting_one_key_of_a_table_keeps_the_other_defaults() {
    let config = read("[default.batch.status]\nattempts = 7", &[]).unwrap();

    assert_eq!((config.status.attempts, config.status.concurrency, config.status.keep_failed), (7, 5, 3));
}

#[test]
fn the_settings_of_the_selected_profile_apply() {
    let toml = "[default.batch]\nchunk_size = 70\n[debug.batch]\nchunk_size = 71\n[release.batch]\nchunk_size = 72";

    assert_eq!(read(toml, &[("ROCKET_PROFILE", "release")]).unwrap().chunk_size, 72);
}

#[test]
fn the_error_for_an_unknown_key_names_the_right_one() {
    let toml = "[default.batch]\nchunksize = 70";
    let table = [
        (toml, [].as_slice(), "`batch.chunksize` is not a setting; did you mean `chunk_size`? (in TOML"),
        ("", &[("ROCKET_BATCH__CHUNK_SIZ", "7")], "`batch.chunk_siz` is not a setting; did you mean `chunk_size`?"),
        ("", &[("ROCKET_BATCH__STATUS__CONCURENCY", "3")], "`batch.status.concurency` is not a setting; did you mean"),
        ("", &[("ROCKET_BATCH", "{rloe=web}")], "`batch.rloe` is not a setting; did you mean `role`?"),
        (
            "[default.batch]\nrate_limit = \"off\"",
            &[],
            "is not a setting; did you mean `generate.rate_limit`? (in TOML",
        ),
        ("", &[("ROCKET_BATCH__SENTINELS", "7")], "did you mean `redis.sentinels`?"),
        ("", &[("ROCKET_BATCH__COLOUR", "red")], "`batch.colour` is not a setting; these are `base`, `role`, "),
    ];

    for (toml, environment, words) in table {
        let message = refusal(toml, environment);
        assert!(message.contains(words), "{message}");
    }
}

/// It was ignored in silence, so that the ledger was in the default file.
#[test]
fn a_text_where_a_table_belongs_is_refused_and_not_shown() {
    let file = "[default]\nbatch = \"opensesame\"";
    let table = [
        (file, [].as_slice(), "`batch` must be a table, such as {chunk_size=100} (in TOML"),
        ("", &[("ROCKET_BATCH", "chunk_size=70")], "`batch` must be a table, such as {chunk_size=100} (in"),
        ("", &[("ROCKET_DATABASES", "{batch=\"postgres://u:opensesame@h/d\"}")], "`databases.batch` must be a table"),
        (
            "",
            &[("ROCKET_DATABASES", "postgres://u:opensesame@h/d")],
            "`databases` must be a table, such as {batch={url=",
        ),
    ];

    for (toml, environment, words) in table {
        let message = refusal(toml, environment);
        assert!(message.starts_with(words) && !message.contains("opensesame"), "{message}");
    }
}

#[test]
fn the_error_for_a_wrong_value_names_its_key_and_a_correct_value() {
    let table = [
        ("feed_interval = \"soon\"", "`batch.feed_interval`", "`soon` is not a duration; try \"10s\""),
        ("keep_history = \"long\"", "`batch.keep_history`", "`long` is not a duration; try \"90days\" or \"forever\""),
        ("keep_history = \"999ms\"", "`batch.keep_history`", "must be 1s to 10 years, or \"forever\", but is 999ms"),
        ("keep_history = \"0s\"", "`batch.keep_history`", "or \"forever\", but is 0s"),
        ("keep_history = \"11years\"", "`batch.keep_history`", "but is 11years"),
        ("chunk_size = 0", "`batch.chunk_size`", "must be 1 to 10000, but is 0"),
        ("batch_size = 10001", "`batch.batch_size`", "must be 1 to 10000, but is 10001"),
        ("base = \"batches\"", "`batch.base`", "try \"/batches\""),
        ("base = \"/<x>\"", "`batch.base`", "without parameters"),
        ("base = \"/\"", "`batch.base`", "below `/`"),
        (
            "allowed_origins = [\"https://a.example\", \"b.example\"]",
            "`batch.allowed_origins`",
            "one is \"b.example\"; try",
        ),
        (
            "allowed_origins = [\"https://a.example/\"]",
            "`batch.allowed_origins`",
            "without a path or a slash at the end",
        ),
        ("allowed_origins = [\"*\"]", "`batch.allowed_origins`", "must each be `scheme://host[:port]`"),
        ("allowed_origins = [\"null\"]", "`batch.allowed_origins`", "try [\"https://shop.example\"]"),
        ("allowed_origins = \"https://a.example\"", "`batch.allowed_origins`", "sequence"),
        (
            "generate = { rate_limit = \"often\" }",
            "`batch.generate.rate_limit`",
            "`often` is not a rate limit; try \"5 per 10s\" or \"off\"",
        ),
        ("generate = { rate_limit = \"0 per 10s\" }", "`batch.generate.rate_limit`", "at least 1 job"),
        ("generate = { concurrency = 0 }", "`batch.generate.concurrency`", "must be 1 to 1000, but is 0"),
        ("role = \"king\"", "`batch.role`", "must be one of `all`, `web`, `worker`, but is `king`"),
        ("drain = 10", "`batch.drain`", "`10` is not a duration; try \"10s\" or \"500ms\""),
        ("feed_interval = 0.5", "`batch.feed_interval`", "`0.5` is not a duration; try \"10s\" or \"500ms\""),
        ("hook_timeout = [1]", "`batch.hook_timeout`", "must be a text in quotes"),
        ("keep_history = 90", "`batch.keep_history`", "`90` is not a duration; try \"90days\" or \"forever\""),
        ("keep_history = false", "`batch.keep_history`", "`false` is not a duration; try"),
        ("generate = { rate_limit = 5 }", "`batch.generate.rate_limit`", "`5` is not a rate limit; try \"5 per 10s\""),
        ("generate = { lock = \"1ms\" }", "`batch.generate.lock`", "must be 1s"),
        ("redis = { db = 256 }", "`batch.redis.db`", "must be 0 to 255"),
        ("redis = { host = \"10.0.0.1:6379\" }", "`batch.redis.host`", "set `batch.redis.port` (REDIS_PORT)"),
        ("redis = { host = \"[::1]:6379\" }", "`batch.redis.host`", "set `batch.redis.port` (REDIS_PORT)"),
        ("redis = { host = \"redis://redis.example\" }", "`batch.redis.host`", "without a scheme and without a port"),
        ("redis = { ca = \"ca.pem\" }", "`batch.redis.ca`", "`redis.tls` is false"),
        ("redis = { sentinels = [\"a\"] }", "`batch.redis.sentinels`", "host:port"),
        ("redis = { sentinels = [\"a:0\"] }", "`batch.redis.sentinels`", "host:port"),
        ("redis = { sentinels = [\"::1:26379\"] }", "`batch.redis.sentinels`", "host:port"),
        ("redis = { sentinels = [\"a:1\"], host = \"b\" }", "`batch.redis.sentinels`", "REDIS_HOST"),
        ("redis = { nodes = [\"a\"] }", "`batch.redis.nodes`", "host:port"),
        ("redis = { nodes = [\"a:1\"], host = \"b\" }", "`batch.redis.nodes`", "REDIS_HOST"),
        ("redis = { nodes = [\"a:1\"], sentinels = [\"b:2\"] }", "`batch.redis.nodes`", "`batch.redis.sentinels`"),
        ("redis = { nodes = [\"a:1\"], prefix = \"shop\" }", "`batch.redis.prefix`", "try \"{shop}\""),
        ("redis = { nodes = [\"a:1\"], prefix = \"{bull}\", db = 1 }", "`batch.redis.db`", "must be 0 if"),
        ("redis = { cert = \"a.pem\" }", "`batch.redis.cert`", "`redis.tls` is false"),
        ("redis = { tls = true, cert = \"a.pem\" }", "`batch.redis.cert`", "`batch.redis.key` is not; set both"),
        ("redis = { tls = true, key = \"a.pem\" }", "`batch.redis.key`", "`batch.redis.cert` is not; set both"),
        ("redis = { prefix = \"a:b\" }", "`batch.redis.prefix`", "try \"bull\""),
        ("redis = { prefix = \"{}\" }", "`batch.redis.prefix`", "one hash tag"),
        ("redis = { prefix = \"{a}{b}\" }", "`batch.redis.prefix`", "one hash tag"),
        ("redis = { prefix = \"a}b\" }", "`batch.redis.prefix`", "one hash tag"),
    ];

    for (line, key, hint) in table {
        let message = refusal(&format!("[default.batch]\n{line}"), &[]);
        assert!(message.contains(key) && message.contains(hint), "{line}: {message}");
    }
}

#[test]
fn redis_variables_are_read_without_conversion() {
    let config = read("", &[("REDIS_PORT", "6380"), ("REDIS_PASSWORD", "007"), ("REDIS_DB", "3")]).unwrap();

    assert_eq!((config.redis.port, config.redis.db), (6380, 3));
    assert_eq!(config.redis.password.unwrap().expose(), "007");
    let config = read("", &[("ROCKET_BATCH__REDIS__PREFIX", "{bull}"), ("REDIS_HOST", "")]).unwrap();
    assert_eq!((config.redis.prefix.as_str(), config.redis.host()), ("{bull}", None));
    for host in ["redis.example", "10.0.0.1", "::1"] {
        assert_eq!(read("", &[("REDIS_HOST", host)]).unwrap().redis.host(), Some(host));
    }
}

/// Rocket ignores such a variable, so a wrong name would silently mean the default.
#[test]
fn a_variable_whose_name_is_almost_right_is_refused_with_the_right_name() {
    for (name, right) in [
        ("ROCKET_BATCH_CHUNK_SIZE", "ROCKET_BATCH__CHUNK_SIZE"),
        ("ROCKET_BATCH__CHUNKSIZE", "ROCKET_BATCH__CHUNK_SIZE"),
        ("ROCKET_BATCH__REDIS_HOST", "ROCKET_BATCH__REDIS__HOST"),
        ("ROCKET_DATABASE__BATCH__URL", "ROCKET_DATABASES__BATCH__URL"),
    ] {
        let message = refusal("", &[(name, "opensesame")]);
        assert_eq!(message, format!("`{name}` in the environment is not read; did you mean `{right}`?"));
    }
    assert!(read("", &[("ROCKET_BATCH", "{chunk_size=7}"), ("REDIS_URL", "redis://x")]).is_ok());
}

#[test]
fn the_case_of_a_variable_does_not_matter() {
    let environment =
        [("rocket_batch__chunk_size", "7"), ("rocket_batch__redis__password", "007"), ("redis_host", "here")];

    let config = read("", &environment).unwrap();

    assert_eq!((config.chunk_size, config.redis.host()), (7, Some("here")));
    assert_eq!(config.redis.password.unwrap().expose(), "007");
}

#[test]
fn a_host_under_test_reads_no_variable_of_this_crate() {
    let toml = "[default.batch]\ntesting = true\nchunk_size = 9";
    let environment = [
        ("REDIS_HOST", "redis.example"),
        ("REDIS_PORT", "1"),
        ("REDIS_PASSWORD", "007"),
        ("ROCKET_BATCH__REDIS__HOST", "redis.example"),
        ("ROCKET_BATCH__CHUNK_SIZE", "7"),
        ("ROCKET_BATCH_ROLE", "misspelt, but not read"),
    ];

    let config = read(toml, &environment).unwrap();

    assert_eq!((config.testing, config.chunk_size), (true, 9));
    assert_eq!(config.redis, Config::default().redis);
    assert!(refusal("", &[("ROCKET_BATCH__TESTING", "true")]).contains("can't be set in the environment"));
}

/// Without the feature, each process would have a queue of its own instead of the shared one.
#[cfg(not(feature = "redis"))]
#[test]
fn a_redis_host_requires_the_feature() {
    let message = refusal("", &[("REDIS_HOST", "127.0.0.1"), ("REDIS_PASSWORD", "007")]);

    assert!(message.contains("`batch.redis.host`") && message.contains("unset REDIS_HOST"), "{message}");
    assert!(!message.contains("007"), "{message}");
}

#[test]
fn no_message_contains_a_secret() {
    let key = "00112233445566778899001122334455";
    let config = read("", &[("ROCKET_BATCH__CODE_KEY", key), ("REDIS_PASSWORD", "opensesame")]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("0011") && !shown.contains("opensesame"), "{shown}");

    for toml in
        ["code_key = \"00ff\"", "code_key = 4711", "redis = { password = 4711 }", "redis = { host = \"a:4711\" }"]
    {
        let message = refusal(&format!("[default.batch]\n{toml}"), &[]);
        assert!(!message.contains("00ff") && !message.contains("4711"), "{message}");
        assert!(["code_key", "redis.password", "redis.host"].iter().any(|key| message.contains(key)), "{message}");
    }
}
