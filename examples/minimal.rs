//! The smallest host: routes under `/batches`, workers, and the file `batch.db` in the working
//! directory.
//!
//! ```sh
//! cargo run --release --example minimal
//! curl -d '{"quantity": 500}' -H 'Content-Type: application/json' http://127.0.0.1:8000/batches
//! curl http://127.0.0.1:8000/batches/1/progress
//! curl http://127.0.0.1:8000/batches/1/items
//! ```
//!
//! By default at most 5 jobs of 100 items start in 10 seconds, so the first 500 items exist almost
//! immediately, and 1,000 after 10 seconds. `ROCKET_BATCH__GENERATE__RATE_LIMIT=off` in the
//! environment removes the limit.

use rocket::launch;
use rocket_batch::Batch;

#[launch]
fn rocket() -> _ {
    // `public()` lets anyone call. Outside of a demo, choose a guard: `.guard::<Admin>()`.
    rocket::build().attach(Batch::fairing().public())
}
