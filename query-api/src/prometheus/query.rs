//! `query` and `query_range`.

use super::Caller;
use super::answer::{self, QueryResult};
use super::failure::Failure;
use super::fetch;
use super::form::Form;
use crate::app::App;
use axum::extract::State;
use axum::response::Response;
use promql::budget::{Budget, Interest, MAX_POINTS};
use promql::eval::{Evaluation, Sample, Series, Value};
use promql::grid::Grid;
use promql::labels::Labels;
use promql::plan::{Plan, Root};
use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of concurrent evaluations: each may take a processor and some hundred megabytes.
const MAX_EVALUATIONS: usize = 8;
static EVALUATIONS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(MAX_EVALUATIONS);

/// Evaluates a query at one time.
pub async fn instant(
    Caller(key): Caller,
    State(app): State<Arc<App>>,
    form: Form,
) -> Result<Response, Failure> {
    let limit = form.limit("limit")?;
    let at = form.time("time")?.unwrap_or_else(service::clock::now_ms);
    let timeout = form.timeout()?;
    let expr = form.query()?;
    let grid = Grid::instant(at);
    run(&app, &key.project_id, &expr, Question { grid, end: at, over_range: false, limit, timeout }).await
}

/// Evaluates a query at evenly spaced times.
pub async fn range(
    Caller(key): Caller,
    State(app): State<Arc<App>>,
    form: Form,
) -> Result<Response, Failure> {
    let limit = form.limit("limit")?;
    let (start, end) = (form.required_time("start")?, form.required_time("end")?);
    if end < start {
        return Err(Failure::parameter("end", "end timestamp must not be before start time"));
    }
    let step = form.duration("step")?.unwrap_or(0);
    if step <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Failure::parameter("step", reason));
    }
    if (end - start) / step > MAX_POINTS {
        let reason = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(Failure::bad_data(reason.to_owned()));
    }
    let timeout = form.timeout()?;
    let expr = form.query()?;
    let kind = match expr.value_type() {
        ValueType::Matrix => Some("range vector"),
        ValueType::String => Some("string"),
        ValueType::Vector | ValueType::Scalar => None,
    };
    if let Some(kind) = kind {
        let reason =
            format!("invalid expression type {kind:?} for range query, must be Scalar or instant Vector");
        return Err(Failure::parameter("query", reason));
    }
    let grid = Grid::range(start, end, step);
    run(&app, &key.project_id, &expr, Question { grid, end, over_range: true, limit, timeout }).await
}

/// Returns no exemplars, as none are stored. The query must be valid nevertheless.
pub async fn exemplars(_: Caller, form: Form) -> Result<Response, Failure> {
    form.query()?;
    form.range()?;
    Ok(answer::list(Vec::<()>::new(), usize::MAX))
}

struct Question {
    grid: Grid,
    /// End of the range, which may lie between two times of the grid.
    end: i64,
    over_range: bool,
    limit: usize,
    timeout: Option<Duration>,
}

async fn run(app: &App, project: &str, expr: &Expr, question: Question) -> Result<Response, Failure> {
    let Question { grid, end, over_range, limit, timeout } = question;
    let timeout = timeout.map_or(app.reads.store.timeout(), |timeout| timeout.min(app.reads.store.timeout()));
    let deadline = Instant::now() + timeout;
    let plan = Plan::new(expr, grid, end)?;
    let work = async {
        let _permit = EVALUATIONS.acquire().await.map_err(|_| Failure::from(promql::Error::Timeout))?;
        let data = fetch::series(app, project, &plan.selectors).await?;
        // Dropped together with this future, which stops the evaluating thread.
        let interest = Interest::default();
        let budget = Budget::new(deadline, &interest);
        let evaluate = tokio::task::spawn_blocking(move || {
            let evaluation = Evaluation::new(&data, &budget);
            let result = evaluate_root(&evaluation, &plan.root, grid, over_range)?;
            Ok(answer::query(result, limit, evaluation.warnings.take()))
        });
        evaluate.await.unwrap_or_else(|error| {
            tracing::error!(%error, "query evaluation panicked");
            Err(Failure::execution("the query could not be evaluated: internal error".to_owned()))
        })
    };
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(Failure::from(promql::Error::Timeout)))
}

fn evaluate_root(
    evaluation: &Evaluation<'_>,
    root: &Root,
    grid: Grid,
    over_range: bool,
) -> Result<QueryResult, Failure> {
    Ok(match root {
        Root::Text(text) => QueryResult::Text(grid.start, text.clone()),
        Root::Matrix(matrix) => {
            let (series, timing, range) = evaluation.matrix(matrix, grid)?;
            let until = timing.shift(grid.start);
            let inside = |sample: &&Sample| sample.at > until - range && sample.at <= until;
            let cut = series.iter().map(|series| Series {
                labels: series.labels.clone(),
                samples: series.samples.iter().filter(inside).copied().collect(),
            });
            QueryResult::Matrix(cut.collect())
        }
        Root::Node(node) => match (evaluation.node(node, grid)?, over_range) {
            (Value::Vector(columns), true) => QueryResult::Columns(grid, columns),
            (Value::Vector(columns), false) => QueryResult::Vector(grid.start, columns),
            (Value::Scalar(values), true) => {
                let samples = grid.times().zip(values).map(|(at, value)| Sample { at, value });
                QueryResult::Matrix(vec![Series { labels: Labels::default(), samples: samples.collect() }])
            }
            (Value::Scalar(values), false) => {
                QueryResult::Scalar(grid.start, values.first().copied().unwrap_or(f64::NAN))
            }
        },
    })
}
