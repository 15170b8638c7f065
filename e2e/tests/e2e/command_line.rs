//! The command line of the services: version, validation of the settings, and errors at startup.

use e2e::{Result, process};
use std::process::{Command, Output};

const SERVICES: [&str; 3] = ["gateway", "ingest-worker", "query-api"];

fn run(service: &str, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(process::binary(service)?)
        .args(arguments)
        .env("OPERATOR_TOKEN", "a-long-enough-token")
        .env("LISTEN", "127.0.0.1:0")
        .output()?)
}

#[test]
fn version_and_validate_do_not_start_the_service() -> Result<()> {
    for service in SERVICES {
        let version = run(service, &["--version"])?;
        let expected = format!("{service} {}", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), expected);
        let valid = run(service, &["--validate"])?;
        assert!(valid.status.success(), "{service}: {}", String::from_utf8_lossy(&valid.stderr));
    }
    Ok(())
}

#[test]
fn all_invalid_settings_are_reported_at_once() -> Result<()> {
    for service in SERVICES {
        let arguments = ["--kafka-brokers", "nowhere", "--redis-url", "nowhere", "--ops-listen", "nowhere"];
        let output = run(service, &arguments)?;
        assert_eq!(output.status.code(), Some(2), "{service}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        for setting in ["--kafka-brokers", "--redis-url", "--ops-listen"] {
            assert!(stderr.contains(setting), "{service} does not name {setting}: {stderr}");
        }
    }
    Ok(())
}

#[test]
fn port_conflict_names_the_address_and_its_setting() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    for service in SERVICES {
        let output = run(service, &["--ops-listen", &address])?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(stderr.contains(&address) && stderr.contains("--ops-listen"), "{service}: {stderr}");
    }
    Ok(())
}
