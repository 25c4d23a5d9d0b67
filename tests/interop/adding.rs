//! Node adds jobs: valid ones run, malformed ones fail with a reason, and hostile ones do no harm.

use serde_json::{Value, json};

use crate::{Fixture, GENERATE, TestResult, id, support::node::Node};

/// The names of the queue's own keys. A job with such an id overwrites the key.
const RESERVED_KEYS: [&str; 17] = [
    "wait",
    "active",
    "prioritized",
    "delayed",
    "completed",
    "failed",
    "meta",
    "limiter",
    "marker",
    "events",
    "stalled",
    "stalled-check",
    "id",
    "pc",
    "paused",
    "waiting-children",
    "repeat",
];

fn job_data(batch: i64, seq: u64) -> Value {
    json!({ "v": 1, "batch": batch, "seq": seq })
}

/// These jobs have no priority, so they run before the jobs of the feeder.
#[tokio::test]
async fn a_job_that_node_adds_runs_under_its_own_id() -> TestResult {
    let mut fixture = Fixture::start().await?;
    fixture.node.ask_queue(GENERATE, "listen", json!({})).await?;
    let batch = fixture.create_waiting_batch(4).await?;
    let mut ids = Vec::new();
    for seq in 0..4 {
        let added =
            json!({ "name": "make-items", "data": job_data(batch, seq), "opts": { "removeOnComplete": false } });
        ids.push(fixture.node.ask_queue(GENERATE, "add", added).await?);
    }

    fixture.resume().await?;

    for job in &ids {
        let end = fixture.node.ask_queue(GENERATE, "finished", json!({ "job": job })).await?;
        assert_eq!(end, json!({ "completed": null }), "{job}");
    }
    fixture.wait_until_complete(batch, 400).await?;
    let lines = json!([format!("Processed 100/100 items for batch {batch}")]);
    fixture.node.until(GENERATE, "logs", json!({ "job": ids[0] }), |logs| *logs == lines).await?;
    fixture.wait_until_idle().await?;
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

/// The job replaces the feeder's job.
#[tokio::test]
async fn a_job_that_node_adds_under_our_id_needs_only_its_batch_and_number() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(2).await?;
    let replacement = json!({ "job": id(batch, 1), "data": job_data(batch, 1), "opts": {} });

    let added = fixture.node.ask_queue(GENERATE, "replace", replacement).await?;
    fixture.resume().await?;

    assert_eq!(added["data"], job_data(batch, 1));
    fixture.wait_until_complete(batch, 200).await?;
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

#[tokio::test]
async fn a_job_that_is_not_in_the_ledger_fails_once_with_a_reason() -> TestResult {
    let mut fixture = Fixture::start().await?;
    fixture.node.ask_queue(GENERATE, "listen", json!({})).await?;
    let batch = fixture.host.post(&json!({ "quantity": 100 })).await?;
    fixture.wait_until_complete(batch, 100).await?;
    let table = [
        (job_data(987_654, 0), "the ledger has no batch 987654 with a job 0".to_owned()),
        (job_data(batch, 1), format!("the ledger has no batch {batch} with a job 1")),
    ];

    for (data, reason) in table {
        let job = fixture.node.ask_queue(GENERATE, "add", json!({ "data": data, "opts": { "attempts": 5 } })).await?;
        let end = fixture.node.ask_queue(GENERATE, "finished", json!({ "job": job })).await?;
        assert_eq!(end, json!({ "failed": reason }));
        let job = fixture.node.ask_queue(GENERATE, "job", json!({ "job": job })).await?;
        assert_eq!((&job["attemptsMade"], &job["failedReason"]), (&json!(1), &json!(reason)));
        fixture.host.until_printed(&reason).await?;
    }
    assert!(fixture.host.said_any("a job that is not in the ledger failed in the queue"));
    fixture.shut_down().await
}

/// The hostile jobs run beside a batch.
#[tokio::test]
async fn hostile_jobs_fail_with_a_reason_and_do_not_affect_a_batch() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(50).await?;
    let jobs = hostile(batch);
    let count = fixture.node.ask_queue(GENERATE, "bulk", json!({ "jobs": jobs })).await?;
    assert_eq!(count, jobs.len());

    fixture.resume().await?;

    fixture.wait_until_complete(batch, 5_000).await?;
    fixture.wait_until_idle().await?;
    for job in &jobs {
        let (name, id) = (&job["name"], &job["opts"]["jobId"]);
        let job = fixture.node.ask_queue(GENERATE, "job", json!({ "job": id })).await;
        // Only the last failed jobs are kept.
        let Ok(job) = job else { continue };
        assert_eq!(job["state"], "failed", "{name} {id}");
        assert!(job["failedReason"].as_str().is_some_and(|reason| reason.starts_with("the job data is not a task")));
    }
    let counts = fixture.node.ask_queue(GENERATE, "counts", json!({})).await?;
    assert!(counts["failed"].as_u64() <= Some(5), "more failed jobs are kept than configured: {counts}");
    let (keys, peak) = (fixture.node.redis(&["DBSIZE"]).await?, fixture.host.peak_memory()?);
    assert!(keys.as_u64() < Some(100), "{keys} keys are left");
    assert!(peak < 400 << 20, "{} MiB", peak >> 20);
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

fn hostile(batch: i64) -> Vec<Value> {
    let deep = (0..400).fold(json!(1), |inner, _| Value::Array(vec![inner]));
    let datas = [
        json!(null),
        json!(true),
        json!(7),
        json!("x"),
        json!([]),
        json!({}),
        json!({ "to": "everybody@example.com" }),
        json!({ "v": 1 }),
        json!({ "v": "1", "batch": batch, "seq": 0 }),
        json!({ "v": 0, "batch": batch, "seq": 0 }),
        json!({ "v": -1, "batch": batch, "seq": 0 }),
        json!({ "v": 1, "batch": batch.to_string(), "seq": 0 }),
        json!({ "v": 1, "batch": batch, "seq": -1 }),
        json!({ "v": 1, "batch": batch, "seq": 0.5 }),
        json!({ "v": 1, "batch": batch, "seq": 1e300 }),
        json!({ "v": 1, "batch": 0, "seq": 0 }),
        json!({ "v": 1, "batch": -5, "seq": 0 }),
        json!({ "v": 1, "batch": i64::MAX, "seq": 0 }),
        json!({ "v": 1, "batch": [batch], "seq": { "$ne": null } }),
        json!({ "v": 1, "batch": batch, "round": 0 }),
        json!({ "v": 1, "batch": batch, "hook": 1 }),
        json!({ "v": 1, "batch": batch, "seq": 0, "generation": "0" }),
        json!({ "v": 1, "batch": batch, "seq": 0, "first": -1 }),
        deep,
        json!("x".repeat(8 << 20)),
    ];
    let nonsense = [
        json!({}),
        json!({ "priority": 2_097_151 }),
        json!({ "delay": 500 }),
        json!({ "attempts": 1_000_000_000 }),
        json!({ "attempts": 70, "backoff": { "type": "exponential", "delay": 9_000_000_000_000_000_u64 } }),
        json!({ "attempts": 9, "backoff": { "type": "unknown", "delay": -1 } }),
        json!({ "lifo": true }),
        json!({ "removeOnFail": { "age": -1 } }),
        json!({ "stackTraceLimit": -3, "keepLogs": -1 }),
    ];
    let ids = [
        "__proto__",
        "b1-j0",
        "b-1-j0-g0",
        "",
        "*",
        "a b\n\"c\"",
        "ü\u{1F980}",
        "repeat:x:1",
        "../../etc",
        "b01-j0-g0",
    ];
    let mut jobs = Vec::new();
    for (number, data) in datas.iter().enumerate() {
        let mut opts = nonsense[number % nonsense.len()].clone();
        opts["jobId"] = format!("hostile-{number}").into();
        jobs.push(json!({ "name": "send-email", "data": data, "opts": opts }));
    }
    for id in ids.into_iter().filter(|id| !id.is_empty()) {
        jobs.push(json!({ "name": "generate", "data": { "x": id }, "opts": { "jobId": id } }));
    }
    jobs
}

/// Writes to Redis without BullMQ: data that is not JSON, and waiting ids of jobs that do not
/// exist.
#[tokio::test]
async fn malformed_keys_in_redis_do_not_affect_a_batch() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(20).await?;
    let key = |id: &str| format!("bull:{GENERATE}:{id}");
    for (id, data) in [("raw-1", "{not json"), ("raw-2", ""), ("raw-3", "\u{0}\u{1}"), ("raw-4", "{\"v\":1,\"v\":1}")] {
        let fields = [
            "HSET",
            &key(id),
            "name",
            "",
            "data",
            data,
            "opts",
            "[[[",
            "timestamp",
            "x",
            "atm",
            "-1",
            "delay",
            "never",
        ];
        fixture.node.redis(&fields).await?;
        fixture.node.redis(&["RPUSH", &key("wait"), id]).await?;
    }
    for id in ["not-there", "0:1", "0"] {
        fixture.node.redis(&["RPUSH", &key("wait"), id]).await?;
    }

    fixture.resume().await?;

    fixture.wait_until_complete(batch, 2_000).await?;
    fixture.wait_until_idle().await?;
    let reason = fixture.node.redis(&["HGET", &key("raw-1"), "failedReason"]).await?;
    assert_eq!(reason, "the job data is not a task: its version `v` is missing or invalid");
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

/// Each id is added to an empty queue and to a busy one, because Redis accepts different ids in
/// each.
#[tokio::test]
async fn a_job_with_a_reserved_id_is_removed() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let mut refused = Vec::new();

    for name in RESERVED_KEYS {
        let data = json!({ "data": { "x": 1 }, "opts": { "jobId": name } });
        if fixture.node.ask_queue(GENERATE, "add", data.clone()).await.is_err() {
            refused.push(name);
        }
        let batch = fixture.host.post(&json!({ "quantity": 2_000, "batchSize": 100 })).await?;
        if fixture.node.ask_queue(GENERATE, "add", data).await.is_err() {
            refused.push(name);
        }
        fixture.wait_until_complete(batch, 2_000).await.map_err(|error| format!("{name}: {error}"))?;
    }

    println!("refused by Redis: {refused:?}");
    assert!(fixture.host.said_any("removed jobs whose ids are reserved keys of the queue"));
    fixture.wait_until_idle().await?;
    fixture.shut_down().await
}

