//! The nodes of a Redis Cluster: they say which of them is the master that has the queues.
//!
//! The hash tag in the prefix puts every key of the queues into one slot, and one master has it. So
//! one plain connection to that master does, and what is asked of a cluster is where that is: after
//! a failover, or when the slot was moved, it is elsewhere.
//!
//! A node that was cut off from the others says after a while that the cluster is down, and is not
//! believed.

use std::sync::{Arc, Mutex};

use bullmq::options::TlsCerts;
use redis::{Value, aio::MultiplexedConnection, from_redis_value};

use super::{
    discovery::{Address, Candidates},
    options,
    server::BoxError,
};
use crate::config::RedisSettings;

/// Nodes that are remembered, for when none of the settings is left.
const REMEMBERED: usize = 16;

/// Those who can say where the queues are.
pub(super) struct Cluster {
    settings: RedisSettings,
    tls: Option<TlsCerts>,
    named: Candidates,
    /// Those of whom the last answer told.
    remembered: Mutex<Arc<Candidates>>,
}

/// What a node says of the cluster.
#[derive(Debug, PartialEq, Eq)]
struct Map {
    /// Who has the queues.
    owner: Address,
    /// Masters and replicas, the owner first.
    all: Vec<Address>,
}

impl Cluster {
    /// The nodes of `settings`, which have passed their check. Nobody is reached yet.
    pub fn of(settings: &RedisSettings, tls: Option<&TlsCerts>) -> Result<Self, BoxError> {
        let named = round(settings, tls, settings.node_addresses().map(Address::from))?;
        let remembered = Mutex::new(round(settings, tls, [])?.into());
        Ok(Self { settings: settings.clone(), tls: tls.cloned(), named, remembered })
    }

    /// Where the master is that has the queues.
    pub async fn owner(&self) -> Result<Address, BoxError> {
        let ask = |node, at| self.ask(node, at);
        let map = match self.named.first(ask).await {
            Ok(map) => map,
            Err(why) => self.remembered().first(ask).await.map_err(|_| why)?,
        };
        self.remember(map.all)?;
        Ok(map.owner)
    }

    async fn ask(&self, mut node: MultiplexedConnection, at: Address) -> Result<Map, BoxError> {
        let mut questions = redis::pipe();
        for question in ["INFO", "SLOTS"] {
            questions.cmd("CLUSTER").arg(question);
        }
        questions.cmd("CLUSTER").arg("KEYSLOT").arg(&self.settings.prefix);
        let (state, slots, slot): (String, Vec<Vec<Value>>, u64) = questions.query_async(&mut node).await?;
        if !state.contains("cluster_state:ok") {
            return Err("it says that the cluster is down".into());
        }
        Map::of(slots, slot, &at)
    }

    fn remembered(&self) -> Arc<Candidates> {
        self.remembered.lock().expect("nobody panics with it").clone()
    }

    fn remember(&self, mut nodes: Vec<Address>) -> Result<(), BoxError> {
        nodes.truncate(REMEMBERED);
        if !self.remembered().addresses().eq(&nodes) {
            let round = round(&self.settings, self.tls.as_ref(), nodes)?;
            *self.remembered.lock().expect("nobody panics with it") = round.into();
        }
        Ok(())
    }
}

fn round(
    settings: &RedisSettings,
    tls: Option<&TlsCerts>,
    addresses: impl IntoIterator<Item = Address>,
) -> Result<Candidates, BoxError> {
    Candidates::of("node", addresses, |address| options::connection(settings, address, tls))
}

impl Map {
    /// Reads what the node at `at` answered to `CLUSTER SLOTS`: a line each range, with its first
    /// and last slot, its master, its replicas.
    fn of(lines: Vec<Vec<Value>>, slot: u64, at: &Address) -> Result<Self, BoxError> {
        let (mut owners, mut others) = (Vec::new(), Vec::new());
        for mut line in lines {
            let nodes = line.split_off(line.len().min(2)).into_iter().filter_map(|node| address_of(node, at));
            match line.into_iter().map(from_redis_value::<u64>).collect::<Result<Vec<_>, _>>()?[..] {
                [first, last] if (first..=last).contains(&slot) => owners.extend(nodes),
                _ => others.extend(nodes),
            }
        }
        let owner = owners.first().cloned().ok_or_else(|| {
            format!("it knows no address of a node that has slot {slot}, where the keys of `redis.prefix` belong")
        })?;
        let mut all = Vec::new();
        owners.into_iter().chain(others).for_each(|node| {
            if !all.contains(&node) {
                all.push(node);
            }
        });
        Ok(Self { owner, all })
    }
}

/// Where a node is of which the one at `at` told; `None` when it doesn't know.
fn address_of(node: Value, at: &Address) -> Option<Address> {
    let mut facts: Vec<Value> = from_redis_value(node).ok()?;
    facts.truncate(2);
    let [host, port]: [Value; 2] = facts.try_into().ok()?;
    let port = from_redis_value(port).ok()?;
    match from_redis_value::<Option<String>>(host).ok()?.as_deref() {
        // A host that stands for itself, or is told to leave it out.
        None | Some("") => Some(Address { host: at.host.clone(), port }),
        Some("?") => None,
        Some(host) => Some(Address { host: host.to_owned(), port }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("its id"), Value::Array(vec![])])
    }

    fn line(first: i64, last: i64, nodes: Vec<Value>) -> Vec<Value> {
        [Value::Int(first), Value::Int(last)].into_iter().chain(nodes).collect()
    }

    fn at(port: u16) -> Address {
        Address { host: "seed".into(), port }
    }

    #[test]
    fn the_owner_is_the_master_of_the_range() {
        let lines = vec![
            line(0, 99, vec![node(text("a"), 1), node(text("b"), 2)]),
            line(100, 100, vec![node(text("::1"), 3), node(text("d"), 4)]),
            line(101, 16_383, vec![node(text("a"), 1), node(text("b"), 2)]),
        ];

        let map = Map::of(lines, 100, &at(9)).unwrap();

        assert_eq!(map.owner.to_string(), "[::1]:3");
        let all: Vec<String> = map.all.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["[::1]:3", "d:4", "a:1", "b:2"]);
    }

    #[test]
    fn a_node_without_a_name_is_where_it_was_asked() {
        for nameless in [Value::Nil, text("")] {
            let map = Map::of(vec![line(0, 16_383, vec![node(nameless, 7)])], 5, &at(9)).unwrap();
            assert_eq!(map.owner, at(7));
        }
    }

    #[test]
    fn a_slot_that_nobody_has_is_said() {
        let table = [vec![], vec![line(0, 4, vec![node(text("a"), 1)])], vec![line(5, 5, vec![node(text("?"), 1)])]];

        for lines in table {
            let error = Map::of(lines, 5, &at(9)).unwrap_err().to_string();
            assert!(error.contains("slot 5") && error.contains("`redis.prefix`"), "{error}");
        }
    }
}
