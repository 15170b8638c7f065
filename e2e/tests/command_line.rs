//! What an operator meets first: the command line of each service.

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
fn every_service_tells_its_version_and_checks_its_settings_without_starting() -> Result<()> {
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
fn every_service_reports_all_faults_in_its_settings_at_once() -> Result<()> {
    for service in SERVICES {
        let arguments = ["--kafka-brokers", "nowhere", "--redis-url", "nowhere", "--ops-listen", "nowhere"];
        let output = run(service, &arguments)?;
        assert_eq!(output.status.code(), Some(2), "{service}");
        let said = String::from_utf8_lossy(&output.stderr);
        for setting in ["--kafka-brokers", "--redis-url", "--ops-listen"] {
            assert!(said.contains(setting), "{service} does not name {setting}: {said}");
        }
    }
    Ok(())
}

#[test]
fn a_taken_port_is_named_with_the_setting_that_moves_it() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for service in SERVICES {
        let output = run(service, &["--ops-listen", &address])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains(&address) && said.contains("--ops-listen"), "{service}: {said}");
    }
    Ok(())
}
