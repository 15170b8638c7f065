//! A Redis Cluster: three masters that share the slots, each with a replica that takes over when it dies.

use super::OwnStore;
use crate::process::free_port;
use crate::{Result, wait};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use rustix::process::Signal;

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// A running cluster.
pub struct RedisCluster {
    nodes: Vec<Node>,
}

struct Node {
    store: OwnStore,
    /// Where the others reach it.
    bus: u16,
}

impl RedisCluster {
    /// Starts one and waits until it takes commands.
    pub async fn start() -> Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..2 * MASTERS {
            let bus = free_port()?;
            let port = bus.to_string();
            // So soon a silent master counts as dead; a busy machine makes nobody silent for so long.
            let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "4000", "--cluster-port"];
            let settings = [&settings[..], &[&port]].concat();
            nodes.push(Node { store: OwnStore::redis_with(&settings).await?, bus });
        }
        let cluster = Self { nodes };
        for (index, node) in cluster.nodes.iter().enumerate() {
            let (_, port) = node.store.address().rsplit_once(':').ok_or("an address without a port")?;
            let meet = redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(port).arg(node.bus).to_owned();
            cluster.ask::<()>(0, &meet).await?;
            if index < MASTERS {
                let (first, last) = (index * SLOTS / MASTERS, (index + 1) * SLOTS / MASTERS - 1);
                let own = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last).to_owned();
                cluster.ask::<()>(index, &own).await?;
            }
        }
        for replica in MASTERS..2 * MASTERS {
            let id: String = cluster.ask(replica - MASTERS, redis::cmd("CLUSTER").arg("MYID")).await?;
            wait::until("a replica has met its master", async || {
                let follow = redis::cmd("CLUSTER").arg("REPLICATE").arg(&id).to_owned();
                Ok(cluster.ask::<()>(replica, &follow).await.ok())
            })
            .await?;
        }
        for node in 0..cluster.nodes.len() {
            wait::until("the cluster takes commands and is copied", async || {
                let state: String = cluster.ask(node, redis::cmd("CLUSTER").arg("INFO")).await?;
                let whole = state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:6");
                let role: String = cluster.ask(node, redis::cmd("INFO").arg("replication")).await?;
                let copied = role.contains("role:master") || role.contains("master_link_status:up");
                Ok((whole && copied).then_some(()))
            })
            .await?;
        }
        Ok(cluster)
    }

    /// The setting that names it, by two of its nodes.
    pub fn url(&self) -> String {
        format!("redis-cluster://{},{}", self.nodes[0].store.address(), self.nodes[1].store.address())
    }

    /// The number of the node that holds `key`, as `witness` knows it.
    pub async fn holder(&self, witness: usize, key: &str) -> Result<usize> {
        let slot: i64 = self.ask(witness, redis::cmd("CLUSTER").arg("KEYSLOT").arg(key)).await?;
        let lines: String = self.ask(witness, redis::cmd("CLUSTER").arg("NODES")).await?;
        let covers = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse::<i64>(), last.parse::<i64>()), (Ok(a), Ok(b)) if a <= slot && slot <= b)
        };
        let line = lines.lines().find(|line| line.split(' ').skip(8).any(covers));
        let address = line.and_then(|line| line.split(' ').nth(1)?.split('@').next());
        let held = |address: &str| self.nodes.iter().position(|node| node.store.address() == address);
        Ok(address.and_then(held).ok_or("nobody holds the slot")?)
    }

    /// How many keys each of the first masters has.
    pub async fn sizes(&self) -> Result<[u64; MASTERS]> {
        let mut sizes = [0; MASTERS];
        for (node, size) in sizes.iter_mut().enumerate() {
            *size = self.ask(node, &redis::cmd("DBSIZE")).await?;
        }
        Ok(sizes)
    }

    /// Sends a node a signal.
    pub fn signal(&self, node: usize, which: Signal) -> Result<()> {
        self.nodes[node].store.signal(which)
    }

    async fn ask<T: FromRedisValue>(&self, node: usize, command: &Cmd) -> Result<T> {
        let url = format!("redis://{}", self.nodes[node].store.address());
        let mut connection: MultiplexedConnection =
            redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        Ok(command.query_async(&mut connection).await?)
    }
}
