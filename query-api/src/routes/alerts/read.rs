//! Reads a rule from a body.

use crate::app::App;
use crate::body::Fields;
use crate::error::{Error, Unavailable, directory_unavailable};
use crate::faults::FaultCode;
use crate::routes::reading;
use alerting::rule::{NoData, Operator, Window};
use proto::v1;
use reads::series::aggregation::Aggregation;
use serde_json::Value;
use service::wire_enum::WireEnum as _;

/// So many channels has a rule.
const CHANNELS: usize = 20;

/// The rule in `fields`, with all faults told at once. Its channels must be the project's.
pub async fn alert(app: &App, project_id: &str, mut fields: Fields) -> Result<v1::Alert, Error> {
    let name = fields.name("name");
    let metric_id = fields.string("metricId");
    if metric_id.as_deref().is_some_and(|id| !reading::is_metric_id(id)) {
        fields.faults.add("metricId", FaultCode::BadMetricId, reading::METRIC_ID);
    }
    let aggregation = fields.word("aggregation", Some(Aggregation::Avg));
    let operator = fields.word::<Operator>("operator", None);
    let threshold = fields.number("threshold");
    let window = fields.word::<Window>("range", None);
    let enabled = fields.flag("enabled", true);
    let no_data = fields.word("noData", Some(NoData::Ignore));
    let channels = channels(app, project_id, &mut fields).await?;
    fields.faults.check()?;
    let unavailable = Error::Unavailable(Unavailable::Command);
    let (Some(name), Some(metric_id), Some(threshold)) = (name, metric_id, threshold) else {
        return Err(unavailable);
    };
    let (Some(aggregation), Some(operator), Some(window), Some(no_data)) =
        (aggregation, operator, window, no_data)
    else {
        return Err(unavailable);
    };
    Ok(v1::Alert {
        project_id: project_id.to_owned(),
        name,
        metric_id,
        aggregation: aggregation.as_str().to_owned(),
        operator: operator.as_str().to_owned(),
        threshold,
        range: window.as_str().to_owned(),
        channels,
        enabled,
        no_data: no_data.as_str().to_owned(),
        ..v1::Alert::default()
    })
}

async fn channels(app: &App, project_id: &str, fields: &mut Fields) -> Result<Vec<String>, Error> {
    let ids = match fields.take("channels") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| if let Value::String(id) = item { Some(id) } else { None })
            .collect::<Option<Vec<String>>>(),
        Some(_) => None,
    };
    let Some(mut ids) = ids else {
        fields.faults.add("channels", FaultCode::NotAnArray, "must be a list of channels' ids");
        return Ok(Vec::new());
    };
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    if ids.len() > CHANNELS {
        fields.faults.add("channels", FaultCode::BadLength, format!("must be at most {CHANNELS} channels"));
        return Ok(Vec::new());
    }
    let wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = app.directory.owned_of::<v1::Channel>(project_id, &wanted).await.map_err(directory_unavailable)?;
    for (id, _) in ids.iter().zip(found).filter(|(_, channel)| channel.is_none()) {
        let id: String = id.chars().take(64).collect();
        fields.faults.add(
            "channels",
            FaultCode::UnknownChannel,
            format!("must be the project's channels; `{id}` is none"),
        );
    }
    Ok(ids)
}
