//! Connection settings of Kafka, Redis and ClickHouse: trusted certificate authorities and credentials.
//!
//! One process connects to one Kafka, one Redis and one ClickHouse. [`Security::check`] validates the
//! settings and sets them process-wide, before any client is created. Every client created by
//! [`crate::kafka::client`] or [`crate::clickhouse::client`], or with [`current`], uses them. Until they are
//! set, connections to Kafka are plaintext, and TLS to the others trusts the system's certificate
//! authorities.

use crate::faults::Faults;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Connection settings of this process; unset until a check succeeds.
static CURRENT: OnceLock<Connections> = OnceLock::new();
static DEFAULT: Connections = Connections { ca_pem: None, kafka: Vec::new() };

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

/// Validated connection settings.
#[derive(Clone, Default)]
pub struct Connections {
    ca_pem: Option<Vec<u8>>,
    kafka: Vec<(&'static str, String)>,
}

/// Returns the connection settings of this process.
pub fn current() -> &'static Connections {
    CURRENT.get().unwrap_or(&DEFAULT)
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

impl Connections {
    /// Returns the certificate authorities as PEM, if a file is set.
    pub fn ca_pem(&self) -> Option<&[u8]> {
        self.ca_pem.as_deref()
    }

    /// Returns the properties that every Kafka client must have.
    pub fn kafka(&self) -> &[(&'static str, String)] {
        &self.kafka
    }

    /// Returns the trusted certificate authorities: those of the file, or the system's.
    pub fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let errors = match &self.ca_pem {
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
    /// Validates the settings and reads the files that they name. If they are valid, sets them process-wide.
    pub fn check(&self, faults: &mut Faults) {
        let before = faults.count();
        let connections = self.read(faults);
        if faults.count() == before {
            // A second check in one process has the same settings.
            let _ = CURRENT.set(connections);
        }
    }

    fn read(&self, faults: &mut Faults) -> Connections {
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
        Connections { ca_pem, kafka }
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
        let connections = security.read(&mut faults);
        faults.into_result(connections).map_err(|error| error.to_string())
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn defaults_are_plaintext_kafka_and_system_authorities() {
        let connections = read(&Security::default()).expect("the defaults are valid");
        assert!(connections.kafka().is_empty() && connections.ca_pem().is_none());
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
        assert_eq!(connections.kafka(), expected);
        assert!(!format!("{security:?}").contains("secret-of-a-test"));
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
