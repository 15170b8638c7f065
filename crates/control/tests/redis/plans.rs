//! What a key says of its project's plan, and how soon.

use crate::world::World;
use proto::v1::{Plan, ProjectPlan, entity::Kind};
use redis_access::testing::until;

impl World {
    async fn choose(&mut self, plan: &str) {
        let choice = ProjectPlan { project_id: "prj_a".to_owned(), plan: plan.to_owned() };
        self.apply(Kind::ProjectPlan(choice)).await;
    }

    async fn define(&mut self, plan: &str, requests_per_hour: Option<u64>) {
        self.apply(Kind::Plan(Plan {
            name: plan.to_owned(),
            requests_per_hour,
            alerts: true,
            ..Plan::default()
        }))
        .await;
    }

    async fn limit_becomes(&self, limit: Option<u64>) {
        until(&format!("the limit is {limit:?}"), async || {
            let key = self.keys.authenticate(&self.token).await.ok()?;
            (key.requests_per_hour == limit).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_project_has_the_limit_of_the_plan_that_it_chose_last() {
    let mut world = World::new().await;
    for (plan, limit) in
        [("free", Some(100)), ("pro", Some(1_000)), ("scale", Some(10_000)), ("unlimited", None)]
    {
        world.choose(plan).await;
        world.limit_becomes(limit).await;
    }
}

#[tokio::test]
async fn plans_are_data() {
    let mut world = World::new().await;
    world.choose("pro").await;
    world.limit_becomes(Some(1_000)).await;
    for limit in [Some(7), None, Some(8)] {
        world.define("pro", limit).await;
        world.limit_becomes(limit).await;
    }
    world.choose("wholesale").await;
    world.limit_becomes(Some(100)).await;
    world.define("wholesale", Some(9)).await;
    world.limit_becomes(Some(9)).await;
}

#[tokio::test]
async fn a_project_without_a_plan_is_on_the_free_one() {
    let mut world = World::new().await;
    world.limit_becomes(Some(100)).await;
    world.define("free", Some(11)).await;
    world.limit_becomes(Some(11)).await;
}
