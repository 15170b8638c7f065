//! Connections to one Redis server or to a Redis Cluster.
//!
//! `redis://user:password@host:port/db` is a server. `redis-cluster://user:password@host:port,host:port` lists nodes of a
//! cluster; any node that answers is asked for the others. The schemes `rediss` and `rediss-cluster` use TLS.
//!
//! In a cluster, the control log's projection occupies one slot and therefore one node at a time: keys that are read
//! together are lost or kept together. Quotas and claims are spread by project.

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    Pipeline, ProtocolVersion, RedisError, RedisFuture, ServerErrorKind, TlsCertificates, Value,
};
use service::connections::{RedisEndpoint, TrustedRoots};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time limit for connecting to a server, and default time limit of its answers.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit for connecting to a cluster node. All calls wait meanwhile.
const NODE_CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Time limit of a call to a cluster. Callers wait for at least half a second.
const CLUSTER_CALL_TIMEOUT: Duration = Duration::from_millis(400);
/// Minimum interval between reconnections to a cluster.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(5);

/// Servers of an address.
#[derive(Debug)]
pub struct Servers {
    topology: Topology,
    /// Number of lookups, to rotate over the nodes.
    lookups: AtomicUsize,
    roots: TrustedRoots,
}

#[derive(Debug)]
enum Topology {
    Server(Box<ConnectionInfo>),
    /// Some nodes of the cluster.
    Cluster(Vec<ConnectionInfo>),
}

/// A connection to Redis that reconnects by itself. Clones share it.
#[derive(Clone)]
pub enum Redis {
    /// A connection to one server.
    Server(ConnectionManager),
    /// Connections to the nodes of a cluster.
    Cluster(Arc<Cluster>),
}

/// A connection to a cluster that is replaced when calls time out. The client library would keep a connection to a node that
/// has stopped answering, even after a replica has taken its place.
pub struct Cluster {
    client: ClusterClient,
    current: Mutex<(ClusterConnection, Instant)>,
}

/// Returns a connection to the Redis at `endpoint`. Connects with the first call. Fails only if the address is invalid.
pub fn connect(endpoint: &RedisEndpoint) -> Result<Redis, RedisError> {
    let roots = &endpoint.roots;
    match Servers::new(endpoint)?.topology {
        Topology::Server(server) => managed(client(*server, roots)?).map(Redis::Server),
        Topology::Cluster(nodes) => {
            let certificates = nodes.first().and_then(|node| certificates(node, roots));
            let mut builder = ClusterClient::builder(nodes)
                .retries(2)
                .min_retry_wait(20)
                .max_retry_wait(100)
                .connection_timeout(NODE_CONNECT_TIMEOUT)
                .response_timeout(CLUSTER_CALL_TIMEOUT);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
            Ok(Redis::Cluster(Arc::new(Cluster::new(builder.build()?))))
        }
    }
}

impl Cluster {
    fn new(client: ClusterClient) -> Self {
        let current = Mutex::new((pending(&client), Instant::now()));
        Self { client, current }
    }

    fn connection(&self) -> ClusterConnection {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Executes one call within a time limit.
    async fn call<T>(&self, call: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
        let result = match tokio::time::timeout(CLUSTER_CALL_TIMEOUT, call).await {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        result.inspect_err(|error| {
            let lost = matches!(
                error.kind(),
                ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown)
            );
            if lost || error.is_timeout() {
                self.reconnect();
            }
        })
    }

    fn reconnect(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() >= RECONNECT_INTERVAL {
            *current = (pending(&self.client), Instant::now());
        }
    }
}

fn pending(client: &ClusterClient) -> ClusterConnection {
    client.get_pending_async_connection_with_config(ClusterConfig::new())
}

impl Servers {
    /// Parses the URL of `endpoint`. The error names the invalid part.
    pub fn new(endpoint: &RedisEndpoint) -> Result<Self, RedisError> {
        let RedisEndpoint { url, roots } = endpoint;
        let with = |topology| Self { topology, lookups: AtomicUsize::new(0), roots: roots.clone() };
        let Some((scheme, rest)) = url.split_once("-cluster://") else {
            return Ok(with(Topology::Server(Box::new(url.as_str().into_connection_info()?))));
        };
        let (user, hosts) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let nodes = hosts.trim_end_matches('/').split(',');
        let nodes = nodes.map(|node| format!("{scheme}://{user}{node}").into_connection_info());
        Ok(with(Topology::Cluster(nodes.collect::<Result<_, _>>()?)))
    }

    /// Returns a client of the server that currently holds `key`, with protocol RESP3, for operations that a cluster
    /// connection does not support. If the key has moved meanwhile, the server refuses it: call this again.
    pub async fn server_of(&self, key: &str) -> Result<Client, RedisError> {
        let server = match &self.topology {
            Topology::Server(server) => (**server).clone(),
            Topology::Cluster(nodes) => self.master(nodes, key).await?,
        };
        let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        client(server.set_redis_settings(settings), &self.roots)
    }

