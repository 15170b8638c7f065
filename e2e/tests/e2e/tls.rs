//! Stores that require TLS and authentication.
//!
//! Invariants: no service talks to a store whose certificate it cannot verify; no service is ready while a
//! store refuses its credentials.

use crate::support::{send, wait_for_metric};
use e2e::scratch::tls::{Certificates, PASSWORD, USER};
use e2e::{Client, Installation, Project, Result, ScratchStore, client, environment, wait};
use reqwest::StatusCode;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Three stores with TLS, and the services' settings for them.
struct SecureStores {
    settings: Vec<(&'static str, String)>,
    /// Number of requests to ClickHouse with the right credentials.
    authenticated: Arc<AtomicUsize>,
    _stores: [ScratchStore; 2],
    _certificates: Certificates,
}

impl SecureStores {
    async fn start() -> Result<Self> {
        let certificates = Certificates::new()?;
        let (redis, kafka) = tokio::try_join!(
            ScratchStore::redis_with_tls(&certificates),
            ScratchStore::kafka_with_tls(&certificates),
        )?;
        let authenticated = Arc::default();
        let clickhouse = start_tls_proxy(&certificates, Arc::clone(&authenticated)).await?;
        let settings = vec![
            ("CA_FILE", certificates.authority().to_string_lossy().into_owned()),
            ("REDIS_URL", format!("rediss://{USER}:{PASSWORD}@{}", redis.address())),
            ("KAFKA_BROKERS", kafka.address().to_owned()),
            ("KAFKA_SECURITY", "sasl_ssl".to_owned()),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()),
            ("KAFKA_USER", USER.to_owned()),
            ("KAFKA_PASSWORD", PASSWORD.to_owned()),
            ("CLICKHOUSE_URL", clickhouse),
            ("CLICKHOUSE_USER", USER.to_owned()),
            ("CLICKHOUSE_PASSWORD", PASSWORD.to_owned()),
        ];
        Ok(Self { settings, authenticated, _stores: [redis, kafka], _certificates: certificates })
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, &**value)).collect()
    }
}

/// Starts a TLS proxy in front of the suite's ClickHouse, which counts requests with the right credentials;
/// returns its URL.
async fn start_tls_proxy(certificates: &Certificates, authenticated: Arc<AtomicUsize>) -> Result<String> {
    let (certificate, key) = certificates.server();
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let target = environment::required("CLICKHOUSE_URL")?.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(proxy(stream, acceptor.clone(), target.clone(), authenticated.clone()));
        }
    });
    Ok(format!("https://{address}"))
}

/// Forwards one connection; gives up if the client rejects the certificate.
async fn proxy(stream: TcpStream, acceptor: TlsAcceptor, target: String, authenticated: Arc<AtomicUsize>) {
    let (Ok(stream), Ok(server)) = (acceptor.accept(stream).await, TcpStream::connect(target).await) else {
        return;
    };
    let (mut from_client, mut to_client) = tokio::io::split(stream);
    let (mut from_server, mut to_server) = server.into_split();
    let responses = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let credentials = [format!("x-clickhouse-user: {USER}"), format!("x-clickhouse-key: {PASSWORD}")];
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..count]).to_ascii_lowercase();
        if credentials.iter().all(|line| text.contains(line)) {
            authenticated.fetch_add(1, Ordering::Relaxed);
        }
        if to_server.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    responses.abort();
}

/// Creates a rule that fires at once, and waits until its transition is in the history, which is in ClickHouse.
async fn alert_history_is_readable(client: &Client, project: &Project, metric: &str) -> Result<()> {
    let rule = json!({"name": "Any point", "metricId": metric, "aggregation": "count", "operator": ">", "threshold": 0,
        "range": "1h", "channels": []});
    let created = client.post("/api/v1/alerts", &project.manage_key, &rule).await?;
    let created = client::expect(created, StatusCode::CREATED).await?;
    let path = format!("/api/v1/alerts/{}/history", client::text(&created, "alertId")?);
    wait::until("the transition is in the history", async || {
        let history = client.get_json(&path, &project.manage_key).await?;
        Ok((history["items"][0]["to"] == "firing").then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn services_work_with_stores_that_require_tls_and_credentials() -> Result<()> {
    let stores = SecureStores::start().await?;
    let mut installation = Installation::start_with("tls", 1, 1, &stores.settings()).await?;
    let client = installation.client();
    let project = client.project("pro").await?;
    send(&client, &project, "over_tls", 42).await?;
    wait_for_metric(&client, &project, "over_tls").await?;
    assert!(stores.authenticated.load(Ordering::Relaxed) > 0, "ClickHouse got no credentials");
    alert_history_is_readable(&client, &project, "over_tls").await?;

    // Redis pushes revocations over a separate connection, which uses TLS as well.
    client.revoke(&project).await?;
    wait::until("the revoked key is refused", async || {
        let response = client.send(0, &project.api_key, String::new()).await?;
        Ok((response.status() == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await?;

    // A gateway that trusts only the system's authorities does not connect to these stores; one with a wrong
    // password is refused by Kafka, and does not log the password.
    installation.add_gateway(&[("CA_FILE", "")])?;
    installation.add_gateway(&[("KAFKA_PASSWORD", "not-the-password-of-a-test")])?;
    let [_, untrusting, unauthenticated] = &installation.gateways[..] else {
        return Err("three gateways were started".into());
    };
    wait::until("the gateway logs that it cannot verify the certificate", async || {
        Ok(untrusting.log().contains("certificate verify failed").then_some(()))
    })
    .await?;
    let (status, missing) = untrusting.ops("/readyz").await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(missing.starts_with("kafka\nredis\n"), "{missing}");

    wait::until("the gateway logs that its credentials are refused", async || {
        Ok(unauthenticated.log().contains("invalid credentials").then_some(()))
    })
    .await?;
    wait::until("only Kafka is missing", async || {
        let (status, missing) = unauthenticated.ops("/readyz").await?;
        Ok((status == StatusCode::SERVICE_UNAVAILABLE && missing == "kafka\n").then_some(()))
    })
    .await?;
    assert!(!unauthenticated.log().contains("not-the-password-of-a-test"));
    Ok(())
}
