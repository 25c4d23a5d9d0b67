//! A host with the plugin, and a client for tests.

use std::path::PathBuf;

use rocket::{
    Build, Ignite, Request, Rocket, Shutdown,
    fairing::AdHoc,
    figment::Figment,
    http::{ContentType, Header, Status},
    local::asynchronous::{Client, LocalRequest},
    outcome::Outcome,
    request::{self, FromRequest},
};
use rocket_batch::{Batch, BatchFairing};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    contract::Contract,
    support::{
        plugin,
        wait::{WAIT_TIMEOUT, until},
    },
};

/// A host with its own database.
pub struct Shop {
    pub client: Client,
    pub folder: TempDir,
    /// The document of the shop, which every response is checked against.
    pub contract: Option<Contract>,
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// The JSON. Asserts that it is a problem with this status, whose detail contains `words`.
    pub fn problem(&self, status: u16, words: &[&str]) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.content_type.as_deref(), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("Cache-Control"), Some("no-store"));
        assert_eq!(self.header("X-Content-Type-Options"), Some("nosniff"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        words.iter().for_each(|word| assert!(detail.contains(word), "`{word}` is not in: {detail}"));
        problem
    }

    /// The JSON. Asserts the status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.content_type.as_deref(), Some("application/json"), "{self:?}");
        assert_eq!(self.header("Cache-Control"), Some("no-store"));
        self.json()
    }
}

/// The fairing and the settings of a shop.
pub struct Plan {
    fairing: BatchFairing,
    figment: Figment,
    folder: TempDir,
    judged: bool,
}

/// A shop without guards and without a rate limit.
pub fn a_shop() -> Plan {
    guarded_by(Batch::fairing().public())
}

/// A shop with this fairing.
pub fn guarded_by(fairing: BatchFairing) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let figment = plugin::settings(&plugin::sqlite_url(folder.path()));
    Plan { fairing, figment, folder, judged: true }
}

impl Plan {
    /// Sets a setting, by its full key.
    pub fn with(mut self, key: &str, value: impl Into<rocket::figment::value::Value>) -> Self {
        self.figment = self.figment.merge((key, value.into()));
        self
    }

    /// Runs no workers, so that batches do not change.
    pub fn without_workers(self) -> Self {
        self.with("batch.role", "web")
    }

    /// For guards that return undocumented statuses.
    pub fn with_statuses_of_its_own(self) -> Self {
        Self { judged: false, ..self }
    }

    pub fn rocket(self) -> (Rocket<Build>, TempDir) {
        (rocket::custom(self.figment).attach(self.fairing), self.folder)
    }

    pub async fn open(self) -> Shop {
        self.open_with(|rocket| rocket).await
    }

    /// Listens on a port, for tests that the local client can't do.
    pub async fn listen(self) -> Listening {
        let (send_port, port) = oneshot::channel();
        let (rocket, folder) = self.with("port", 0).with("shutdown.ctrlc", false).rocket();
        let rocket = rocket.attach(AdHoc::on_liftoff("Port", |rocket| {
            let port = rocket.config().port;
            Box::pin(async move { send_port.send(port).unwrap() })
        }));
        let rocket = rocket.ignite().await.unwrap();
        let shutdown = rocket.shutdown();
        let server = tokio::spawn(rocket.launch());
        Listening { port: port.await.unwrap(), shutdown, server, _folder: folder }
    }

    /// Opens with additions by the host.
    pub async fn open_with(self, add: impl FnOnce(Rocket<Build>) -> Rocket<Build>) -> Shop {
        let judged = self.judged;
        let (rocket, folder) = self.rocket();
        let client =
            Client::untracked(add(rocket)).await.unwrap_or_else(|error| panic!("the shop must open: {error:?}"));
        let contract = if judged { Contract::of(&client).await } else { None };
        Shop { client, folder, contract }
    }
}

/// A shop behind a real socket of 127.0.0.1.
pub struct Listening {
    pub port: u16,
    shutdown: Shutdown,
    server: JoinHandle<Result<Rocket<Ignite>, rocket::Error>>,
    _folder: TempDir,
}

impl Listening {
    pub async fn close(self) {
        self.shutdown.notify();
        self.server.await.unwrap().unwrap();
    }
}

