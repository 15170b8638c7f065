//! A short fault-injection campaign with a fixed seed; `deploy/local/faults` runs longer ones. [`e2e::faults`]
//! lists the invariants.

use e2e::Result;
use std::time::Duration;

const SEED: u64 = 5;
const LENGTH: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn fault_campaign_violates_no_invariant() -> Result<()> {
    let verdict = e2e::faults::run(SEED, LENGTH).await?;
    assert!(verdict.violations.is_empty(), "seed {SEED}: {:#?}", verdict.violations);
    Ok(())
}
