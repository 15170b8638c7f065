//! What a campaign runs on: stores and services of its own, each service with its own connections to each store.

use super::failing_disk::FailingDisk;
use super::link::Link;
use super::schedule::{Disk, Fault, GATEWAYS, Mode, Service, Store};
use crate::installation::{ADDRESS_HASH_KEY, OPERATOR_TOKEN};
use crate::own::Listener;
use crate::process::{binary, free_port};
use crate::{OwnStore, Process, Result};
use rustix::process::Signal;
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The stores, the services and what lies between them. All of it ends with the value.
pub struct Stage {
    services: BTreeMap<Service, Slot>,
    kafka: Held,
    redis: Held,
    clickhouse: Held,
    disk: FailingDisk,
    gateway_urls: Vec<String>,
    query_url: String,
    directory: PathBuf,
}

/// A place for a service.
struct Slot {
    settings: HashMap<String, String>,
    links: BTreeMap<Store, Link>,
    /// As long as it is meant to run.
    process: Option<Process>,
}

/// A store, and whether it is meant to run.
struct Held {
    store: OwnStore,
    up: bool,
}

impl Stage {
    /// Starts everything, and waits until all services are ready.
    pub async fn start() -> Result<Self> {
        let name = format!("faults_{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let directory = binary("gateway")?.with_file_name("e2e-logs").join(&name);
        std::fs::create_dir_all(&directory)?;

        let redis = OwnStore::redis().await?;
        let (clickhouse, disk) = OwnStore::clickhouse_on_failing_disk().await?;
        let mut services = BTreeMap::new();
        let mut listeners = Vec::new();
        for (index, service) in Service::all().enumerate() {
            let port = free_port()?;
            let links = BTreeMap::from([
                (Store::Kafka, Link::to(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?),
                (Store::Redis, Link::to(redis.address().parse()?).await?),
                (Store::ClickHouse, Link::to(clickhouse.address().parse()?).await?),
            ]);
            let advertised = links[&Store::Kafka].port();
            listeners.push(Listener { name: format!("LINK{index}"), port, advertised });
            let settings = settings(&name, &links)?;
            services.insert(service, Slot { settings, links, process: None });
        }
        let kafka = OwnStore::kafka_with(&listeners).await?;

        let gateway_urls: Vec<String> = (0..GATEWAYS)
            .filter_map(|index| services[&Service::Gateway(index)].settings.get("LISTEN"))
            .map(|listen| format!("http://{listen}"))
            .collect();
        let query = services.get_mut(&Service::Query).ok_or("no query service")?;
        query.settings.insert("WEBHOOK_URL".to_owned(), format!("{}/api/webhooks/custom", gateway_urls[0]));
        let query_url = format!("http://{}", query.settings["LISTEN"]);
        let held = |store| Held { store, up: true };
        let (kafka, redis, clickhouse) = (held(kafka), held(redis), held(clickhouse));
        let mut stage = Self { services, kafka, redis, clickhouse, disk, gateway_urls, query_url, directory };
        for service in Service::all().filter(|service| service.is_permanent()) {
            stage.start_service(service)?;
        }
        stage.all_ready().await?;
        Ok(stage)
    }

    /// Waits until all services that are meant to run are ready.
    pub async fn all_ready(&mut self) -> Result<()> {
        for process in self.services.values_mut().filter_map(|slot| slot.process.as_mut()) {
            process.ready().await?;
        }
        Ok(())
    }

    /// A client of its HTTP interfaces.
    pub fn client(&self) -> crate::Client {
        crate::Client::new(self.gateway_urls.clone(), self.query_url.clone())
    }

    /// The gateways' addresses.
    pub fn gateways(&self) -> &[String] {
        &self.gateway_urls
    }

    /// Kafka, without a link between.
    pub fn brokers(&self) -> &str {
        self.kafka.store.address()
    }

    /// The topics.
    pub fn topics(&self) -> proto::topics::Topics {
        proto::topics::Topics::new(&self.namespace())
    }

    /// ClickHouse without a link between, with the database of the first generation chosen.
    pub fn clickhouse(&self) -> clickhouse::Client {
        let url = format!("http://{}", self.clickhouse.store.address());
        clickhouse::Client::default().with_url(url).with_database(format!("tidemark_{}_g1", self.namespace()))
    }

    fn namespace(&self) -> String {
        self.directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Where the services' logs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The stores' data stays; tells where.
    pub fn keep(&mut self) -> Vec<PathBuf> {
        [&mut self.kafka, &mut self.redis, &mut self.clickhouse]
            .map(|held| held.store.keep().to_owned())
            .into()
    }

    /// A fault begins.
    pub async fn begin(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillService(service) => self.kill_service(service),
            Fault::KillStore(store) => self.kill_store(store),
            Fault::WipeRedis => {
                self.kill_store(Store::Redis)?;
                self.redis.store.forget("appendonlydir")
            }
            Fault::FreezeService(service) => self.signal(service, Signal::STOP),
            Fault::FreezeStore(store) => self.held(store).store.signal(Signal::STOP),
            Fault::Leave(service) => self.leave(service).await,
            Fault::Join(service) => self.start_service(service),
            Fault::Link(service, store, mode) => self.set_links(service, Some(store), mode),
            Fault::Links(service, mode) => self.set_links(service, None, mode),
            Fault::Disk(how) => self.set_disk(Some(how)),
        }
    }

    /// A fault ends.
    pub async fn end(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillService(service) | Fault::Leave(service) => self.start_service(service),
            Fault::KillStore(store) => self.start_store(store),
            Fault::WipeRedis => self.start_store(Store::Redis),
            Fault::FreezeService(service) => self.signal(service, Signal::CONT),
            Fault::FreezeStore(store) => self.held(store).store.signal(Signal::CONT),
            Fault::Join(service) => self.leave(service).await,
            Fault::Link(service, store, _) => self.set_links(service, Some(store), Mode::Pass),
            Fault::Links(service, _) => self.set_links(service, None, Mode::Pass),
            Fault::Disk(_) => self.set_disk(None),
        }
    }

    /// Starts again what ended though nobody ended it; tells what it was.
    pub fn revive(&mut self) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for (service, slot) in &mut self.services {
            let Some(process) = &mut slot.process else { continue };
            if let Some(status) = process.status()? {
                ended.push(format!("{service} ended by itself: {status}"));
                process.restart()?;
            }
        }
        for store in [Store::Kafka, Store::Redis, Store::ClickHouse] {
            let held = self.held(store);
            if held.up
                && let Some(status) = held.store.ended()?
            {
                ended.push(format!("{store} ended by itself: {status}"));
                held.store.start_again()?;
            }
        }
        Ok(ended)
    }

