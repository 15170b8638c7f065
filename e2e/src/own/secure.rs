//! Stores that speak TLS and ask who is there, with certificates made for one test.

use super::{Listener, OwnStore, fresh_directory, kafka_properties};
use crate::Result;
use crate::installation::part;
use crate::process::free_port;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The one user that the stores know.
pub const USER: &str = "tidemark";
/// That user's password.
pub const PASSWORD: &str = "password-of-a-test";

/// An authority, and a certificate that it signed for a server at 127.0.0.1. They go with the value.
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes them, with the `openssl` of this machine.
    pub fn new() -> Result<Self> {
        let made = Self { directory: fresh_directory("certificates")? };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=An authority of a test"];
        let files = ["-keyout", "ca.key", "-out", "ca.pem"];
        made.openssl(&[&ca[..], &curve, &files].concat())?;
        let request = ["req", "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr"];
        made.openssl(&[&request[..], &curve].concat())?;
        fs::write(made.path("names"), "subjectAltName = IP:127.0.0.1\n")?;
        let sign = ["x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
        made.openssl(&[&sign[..], &["-CAcreateserial", "-extfile", "names", "-out", "server.pem"]].concat())?;
        // Kafka reads key and certificate from one file.
        let both =
            fs::read_to_string(made.path("server.key"))? + &fs::read_to_string(made.path("server.pem"))?;
        fs::write(made.path("both.pem"), both)?;
        Ok(made)
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The server's certificate and its key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.pem"), self.path("server.key"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        let command = command.args(arguments).current_dir(&self.directory).stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("openssl: {error}"))?;
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

impl OwnStore {
    /// Starts a Redis that speaks TLS alone and knows [`USER`] alone, with the rights that the documentation asks for.
    pub async fn secure_redis(certificates: &Certificates) -> Result<Self> {
        let port = free_port()?.to_string();
        let data = fresh_directory("redis")?;
        let (certificate, key) = certificates.server();
        let (certificate, key) = (text(&certificate), text(&key));
        let (authority, directory) = (text(&certificates.authority()), text(&data));
        let password = format!(">{PASSWORD}");
        let program = part("REDIS_SERVER")?;
        let command = [
            &[&*program, "--bind", "127.0.0.1", "--port", "0", "--tls-port", &port, "--dir", &directory],
            &["--tls-cert-file", &*certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &authority][..],
            &["--tls-auth-clients", "no", "--save", "", "--user", "default", "off"],
            &["--user", USER, "on", &password, "~tidemark*", "&*", "+@all", "-@dangerous"],
        ];
        let command = command.concat().into_iter().map(str::to_owned).collect();
        Self::start(format!("127.0.0.1:{port}"), command, Vec::new(), data).await
    }

    /// Starts a Kafka whose clients speak TLS and prove by SCRAM that they are [`USER`].
    pub async fn secure_kafka(certificates: &Certificates) -> Result<Self> {
        let (port, controller, own) = (free_port()?, free_port()?, free_port()?);
        let data = fresh_directory("kafka")?;
        let properties = kafka_properties(&[Listener::direct(own)], controller, &data.join("log"))
            // The broker's own listener stays; clients are led to the other.
            .replace("listeners=PLAINTEXT", &format!("listeners=SASL_SSL://127.0.0.1:{port},PLAINTEXT"))
            .replace("map=PLAINTEXT:", "map=SASL_SSL:SASL_SSL,PLAINTEXT:");
        let both = text(&certificates.path("both.pem"));
        let properties = format!(
            "{properties}ssl.keystore.type=PEM
ssl.keystore.location={both}
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"
        );
        let user = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        Self::kafka_of(port, &properties, &["--add-scram", &user], data).await
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
