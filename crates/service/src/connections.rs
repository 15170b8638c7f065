//! Connection settings of Kafka, Redis and ClickHouse: addresses, trusted certificate authorities and credentials.
//!
//! [`Security::check`] validates the settings and returns them as one value, which is passed to every client.

use crate::faults::Faults;
use crate::kafka::KafkaBrokers;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
const SASL_MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// TLS and authentication settings. The addresses of Redis and ClickHouse select TLS themselves (`rediss://`,
/// `https://`); the list of Kafka brokers cannot, so Kafka has a setting for it.
#[derive(Clone, clap::Args)]
pub struct Security {
    /// PEM file with the certificate authorities to trust for TLS connections to Kafka, Redis and ClickHouse.
    /// Default: the system's authorities. The service does not start if the file cannot be read.
    #[arg(long, env = "CA_FILE", value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Security protocol of Kafka: `ssl` and `sasl_ssl` use TLS, `sasl_plaintext` and `sasl_ssl` authenticate
    /// with a user and a password.
    #[arg(
        long,
        env = "KAFKA_SECURITY",
        default_value = "plaintext",
        value_name = "plaintext|ssl|sasl_plaintext|sasl_ssl"
    )]
    pub kafka_security: String,
    /// SASL mechanism of Kafka: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    #[arg(long, env = "KAFKA_SASL_MECHANISM", default_value = "SCRAM-SHA-512", value_name = "NAME")]
    pub kafka_sasl_mechanism: String,
    /// User for Kafka. Required with SASL, rejected without it.
    #[arg(long, env = "KAFKA_USER", value_name = "NAME")]
    pub kafka_user: Option<String>,
    /// Password of the Kafka user. Required with SASL, rejected without it.
    #[arg(long, env = "KAFKA_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub kafka_password: Option<String>,
    /// PEM file with the client certificate for Kafka, if Kafka requires one. Requires --kafka-key and TLS.
    #[arg(long, env = "KAFKA_CERTIFICATE", value_name = "FILE")]
    pub kafka_certificate: Option<String>,
    /// PEM file with the private key of the client certificate, not encrypted.
    #[arg(long, env = "KAFKA_KEY", value_name = "FILE")]
    pub kafka_key: Option<String>,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            ca_file: None,
            kafka_security: "plaintext".to_owned(),
            kafka_sasl_mechanism: "SCRAM-SHA-512".to_owned(),
            kafka_user: None,
            kafka_password: None,
            kafka_certificate: None,
            kafka_key: None,
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("ca_file", &self.ca_file)
            .field("kafka_security", &self.kafka_security)
            .field("kafka_user", &self.kafka_user)
            .finish_non_exhaustive()
    }
}

/// Validated connection settings of the stores. Clones share the data.
#[derive(Debug, Clone)]
pub struct Connections {
    /// The Kafka cluster.
    pub kafka: KafkaBrokers,
    /// The Redis server or cluster.
    pub redis: RedisEndpoint,
    /// The certificate authorities that TLS connections trust.
    pub roots: TrustedRoots,
}

/// Address of a Redis server or cluster, with the certificate authorities that are trusted over TLS.
#[derive(Clone)]
pub struct RedisEndpoint {
    /// The URL, see the setting `--redis-url`. It may contain a password.
    pub url: String,
    /// The certificate authorities that are trusted over TLS.
    pub roots: TrustedRoots,
}

impl RedisEndpoint {
    /// Returns the endpoint at `url`, which trusts the system's certificate authorities.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), roots: TrustedRoots::default() }
    }
}

/// Shows no URL: it may contain a password.
impl fmt::Debug for RedisEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEndpoint").finish_non_exhaustive()
    }
}

/// Certificate authorities that TLS connections trust; by default those of the system. Clones share the data.
#[derive(Clone, Default)]
pub struct TrustedRoots {
    pem: Option<Arc<[u8]>>,
}

impl fmt::Debug for TrustedRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.pem.is_some() { "TrustedRoots(file)" } else { "TrustedRoots(system)" })
    }
}

/// Failure to set up TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate authority to trust.
    #[error(
        "no certificate authority of this system can be read ({0}): install ca-certificates, or set --ca-file to a PEM file"
    )]
    NoAuthorities(String),
    /// The TLS library supports no version of the protocol.
    #[error("TLS cannot be configured: {0}")]
    Protocol(#[from] rustls::Error),
}

impl TrustedRoots {
    /// Returns the certificate authorities as PEM, if a file is set.
    pub fn pem(&self) -> Option<&[u8]> {
        self.pem.as_deref()
    }

    /// Returns the trusted certificate authorities: those of the file, or the system's.
    pub fn store(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let errors = match &self.pem {
            Some(pem) => {
                roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
                String::new()
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
        };
        if roots.is_empty() { Err(TlsError::NoAuthorities(errors)) } else { Ok(roots) }
    }
}

/// Returns a connector for `https://` addresses, with the trusted `roots`, and for `http://` addresses.
pub fn https(
    mut connector: HttpConnector,
    roots: RootCertStore,
) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    connector.enforce_http(false);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector))
}

