//! A process that only works: no route but the health probes. Start as many as you like beside a
//! host that serves.
//!
//! ```sh
//! export REDIS_HOST=127.0.0.1 ROCKET_DATABASES='{batch={url="postgres://user:password@127.0.0.1/shop"}}'
//! ROCKET_PORT=8001 cargo run --release --example worker
//! ```
//!
//! They share the ledger and the queues in Redis. With a ledger in SQLite they all run on one
//! machine, with the same `ROCKET_DATABASES='{batch={url="sqlite:///var/lib/shop/batch.db"}}'`.
//! Hooks and an item writer belong to every process that works, so this is the worker of a host
//! that has neither. The workers of the shop in `host.rs` are the shop itself, with
//! `ROCKET_BATCH__ROLE=worker`.

use rocket::launch;
use rocket_batch::{Batch, config::Role};

#[launch]
fn rocket() -> _ {
    rocket::build().attach(Batch::fairing().public().configure(|config| config.role = Role::Worker))
}
