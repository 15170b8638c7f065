//! The system under test of a campaign: its own stores and services, with a [`Link`] from each service to each
//! store.

use super::link::Link;
use super::schedule::{Fault, GATEWAYS, LinkMode, Service, Store};
use crate::client::{Client, OPERATOR_TOKEN};
use crate::error::Result;
use crate::installation::ADDRESS_HASH_KEY;
use crate::ports::free_port;
use crate::process::{self, Process};
use crate::scratch::failing_disk::FailingDisk;
use crate::scratch::{Listener, ScratchStore};
use rustix::process::Signal;
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Running stores, services and links. Everything ends when the value is dropped.
pub struct Cluster {
    services: BTreeMap<Service, ServiceSlot>,
    kafka: StoreSlot,
    redis: StoreSlot,
    clickhouse: StoreSlot,
    disk: FailingDisk,
    gateway_urls: Vec<String>,
    query_url: String,
    directory: PathBuf,
}

/// A service and its links.
struct ServiceSlot {
    settings: HashMap<String, String>,
    links: BTreeMap<Store, Link>,
    /// `None` while the schedule wants it stopped.
    process: Option<Process>,
}

struct StoreSlot {
    store: ScratchStore,
    /// False while the schedule wants it stopped.
    expected_up: bool,
}

impl StoreSlot {
    fn new(store: ScratchStore) -> Self {
        Self { store, expected_up: true }
    }
}

impl Cluster {
    /// Starts everything and waits until the services are ready.
    pub async fn start() -> Result<Self> {
        let name = format!("faults_{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let directory = process::log_directory(&name)?;

        // Kafka tells its clients where to connect, so each service has its own listener, which redirects to
        // its link.
        let mut kafka_links = Vec::new();
        let mut listeners = Vec::new();
        for (index, _) in Service::all().enumerate() {
            let port = free_port()?;
            let link = Link::to(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
            let name = format!("LINK{index}");
            listeners.push(Listener { name, protocol: "PLAINTEXT", port, advertised: link.port() });
            kafka_links.push(link);
        }
        let (kafka, redis, (clickhouse, disk)) = tokio::try_join!(
            ScratchStore::kafka_with(&listeners),
            ScratchStore::redis(),
            ScratchStore::clickhouse_on_failing_disk(),
        )?;
        let mut services = BTreeMap::new();
        for (service, kafka_link) in Service::all().zip(kafka_links) {
            let links = BTreeMap::from([
                (Store::Kafka, kafka_link),
                (Store::Redis, Link::to(redis.address().parse()?).await?),
                (Store::ClickHouse, Link::to(clickhouse.address().parse()?).await?),
            ]);
            let settings = settings(&name, &links)?;
            services.insert(service, ServiceSlot { settings, links, process: None });
        }

        let gateway_urls: Vec<String> = (0..GATEWAYS)
            .filter_map(|index| services[&Service::Gateway(index)].settings.get("LISTEN"))
            .map(|listen| format!("http://{listen}"))
            .collect();
        let query = services.get_mut(&Service::Query).ok_or("no query API")?;
        query.settings.insert("WEBHOOK_URL".to_owned(), format!("{}/api/webhooks/custom", gateway_urls[0]));
        let query_url = format!("http://{}", query.settings["LISTEN"]);
        let [kafka, redis, clickhouse] = [kafka, redis, clickhouse].map(StoreSlot::new);
        let mut cluster =
            Self { services, kafka, redis, clickhouse, disk, gateway_urls, query_url, directory };
        for service in Service::all().filter(|service| service.is_permanent()) {
            cluster.start_service(service)?;
        }
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// Waits until all services that should run are ready.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        for process in self.services.values_mut().filter_map(|slot| slot.process.as_mut()) {
            process.ready().await?;
        }
        Ok(())
    }

    /// HTTP client of the services.
    pub fn client(&self) -> Client {
        Client::new(self.gateway_urls.clone(), self.query_url.clone())
    }

    /// Base URLs of the gateways.
    pub fn gateways(&self) -> &[String] {
        &self.gateway_urls
    }

    /// Address of Kafka that bypasses the links.
    pub fn brokers(&self) -> &str {
        self.kafka.store.address()
    }

    /// Names of the topics.
    pub fn topics(&self) -> proto::topics::Topics {
        proto::topics::Topics::new(&self.namespace())
    }

    /// Client of ClickHouse that bypasses the links, with the database of the first generation selected.
    pub fn clickhouse(&self) -> clickhouse::Client {
        let url = format!("http://{}", self.clickhouse.store.address());
        clickhouse::Client::default().with_url(url).with_database(format!("tidemark_{}_g1", self.namespace()))
    }

    fn namespace(&self) -> String {
        self.directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Directory of the services' logs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps the data of the stores; returns its directories.
    pub fn keep_data(&mut self) -> Vec<PathBuf> {
        [&mut self.kafka, &mut self.redis, &mut self.clickhouse]
            .map(|slot| slot.store.keep_data().to_owned())
            .into()
    }

    /// Starts a fault.
    pub async fn begin(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillService(service) => self.kill_service(service),
            Fault::KillStore(store) => self.kill_store(store),
            Fault::WipeRedis => {
                self.kill_store(Store::Redis)?;
                self.redis.store.delete_data("appendonlydir")
            }
            Fault::FreezeService(service) => self.signal(service, Signal::STOP),
            Fault::FreezeStore(store) => self.store_slot(store).store.signal(Signal::STOP),
            Fault::Leave(service) => self.stop_service(service).await,
            Fault::Join(service) => self.start_service(service),
            Fault::Link(service, store, mode) => self.set_links(service, Some(store), mode),
            Fault::Links(service, mode) => self.set_links(service, None, mode),
            Fault::Disk(fault) => self.disk.set(Some(fault)),
        }
    }

    /// Ends a fault.
    pub async fn end(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillService(service) | Fault::Leave(service) => self.start_service(service),
            Fault::KillStore(store) => self.start_store(store),
            Fault::WipeRedis => self.start_store(Store::Redis),
            Fault::FreezeService(service) => self.signal(service, Signal::CONT),
            Fault::FreezeStore(store) => self.store_slot(store).store.signal(Signal::CONT),
            Fault::Join(service) => self.stop_service(service).await,
            Fault::Link(service, store, _) => self.set_links(service, Some(store), LinkMode::Pass),
            Fault::Links(service, _) => self.set_links(service, None, LinkMode::Pass),
            Fault::Disk(_) => self.disk.set(None),
        }
    }

