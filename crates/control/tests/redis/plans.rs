//! Changes of plans take effect in the key cache.

use crate::installation::Installation;
use proto::v1::{Plan, ProjectPlan, entity::Kind};
use redis_access::testing::until;

impl Installation {
    async fn assign_plan(&mut self, plan: &str) {
        let assignment = ProjectPlan { project_id: "prj_a".to_owned(), plan: plan.to_owned() };
        self.apply(Kind::ProjectPlan(assignment)).await;
    }

    async fn put_plan(&mut self, plan: &str, requests_per_hour: Option<u64>) {
        self.apply(Kind::Plan(Plan {
            name: plan.to_owned(),
            requests_per_hour,
            alerts: true,
            ..Plan::default()
        }))
        .await;
    }

    async fn wait_for_limit(&self, limit: Option<u64>) {
        until(&format!("the limit is {limit:?}"), async || {
            let key = self.keys.authenticate(&self.token).await.ok()?;
            (key.requests_per_hour == limit).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn limit_follows_the_plan_assigned_last() {
    let mut installation = Installation::new().await;
    for (plan, limit) in
        [("free", Some(100)), ("pro", Some(1_000)), ("scale", Some(10_000)), ("unlimited", None)]
    {
        installation.assign_plan(plan).await;
        installation.wait_for_limit(limit).await;
    }
}

#[tokio::test]
async fn limit_follows_changes_of_the_plan() {
    let mut installation = Installation::new().await;
    installation.assign_plan("pro").await;
    installation.wait_for_limit(Some(1_000)).await;
    for limit in [Some(7), None, Some(8)] {
        installation.put_plan("pro", limit).await;
        installation.wait_for_limit(limit).await;
    }
    installation.assign_plan("wholesale").await;
    installation.wait_for_limit(Some(100)).await;
    installation.put_plan("wholesale", Some(9)).await;
    installation.wait_for_limit(Some(9)).await;
}

#[tokio::test]
async fn project_without_a_plan_has_the_free_plan() {
    let mut installation = Installation::new().await;
    installation.wait_for_limit(Some(100)).await;
    installation.put_plan("free", Some(11)).await;
    installation.wait_for_limit(Some(11)).await;
}
