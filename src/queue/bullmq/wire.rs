//! The data of a job in Redis, as JSON.
//!
//! ```json
//! {"v": 1, "ledger": "1f0c2a9be0d4c713", "batch": 7, "seq": 0, "generation": 0, "first": 0, "quantity": 100}
//! {"v": 1, "ledger": "1f0c2a9be0d4c713", "batch": 7, "round": 0}
//! {"v": 1, "ledger": "1f0c2a9be0d4c713", "batch": 7, "hook": 3}
//! {"v": 1, "ledger": "1f0c2a9be0d4c713", "batch": 7, "codes": true, "run": 1}
//! ```
//!
//! Another client may add a job of a batch by its batch and number alone; the ledger has the rest:
//!
//! ```json
//! {"v": 1, "batch": 7, "seq": 0}
//! ```
//!
//! The version lets an older process detect jobs that it can't read and leave them to a newer one.
//! The identity of the ledger keeps a process from running a job of another ledger.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{BatchId, Delivery, HookId, JobId, StatusTask, Task};

/// The version of the format. This process writes and reads only this one.
const VERSION: u64 = 1;

/// Why the data of a job is not a task.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// A newer version of this crate wrote the job, and can run it.
    #[error("version {0} is newer than this process")]
    Newer(u64),

    /// The job is for a worker of another ledger.
    #[error("the job belongs to another ledger")]
    OtherLedger,

    /// No version can read the job.
    #[error("the job data is not a task: {0}")]
    Malformed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Data {
    Generate { batch: i64, seq: u64, generation: Option<u32>, first: Option<u64>, quantity: Option<u64> },
    Close { batch: i64, round: u32 },
    Hook { batch: i64, hook: i64 },
    Reconcile { batch: i64, codes: bool, run: u32 },
}

/// Returns the job name of a task, which tools show in lists.
pub(super) const fn name(task: &Task) -> &'static str {
    match task {
        Task::Generate { .. } => "generate",
        Task::Status(StatusTask::Close { .. }) => "end",
        Task::Status(StatusTask::Hook { .. }) => "hook",
        Task::Status(StatusTask::Reconcile { .. }) => "reconcile",
    }
}

/// Returns the job data of `task` of `ledger`.
pub(super) fn write(task: &Task, ledger: Option<&str>) -> Value {
    let mut data = data_of(task);
    if let (Some(fields), Some(ledger)) = (data.as_object_mut(), ledger) {
        fields.insert("ledger".into(), ledger.into());
    }
    data
}

fn data_of(task: &Task) -> Value {
    let batch = task.batch().get();
    match task {
        Task::Generate { job, first, quantity } => {
            let JobId { seq, generation, .. } = job;
            json!({
                "v": VERSION, "batch": batch, "seq": seq, "generation": generation, "first": first, "quantity": quantity
            })
        }
        Task::Status(StatusTask::Close { round, .. }) => json!({"v": VERSION, "batch": batch, "round": round}),
        Task::Status(StatusTask::Hook { hook, .. }) => json!({"v": VERSION, "batch": batch, "hook": hook.0}),
        Task::Status(StatusTask::Reconcile { codes, run, .. }) => {
            json!({"v": VERSION, "batch": batch, "codes": codes, "run": run})
        }
    }
}

/// Reads the task of the job `id`, of which `acknowledged` attempts have ended, for a worker of
/// `ledger`. A job that names no ledger is for every worker.
pub(super) fn read(
    id: &str,
    acknowledged: u32,
    data: &Value,
    ledger: Option<&str>,
) -> Result<Delivery<Task>, Unreadable> {
    check_version(data)?;
    match (data.get("ledger"), ledger) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(Unreadable::OtherLedger),
        _ => read_task(id, acknowledged, data),
    }
}

