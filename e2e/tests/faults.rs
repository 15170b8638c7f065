//! A short campaign of faults with a fixed seed; `deploy/local/faults` runs longer ones. What may never happen is said in
//! [`e2e::faults`].

use e2e::Result;
use std::time::Duration;

const SEED: u64 = 5;
const LENGTH: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_of_faults_loses_nothing_and_doubles_nothing() -> Result<()> {
    let verdict = e2e::faults::run(SEED, LENGTH).await?;
    assert!(verdict.faults.is_empty(), "seed {SEED}: {:#?}", verdict.faults);
    Ok(())
}
