//! Node adds: what is right is worked, what is wrong ends with a reason, and what is hostile harms
//! nothing.

use serde_json::{Value, json};

use crate::{GENERATE, Stage, TestResult, id, node::Node};

/// Names of the queue's own keys. As the id of a job each would put a job in the place of what the
/// queue keeps there.
const OWN_KEYS: [&str; 17] = [
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

fn place(batch: i64, seq: u64) -> Value {
    json!({ "v": 1, "batch": batch, "seq": seq })
}

/// They have no priority, so they are handed out before the feeder's own.
#[tokio::test]
async fn what_a_node_producer_adds_is_worked_under_its_own_id() -> TestResult {
    let mut stage = Stage::set().await?;
    stage.node.of(GENERATE, "listen", json!({})).await?;
    let batch = stage.waiting(4).await?;
    let mut ids = Vec::new();
    for seq in 0..4 {
        let added = json!({ "name": "make-items", "data": place(batch, seq), "opts": { "removeOnComplete": false } });
        ids.push(stage.node.of(GENERATE, "add", added).await?);
    }

    stage.resume().await?;

    for job in &ids {
        let end = stage.node.of(GENERATE, "finished", json!({ "job": job })).await?;
        assert_eq!(end, json!({ "completed": null }), "{job}");
    }
    stage.is_exact(batch, 400).await?;
    let said = json!([format!("Processed 100/100 items for batch {batch}")]);
    stage.node.until(GENERATE, "logs", json!({ "job": ids[0] }), |logs| *logs == said).await?;
    stage.is_idle().await?;
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}

/// In the place of the feeder's job, so that there is no other.
#[tokio::test]
async fn what_a_node_producer_adds_under_our_id_needs_no_more_than_its_place() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(2).await?;
    let theirs = json!({ "job": id(batch, 1), "data": place(batch, 1), "opts": {} });

    let added = stage.node.of(GENERATE, "replace", theirs).await?;
    stage.resume().await?;

    assert_eq!(added["data"], place(batch, 1));
    stage.is_exact(batch, 200).await?;
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}

#[tokio::test]
async fn a_job_that_the_ledger_does_not_know_fails_once_and_says_why() -> TestResult {
    let mut stage = Stage::set().await?;
    stage.node.of(GENERATE, "listen", json!({})).await?;
    let batch = stage.host.post(&json!({ "quantity": 100 })).await?;
    stage.is_exact(batch, 100).await?;
    let table = [
        (place(987_654, 0), "the ledger has no batch 987654 with a job 0".to_owned()),
        (place(batch, 1), format!("the ledger has no batch {batch} with a job 1")),
    ];

    for (data, reason) in table {
        let job = stage.node.of(GENERATE, "add", json!({ "data": data, "opts": { "attempts": 5 } })).await?;
        let end = stage.node.of(GENERATE, "finished", json!({ "job": job })).await?;
        assert_eq!(end, json!({ "failed": reason }));
        let job = stage.node.of(GENERATE, "job", json!({ "job": job })).await?;
        assert_eq!((&job["attemptsMade"], &job["failedReason"]), (&json!(1), &json!(reason)));
        stage.host.until_it_says(&reason).await?;
    }
    assert!(stage.host.said_any("a job that is not in the ledger failed in the queue"));
    stage.ends_well().await
}

/// What is no task at all, beside a batch that is worked.
#[tokio::test]
async fn hostile_jobs_fail_with_a_reason_and_harm_no_batch() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(50).await?;
    let jobs = hostile(batch);
    let count = stage.node.of(GENERATE, "bulk", json!({ "jobs": jobs })).await?;
    assert_eq!(count, jobs.len());

    stage.resume().await?;

    stage.is_exact(batch, 5_000).await?;
    stage.is_idle().await?;
    for job in &jobs {
        let (name, id) = (&job["name"], &job["opts"]["jobId"]);
        let job = stage.node.of(GENERATE, "job", json!({ "job": id })).await;
        // Of those that failed the last ones are kept.
        let Ok(job) = job else { continue };
        assert_eq!(job["state"], "failed", "{name} {id}");
        assert!(
            job["failedReason"].as_str().is_some_and(|reason| reason.starts_with("the data of the job is no task"))
        );
    }
    let counts = stage.node.of(GENERATE, "counts", json!({})).await?;
    assert!(counts["failed"].as_u64() <= Some(5), "more failed jobs are kept than is set: {counts}");
    let (keys, peak) = (stage.node.redis(&["DBSIZE"]).await?, stage.host.peak_memory()?);
    assert!(keys.as_u64() < Some(100), "{keys} keys are left");
    assert!(peak < 400 << 20, "{} MiB", peak >> 20);
    stage.nothing_was_spent().await?;
    stage.ends_well().await
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
        json!({ "attempts": 9, "backoff": { "type": "nobody-knows", "delay": -1 } }),
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

/// Written past BullMQ: what is no JSON, and jobs that are in line and do not exist.
#[tokio::test]
async fn what_no_library_would_write_harms_nothing() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(20).await?;
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
        stage.node.redis(&fields).await?;
        stage.node.redis(&["RPUSH", &key("wait"), id]).await?;
    }
    for id in ["not-there", "0:1", "0"] {
        stage.node.redis(&["RPUSH", &key("wait"), id]).await?;
    }

    stage.resume().await?;

    stage.is_exact(batch, 2_000).await?;
    stage.is_idle().await?;
    let reason = stage.node.redis(&["HGET", &key("raw-1"), "failedReason"]).await?;
    assert_eq!(reason, "the data of the job is no task: it has no version");
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}

