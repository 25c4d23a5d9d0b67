//! Examples for the schemas, all about one batch: number 42 with 250 items, some of which failed at
//! first.
//!
//! A test checks each example against its schema.

use serde_json::{Map, Value, json};

/// Adds its example to each schema that has one.
pub(super) fn insert_into(schemas: &mut Map<String, Value>) {
    for (name, example) in all() {
        if let Some(schema) = schemas.get_mut(name).and_then(Value::as_object_mut) {
            schema.insert("examples".to_owned(), json!([example]));
        }
    }
}

fn all() -> [(&'static str, Value); 25] {
    [
        ("CreateBatch", json!({ "quantity": 250, "batchId": 42, "batchSize": 100, "qrCodePrefix": "QR" })),
        ("BatchAccepted", accepted()),
        ("BatchPreview", preview()),
        ("Batch", batch()),
        ("PageOfBatch", page(batch())),
        ("Progress", progress()),
        ("Item", item()),
        ("PageOfItem", page(item())),
        ("Job", job()),
        ("PageOfJob", page(job())),
        ("FailedJob", failed_job()),
        ("PageOfFailedJob", page(failed_job())),
        ("FailureGroup", failure_group()),
        ("PageOfFailureGroup", page(failure_group())),
        ("JobMap", json!({ "jobs": 3, "jobsPerCell": 1, "cells": ["completed", "completed", "failed"] })),
        ("AuditEntry", audit_entry()),
        ("PageOfAuditEntry", page(audit_entry())),
        ("RetryJobs", json!({ "group": "9c5638d5bf0dab6e", "dryRun": true })),
        ("RetryReport", retry_report()),
        ("Worker", worker()),
        ("PageOfWorker", page(worker())),
        ("Reconciliation", reconciliation()),
        ("RepairReport", repair_report()),
        ("CallerRights", json!({ "read": true, "write": false })),
        ("Ready", json!({ "ready": false, "problems": ["the database does not respond"] })),
    ]
}

fn page(entry: Value) -> Value {
    json!({ "items": [entry], "nextCursor": null })
}

fn accepted() -> Value {
    json!({
        "success": true,
        "batchId": 42,
        "totalQuantity": 250,
        "jobsCreated": 3,
        "jobIds": ["b42-j0-g0", "b42-j1-g0", "b42-j2-g0"],
        "jobIdsTruncated": false,
        "estimatedDuration": "1 second",
        "estimatedSeconds": 1,
    })
}

fn preview() -> Value {
    json!({
        "quantity": 250,
        "jobs": 3,
        "itemsPerJob": 100,
        "chunks": 5,
        "itemsPerChunk": 50,
        "estimatedSeconds": 1,
        "estimatedDuration": "1 second",
        "estimatedSecondsWithoutRateLimit": 1,
        "code": {
            "example": "QR-7K3MPRR2Q4G9DV8WY1Z5XCNH6E",
            "length": 29,
            "pattern": "^QR-[0-9A-HJKMNP-TV-Z]{26}$",
        },
    })
}

fn batch() -> Value {
    json!({
        "batchId": 42,
        "status": "failed",
        "quantity": 250,
        "options": { "batchSize": 100, "qrCodePrefix": "QR", "maxJobsPerBatch": null },
        "jobs": { "waiting": 0, "active": 0, "delayed": 0, "completed": 2, "failed": 1, "cancelled": 0 },
        "itemsCreated": 200,
        "round": 1,
        "createdAt": "2026-01-31T12:00:00Z",
        "startedAt": "2026-01-31T12:00:01Z",
        "finishedAt": "2026-01-31T12:00:09Z",
        "error": "1 of 3 jobs failed: 50 items could not be written: the shelf is full",
        "hookError": null,
        "historyRemoved": false,
    })
}

fn progress() -> Value {
    json!({
        "batchId": 42,
        "status": "running",
        "total": 3,
        "waiting": 0,
        "active": 1,
        "delayed": 0,
        "completed": 2,
        "failed": 0,
        "cancelled": 0,
        "itemsTotal": 250,
        "itemsCreated": 200,
        "percent": 80,
        "etaSeconds": 1,
        "itemsPerSecond": 480,
        "lastItemAt": "2026-01-31T12:00:02.125Z",
        "waitingFor": null,
        "stalled": false,
    })
}

fn worker() -> Value {
    json!({
        "id": "5f0c1be8a94d7632",
        "host": "shop-worker-1",
        "role": "worker",
        "version": "0.1.0",
        "startedAt": "2026-01-31T06:00:00Z",
        "reportedAt": "2026-01-31T12:00:02Z",
        "lastFetchAt": "2026-01-31T12:00:01.5Z",
        "activeJobs": 1,
        "standby": false,
        "memoryBytes": 25_165_824,
    })
}

fn item() -> Value {
    json!({
        "batchId": 42,
        "ordinal": 7,
        "code": "QR-0J5ZK4T9W3M8X1C6V2B7N0QHRS",
        "createdAt": "2026-01-31T12:00:02.125Z",
    })
}

fn job() -> Value {
    json!({
        "jobId": "b42-j2-g0",
        "seq": 2,
        "first": 200,
        "last": 249,
        "quantity": 50,
        "itemsCreated": 0,
        "state": "delayed",
        "attempts": 1,
        "crashes": 0,
        "startedAt": "2026-01-31T12:00:02Z",
        "finishedAt": null,
        "notBefore": "2026-01-31T12:00:04Z",
        "error": "50 items could not be written: the shelf is full",
    })
}

fn failed_job() -> Value {
    json!({
        "jobId": "b42-j2-g0",
        "seq": 2,
        "first": 200,
        "last": 249,
        "itemsCreated": 0,
        "attempts": 3,
        "crashes": 0,
        "error": "50 items could not be written: the shelf is full",
        "failedChunks": [{ "from": 200, "to": 249, "tries": 3, "error": "the shelf is full" }],
        "moreFailedChunks": 0,
        "moreItems": 0,
        "startedAt": "2026-01-31T12:00:07Z",
        "finishedAt": "2026-01-31T12:00:09Z",
    })
}

fn failure_group() -> Value {
    json!({
        "group": "9c5638d5bf0dab6e",
        "title": "the shelf is full",
        "jobs": 1,
        "itemsMissing": 50,
        "firstSeen": "2026-01-31T12:00:09Z",
        "lastSeen": "2026-01-31T12:00:09Z",
        "example": { "jobId": "b42-j2-g0", "error": "50 items could not be written: the shelf is full" },
    })
}

fn audit_entry() -> Value {
    json!({
        "id": 311,
        "batchId": 42,
        "at": "2026-01-31T12:05:00.25Z",
        "action": "retried",
        "actor": "ann",
        "address": null,
        "details": {
            "statusBefore": "failed",
            "found": 1,
            "recreated": 1,
            "selection": { "group": "9c5638d5bf0dab6e" },
        },
    })
}

fn retry_report() -> Value {
    json!({
        "batchId": 42,
        "dryRun": false,
        "found": 1,
        "recreated": 1,
        "skipped": [],
        "skippedTruncated": false,
        "jobIds": ["b42-j2-g1"],
        "jobIdsTruncated": false,
        "status": "running",
    })
}

fn reconciliation() -> Value {
    json!({
        "batchId": 42,
        "state": "finished",
        "startedAt": "2026-01-31T13:00:00Z",
        "checkedAt": "2026-01-31T13:00:00.012Z",
        "checkedItems": 198,
        "codes": "checked",
        "planned": 250,
        "written": 197,
        "failedChunks": 50,
        "toDo": 0,
        "cancelled": 0,
        "missing": 3,
        "gaps": [{ "from": 17, "to": 19 }],
        "gapsFound": 1,
        "gapsTruncated": false,
        "strangers": [{ "from": 250, "to": 250 }],
        "strangersFound": 1,
        "strangersTruncated": false,
        "wrongCodes": [
            { "ordinal": 250, "code": "QR-1", "expected": "QR-7K3MPRR2Q4G9DV8WY1Z5XCNH6E" },
        ],
        "wrongCodesFound": 1,
        "wrongCodesTruncated": false,
    })
}

fn repair_report() -> Value {
    json!({
        "batchId": 42,
        "found": 3,
        "recreated": 1,
        "jobIds": ["b42-j0-g1"],
        "jobIdsTruncated": false,
        "status": "running",
    })
}