impl Security {
    /// Validates the settings and reads the files that they name.
    pub fn check(&self, brokers: &str, redis_url: &str, faults: &mut Faults) -> Connections {
        let protocol = self.kafka_security.to_ascii_lowercase();
        faults.check(
            PROTOCOLS.contains(&&*protocol),
            "--kafka-security",
            format!("`{protocol}` is not one of {}", PROTOCOLS.join(", ")),
        );
        let (tls, sasl) = (protocol.ends_with("ssl"), protocol.starts_with("sasl"));
        let ca_pem = non_empty(&self.ca_file).and_then(|path| {
            let pem = read_file("--ca-file", path, faults)?;
            let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            let (usable, _) = RootCertStore::empty().add_parsable_certificates(certificates);
            faults.check(usable > 0, "--ca-file", format!("`{path}` contains no certificate in PEM format"));
            Some(pem)
        });
        let mut kafka = Vec::new();
        if protocol != "plaintext" {
            kafka.push(("security.protocol", protocol));
        }
        if tls && let Some(path) = non_empty(&self.ca_file) {
            kafka.push(("ssl.ca.location", path.to_owned()));
        }
        self.read_user(sasl, faults, &mut kafka);
        self.read_certificate(tls, faults, &mut kafka);
        let roots = TrustedRoots { pem: ca_pem.map(Into::into) };
        Connections {
            kafka: KafkaBrokers::with_properties(brokers, kafka),
            redis: RedisEndpoint { url: redis_url.to_owned(), roots: roots.clone() },
            roots,
        }
    }

    fn read_user(&self, sasl: bool, faults: &mut Faults, kafka: &mut Vec<(&'static str, String)>) {
        let parts = [
            ("--kafka-user", "sasl.username", non_empty(&self.kafka_user)),
            ("--kafka-password", "sasl.password", non_empty(&self.kafka_password)),
        ];
        for (setting, property, value) in parts {
            match value {
                Some(value) if sasl => kafka.push((property, value.to_owned())),
                None if sasl => {
                    faults.add(setting, "is required with --kafka-security=sasl_ssl and sasl_plaintext")
                }
                Some(_) => {
                    faults.add(setting, "is allowed only with --kafka-security=sasl_ssl and sasl_plaintext")
                }
                None => {}
            }
        }
        if sasl {
            let mechanism = self.kafka_sasl_mechanism.to_ascii_uppercase();
            faults.check(
                SASL_MECHANISMS.contains(&&*mechanism),
                "--kafka-sasl-mechanism",
                format!("`{mechanism}` is not one of {}", SASL_MECHANISMS.join(", ")),
            );
            kafka.push(("sasl.mechanism", mechanism));
        }
    }

    fn read_certificate(&self, tls: bool, faults: &mut Faults, kafka: &mut Vec<(&'static str, String)>) {
        let (certificate, key) = (non_empty(&self.kafka_certificate), non_empty(&self.kafka_key));
        faults.check(
            certificate.is_some() == key.is_some(),
            "--kafka-certificate",
            "and --kafka-key must be set together",
        );
        faults.check(
            tls || certificate.is_none(),
            "--kafka-certificate",
            "is allowed only with --kafka-security=ssl and sasl_ssl",
        );
        let parts = [
            ("--kafka-certificate", "ssl.certificate.location", certificate),
            ("--kafka-key", "ssl.key.location", key),
        ];
        for (setting, property, path) in parts {
            if let Some(path) = path
                && read_file(setting, path, faults).is_some()
            {
                kafka.push((property, path.to_owned()));
            }
        }
    }
}

/// Returns the value of an optional setting. An empty value counts as unset, because templates cannot omit a
/// variable.
fn non_empty(setting: &Option<String>) -> Option<&str> {
    setting.as_deref().filter(|text| !text.is_empty())
}

fn read_file(setting: &str, path: &str, faults: &mut Faults) -> Option<Vec<u8>> {
    std::fs::read(Path::new(path))
        .map_err(|error| faults.add(setting, format!("`{path}` cannot be read: {error}")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(security: &Security) -> Result<Connections, String> {
        let mut faults = Faults::default();
        let connections = security.check("127.0.0.1:9092", "redis://127.0.0.1", &mut faults);
        faults.into_result(connections).map_err(|error| error.to_string())
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn defaults_are_plaintext_kafka_and_system_authorities() {
        let connections = read(&Security::default()).expect("the defaults are valid");
        assert!(connections.kafka.properties().is_empty() && connections.roots.pem().is_none());
    }

    #[test]
    fn sasl_ssl_sets_user_and_password_properties() {
        let security = Security {
            kafka_security: "SASL_SSL".into(),
            kafka_user: text("tidemark"),
            kafka_password: text("secret-of-a-test"),
            ..Security::default()
        };
        let connections = read(&security).expect("the settings are valid");
        let expected = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.username", "tidemark"),
            ("sasl.password", "secret-of-a-test"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        assert_eq!(connections.kafka.properties(), expected);
        assert!(!format!("{security:?} {connections:?}").contains("secret-of-a-test"));
    }

    #[test]
    fn inconsistent_settings_are_rejected_by_name() {
        let faulty: [(Security, &str); 6] = [
            (Security { kafka_security: "tls".into(), ..Security::default() }, "--kafka-security"),
            (Security { kafka_security: "sasl_ssl".into(), ..Security::default() }, "--kafka-password"),
            (Security { kafka_user: text("somebody"), ..Security::default() }, "--kafka-user"),
            (
                Security {
                    kafka_security: "sasl_ssl".into(),
                    kafka_sasl_mechanism: "GSSAPI".into(),
                    ..Security::default()
                },
                "--kafka-sasl-mechanism",
            ),
            (Security { kafka_key: text("/nowhere/key.pem"), ..Security::default() }, "--kafka-key"),
            (Security { ca_file: text("/nowhere/ca.pem"), ..Security::default() }, "--ca-file"),
        ];
        for (security, setting) in faulty {
            let Err(message) = read(&security) else { panic!("{setting} is invalid") };
            assert!(message.contains(setting), "{setting} is missing in: {message}");
        }
    }

    #[test]
    fn ca_file_without_certificates_is_rejected() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let security = Security { ca_file: text(&manifest.to_string_lossy()), ..Security::default() };
        let Err(message) = read(&security) else { panic!("the file contains no certificate") };
        assert!(message.contains("contains no certificate"), "{message}");
    }
}
