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
//! Every process that runs jobs needs the hooks and the item writer of its host. So this worker
//! fits a host that has neither. The workers of the shop in `host.rs` are the shop itself, started
//! with `ROCKET_BATCH__ROLE=worker`.

use rocket::launch;
use rocket_batch::{Batch, config::Role};

#[launch]
fn rocket() -> _ {
    rocket::build().attach(Batch::fairing().public().configure(|config| config.role = Role::Worker))
}