fn check_version(data: &Value) -> Result<(), Unreadable> {
    match data.get("v").and_then(Value::as_u64) {
        Some(VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(Unreadable::Newer(newer)),
        _ => Err(Unreadable::Malformed("its version `v` is missing or invalid".into())),
    }
}

fn read_task(id: &str, acknowledged: u32, data: &Value) -> Result<Delivery<Task>, Unreadable> {
    let parsed =
        Data::deserialize(data).map_err(|_| Unreadable::Malformed("its fields are not the fields of a task".into()))?;
    let task = match (&parsed, id.parse::<JobId>()) {
        (&Data::Generate { batch, seq, .. }, Err(_)) => {
            return Ok(Delivery::External { batch: batch_of(batch)?, seq });
        }
        (data, id) => task_of(data, id.ok())?,
    };
    if task.to_string() == id {
        return Ok(Delivery::Enqueued { task, acknowledged });
    }
    Err(Unreadable::Malformed(format!("it describes the task {task}")))
}

fn batch_of(id: i64) -> Result<BatchId, Unreadable> {
    BatchId::new(id).map_err(|_| Unreadable::Malformed(format!("{id} is not a batch id")))
}

/// Takes a missing generation from the id of the job. Missing items are read from the ledger later.
fn task_of(data: &Data, id: Option<JobId>) -> Result<Task, Unreadable> {
    Ok(match *data {
        Data::Generate { batch, seq, generation, first, quantity } => {
            let generation = generation.or(id.map(|job| job.generation)).unwrap_or(0);
            let job = JobId { batch: batch_of(batch)?, seq, generation };
            Task::Generate { job, first: first.unwrap_or(0), quantity: quantity.unwrap_or(0) }
        }
        Data::Close { batch, round } => Task::Status(StatusTask::Close { batch: batch_of(batch)?, round }),
        Data::Hook { batch, hook } => Task::Status(StatusTask::Hook { batch: batch_of(batch)?, hook: HookId(hook) }),
        Data::Reconcile { batch, codes, run } => {
            Task::Status(StatusTask::Reconcile { batch: batch_of(batch)?, codes, run })
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tasks() -> impl Strategy<Value = Task> {
        let batch = (1_i64..=BatchId::MAX).prop_map(|id| BatchId::new(id).unwrap());
        (batch, any::<(u64, u32, u64, u64, i64)>(), 0..4).prop_map(
            |(batch, (seq, count, first, quantity, hook), kind)| match kind {
                0 => Task::Generate { job: JobId { batch, seq, generation: count }, first, quantity },
                1 => Task::Status(StatusTask::Close { batch, round: count }),
                2 => Task::Status(StatusTask::Reconcile { batch, codes: hook > 0, run: count }),
                _ => Task::Status(StatusTask::Hook { batch, hook: HookId(hook) }),
            },
        )
    }

    proptest! {
        #[test]
        fn a_task_reads_back(task in tasks()) {
            let delivery = Delivery::Enqueued { task, acknowledged: 2 };

            prop_assert_eq!(read(&task.to_string(), 2, &write(&task, Some("own")), Some("own")), Ok(delivery));
        }
    }

    #[test]
    fn a_newer_version_is_left_alone_and_malformed_data_is_rejected() {
        let job = json!({"v": 1, "batch": 7, "seq": 0, "generation": 0, "first": 0, "quantity": 100});
        let with = |key: &str, value: Value| {
            let mut data = job.clone();
            data[key] = value;
            read("b7-j0-g0", 0, &data, None)
        };

        assert!(read("b7-j0-g0", 0, &job, None).is_ok());
        assert_eq!(with("v", json!(2)), Err(Unreadable::Newer(2)));
        for (key, value) in
            [("v", json!(0)), ("v", json!("1")), ("seq", json!(-1)), ("seq", json!(1)), ("batch", json!(0))]
        {
            assert!(matches!(with(key, value.clone()), Err(Unreadable::Malformed(_))), "{key}: {value}");
        }
        for data in [Value::Null, json!([]), json!("x"), json!({"v": 1}), json!({"v": 1, "batch": 7})] {
            assert!(matches!(read("b7-j0-g0", 0, &data, None), Err(Unreadable::Malformed(_))), "{data}");
        }
    }

    #[test]
    fn a_job_is_identified_by_its_batch_and_number_alone() {
        let data = json!({"v": 1, "batch": 7, "seq": 3});
        let batch = BatchId::new(7).unwrap();
        let own = Task::Generate { job: JobId { batch, seq: 3, generation: 2 }, first: 0, quantity: 0 };

        assert_eq!(read("b7-j3-g2", 1, &data, None), Ok(Delivery::Enqueued { task: own, acknowledged: 1 }));
        for id in ["1", "b7-j3", "b7-end-r0", "limiter", "b7-j03-g2"] {
            assert_eq!(read(id, 1, &data, None), Ok(Delivery::External { batch, seq: 3 }), "{id}");
        }
        for id in ["b7-j4-g2", "b8-j3-g2"] {
            assert!(matches!(read(id, 1, &data, None), Err(Unreadable::Malformed(_))), "{id}");
        }
    }
    #[test]
    fn a_job_of_another_ledger_is_rejected_and_one_that_names_none_is_not() {
        let task = Task::Status(StatusTask::Hook { batch: BatchId::new(7).unwrap(), hook: HookId(3) });
        let id = task.to_string();

        for (writer, reader, is_read) in [
            (Some("a"), Some("a"), true),
            (Some("b"), Some("a"), false),
            (None, Some("a"), true),
            (Some("b"), None, true),
        ] {
            let delivery = read(&id, 0, &write(&task, writer), reader);
            assert_eq!(delivery.is_ok(), is_read, "{writer:?} for {reader:?}: {delivery:?}");
        }
        assert_eq!(read(&id, 0, &write(&task, Some("b")), Some("a")), Err(Unreadable::OtherLedger));
    }
}