    /// Restarts processes that exited although they should run; returns the exits of stores and of services.
    pub fn revive(&mut self) -> Result<UnexpectedExits> {
        let mut exits = UnexpectedExits::default();
        for (service, slot) in &mut self.services {
            let Some(process) = &mut slot.process else { continue };
            if let Some(status) = process.status()? {
                exits.services.push(format!("{service} exited unexpectedly: {status}"));
                process.restart()?;
            }
        }
        for store in [Store::Kafka, Store::Redis, Store::ClickHouse] {
            let slot = self.store_slot(store);
            if slot.expected_up
                && let Some(status) = slot.store.status()?
            {
                exits.stores.push(format!("{store} exited unexpectedly: {status}"));
                slot.store.respawn()?;
            }
        }
        Ok(exits)
    }

    fn start_service(&mut self, service: Service) -> Result<()> {
        let directory = self.directory.clone();
        let slot = self.service_slot(service)?;
        let name = match service {
            Service::Gateway(_) => "gateway",
            Service::Worker(_) => "ingest-worker",
            Service::Query => "query-api",
        };
        let process = Process::start(name, &service.to_string(), &directory, slot.settings.clone())?;
        slot.process = Some(process);
        Ok(())
    }

    fn kill_service(&mut self, service: Service) -> Result<()> {
        self.service_slot(service)?.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    async fn stop_service(&mut self, service: Service) -> Result<()> {
        match self.service_slot(service)?.process.take() {
            Some(mut process) => process.terminate().await.map(drop),
            None => Ok(()),
        }
    }

    fn signal(&mut self, service: Service, signal: Signal) -> Result<()> {
        self.service_slot(service)?.process.as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    fn kill_store(&mut self, store: Store) -> Result<()> {
        let slot = self.store_slot(store);
        slot.expected_up = false;
        slot.store.kill()
    }

    fn start_store(&mut self, store: Store) -> Result<()> {
        let slot = self.store_slot(store);
        slot.expected_up = true;
        slot.store.respawn()
    }

    /// Sets the links from a service to one store, or to all stores.
    fn set_links(&mut self, service: Service, store: Option<Store>, mode: LinkMode) -> Result<()> {
        let links = &self.service_slot(service)?.links;
        let affected = links.iter().filter(|(to, _)| store.is_none_or(|store| store == **to));
        affected.for_each(|(_, link)| link.set(mode));
        Ok(())
    }

    fn service_slot(&mut self, service: Service) -> Result<&mut ServiceSlot> {
        self.services.get_mut(&service).ok_or_else(|| format!("the cluster has no {service}").into())
    }

    fn store_slot(&mut self, store: Store) -> &mut StoreSlot {
        match store {
            Store::Kafka => &mut self.kafka,
            Store::Redis => &mut self.redis,
            Store::ClickHouse => &mut self.clickhouse,
        }
    }
}

/// Exits of processes that should have kept running, as sentences.
#[derive(Debug, Default)]
pub struct UnexpectedExits {
    /// Exits of services, which violate an invariant.
    pub services: Vec<String>,
    /// Exits of stores, which the disk faults cause.
    pub stores: Vec<String>,
}

fn settings(namespace: &str, links: &BTreeMap<Store, Link>) -> Result<HashMap<String, String>> {
    let address = |store| format!("127.0.0.1:{}", links[&store].port());
    let settings = [
        ("NAMESPACE", namespace.to_owned()),
        ("LISTEN", format!("127.0.0.1:{}", free_port()?)),
        ("OPS_LISTEN", format!("127.0.0.1:{}", free_port()?)),
        ("KAFKA_BROKERS", address(Store::Kafka)),
        ("REDIS_URL", format!("redis://{}", address(Store::Redis))),
        ("CLICKHOUSE_URL", format!("http://{}", address(Store::ClickHouse))),
        ("OPERATOR_TOKEN", OPERATOR_TOKEN.to_owned()),
        ("ADDRESS_HASH_KEY", ADDRESS_HASH_KEY.to_owned()),
    ];
    Ok(settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
