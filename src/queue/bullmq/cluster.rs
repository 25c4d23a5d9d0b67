//! The nodes of a Redis Cluster: they report which of them is the master that stores the queues.
//!
//! The hash tag in the prefix puts all keys of the queues into one slot, and one master owns that
//! slot. So one plain connection to that master is enough. A failover or a move of the slot changes
//! the owner.
//!
//! A node that is cut off from the others reports after a while that the cluster is down. Its
//! answer is ignored.

use std::sync::{Arc, Mutex, PoisonError};

use bullmq::options::TlsCerts;
use redis::{Value, aio::MultiplexedConnection, from_redis_value};

use super::{
    address::Address,
    candidates::Candidates,
    error::{BoxError, BoxResult},
    options,
};
use crate::config::RedisSettings;

/// The number of reported nodes to keep, for when none of the configured ones responds.
const MAX_REMEMBERED: usize = 16;

/// The nodes that can report the owner of the queues' slot.
pub(super) struct Cluster {
    settings: RedisSettings,
    tls: Option<TlsCerts>,
    configured: Candidates,
    /// The nodes of the last answer.
    remembered: Mutex<Arc<Candidates>>,
}

/// A node's view of the cluster.
#[derive(Debug, PartialEq, Eq)]
struct SlotMap {
    /// The master that owns the queues' slot.
    owner: Address,
    /// Masters and replicas, the owner first.
    nodes: Vec<Address>,
}

impl Cluster {
    /// Reads `settings`, which have passed their check. Connects to no server.
    pub fn from_settings(settings: &RedisSettings, tls: Option<&TlsCerts>) -> BoxResult<Self> {
        let configured = candidates(settings, tls, settings.node_addresses().map(Address::of))?;
        let remembered = Mutex::new(candidates(settings, tls, [])?.into());
        Ok(Self { settings: settings.clone(), tls: tls.cloned(), configured, remembered })
    }

    /// Returns the address of the master that owns the queues' slot.
    pub async fn owner(&self) -> BoxResult<Address> {
        let query = |node, address| self.query(node, address);
        let slot_map = match self.configured.first_answer(query).await {
            Ok(slot_map) => slot_map,
            Err(error) => self.remembered().first_answer(query).await.map_err(|_| error)?,
        };
        self.keep_nodes(slot_map.nodes)?;
        Ok(slot_map.owner)
    }

    async fn query(&self, mut node: MultiplexedConnection, address: Address) -> BoxResult<SlotMap> {
        let mut commands = redis::pipe();
        for command in ["INFO", "SLOTS"] {
            commands.cmd("CLUSTER").arg(command);
        }
        commands.cmd("CLUSTER").arg("KEYSLOT").arg(&self.settings.prefix);
        let (info, ranges, slot): (String, Vec<Vec<Value>>, u64) = commands.query_async(&mut node).await?;
        if !info.contains("cluster_state:ok") {
            return Err("it reports that the cluster is down".into());
        }
        SlotMap::parse(ranges, slot, &address)
    }

    fn remembered(&self) -> Arc<Candidates> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_nodes(&self, mut nodes: Vec<Address>) -> BoxResult<()> {
        nodes.truncate(MAX_REMEMBERED);
        if !self.remembered().addresses().eq(&nodes) {
            let candidates = candidates(&self.settings, self.tls.as_ref(), nodes)?;
            *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = candidates.into();
        }
        Ok(())
    }
}

fn candidates(
    settings: &RedisSettings,
    tls: Option<&TlsCerts>,
    addresses: impl IntoIterator<Item = Address>,
) -> BoxResult<Candidates> {
    Candidates::new("node", addresses, |address| options::connection(settings, address, tls))
}

impl SlotMap {
    /// Parses the answer of the node at `queried` to `CLUSTER SLOTS`. Each range lists its first
    /// and last slot, its master, and its replicas.
    fn parse(ranges: Vec<Vec<Value>>, slot: u64, queried: &Address) -> BoxResult<Self> {
        let (mut owners, mut others) = (Vec::new(), Vec::new());
        for mut range in ranges {
            let nodes = range.split_off(range.len().min(2)).into_iter().filter_map(|node| parse_node(node, queried));
            match range.into_iter().map(from_redis_value::<u64>).collect::<Result<Vec<_>, _>>()?[..] {
                [first, last] if (first..=last).contains(&slot) => owners.extend(nodes),
                _ => others.extend(nodes),
            }
        }
        let owner = owners.first().cloned().ok_or_else(|| no_owner(slot))?;
        Ok(Self { owner, nodes: without_duplicates(owners.into_iter().chain(others)) })
    }
}

fn no_owner(slot: u64) -> BoxError {
    format!("it reports no owner of slot {slot}, which holds the keys of `redis.prefix`").into()
}

fn without_duplicates(nodes: impl Iterator<Item = Address>) -> Vec<Address> {
    nodes.fold(Vec::new(), |mut unique, node| {
        if !unique.contains(&node) {
            unique.push(node);
        }
        unique
    })
}

/// Parses a node of the answer of the node at `queried`; `None` if its address is unknown.
fn parse_node(node: Value, queried: &Address) -> Option<Address> {
    let mut fields: Vec<Value> = from_redis_value(node).ok()?;
    fields.truncate(2);
    let [host, port]: [Value; 2] = fields.try_into().ok()?;
    let port = from_redis_value(port).ok()?;
    match from_redis_value::<Option<String>>(host).ok()?.as_deref() {
        // The queried node itself, or a node that is configured to leave its host out.
        None | Some("") => Some(Address { host: queried.host.clone(), port }),
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
        Value::Array(vec![host, Value::Int(port), text("node id"), Value::Array(vec![])])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Vec<Value> {
        [Value::Int(first), Value::Int(last)].into_iter().chain(nodes).collect()
    }

    fn queried(port: u16) -> Address {
        Address { host: "seed".into(), port }
    }

    #[test]
    fn the_owner_is_the_master_of_the_slot_range() {
        let ranges = vec![
            range(0, 99, vec![node(text("a"), 1), node(text("b"), 2)]),
            range(100, 100, vec![node(text("::1"), 3), node(text("d"), 4)]),
            range(101, 16_383, vec![node(text("a"), 1), node(text("b"), 2)]),
        ];

        let slot_map = SlotMap::parse(ranges, 100, &queried(9)).unwrap();

        assert_eq!(slot_map.owner.to_string(), "[::1]:3");
        let nodes: Vec<String> = slot_map.nodes.iter().map(ToString::to_string).collect();
        assert_eq!(nodes, ["[::1]:3", "d:4", "a:1", "b:2"]);
    }

    #[test]
    fn a_node_without_a_host_has_the_host_of_the_queried_node() {
        for nameless in [Value::Nil, text("")] {
            let slot_map = SlotMap::parse(vec![range(0, 16_383, vec![node(nameless, 7)])], 5, &queried(9)).unwrap();
            assert_eq!(slot_map.owner, queried(7));
        }
    }

    #[test]
    fn a_slot_without_an_owner_is_an_error() {
        let table = [vec![], vec![range(0, 4, vec![node(text("a"), 1)])], vec![range(5, 5, vec![node(text("?"), 1)])]];

        for ranges in table {
            let error = SlotMap::parse(ranges, 5, &queried(9)).unwrap_err().to_string();
            assert!(error.contains("slot 5") && error.contains("`redis.prefix`"), "{error}");
        }
    }
}