    /// Returns the master that holds `key` according to the first of `nodes` that answers.
    async fn master(&self, nodes: &[ConnectionInfo], key: &str) -> Result<ConnectionInfo, RedisError> {
        // Rotates the first node: a node that is partitioned from the others may be outdated.
        let first = self.lookups.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        let (later, sooner) = nodes.split_at(first);
        let mut failure = RedisError::from((ErrorKind::InvalidClientConfig, "the address lists no node"));
        for node in sooner.iter().chain(later) {
            match master(node, key, &self.roots).await {
                Ok(server) => return Ok(server),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl ConnectionLike for Redis {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster(cluster) => Box::pin(async move {
                let mut connection = cluster.connection();
                cluster.call(connection.req_packed_command(command)).await
            }),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => Box::pin(async move {
                let mut connection = cluster.connection();
                cluster.call(connection.req_packed_commands(pipeline, offset, count)).await
            }),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            // A cluster has one database only.
            Self::Cluster(_) => 0,
        }
    }
}

/// Returns a connection to the server of `client` that reconnects by itself. Connects with the first call.
pub fn managed(client: Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(SERVER_TIMEOUT))
        .set_response_timeout(Some(SERVER_TIMEOUT))
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(500));
    ConnectionManager::new_lazy_with_config(client, config)
}

/// Returns a client of one server. Over TLS it trusts the authorities of the settings.
fn client(server: ConnectionInfo, roots: &TrustedRoots) -> Result<Client, RedisError> {
    match certificates(&server, roots) {
        Some(certificates) => Client::build_with_tls(server, certificates),
        None => Client::open(server),
    }
}

/// Returns the trusted authorities if `server` uses TLS.
fn certificates(server: &ConnectionInfo, roots: &TrustedRoots) -> Option<TlsCertificates> {
    if !matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
        return None;
    }
    let root_cert = roots.pem()?.to_vec();
    Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
}

/// Returns the master that holds `key` according to `node`.
async fn master(
    node: &ConnectionInfo,
    key: &str,
    roots: &TrustedRoots,
) -> Result<ConnectionInfo, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(NODE_CONNECT_TIMEOUT))
        .set_response_timeout(Some(CLUSTER_CALL_TIMEOUT));
    let mut connection =
        client(node.clone(), roots)?.get_multiplexed_async_connection_with_config(&config).await?;
    let state: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await?;
    if !state.contains("cluster_state:ok") {
        return Err((
            ErrorKind::Server(ServerErrorKind::ClusterDown),
            "the node does not reach the majority of the cluster",
        )
            .into());
    }
    let slot: i64 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(&mut connection).await?;
    let ranges: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    let master = ranges.iter().find_map(|range| match range.as_slice() {
        [Value::Int(first), Value::Int(last), Value::Array(master), ..]
            if (*first..=*last).contains(&slot) =>
        {
            Some(master)
        }
        _ => None,
    });
    let Some([host, Value::Int(port), ..]) = master.map(Vec::as_slice) else {
        return Err((ErrorKind::InvalidClientConfig, "no node of the cluster holds the key's slot").into());
    };
    let port = u16::try_from(*port).unwrap_or_default();
    // A node that does not know its own name omits it: then it is the queried address. `?` is another node without a name.
    let host: Option<String> = redis::from_redis_value(host.clone()).map_err(RedisError::from)?;
    if host.as_deref() == Some("?") {
        return Err((ErrorKind::InvalidClientConfig, "the node that holds the key announces no name").into());
    }
    let host = host.filter(|host| !host.is_empty());
    let address = match (node.addr().clone(), host) {
        (ConnectionAddr::Tcp(asked, _), host) => ConnectionAddr::Tcp(host.unwrap_or(asked), port),
        (ConnectionAddr::TcpTls { host: asked, insecure, tls_params, .. }, host) => {
            ConnectionAddr::TcpTls { host: host.unwrap_or(asked), port, insecure, tls_params }
        }
        (other, _) => other,
    };
    Ok(node.clone().set_addr(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_nodes_share_user_and_scheme() {
        let url = "rediss-cluster://tide:p%40ss@one:7000,two:7001,three:7002/";
        let Topology::Cluster(nodes) =
            Servers::new(&RedisEndpoint::new(url)).expect("the address is valid").topology
        else {
            panic!("not a cluster");
        };
        let addresses: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(addresses, ["one:7000", "two:7001", "three:7002"]);
        for node in &nodes {
            assert!(matches!(node.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
            assert_eq!(node.redis_settings().username(), Some("tide"));
            assert_eq!(node.redis_settings().password(), Some("p@ss"));
        }
    }

    #[test]
    fn single_servers_and_invalid_addresses_are_told_apart() {
        assert!(matches!(
            Servers::new(&RedisEndpoint::new("redis://localhost")).expect("the address is valid").topology,
            Topology::Server(_)
        ));
        for wrong in
            ["localhost:6379", "redis-cluster://", "redis-cluster://one:port", "http-cluster://one:1"]
        {
            assert!(Servers::new(&RedisEndpoint::new(wrong)).is_err(), "{wrong}");
        }
    }
}
