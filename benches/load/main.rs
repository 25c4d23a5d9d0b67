//! Load tests with real processes: `cargo bench --bench load -- <scenario>
//! [small] [rounds]`.
//!
//! | scenario | what it shows |
//! |---|---|
//! | `scale` | one large batch, worked by one and by four processes |
//! | `ledger` | the ledger in PostgreSQL alone, beside plain inserts of the same rows |
//! | `fair` | many batches at once: when each finishes, and how fast all of them are |
//! | `lists` | a small batch while many clients list large ones |
//! | `creates` | the processor time of a create with many open batches |
//! | `feeder` | the commands that the feeder sends to Redis |
//! | `mixed` | many clients that do everything at once |
//! | `watch` | many event streams of a batch while it runs |
//! | `local` | the queue in the process, with more and more jobs at a time |
//!
//! The hosts are further processes of this program, started with an environment variable. They have
//! no item writer and no hooks. Redis and PostgreSQL are started on free ports, in temporary
//! folders. All processes end with this program.
//!
//! `small` finishes within a minute. It only checks that a scenario runs; its figures are not
//! meaningful.

mod client;
mod cpu;
mod creates;
mod fair;
mod feeder;
#[path = "../figures/mod.rs"]
mod figures;
mod host;
mod ledger;
mod lists;
mod local;
mod mixed;
mod monitor;
mod report;
mod scale;
mod site;
#[path = "../../tests/support/mod.rs"]
mod support;
mod traffic;
mod watch;
mod work;

use figures::Result;

/// The arguments of a host process.
const HOST_ARGUMENTS: &[&str] = &[];

/// The size of a scenario.
#[derive(Debug, Clone, Copy)]
struct Scope {
    small: bool,
    /// Number of measurements of each case.
    rounds: usize,
}

impl Scope {
    fn parse(words: &[String]) -> Result<Self> {
        let mut scope = Self { small: false, rounds: figures::ROUNDS };
        for word in words {
            match word.as_str() {
                "small" => scope = Self { small: true, rounds: 1 },
                rounds => scope.rounds = rounds.parse().map_err(|_| format!("`{rounds}` is not a number of rounds"))?,
            }
        }
        Ok(scope)
    }

    fn pick<T>(self, small: T, full: T) -> T {
        if self.small { small } else { full }
    }
}

#[rocket::main]
async fn main() -> Result<()> {
    if host::is_wanted() {
        return host::serve().await;
    }
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let Some((scenario, rest)) = words.split_first() else {
        println!("which scenario? `cargo bench --bench load -- scale`, say; docs/benchmarks.md lists them");
        return Ok(());
    };
    let scope = Scope::parse(rest)?;
    match scenario.as_str() {
        "scale" => scale::run(scope).await,
        "ledger" => ledger::run(scope).await,
        "fair" => fair::run(scope).await,
        "lists" => lists::run(scope).await,
        "creates" => creates::run(scope).await,
        "local" => local::run(scope).await,
        "feeder" => feeder::run(scope).await,
        "mixed" => mixed::run(scope).await,
        "watch" => watch::run(scope).await,
        unknown => Err(format!("there is no scenario `{unknown}`; docs/benchmarks.md lists them").into()),
    }
}
