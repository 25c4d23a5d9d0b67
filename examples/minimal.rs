//! The least that works: routes under `/batches` that anybody may call, workers, and a file
//! `batch.db` in the working directory.
//!
//! ```sh
//! cargo run --release --example minimal
//! curl -d '{"quantity": 1000}' -H 'Content-Type: application/json' http://127.0.0.1:8000/batches
//! curl http://127.0.0.1:8000/batches/1/progress
//! ```

use rocket::launch;
use rocket_batch::Batch;

#[launch]
fn rocket() -> _ {
    rocket::build().attach(Batch::fairing().public())
}
