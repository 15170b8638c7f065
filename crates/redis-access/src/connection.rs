//! Where Redis is: one server, or a cluster of them.
//!
//! `redis://user:password@host:port/db` names a server, `redis-cluster://user:password@host:port,host:port` nodes of a
//! cluster, of which any that answers names the others; with `rediss` in front both speak TLS.
//!
//! In a cluster the projection of the control log has one slot, and so one node at a time: what is read together is lost
//! or kept together. Quotas and claims are spread by project.

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    Pipeline, ProtocolVersion, RedisError, RedisFuture, ServerErrorKind, TlsCertificates, Value,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to be connected to, and to answer where nobody asks for less.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a node of a cluster may take to be connected to: all calls wait while one is.
const NODE_CONNECTS: Duration = Duration::from_millis(300);
/// How long a call to a cluster may take. Whoever calls waits for half a second and longer.
const CLUSTER_ANSWERS: Duration = Duration::from_millis(400);
/// Between two new connections to a cluster.
const ANEW: Duration = Duration::from_secs(5);

/// The servers that an address names.
#[derive(Debug)]
pub struct Servers {
    place: Place,
    /// How often the holder of a key was asked for.
    asked: AtomicUsize,
}

#[derive(Debug)]
enum Place {
    Server(Box<ConnectionInfo>),
    /// Some of its nodes.
    Cluster(Vec<ConnectionInfo>),
}

/// A connection to Redis that comes back by itself. Clones share it.
#[derive(Clone)]
pub enum Redis {
    /// To a server.
    Server(ConnectionManager),
    /// To every node of a cluster that is needed.
    Cluster(Arc<Cluster>),
}

/// A connection to a cluster that is made anew when it has lost its way: by itself it stays with a node that has fallen
/// silent, also when another one has taken that one's place.
pub struct Cluster {
    client: ClusterClient,
    current: Mutex<(ClusterConnection, Instant)>,
}

/// A connection to the Redis that `url` names, there with the first call. Fails only if the address cannot be read.
pub fn connect(url: &str) -> Result<Redis, RedisError> {
    match Servers::new(url)?.place {
        Place::Server(server) => managed(client(*server)?).map(Redis::Server),
        Place::Cluster(nodes) => {
            let certificates = nodes.first().and_then(certificates);
            let mut builder = ClusterClient::builder(nodes)
                .retries(2)
                .min_retry_wait(20)
                .max_retry_wait(100)
                .connection_timeout(NODE_CONNECTS)
                .response_timeout(CLUSTER_ANSWERS);
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

    /// One call, in bounded time.
    async fn call<T>(&self, call: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
        let result = match tokio::time::timeout(CLUSTER_ANSWERS, call).await {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        result.inspect_err(|error| {
            let lost = matches!(
                error.kind(),
                ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown)
            );
            if lost || error.is_timeout() {
                self.anew();
            }
        })
    }

    fn anew(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() >= ANEW {
            *current = (pending(&self.client), Instant::now());
        }
    }
}

fn pending(client: &ClusterClient) -> ClusterConnection {
    client.get_pending_async_connection_with_config(ClusterConfig::new())
}

impl Servers {
    /// What `url` names. The error says what cannot be read in it.
    pub fn new(url: &str) -> Result<Self, RedisError> {
        let Some((scheme, rest)) = url.split_once("-cluster://") else {
            return Ok(Self::at(Place::Server(Box::new(url.into_connection_info()?))));
        };
        let (user, hosts) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let nodes = hosts.trim_end_matches('/').split(',');
        let nodes = nodes.map(|node| format!("{scheme}://{user}{node}").into_connection_info());
        Ok(Self::at(Place::Cluster(nodes.collect::<Result<_, _>>()?)))
    }

    fn at(place: Place) -> Self {
        Self { place, asked: AtomicUsize::new(0) }
    }

    /// A client of the one server that holds `key` now, with Redis's third protocol: for what a connection to a whole
    /// cluster cannot do. Where the key has moved meanwhile, the server refuses it: ask again.
    pub async fn holder(&self, key: &str) -> Result<Client, RedisError> {
        let server = match &self.place {
            Place::Server(server) => (**server).clone(),
            Place::Cluster(nodes) => self.master(nodes, key).await?,
        };
        let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        client(server.set_redis_settings(settings))
    }

    /// The master that holds `key`, as the first of `nodes` knows it that answers.
    async fn master(&self, nodes: &[ConnectionInfo], key: &str) -> Result<ConnectionInfo, RedisError> {
        // Another one is asked first each time: one that is cut off from the others may not know it yet.
        let first = self.asked.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        let (later, sooner) = nodes.split_at(first);
        let mut failure = RedisError::from((ErrorKind::InvalidClientConfig, "no node is named"));
        for node in sooner.iter().chain(later) {
            match master(node, key).await {
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
            // A cluster has no other.
            Self::Cluster(_) => 0,
        }
    }
}

/// A connection to the server of `client` that comes back by itself, there with the first call.
pub fn managed(client: Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(500));
    ConnectionManager::new_lazy_with_config(client, config)
}

/// A client of one server; over TLS it believes whom the settings name.
fn client(server: ConnectionInfo) -> Result<Client, RedisError> {
    match certificates(&server) {
        Some(certificates) => Client::build_with_tls(server, certificates),
        None => Client::open(server),
    }
}

/// Whom to believe at `server`, where it speaks TLS.
fn certificates(server: &ConnectionInfo) -> Option<TlsCertificates> {
    if !matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
        return None;
    }
    let root_cert = service::connections::current().ca_pem()?.to_vec();
    Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
}

/// The master that holds `key`, as `node` knows it.
async fn master(node: &ConnectionInfo, key: &str) -> Result<ConnectionInfo, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(NODE_CONNECTS))
        .set_response_timeout(Some(CLUSTER_ANSWERS));
    let mut connection = client(node.clone())?.get_multiplexed_async_connection_with_config(&config).await?;
    let state: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await?;
    if !state.contains("cluster_state:ok") {
        return Err(
            (ErrorKind::Server(ServerErrorKind::ClusterDown), "a node does not reach most others").into()
        );
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
        return Err((ErrorKind::InvalidClientConfig, "no node of the cluster holds the control data").into());
    };
    let port = u16::try_from(*port).unwrap_or_default();
    // A node that does not know its own name leaves it out: it is where it was asked. `?` is another one without a name.
    let host: Option<String> = redis::from_redis_value(host.clone()).map_err(RedisError::from)?;
    if host.as_deref() == Some("?") {
        return Err(
            (ErrorKind::InvalidClientConfig, "the node with the control data announces no name").into()
        );
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
    fn nodes_of_a_cluster_share_the_user_and_the_scheme() {
        let url = "rediss-cluster://tide:p%40ss@one:7000,two:7001,three:7002/";
        let Place::Cluster(nodes) = Servers::new(url).expect("it can be read").place else {
            panic!("it is a cluster");
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
    fn one_server_is_no_cluster_and_nonsense_is_neither() {
        assert!(matches!(Servers::new("redis://localhost").expect("it can be read").place, Place::Server(_)));
        for wrong in
            ["localhost:6379", "redis-cluster://", "redis-cluster://one:port", "http-cluster://one:1"]
        {
            assert!(Servers::new(wrong).is_err(), "{wrong}");
        }
    }
}