impl Shop {
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("batch.db")
    }

    pub async fn ask(&self, request: LocalRequest<'_>) -> Reply {
        let (method, path) = (request.inner().method(), request.inner().uri().path().to_string());
        let response = request.dispatch().await;
        let status = response.status().code;
        let content_type = response.content_type().map(|kind| kind.to_string());
        let header = |header: Header<'_>| (header.name().to_string(), header.value().to_owned());
        let headers = response.headers().iter().map(header).collect();
        // A stream of events does not end.
        let is_stream = content_type.as_deref() == Some("text/event-stream");
        let body = if is_stream { String::new() } else { response.into_string().await.unwrap_or_default() };
        let reply = Reply { status, content_type, headers, body };
        self.contract.iter().for_each(|contract| contract.check(method.as_str(), &path, &reply));
        reply
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask(self.client.get(path.to_owned())).await
    }

    /// Posts without a body.
    pub async fn post_empty(&self, path: &str) -> Reply {
        self.ask(self.client.post(path.to_owned())).await
    }

    pub async fn post(&self, path: &str, body: impl ToString) -> Reply {
        let request = self.client.post(path.to_owned()).header(ContentType::JSON).body(body.to_string());
        self.ask(request).await
    }

    /// Creates a batch with this id, in jobs of 10.
    pub async fn batch(&self, id: i64, quantity: u64) {
        let body = json!({ "batchId": id, "quantity": quantity, "batchSize": 10 });
        assert_eq!(self.post("/batches", body).await.expect(202)["batchId"], id);
    }

    pub async fn status(&self, id: i64) -> String {
        self.get(&format!("/batches/{id}")).await.expect(200)["status"].as_str().unwrap().to_owned()
    }

    /// Waits until `wanted` is true for the progress of a batch. Asserts that its job counts always
    /// sum to the total.
    pub async fn until(&self, id: i64, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/batches/{id}/progress");
        let progress = async || {
            let progress = self.get(&path).await.expect(200);
            assert_eq!(sum_of_jobs(&progress), progress["total"].as_u64().unwrap(), "{progress}");
            progress
        };
        until(format!("batch {id} is {what}"), WAIT_TIMEOUT, progress, wanted).await.unwrap()
    }

    /// Waits until a batch has this status.
    pub async fn until_it_is(&self, id: i64, status: &str) -> Value {
        self.until(id, status, |progress| progress["status"] == status).await
    }

    /// Waits until the history of a batch is removed, and returns the batch.
    pub async fn until_its_history_is_removed(&self, id: i64) -> Value {
        let batch = async || self.get(&format!("/batches/{id}")).await.expect(200);
        let what = format!("the history of batch {id} is removed");
        until(what, WAIT_TIMEOUT, batch, |batch| batch["historyRemoved"] == true).await.unwrap()
    }

    /// Waits until a path returns this status.
    pub async fn until_answered(&self, path: &str, status: u16) -> Reply {
        let what = format!("{path} answers {status}");
        until(what, WAIT_TIMEOUT, || self.get(path), |reply| reply.status == status).await.unwrap()
    }

    /// All entries of a list, page by page, with the sizes of the pages.
    pub async fn pages(&self, path: &str, limit: u64) -> (Vec<Value>, Vec<usize>) {
        let (mut entries, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
        let mark = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{mark}limit={limit}{cursor}")).await.expect(200);
            let items = page["items"].as_array().unwrap();
            sizes.push(items.len());
            entries.extend(items.iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return (entries, sizes),
            }
        }
    }
}

fn sum_of_jobs(progress: &Value) -> u64 {
    let states = ["waiting", "active", "delayed", "completed", "failed", "cancelled"];
    states.iter().map(|state| progress[state].as_u64().unwrap()).sum()
}

/// The header that identifies the caller to the guards below.
pub fn from(who: &'static str) -> Header<'static> {
    Header::new("x-who", who)
}

/// Guards of the host: 401 without a name, 403 with another name.
macro_rules! guard_for {
    ($guard:ident, $($who:literal)|+) => {
        pub struct $guard;

        #[rocket::async_trait]
        impl<'r> FromRequest<'r> for $guard {
            // Neither `Send` nor `Sync`, which guards must not require.
            type Error = std::rc::Rc<()>;

            async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
                match request.headers().get_one("x-who") {
                    Some($($who)|+) => Outcome::Success(Self),
                    Some(_) => Outcome::Error((Status::Forbidden, Default::default())),
                    None => Outcome::Error((Status::Unauthorized, Default::default())),
                }
            }
        }
    };
}

guard_for!(Admin, "admin");
guard_for!(Reader, "reader" | "both");
guard_for!(Writer, "writer" | "both");