    fn start_service(&mut self, service: Service) -> Result<()> {
        let directory = self.directory.clone();
        let slot = self.slot(service)?;
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
        // Killed as it is let go.
        self.slot(service)?.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    async fn leave(&mut self, service: Service) -> Result<()> {
        match self.slot(service)?.process.take() {
            Some(mut process) => process.terminate().await.map(drop),
            None => Ok(()),
        }
    }

    fn signal(&mut self, service: Service, signal: Signal) -> Result<()> {
        self.slot(service)?.process.as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    fn kill_store(&mut self, store: Store) -> Result<()> {
        let held = self.held(store);
        held.up = false;
        held.store.kill()
    }

    fn start_store(&mut self, store: Store) -> Result<()> {
        let held = self.held(store);
        held.up = true;
        held.store.start_again()
    }

    fn set_links(&mut self, service: Service, store: Option<Store>, mode: Mode) -> Result<()> {
        let links = &self.slot(service)?.links;
        let meant = links.iter().filter(|(to, _)| store.is_none_or(|store| store == **to));
        meant.for_each(|(_, link)| link.set(mode));
        Ok(())
    }

    fn set_disk(&mut self, how: Option<Disk>) -> Result<()> {
        self.disk.set(how)
    }

    fn slot(&mut self, service: Service) -> Result<&mut Slot> {
        self.services.get_mut(&service).ok_or_else(|| format!("no {service}").into())
    }

    fn held(&mut self, store: Store) -> &mut Held {
        match store {
            Store::Kafka => &mut self.kafka,
            Store::Redis => &mut self.redis,
            Store::ClickHouse => &mut self.clickhouse,
        }
    }
}

fn settings(namespace: &str, links: &BTreeMap<Store, Link>) -> Result<HashMap<String, String>> {
    let at = |store| format!("127.0.0.1:{}", links[&store].port());
    let settings = [
        ("NAMESPACE", namespace.to_owned()),
        ("LISTEN", format!("127.0.0.1:{}", free_port()?)),
        ("OPS_LISTEN", format!("127.0.0.1:{}", free_port()?)),
        ("KAFKA_BROKERS", at(Store::Kafka)),
        ("REDIS_URL", format!("redis://{}", at(Store::Redis))),
        ("CLICKHOUSE_URL", format!("http://{}", at(Store::ClickHouse))),
        ("OPERATOR_TOKEN", OPERATOR_TOKEN.to_owned()),
        ("ADDRESS_HASH_KEY", ADDRESS_HASH_KEY.to_owned()),
    ];
    Ok(settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
