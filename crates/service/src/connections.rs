//! How this process reaches Kafka, Redis and ClickHouse: which certificates it believes, and who it says it is.
//!
//! One process speaks to one Kafka, one Redis and one ClickHouse, and the way to them is settled once, when the settings
//! are checked ([`Security::check`]) and before any client is made. So no client can be forgotten: whoever makes one here
//! ([`crate::kafka::client`], [`crate::clickhouse::client`]) or with [`current`] gets what was settled. Nothing settled
//! means no encryption towards Kafka and the system's certificates for the others.

use crate::settings::Faults;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

static SETTLED: OnceLock<Connections> = OnceLock::new();
static NOTHING: Connections = Connections { ca_pem: None, kafka: Vec::new() };

const SECURITIES: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The settings. Redis and ClickHouse say in their addresses whether TLS is spoken (`rediss://`, `https://`); Kafka's
/// brokers have no place for it.
#[derive(Clone, clap::Args)]
pub struct Security {
    /// A PEM file with the certificates of the authorities that are trusted where Kafka, Redis and ClickHouse are reached
    /// over TLS. The system's if left out. Start fails if it cannot be read.
    #[arg(long, env = "CA_FILE", value_name = "FILE")]
    pub ca_file: Option<String>,
    /// How Kafka is spoken to: with `ssl` in it over TLS, with `sasl` in it with a user and a password.
    #[arg(
        long,
        env = "KAFKA_SECURITY",
        default_value = "plaintext",
        value_name = "plaintext|ssl|sasl_plaintext|sasl_ssl"
    )]
    pub kafka_security: String,
    /// How the password is proved to Kafka: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    #[arg(long, env = "KAFKA_SASL_MECHANISM", default_value = "SCRAM-SHA-512", value_name = "NAME")]
    pub kafka_sasl_mechanism: String,
    /// Kafka's user. Needed for SASL, refused without it.
    #[arg(long, env = "KAFKA_USER", value_name = "NAME")]
    pub kafka_user: Option<String>,
    /// The password of Kafka's user. Needed for SASL, refused without it.
    #[arg(long, env = "KAFKA_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub kafka_password: Option<String>,
    /// A PEM file with the certificate that is shown to Kafka, where it asks for one. Needs --kafka-key and TLS.
    #[arg(long, env = "KAFKA_CERTIFICATE", value_name = "FILE")]
    pub kafka_certificate: Option<String>,
    /// A PEM file with the key of that certificate, without a password.
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

/// What was settled.
#[derive(Clone, Default)]
pub struct Connections {
    ca_pem: Option<Vec<u8>>,
    kafka: Vec<(&'static str, String)>,
}

/// What was settled for this process.
pub fn current() -> &'static Connections {
    SETTLED.get().unwrap_or(&NOTHING)
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// Nobody is trusted.
    #[error(
        "no certificate of this system can be read ({0}): install ca-certificates, or name a file with --ca-file"
    )]
    NoCertificates(String),
    /// The library has no version of the protocol.
    #[error("TLS cannot be spoken: {0}")]
    Protocol(#[from] rustls::Error),
}

impl Connections {
    /// The authorities' certificates as PEM, where a file was named.
    pub fn ca_pem(&self) -> Option<&[u8]> {
        self.ca_pem.as_deref()
    }

