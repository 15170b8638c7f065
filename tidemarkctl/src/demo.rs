//! `tidemarkctl demo` creates a project with a connection, and prints the command that sends a first metric.
//!
//! If a project with the demo's name exists, it changes nothing: keys are shown only once, so a second run
//! could only create a second project.

use crate::api::Api;
use crate::arguments::{Arguments, Command, Connection, Project};
use crate::calls;
use crate::error::Error;
use crate::token::RequiredToken;
use serde_json::Value;

/// Name of the demo project.
const NAME: &str = "Demo";

/// Creates the project and its connection, unless the project exists. Returns the text to print.
pub fn create(arguments: &Arguments) -> Result<String, Error> {
    let operator = Api::new(&arguments.url, arguments.token_for(RequiredToken::Operator)?)?;
    let projects = operator.send(&calls::for_command(&Command::Project(Project::List))?)?.json;
    let mut projects = projects["items"].as_array().into_iter().flatten();
    if let Some(existing) = projects.find(|project| project["name"] == NAME) {
        return Ok(format!(
            "The demo project {} already exists. Its keys were shown when it was created. To get new keys, delete it \
             (tidemarkctl project delete {0} --yes) and run this command again.",
            text(existing, "projectId")
        ));
    }
    let create = Project::Create { name: NAME.to_owned(), plan: "unlimited".to_owned() };
    let project = operator.send(&calls::for_command(&Command::Project(create))?)?.json;
    let manager = Api::new(&arguments.url, text(&project, "manageKey"))?;
    let create = Connection::Create { name: "Demo Webhook".to_owned() };
    let connection = manager.send(&calls::for_command(&Command::Connection(create))?)?.json;
    Ok(instructions(&project, &connection))
}

fn instructions(project: &Value, connection: &Value) -> String {
    let (id, manage) = (text(project, "projectId"), text(project, "manageKey"));
    let (webhook, key) = (text(connection, "webhookUrl"), text(connection, "apiKey"));
    format!(
        "Project      {id}
Manage key   {manage}
Webhook URL  {webhook}
API key      {key}

Send a metric:

curl -sS -X POST '{webhook}' -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{\"projectId\":\"{id}\",\"metrics\":[{{\"metricId\":\"daily_signups\",\"metricName\":\"Daily Signups\",\"value\":42,\"unit\":\"count\"}}]}}'

Sign in to the web page with the manage key. The keys will not be shown again."
    )
}

fn text<'a>(response: &'a Value, field: &str) -> &'a str {
    response[field].as_str().unwrap_or_default()
}