/// BullMQ alone would keep each of these jobs, and the batch would never end.
#[tokio::test]
async fn a_job_that_was_replaced_by_a_malformed_one_is_offered_again() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(6).await?;
    let huge = json!({ "attempts": 90, "backoff": { "type": "exponential", "delay": 9_000_000_000_000_000_u64 } });
    let malformed = [
        (0, json!({ "hello": "there" }), json!({})),
        (1, job_data(batch, 1), json!({ "delay": 100_000_000_000_u64 })),
        (2, job_data(batch, 5), json!({})),
        (3, job_data(batch, 3), json!({ "priority": 2_097_151 })),
        (4, job_data(batch, 4), huge),
    ];
    for (seq, data, opts) in malformed {
        let replacement = json!({ "job": id(batch, seq), "data": data, "opts": opts });
        fixture.node.ask_queue(GENERATE, "replace", replacement).await?;
    }
    let child = json!({ "name": "c", "queueName": "queue-without-workers", "data": {} });
    fixture.node.redis(&["DEL", &format!("bull:{GENERATE}:{}", id(batch, 5))]).await?;
    fixture.node.redis(&["ZREM", &format!("bull:{GENERATE}:prioritized"), &id(batch, 5)]).await?;
    let parent = json!({ "name": "p", "queueName": GENERATE, "data": job_data(batch, 5), "opts": { "jobId": id(batch, 5) }, "children": [child] });
    fixture.node.ask("flow", json!({ "flow": parent })).await?;

    fixture.resume().await?;

    fixture.wait_until_complete(batch, 600).await?;
    fixture.shut_down().await
}

