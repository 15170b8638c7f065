//! A scratch Redis Cluster: three masters that share the slots, each with a replica that takes over when it
//! fails.

use super::ScratchStore;
use crate::error::Result;
use crate::ports::free_port;
use crate::wait;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use rustix::process::Signal;

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// A running cluster. Nodes 0 to 2 start as masters, nodes 3 to 5 as their replicas.
pub struct RedisCluster {
    nodes: Vec<Node>,
}

struct Node {
    store: ScratchStore,
    /// Port of the cluster bus, on which the nodes talk to each other.
    bus_port: u16,
}

impl Node {
    /// Starts a node; does not wait until it is reachable.
    fn spawn() -> Result<Self> {
        let bus_port = free_port()?;
        let port = bus_port.to_string();
        // A master counts as failed after 4 s of silence, which a busy machine does not cause.
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "4000", "--cluster-port"];
        let arguments = [&arguments[..], &[&port]].concat();
        Ok(Self { store: ScratchStore::spawn_redis(&arguments)?, bus_port })
    }
}

impl RedisCluster {
    /// Starts a cluster and waits until it serves commands and every replica is in sync.
    pub async fn start() -> Result<Self> {
        let mut nodes = (0..2 * MASTERS).map(|_| Node::spawn()).collect::<Result<Vec<_>>>()?;
        for node in &mut nodes {
            node.store.wait_until_reachable().await?;
        }
        let cluster = Self { nodes };
        cluster.assign_slots().await?;
        cluster.attach_replicas().await?;
        for node in 0..cluster.nodes.len() {
            wait::until("the cluster serves commands and replicates", async || {
                let info: String = cluster.query(node, redis::cmd("CLUSTER").arg("INFO")).await?;
                let complete = info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6");
                let role: String = cluster.query(node, redis::cmd("INFO").arg("replication")).await?;
                let in_sync = role.contains("role:master") || role.contains("master_link_status:up");
                Ok((complete && in_sync).then_some(()))
            })
            .await?;
        }
        Ok(cluster)
    }

    /// Introduces all nodes to node 0, and divides the slots between the masters.
    async fn assign_slots(&self) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            let (_, port) = node.store.address().rsplit_once(':').ok_or("an address without a port")?;
            let mut meet = redis::cmd("CLUSTER");
            self.query::<()>(0, meet.arg("MEET").arg("127.0.0.1").arg(port).arg(node.bus_port)).await?;
            if index < MASTERS {
                let (first, last) = (index * SLOTS / MASTERS, (index + 1) * SLOTS / MASTERS - 1);
                let mut add = redis::cmd("CLUSTER");
                self.query::<()>(index, add.arg("ADDSLOTSRANGE").arg(first).arg(last)).await?;
            }
        }
        Ok(())
    }

    async fn attach_replicas(&self) -> Result<()> {
        for replica in MASTERS..2 * MASTERS {
            let id: String = self.query(replica - MASTERS, redis::cmd("CLUSTER").arg("MYID")).await?;
            wait::until("the replica knows its master", async || {
                let mut replicate = redis::cmd("CLUSTER");
                Ok(self.query::<()>(replica, replicate.arg("REPLICATE").arg(&id)).await.ok())
            })
            .await?;
        }
        Ok(())
    }

    /// URL for `REDIS_URL`; it names two of the nodes.
    pub fn url(&self) -> String {
        format!("redis-cluster://{},{}", self.nodes[0].store.address(), self.nodes[1].store.address())
    }

    /// Returns the node that is master of `key`'s slot, as node `witness` sees it.
    pub async fn master_of(&self, witness: usize, key: &str) -> Result<usize> {
        let slot: i64 = self.query(witness, redis::cmd("CLUSTER").arg("KEYSLOT").arg(key)).await?;
        let lines: String = self.query(witness, redis::cmd("CLUSTER").arg("NODES")).await?;
        let covers = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse::<i64>(), last.parse::<i64>()), (Ok(a), Ok(b)) if a <= slot && slot <= b)
        };
        let line = lines.lines().find(|line| line.split(' ').skip(8).any(covers));
        let address = line.and_then(|line| line.split(' ').nth(1)?.split('@').next());
        let position = |address: &str| self.nodes.iter().position(|node| node.store.address() == address);
        Ok(address.and_then(position).ok_or("no node holds the slot")?)
    }

    /// Number of keys on each of the nodes that started as masters.
    pub async fn key_counts(&self) -> Result<[u64; MASTERS]> {
        let mut counts = [0; MASTERS];
        for (node, count) in counts.iter_mut().enumerate() {
            *count = self.query(node, &redis::cmd("DBSIZE")).await?;
        }
        Ok(counts)
    }

    /// Sends a signal to a node.
    pub fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        self.nodes[node].store.signal(signal)
    }

    async fn query<T: FromRedisValue>(&self, node: usize, command: &Cmd) -> Result<T> {
        let url = format!("redis://{}", self.nodes[node].store.address());
        let mut connection: MultiplexedConnection =
            redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        Ok(command.query_async(&mut connection).await?)
    }
}
