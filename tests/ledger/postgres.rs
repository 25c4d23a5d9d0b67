//! The ledger in PostgreSQL, and what is true of it alone.

use std::sync::Arc;

use figment::Figment;
use rocket_batch::ledger::{
    Rules,
    postgres::{PostgresLedger, PostgresPool},
};
use rocket_db_pools::Pool;

use crate::{given::*, servers};

mod in_a_server {
    every_ledger!(super::InAServer);
}

struct InAServer;

impl Harness for InAServer {
    async fn ledger_with(&self, rules: Rules) -> Subject {
        let pool = pool_at(servers::shared(), &servers::a_schema()).await;
        Subject::new(Arc::new(PostgresLedger::new(pool, rules)), ())
    }
}

fn figment(url: &str, schema: &str) -> Figment {
    Figment::new()
        .join(("url", url))
        .join(("schema", schema))
        .join(("connect_timeout", 5))
        .join(("max_connections", 5))
        // A host may have more in its section than concerns us.
        .join(("idle_timeout", 60))
}

async fn pool_at(url: &str, schema: &str) -> PostgresPool {
    PostgresPool::init(&figment(url, schema)).await.unwrap()
}