/// Each is tried while the queue is in use and while it is empty, since that decides what Redis
/// lets pass.
#[tokio::test]
async fn an_id_that_breaks_a_queue_is_taken_out() -> TestResult {
    let mut stage = Stage::set().await?;
    let mut refused = Vec::new();

    for name in OWN_KEYS {
        let data = json!({ "data": { "x": 1 }, "opts": { "jobId": name } });
        if stage.node.of(GENERATE, "add", data.clone()).await.is_err() {
            refused.push(name);
        }
        let batch = stage.host.post(&json!({ "quantity": 2_000, "batchSize": 100 })).await?;
        if stage.node.of(GENERATE, "add", data).await.is_err() {
            refused.push(name);
        }
        stage.is_exact(batch, 2_000).await.map_err(|error| format!("{name}: {error}"))?;
    }

    println!("refused by Redis: {refused:?}");
    assert!(stage.host.said_any("jobs had the names of the queue's own keys"));
    stage.is_idle().await?;
    stage.ends_well().await
}

/// BullMQ would leave each of these where it is, and the batch would never end.
#[tokio::test]
async fn a_job_of_ours_that_was_replaced_by_a_wrong_one_is_brought_anew() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(6).await?;
    let huge = json!({ "attempts": 90, "backoff": { "type": "exponential", "delay": 9_000_000_000_000_000_u64 } });
    let wrong = [
        (0, json!({ "hello": "there" }), json!({})),
        (1, place(batch, 1), json!({ "delay": 100_000_000_000_u64 })),
        (2, place(batch, 5), json!({})),
        (3, place(batch, 3), json!({ "priority": 2_097_151 })),
        (4, place(batch, 4), huge),
    ];
    for (seq, data, opts) in wrong {
        let ours = json!({ "job": id(batch, seq), "data": data, "opts": opts });
        stage.node.of(GENERATE, "replace", ours).await?;
    }
    let child = json!({ "name": "c", "queueName": "nobody-works-this", "data": {} });
    stage.node.redis(&["DEL", &format!("bull:{GENERATE}:{}", id(batch, 5))]).await?;
    stage.node.redis(&["ZREM", &format!("bull:{GENERATE}:prioritized"), &id(batch, 5)]).await?;
    let parent = json!({ "name": "p", "queueName": GENERATE, "data": place(batch, 5), "opts": { "jobId": id(batch, 5) }, "children": [child] });
    stage.node.ask("flow", json!({ "flow": parent })).await?;

    stage.resume().await?;

    stage.is_exact(batch, 600).await?;
    stage.ends_well().await
}

/// Its chunks are refused, so it is to be tried again by options that would take for ever, or
/// panic.
#[tokio::test]
async fn our_job_is_not_tried_again_as_a_stranger_wants() -> TestResult {
    let mut stage = Stage::set().await?;
    stage.host.send(reqwest::Method::POST, "/shortage/57").await?;
    let batch = stage.waiting(1).await?;
    let opts = json!({ "attempts": 90, "backoff": { "type": "exponential", "delay": 9_000_000_000_000_000_000_u64 } });
    stage.node.of(GENERATE, "replace", json!({ "job": id(batch, 0), "data": place(batch, 0), "opts": opts })).await?;

    stage.resume().await?;
    let progress = stage.host.until_over(batch, std::time::Duration::from_secs(60)).await?;

    assert_eq!(progress["status"], "failed");
    assert_eq!(stage.home.count("SELECT attempts FROM batch_jobs").await?, 3);
    stage.ends_well().await
}

#[tokio::test]
async fn schedulers_and_flows_of_others_harm_no_batch() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(100).await?;
    let every =
        json!({ "scheduler": "tick", "repeat": { "every": 50 }, "template": { "name": "tick", "data": { "x": 1 } } });
    stage.node.of(GENERATE, "schedule", every).await?;
    let nightly = json!({ "scheduler": "n", "repeat": { "pattern": "* * * * * *" }, "template": { "name": "n", "data": place(batch, 0) } });
    stage.node.of(GENERATE, "schedule", nightly).await?;
    let child = |opts: Value| json!({ "name": "child", "queueName": GENERATE, "data": { "x": 1 }, "opts": opts });
    let children = [json!({}), json!({ "failParentOnFailure": true }), json!({ "ignoreDependencyOnFailure": true })];
    let flow = json!({ "name": "parent", "queueName": GENERATE, "data": {}, "children": children.map(child) });
    stage.node.ask("flow", json!({ "flow": flow })).await?;

    stage.resume().await?;

    stage.is_exact(batch, 10_000).await?;
    for scheduler in ["tick", "n"] {
        stage.node.of(GENERATE, "unschedule", json!({ "scheduler": scheduler })).await?;
    }
    stage.is_idle().await?;
    let counts = stage.node.of(GENERATE, "counts", json!({})).await?;
    assert!(counts["failed"].as_u64() <= Some(5) && counts["completed"].as_u64() <= Some(10), "{counts}");
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}

/// Ten thousand jobs may be in the queue, and these are; they are not due for years.
#[tokio::test]
async fn a_crowd_of_strangers_does_not_keep_our_jobs_out() -> TestResult {
    let mut stage = Stage::set().await?;
    let mut crowd = Node::start(stage.redis.port)?;
    for _ in 0..11 {
        let jobs =
            vec![json!({ "name": "later", "data": { "x": 1 }, "opts": { "delay": 100_000_000_000_u64 } }); 1_000];
        crowd.of(GENERATE, "bulk", json!({ "jobs": jobs })).await?;
    }

    let batch = stage.host.post(&json!({ "quantity": 30_000, "batchSize": 100 })).await?;

    stage.is_exact(batch, 30_000).await?;
    assert_eq!(stage.node.of(GENERATE, "counts", json!({})).await?["delayed"], 11_000);
    stage.ends_well().await
}
