//! Commands on projects and plans.

use super::{CommandError, Commands, Expected, lock::Lock, new_key, removal};
use crate::token::{self, Token};
use crate::{directory::ProjectView, plans};
use proto::control::{EntityKind, deletion_id};
use proto::v1::{Plan, Project, ProjectPlan, Scope, entity::Kind};
use service::clock::now_ms;

/// What is to be changed of a project; none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// Its name.
    pub name: Option<String>,
    /// The name of its plan.
    pub plan: Option<String>,
}

impl Commands {
    /// Creates a project on `plan`, with a first key that may manage it. The key comes last: whoever holds one finds
    /// everything that it stands on.
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
        let events = [Kind::Project(project.clone()), chosen(id, plan), Kind::ApiKey(key)];
        let mut lock = self.lock(id).await?;
        let done = self.carry_out(&mut lock, events).await;
        lock.end(done).await?;
        Ok((project, token))
    }

    /// Changes a project. The plan comes first: a new version says that all of the change has been made.
    pub async fn change_project(
        &self,
        project_id: &str,
        change: ProjectChange,
        expected: &Expected,
    ) -> Result<ProjectView, CommandError> {
        let mut lock = self.lock(project_id).await?;
        let done = self.change_locked(&mut lock, project_id, change, expected).await;
        lock.end(done).await
    }

    async fn change_locked(
        &self,
        lock: &mut Lock,
        project_id: &str,
        change: ProjectChange,
        expected: &Expected,
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
        let choice = change.plan.as_deref().map(|plan| chosen(project_id, plan));
        self.carry_out(lock, choice.into_iter().chain([Kind::Project(project.clone())])).await?;
        Ok(ProjectView { project, plan: change.plan.unwrap_or(plan) })
    }

    /// Removes a project: every gateway refuses its keys within a second, and its samples are deleted.
    pub async fn remove_project(&self, project_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(project_id).await?;
        let done = self.remove_locked(&mut lock, project_id).await;
        lock.end(done).await
    }

    /// The removal, then the deletion of all samples, which is for ever: it must not be there for a project that goes
    /// on. A removal that was broken off between the two is brought to its end by the next try.
    async fn remove_locked(&self, lock: &mut Lock, project_id: &str) -> Result<(), CommandError> {
        if self.directory.project(project_id).await?.is_some() {
            self.carry_out(lock, [removal(project_id, project_id)]).await?;
        } else if !self.half_removed(project_id).await? {
            return Err(CommandError::NotFound);
        }
        self.delete_locked(lock, project_id, "").await
    }

    /// Whether it was removed and its samples were not.
    async fn half_removed(&self, project_id: &str) -> Result<bool, CommandError> {
        let deletion = deletion_id(project_id, "");
        let wanted = [(EntityKind::Removal, project_id), (EntityKind::Deletion, deletion.as_str())];
        let (found, _) = self.projection.read(&mut self.redis.clone(), wanted, None).await?;
        // Connections are removed under ids of their own.
        let ours =
            |removal: &Kind| matches!(removal, Kind::Removal(removal) if removal.project_id == project_id);
        Ok(found[0].as_ref().is_some_and(ours) && found[1].is_none())
    }

    /// Makes a plan, or another one of it: that acts on all projects that are on it within a second. Answers it with its
    /// version and times.
    pub async fn put_plan(&self, plan: Plan) -> Result<Plan, CommandError> {
        let mut lock = self.lock(&plan.name).await?;
        let done = self.put_locked(&mut lock, plan).await;
        lock.end(done).await
    }

    async fn put_locked(&self, lock: &mut Lock, plan: Plan) -> Result<Plan, CommandError> {
        let known = self.directory.plan(&plan.name).await?;
        let plan = plans::next(plan, known.as_ref(), now_ms());
        self.carry_out(lock, [Kind::Plan(plan.clone())]).await?;
        Ok(plan)
    }

    async fn check_plan(&self, plan: &str) -> Result<(), CommandError> {
        match self.directory.plan(plan).await? {
            Some(_) => Ok(()),
            None => Err(CommandError::UnknownPlan(plan.to_owned())),
        }
    }
}

fn chosen(project_id: &str, plan: &str) -> Kind {
    Kind::ProjectPlan(ProjectPlan { project_id: project_id.to_owned(), plan: plan.to_owned() })
}
