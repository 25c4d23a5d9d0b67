//! A process that only runs jobs: it serves nothing but the health probes. Start as many as you
//! like beside a host that serves requests.
//!
//! ```sh
//! export REDIS_HOST=127.0.0.1
//! export ROCKET_DATABASES='{batch={url="postgres://user:password@127.0.0.1/shop"}}'
//! ROCKET_PORT=8001 cargo run --release --example worker
//! ```
//!
//! All processes share the ledger and the queues in Redis. With a ledger in SQLite they run on one
//! machine and open the same file: `{batch={url="sqlite:///var/lib/shop/batch.db"}}`.
//!
//! Every process that runs jobs needs the hooks and the item writer of its host. This example has
//! none, so it only works for a host without hooks and item writer. To add workers to the shop of
//! `host.rs`, run `host` itself with `ROCKET_BATCH__ROLE=worker`.

use rocket::launch;
use rocket_batch::{Batch, config::Role};

#[launch]
fn rocket() -> _ {
    rocket::build().attach(Batch::fairing().public().configure(|config| config.role = Role::Worker))
}