    /// The properties that every Kafka client takes.
    pub fn kafka(&self) -> &[(&'static str, String)] {
        &self.kafka
    }

    /// Whom a TLS client believes: the file's authorities, or the system's.
    pub fn roots(&self) -> Result<RootCertStore, NoTls> {
        let mut roots = RootCertStore::empty();
        let why = match &self.ca_pem {
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
        if roots.is_empty() { Err(NoTls::NoCertificates(why)) } else { Ok(roots) }
    }
}

/// Speaks TLS over what `connector` opens, and believes `roots`; plain HTTP where an address says so.
pub fn https(
    mut connector: HttpConnector,
    roots: RootCertStore,
) -> Result<HttpsConnector<HttpConnector>, NoTls> {
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
    /// Checks the settings, with the files that they name; if nothing is wrong, the process goes by them from here on.
    pub fn check(&self, faults: &mut Faults) {
        let before = faults.count();
        let connections = self.read(faults);
        if faults.count() == before {
            // Whoever checks twice has the same settings.
            let _ = SETTLED.set(connections);
        }
    }

    fn read(&self, faults: &mut Faults) -> Connections {
        let security = self.kafka_security.to_ascii_lowercase();
        faults.check(
            SECURITIES.contains(&&*security),
            "--kafka-security",
            format!("`{security}` is not one of {}", SECURITIES.join(", ")),
        );
        let (tls, sasl) = (security.ends_with("ssl"), security.starts_with("sasl"));
        let ca_pem = given(&self.ca_file).and_then(|path| {
            let pem = read_file("--ca-file", path, faults)?;
            let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            let (usable, _) = RootCertStore::empty().add_parsable_certificates(certificates);
            faults.check(usable > 0, "--ca-file", format!("`{path}` holds no certificate in PEM"));
            Some(pem)
        });
        let mut kafka = Vec::new();
        if security != "plaintext" {
            kafka.push(("security.protocol", security));
        }
        if tls && let Some(path) = given(&self.ca_file) {
            kafka.push(("ssl.ca.location", path.to_owned()));
        }
        self.read_user(sasl, faults, &mut kafka);
        self.read_certificate(tls, faults, &mut kafka);
        Connections { ca_pem, kafka }
    }

    fn read_user(&self, sasl: bool, faults: &mut Faults, kafka: &mut Vec<(&'static str, String)>) {
        let parts = [
            ("--kafka-user", "sasl.username", given(&self.kafka_user)),
            ("--kafka-password", "sasl.password", given(&self.kafka_password)),
        ];
        for (setting, property, value) in parts {
            match value {
                Some(value) if sasl => kafka.push((property, value.to_owned())),
                None if sasl => faults.add(setting, "must be given with --kafka-security=sasl_…"),
                Some(_) => {
                    faults.add(setting, "is used only with --kafka-security=sasl_ssl or sasl_plaintext")
                }
                None => {}
            }
        }
        if sasl {
            let mechanism = self.kafka_sasl_mechanism.to_ascii_uppercase();
            faults.check(
                MECHANISMS.contains(&&*mechanism),
                "--kafka-sasl-mechanism",
                format!("`{mechanism}` is not one of {}", MECHANISMS.join(", ")),
            );
            kafka.push(("sasl.mechanism", mechanism));
        }
    }

    fn read_certificate(&self, tls: bool, faults: &mut Faults, kafka: &mut Vec<(&'static str, String)>) {
        let (certificate, key) = (given(&self.kafka_certificate), given(&self.kafka_key));
        faults.check(
            certificate.is_some() == key.is_some(),
            "--kafka-certificate",
            "and --kafka-key are used together only",
        );
        faults.check(
            tls || certificate.is_none(),
            "--kafka-certificate",
            "is used only with --kafka-security=ssl or sasl_ssl",
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

/// A setting that is empty was left out: that is how templates leave things out.
fn given(setting: &Option<String>) -> Option<&str> {
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
    fn the_defaults_say_nothing_to_kafka_and_trust_the_system() {
        let connections = read(&Security::default()).expect("the defaults are valid");
        assert!(connections.kafka().is_empty() && connections.ca_pem().is_none());
    }

    #[test]
    fn a_user_is_named_to_kafka_over_tls() {
        let security = Security {
            kafka_security: "SASL_SSL".into(),
            kafka_user: text("tidemark"),
            kafka_password: text("secret-of-a-test"),
            ..Security::default()
        };
        let connections = read(&security).expect("it is valid");
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
    fn what_does_not_fit_together_is_refused_and_named() {
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
            let Err(message) = read(&security) else { panic!("{setting} is wrong") };
            assert!(message.contains(setting), "{setting} is missing in: {message}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let own_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let security = Security { ca_file: text(&own_source.to_string_lossy()), ..Security::default() };
        let Err(message) = read(&security) else { panic!("it holds none") };
        assert!(message.contains("holds no certificate"), "{message}");
    }
}
