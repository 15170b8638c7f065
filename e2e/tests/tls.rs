//! Stores that speak TLS and ask who is there.
//!
//! What may never happen: a service speaks to a store that it cannot verify, or says that it is ready when a store did not
//! let it in.

use e2e::own::secure::{Certificates, PASSWORD, USER};
use e2e::{Installation, OwnStore, Process, Result, client, wait};
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

/// Three secure stores, and what the services are told about them.
struct Secure {
    settings: Vec<(&'static str, String)>,
    named_user: Arc<AtomicUsize>,
    _stores: [OwnStore; 2],
    _certificates: Certificates,
}

impl Secure {
    async fn start() -> Result<Self> {
        let certificates = Certificates::new()?;
        let redis = OwnStore::secure_redis(&certificates).await?;
        let kafka = OwnStore::secure_kafka(&certificates).await?;
        let named_user = Arc::default();
        let clickhouse = https_before_clickhouse(&certificates, Arc::clone(&named_user)).await?;
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
        Ok(Self { settings, named_user, _stores: [redis, kafka], _certificates: certificates })
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, &**value)).collect()
    }
}

/// TLS in front of the suite's ClickHouse. Counts the requests that come with the user and the password.
async fn https_before_clickhouse(
    certificates: &Certificates,
    named_user: Arc<AtomicUsize>,
) -> Result<String> {
    let (certificate, key) = certificates.server();
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let behind = e2e::installation::part("CLICKHOUSE_URL")?.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind, named_user) = (acceptor.clone(), behind.clone(), named_user.clone());
            tokio::spawn(async move {
                // Whoever does not believe the certificate ends here.
                let (Ok(stream), Ok(server)) =
                    (acceptor.accept(stream).await, TcpStream::connect(behind).await)
                else {
                    return;
                };
                let (mut from_client, mut to_client) = tokio::io::split(stream);
                let (mut from_server, mut to_server) = server.into_split();
                let answers = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
                let mut bytes = vec![0; 1 << 16];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    let text = String::from_utf8_lossy(&bytes[..count]).to_ascii_lowercase();
                    let said =
                        [format!("x-clickhouse-user: {USER}"), format!("x-clickhouse-key: {PASSWORD}")];
                    if said.iter().all(|line| text.contains(line)) {
                        named_user.fetch_add(1, Ordering::Relaxed);
                    }
                    if to_server.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                }
                answers.abort();
            });
        }
    });
    Ok(format!("https://{address}"))
}

async fn readiness(process: &Process) -> Result<(StatusCode, String)> {
    let answer = reqwest::get(format!("{}/readyz", process.ops_url())).await?;
    Ok((answer.status(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_go_their_way_through_stores_that_speak_tls_and_ask_for_a_user() -> Result<()> {
    let secure = Secure::start().await?;
    let mut installation = Installation::start_with("tls", 1, 1, &secure.settings()).await?;
    let client = installation.client();
    let project = client.project("pro").await?;
    let body = json!({"projectId": project.project_id, "metricId": "over_tls", "value": 42}).to_string();
    client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
    wait::until("the metric can be read", async || {
        let metric = client.get("/api/v1/metrics/over_tls", &project.manage_key).await?;
        Ok((metric.status() == StatusCode::OK).then_some(()))
    })
    .await?;
    assert!(secure.named_user.load(Ordering::Relaxed) > 0, "ClickHouse was not told who asks");

    // A revocation is pushed by Redis over a connection of its own, which is encrypted as well.
    client.revoke(&project).await?;
    wait::until("the key is refused", async || {
        let answer = client.send(0, &project.api_key, String::new()).await?;
        Ok((answer.status() == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await?;

    // A gateway that believes the system's authorities alone does not speak to these stores.
    let stranger = installation.add_gateway(&[("CA_FILE", "")])?;
    wait::until("it says that the certificate cannot be verified", async || {
        Ok(stranger.log().contains("certificate verify failed").then_some(()))
    })
    .await?;
    let (status, missing) = readiness(stranger).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(missing.starts_with("kafka\nredis\n"), "{missing}");

    // One with a wrong password is not let in, and does not print it.
    let forgetful = installation.add_gateway(&[("KAFKA_PASSWORD", "not-the-password-of-a-test")])?;
    wait::until("it says that it was not let in", async || {
        Ok(forgetful.log().contains("invalid credentials").then_some(()))
    })
    .await?;
    wait::until("Redis lets it in and Kafka does not", async || {
        let (status, missing) = readiness(forgetful).await?;
        Ok((status == StatusCode::SERVICE_UNAVAILABLE && missing == "kafka\n").then_some(()))
    })
    .await?;
    assert!(!forgetful.log().contains("not-the-password-of-a-test"));
    Ok(())
}