/// The chunks of the job fail, and its retry options would delay it forever or overflow.
#[tokio::test]
async fn retry_options_of_other_clients_are_ignored() -> TestResult {
    let mut fixture = Fixture::start().await?;
    fixture.host.send(reqwest::Method::POST, "/shortage/57").await?;
    let batch = fixture.create_waiting_batch(1).await?;
    let opts = json!({ "attempts": 90, "backoff": { "type": "exponential", "delay": 9_000_000_000_000_000_000_u64 } });
    fixture
        .node
        .ask_queue(GENERATE, "replace", json!({ "job": id(batch, 0), "data": job_data(batch, 0), "opts": opts }))
        .await?;

    fixture.resume().await?;
    let progress = fixture.host.until_finished(batch, std::time::Duration::from_secs(60)).await?;

    assert_eq!(progress["status"], "failed");
    assert_eq!(fixture.home.count("SELECT attempts FROM rocket_batch_jobs").await?, 3);
    fixture.shut_down().await
}

#[tokio::test]
async fn schedulers_and_flows_of_other_clients_do_not_affect_a_batch() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(100).await?;
    let every =
        json!({ "scheduler": "tick", "repeat": { "every": 50 }, "template": { "name": "tick", "data": { "x": 1 } } });
    fixture.node.ask_queue(GENERATE, "schedule", every).await?;
    let nightly = json!({ "scheduler": "n", "repeat": { "pattern": "* * * * * *" }, "template": { "name": "n", "data": job_data(batch, 0) } });
    fixture.node.ask_queue(GENERATE, "schedule", nightly).await?;
    let child = |opts: Value| json!({ "name": "child", "queueName": GENERATE, "data": { "x": 1 }, "opts": opts });
    let children = [json!({}), json!({ "failParentOnFailure": true }), json!({ "ignoreDependencyOnFailure": true })];
    let flow = json!({ "name": "parent", "queueName": GENERATE, "data": {}, "children": children.map(child) });
    fixture.node.ask("flow", json!({ "flow": flow })).await?;

    fixture.resume().await?;

    fixture.wait_until_complete(batch, 10_000).await?;
    for scheduler in ["tick", "n"] {
        fixture.node.ask_queue(GENERATE, "unschedule", json!({ "scheduler": scheduler })).await?;
    }
    fixture.wait_until_idle().await?;
    let counts = fixture.node.ask_queue(GENERATE, "counts", json!({})).await?;
    assert!(counts["failed"].as_u64() <= Some(5) && counts["completed"].as_u64() <= Some(10), "{counts}");
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

/// The queue holds more than the limit of ten thousand jobs, all delayed for years.
#[tokio::test]
async fn many_jobs_of_other_clients_do_not_keep_ours_out() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let mut other = Node::on_redis(fixture.redis.port)?;
    for _ in 0..11 {
        let jobs =
            vec![json!({ "name": "later", "data": { "x": 1 }, "opts": { "delay": 100_000_000_000_u64 } }); 1_000];
        other.ask_queue(GENERATE, "bulk", json!({ "jobs": jobs })).await?;
    }

    let batch = fixture.host.post(&json!({ "quantity": 30_000, "batchSize": 100 })).await?;

    fixture.wait_until_complete(batch, 30_000).await?;
    assert_eq!(fixture.node.ask_queue(GENERATE, "counts", json!({})).await?["delayed"], 11_000);
    fixture.shut_down().await
}
