//! Commands on projects and plans.

use super::entities::{new_key, removal};
use super::error::CommandError;
use super::executor::Commands;
use super::expected_version::ExpectedVersion;
use super::lock::Lock;
use crate::token::{self, Token};
use crate::{directory::ProjectView, plans};
use proto::control::{EntityKind, deletion_id};
use proto::v1::{Plan, Project, ProjectPlan, Scope, entity::Kind};
use service::clock::now_ms;

/// A change of a project. Fields that are none stay unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// New name.
    pub name: Option<String>,
    /// Name of the new plan.
    pub plan: Option<String>,
}

impl Commands {
    /// Creates a project on `plan`, with a first key that has the scope `manage`. The key is published last, so a key
    /// never exists without its project and plan.
    pub async fn create_project(&self, name: &str, plan: &str) -> Result<(Project, Token), CommandError> {
        self.check_plan(plan).await?;
        let now = now_ms();
        let project = Project {
            project_id: token::id("prj"),
            name: name.to_owned(),
            created_at_ms: now,
            updated_at_ms: now,
            version: 1,
        };
        let id = &project.project_id;
        let (key, token) = new_key(id, "Project key", vec![Scope::Manage], "");
        let events = [Kind::Project(project.clone()), plan_assignment(id, plan), Kind::ApiKey(key)];
        let mut lock = self.lock(id).await?;
        let done = self.publish_and_apply(&mut lock, events).await;
        lock.end(done).await?;
        Ok((project, token))
    }

    /// Changes a project. The plan is published first, so a new version of the project implies that the whole change
    /// was made.
    pub async fn change_project(
        &self,
        project_id: &str,
        change: ProjectChange,
        expected: &ExpectedVersion,
    ) -> Result<ProjectView, CommandError> {
        let mut lock = self.lock(project_id).await?;
        let done = self.change_project_locked(&mut lock, project_id, change, expected).await;
        lock.end(done).await
    }

    async fn change_project_locked(
        &self,
        lock: &mut Lock,
        project_id: &str,
        change: ProjectChange,
        expected: &ExpectedVersion,
    ) -> Result<ProjectView, CommandError> {
        let ProjectView { mut project, plan } =
            self.directory.project(project_id).await?.ok_or(CommandError::NotFound)?;
        expected.check(project.version)?;
        if let Some(plan) = &change.plan {
            self.check_plan(plan).await?;
        }
        project.version += 1;
        project.updated_at_ms = now_ms();
        project.name = change.name.unwrap_or(project.name);
        let assignment = change.plan.as_deref().map(|plan| plan_assignment(project_id, plan));
        self.publish_and_apply(lock, assignment.into_iter().chain([Kind::Project(project.clone())])).await?;
        Ok(ProjectView { project, plan: change.plan.unwrap_or(plan) })
    }

    /// Removes a project and deletes its samples. Every gateway refuses its keys within one second.
    pub async fn remove_project(&self, project_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(project_id).await?;
        let done = self.remove_project_locked(&mut lock, project_id).await;
        lock.end(done).await
    }

    /// Publishes the removal, then the deletion of all samples. A deletion is permanent, so it must not exist for a
    /// project that was not removed. If a removal was interrupted between the two, the next attempt completes it.
    async fn remove_project_locked(&self, lock: &mut Lock, project_id: &str) -> Result<(), CommandError> {
        if self.directory.project(project_id).await?.is_some() {
            self.publish_and_apply(lock, [removal(project_id, project_id)]).await?;
        } else if !self.removed_without_deletion(project_id).await? {
            return Err(CommandError::NotFound);
        }
        self.delete_locked(lock, project_id, "").await
    }

    /// Returns whether the project was removed but the deletion of its samples was not published.
    async fn removed_without_deletion(&self, project_id: &str) -> Result<bool, CommandError> {
        let deletion = deletion_id(project_id, "");
        let entities = [(EntityKind::Removal, project_id), (EntityKind::Deletion, deletion.as_str())];
        let (found, _) = self.projection.read(&mut self.redis.clone(), entities, None).await?;
        // The removal of a connection or another entity does not count.
        let of_project =
            |removal: &Kind| matches!(removal, Kind::Removal(removal) if removal.project_id == project_id);
        Ok(found[0].as_ref().is_some_and(of_project) && found[1].is_none())
    }

    /// Creates or replaces a plan and returns it with its version and times. A replaced plan applies to all its
    /// projects within one second.
    pub async fn put_plan(&self, plan: Plan) -> Result<Plan, CommandError> {
        let mut lock = self.lock(&plan.name).await?;
        let done = self.put_plan_locked(&mut lock, plan).await;
        lock.end(done).await
    }

    async fn put_plan_locked(&self, lock: &mut Lock, plan: Plan) -> Result<Plan, CommandError> {
        let current = self.directory.plan(&plan.name).await?;
        let plan = plans::next_version(plan, current.as_ref(), now_ms());
        self.publish_and_apply(lock, [Kind::Plan(plan.clone())]).await?;
        Ok(plan)
    }

    async fn check_plan(&self, plan: &str) -> Result<(), CommandError> {
        match self.directory.plan(plan).await? {
            Some(_) => Ok(()),
            None => Err(CommandError::UnknownPlan(plan.to_owned())),
        }
    }
}

fn plan_assignment(project_id: &str, plan: &str) -> Kind {
    Kind::ProjectPlan(ProjectPlan { project_id: project_id.to_owned(), plan: plan.to_owned() })
}
