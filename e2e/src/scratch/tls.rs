//! Scratch stores that require TLS and authentication, with certificates created for one test.

use super::{Listener, ScratchStore, create_data_directory, kafka_properties};
use crate::environment;
use crate::error::Result;
use crate::ports::free_port;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The only user of the stores.
pub const USER: &str = "tidemark";
/// Password of [`USER`].
pub const PASSWORD: &str = "password-of-a-test";

/// A certificate authority, and a server certificate for 127.0.0.1 that it signed. The files are deleted when
/// the value is dropped.
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Creates them with the machine's `openssl`.
    pub fn new() -> Result<Self> {
        let created = Self { directory: create_data_directory("certificates")? };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=Test authority"];
        let files = ["-keyout", "ca.key", "-out", "ca.pem"];
        created.openssl(&[&ca[..], &curve, &files].concat())?;
        let request = ["req", "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr"];
        created.openssl(&[&request[..], &curve].concat())?;
        fs::write(created.path("names"), "subjectAltName = IP:127.0.0.1\n")?;
        let sign = ["x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
        created.openssl(
            &[&sign[..], &["-CAcreateserial", "-extfile", "names", "-out", "server.pem"]].concat(),
        )?;
        // Kafka reads key and certificate from one file.
        let both = fs::read_to_string(created.path("server.key"))?
            + &fs::read_to_string(created.path("server.pem"))?;
        fs::write(created.path("both.pem"), both)?;
        Ok(created)
    }

    /// Path of the authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Paths of the server's certificate and key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.pem"), self.path("server.key"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        let command = command.args(arguments).current_dir(&self.directory).stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("cannot run openssl: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("openssl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into())
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl ScratchStore {
    /// Starts a Redis that accepts only TLS connections of [`USER`], who has the rights that the documentation
    /// asks for.
    pub async fn redis_with_tls(certificates: &Certificates) -> Result<Self> {
        let port = free_port()?.to_string();
        let data = create_data_directory("redis")?;
        let (certificate, key) = certificates.server();
        let (certificate, key) = (text(&certificate), text(&key));
        let (authority, directory) = (text(&certificates.authority()), text(&data));
        let password = format!(">{PASSWORD}");
        let program = environment::required("REDIS_SERVER")?;
        let command = [
            &[&*program, "--bind", "127.0.0.1", "--port", "0", "--tls-port", &port, "--dir", &directory],
            &["--tls-cert-file", &*certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &authority][..],
            &["--tls-auth-clients", "no", "--save", "", "--user", "default", "off"],
            &["--user", USER, "on", &password, "~tidemark*", "&*", "+@all", "-@dangerous"],
        ];
        let command = command.concat().into_iter().map(str::to_owned).collect();
        Self::start(format!("127.0.0.1:{port}"), command, HashMap::new(), data).await
    }

    /// Starts a Kafka whose clients use TLS and authenticate with SCRAM as [`USER`].
    pub async fn kafka_with_tls(certificates: &Certificates) -> Result<Self> {
        let (port, internal, controller) = (free_port()?, free_port()?, free_port()?);
        let data = create_data_directory("kafka")?;
        // The broker itself uses the listener without TLS.
        let listeners = [Listener::direct("SASL_SSL", port), Listener::direct("PLAINTEXT", internal)];
        let properties = kafka_properties(&listeners, controller, &data.join("log"));
        let keystore = text(&certificates.path("both.pem"));
        let properties = format!(
            "{properties}ssl.keystore.type=PEM
ssl.keystore.location={keystore}
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"
        );
        let user = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        Self::start_kafka(port, &properties, &["--add-scram", &user], data).await
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
