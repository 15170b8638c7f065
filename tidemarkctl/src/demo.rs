//! `tidemarkctl demo`: a project and a connection to try an installation with, and the line to type.
//!
//! A project that is called like the demo's is left alone, and so is everything else if it is there: keys are shown once,
//! so a second run could only make a second project.

use crate::api::Api;
use crate::arguments::{Arguments, Command, Connection, Project};
use crate::calls::{self, Needs};
use crate::error::Error;
use serde_json::Value;

const NAME: &str = "Demo";

/// Makes the project and its connection; tells what to do with them, or that they are there.
pub fn make(arguments: &Arguments) -> Result<String, Error> {
    let operator = Api::new(&arguments.url, arguments.token_for(Needs::Operator)?)?;
    let projects = operator.send(&calls::of(&Command::Project(Project::List))?)?.json;
    let mut projects = projects["items"].as_array().into_iter().flatten();
    if let Some(there) = projects.find(|project| project["name"] == NAME) {
        return Ok(format!(
            "The demo project {} is there already. Its keys were shown when it was made; for new ones delete it \
             (tidemarkctl project delete {0} --yes) and run this again.",
            text(there, "projectId")
        ));
    }
    let create = Project::Create { name: NAME.to_owned(), plan: "unlimited".to_owned() };
    let project = operator.send(&calls::of(&Command::Project(create))?)?.json;
    let manager = Api::new(&arguments.url, text(&project, "manageKey"))?;
    let create = Connection::Create { name: "Demo Webhook".to_owned() };
    let connection = manager.send(&calls::of(&Command::Connection(create))?)?.json;
    Ok(how_to_use(&project, &connection))
}

fn how_to_use(project: &Value, connection: &Value) -> String {
    let (id, manage) = (text(project, "projectId"), text(project, "manageKey"));
    let (webhook, key) = (text(connection, "webhookUrl"), text(connection, "apiKey"));
    format!(
        "Project      {id}
Manage key   {manage}
Webhook URL  {webhook}
API key      {key}

Send a metric:

curl -sS -X POST '{webhook}' -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{\"projectId\":\"{id}\",\"metrics\":[{{\"metricId\":\"daily_signups\",\"metricName\":\"Daily Signups\",\"value\":42,\"unit\":\"count\"}}]}}'

Sign in to the page with the manage key. The keys are shown this once."
    )
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_default()
}
