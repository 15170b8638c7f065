//! Planning: converts a syntax tree to an executable plan. Names become functions, `@` and `offset` become times, and
//! unsupported constructs become errors. Collects the selectors, each with the time range that it reads.

use super::functions::{LabelRule, Map, Over};
use super::grid::{Grid, Timing, subquery};
use super::labels::{Grouping, Labels, NAME, matchers};
use crate::error::Error;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinaryExpr, Call, Expr, LabelModifier, Offset, VectorMatchCardinality,
    VectorSelector,
};
use std::time::{Duration, SystemTime};

/// Lookback of an instant selector, milliseconds.
pub const LOOKBACK_MS: i64 = 300_000;
/// Default step of a subquery.
const SUBQUERY_STEP_MS: i64 = 60_000;
/// Maximum nesting depth of expressions, which consumes stack.
const MAX_LEVELS: usize = 250;
/// Upper bound of durations and times; larger values are clamped to it. 31,000 years.
const ETERNITY_MS: i64 = 1_000_000_000_000_000;

/// Plan of a query.
#[derive(Debug)]
pub struct Plan {
    /// The expression to evaluate.
    pub root: Root,
    /// The selectors to read.
    pub selectors: Vec<Selector>,
}

/// The whole expression.
#[derive(Debug)]
pub enum Root {
    /// An instant vector or a scalar.
    Node(Node),
    /// A range vector; for instant queries only.
    Matrix(Matrix),
    /// A string; for instant queries only.
    Text(String),
}

/// Series, and the time range of their samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// Matchers, all of which must match.
    pub matchers: Vec<Matcher>,
    /// Samples after this time, Unix milliseconds.
    pub after: i64,
    /// Samples up to and including this time, Unix milliseconds.
    pub until: i64,
}

/// An expression with an instant vector or a scalar as its result at each step.
#[derive(Debug)]
pub enum Node {
    /// A number.
    Number(f64),
    /// `time()`.
    Time,
    /// An instant selector; inside `timestamp()` the result is the time of each sample instead of its value.
    Select { selector: usize, timing: Timing, timestamps: bool },
    /// A function of the samples in a window.
    Over { function: Over, matrix: Matrix, parameter: Option<Box<Node>> },
    /// `absent()`, `absent_over_time()`: 1 where the operand has no value.
    Absent { node: Box<Node>, labels: Labels },
    /// A function of each value.
    Map { function: Map, node: Box<Node>, parameters: Vec<Node> },
    /// `timestamp()` of an expression that is not a selector.
    Timestamp(Box<Node>),
    /// `vector()`.
    Vector(Box<Node>),
    /// `scalar()`.
    Scalar(Box<Node>),
    /// `sort()`, `sort_desc()`.
    Sort { node: Box<Node>, descending: bool },
    /// `label_replace()`, `label_join()`.
    Relabel { node: Box<Node>, rule: LabelRule },
    /// The unary minus.
    Negate(Box<Node>),
    /// An aggregation over series.
    Aggregate { operator: Aggregator, grouping: Grouping, node: Box<Node>, parameter: Option<Box<Node>> },
    /// A binary operator.
    Binary { operator: Operator, sides: Box<(Node, Node)>, matching: Option<Grouping>, as_bool: bool },
}

/// Source of the samples of a window.
#[derive(Debug)]
pub enum Matrix {
    /// A selector.
    Select { selector: usize, timing: Timing, range: i64 },
    /// A subquery: an expression that is evaluated every `step`.
    Subquery { node: Box<Node>, timing: Timing, range: i64, step: i64 },
}

/// Aggregations over series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Quantile,
    Topk,
    Bottomk,
}

/// Binary operators.
#[derive(Debug, Clone, Copy)]
pub enum Operator {
    /// Arithmetic.
    Arithmetic(fn(f64, f64) -> f64),
    /// A comparison, which filters or returns 0 and 1 (`bool`).
    Comparison(fn(&f64, &f64) -> bool),
    /// `and`.
    And,
    /// `or`.
    Or,
    /// `unless`.
    Unless,
}

impl Plan {
    /// Returns the plan of `expr` for the steps of `grid`. The last step may lie before the `end` of the range.
    pub fn new(expr: &Expr, grid: Grid, end: i64) -> Result<Self, Error> {
        let mut planner = Planner { start: grid.start, end, selectors: Vec::new() };
        let root = match unwrapped(expr) {
            Expr::StringLiteral(text) => Root::Text(text.val.clone()),
            matrix @ (Expr::MatrixSelector(_) | Expr::Subquery(_)) => {
                Root::Matrix(planner.matrix(matrix, grid, 0)?)
            }
            other => Root::Node(planner.node(other, grid, 0)?),
        };
        Ok(Self { root, selectors: planner.selectors })
    }
}

struct Planner {
    /// The time of `start()`.
    start: i64,
    /// The time of `end()`.
    end: i64,
    selectors: Vec<Selector>,
}

impl Planner {
    fn node(&mut self, expr: &Expr, grid: Grid, level: usize) -> Result<Node, Error> {
        if level > MAX_LEVELS {
            return Err(Error::Execution(format!("the query is nested deeper than {MAX_LEVELS} levels")));
        }
        let level = level + 1;
        Ok(match expr {
            Expr::NumberLiteral(number) => Node::Number(number.val),
            Expr::Paren(inner) => self.node(&inner.expr, grid, level)?,
            Expr::VectorSelector(selector) => self.select(selector, grid, false)?,
            Expr::Unary(unary) => Node::Negate(Box::new(self.node(&unary.expr, grid, level)?)),
            Expr::Binary(binary) => self.binary(binary, grid, level)?,
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, grid, level)?,
            Expr::Call(call) => self.call(call, grid, level)?,
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                return Err(expected("an instant vector", "a range vector"));
            }
            Expr::StringLiteral(_) => return Err(expected("an instant vector", "a string")),
            Expr::Extension(_) => return Err(Error::unsupported("an extension")),
        })
    }

    fn select(&mut self, selector: &VectorSelector, grid: Grid, timestamps: bool) -> Result<Node, Error> {
        let timing = self.timing(selector.at.as_ref(), selector.offset.as_ref());
        let selector = self.selector(selector, grid, timing, LOOKBACK_MS)?;
        Ok(Node::Select { selector, timing, timestamps })
    }

    fn matrix(&mut self, expr: &Expr, grid: Grid, level: usize) -> Result<Matrix, Error> {
        match unwrapped(expr) {
            Expr::MatrixSelector(matrix) => {
                let timing = self.timing(matrix.vs.at.as_ref(), matrix.vs.offset.as_ref());
                let range = milliseconds(matrix.range);
                let selector = self.selector(&matrix.vs, grid, timing, range)?;
                Ok(Matrix::Select { selector, timing, range })
            }
            Expr::Subquery(inner) => {
                let timing = self.timing(inner.at.as_ref(), inner.offset.as_ref());
                let (range, step) =
                    (milliseconds(inner.range), inner.step.map_or(SUBQUERY_STEP_MS, milliseconds));
                if step <= 0 {
                    return Err(Error::BadData("the step of a subquery must be longer than zero".to_owned()));
                }
                let node = self.node(&inner.expr, subquery(grid, timing, range, step), level + 1)?;
                Ok(Matrix::Subquery { node: Box::new(node), timing, range, step })
            }
            _ => Err(expected("a range vector", "an instant vector or scalar")),
        }
    }

    /// Adds a selector and returns its index. Equal selectors are read once.
    fn selector(
        &mut self,
        selector: &VectorSelector,
        grid: Grid,
        timing: Timing,
        range: i64,
    ) -> Result<usize, Error> {
        if !selector.matchers.or_matchers.is_empty() {
            return Err(Error::unsupported("`or` between matchers"));
        }
        let wanted = Selector {
            matchers: matchers(selector.name.as_deref(), &selector.matchers),
            after: timing.shift(grid.start) - range,
            until: timing.shift(grid.last()),
        };
        let index = self.selectors.iter().position(|known| *known == wanted);
        Ok(index.unwrap_or_else(|| {
            self.selectors.push(wanted);
            self.selectors.len() - 1
        }))
    }

    fn timing(&self, at: Option<&AtModifier>, offset: Option<&Offset>) -> Timing {
        let at = at.map(|at| match at {
            AtModifier::Start => self.start,
            AtModifier::End => self.end,
            AtModifier::At(time) => match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(since) => milliseconds(since),
                Err(before) => -milliseconds(before.duration()),
            },
        });
        let offset = offset.map_or(0, |offset| match offset {
            Offset::Pos(earlier) => milliseconds(*earlier),
            Offset::Neg(later) => -milliseconds(*later),
        });
        Timing { at, offset }
    }

    fn binary(&mut self, expr: &BinaryExpr, grid: Grid, level: usize) -> Result<Node, Error> {
        let symbol = expr.op.to_string();
        let operator =
            operator(&symbol).ok_or_else(|| Error::unsupported(format!("the operator `{symbol}`")))?;
        let (mut matching, mut as_bool) = (None, false);
        if let Some(modifier) = &expr.modifier {
            match modifier.card {
                VectorMatchCardinality::ManyToOne(_) => return Err(Error::unsupported("`group_left`")),
                VectorMatchCardinality::OneToMany(_) => return Err(Error::unsupported("`group_right`")),
                VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {}
            }
            if modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some() {
                return Err(Error::unsupported("`fill`"));
            }
            matching = modifier.matching.as_ref().map(grouping);
            as_bool = modifier.return_bool;
        }
        let sides = (self.node(&expr.lhs, grid, level)?, self.node(&expr.rhs, grid, level)?);
        Ok(Node::Binary { operator, sides: Box::new(sides), matching, as_bool })
    }

    fn aggregate(&mut self, expr: &AggregateExpr, grid: Grid, level: usize) -> Result<Node, Error> {
        let name = expr.op.to_string();
        let operator = match name.as_str() {
            "sum" => Aggregator::Sum,
            "avg" => Aggregator::Avg,
            "min" => Aggregator::Min,
            "max" => Aggregator::Max,
            "count" => Aggregator::Count,
            "group" => Aggregator::Group,
            "stddev" => Aggregator::Stddev,
            "stdvar" => Aggregator::Stdvar,
            "quantile" => Aggregator::Quantile,
            "topk" => Aggregator::Topk,
            "bottomk" => Aggregator::Bottomk,
            _ => return Err(Error::unsupported(format!("the aggregation `{name}`"))),
        };
        let parameter = match &expr.param {
            Some(parameter) => Some(Box::new(self.node(parameter, grid, level)?)),
            None => None,
        };
        let grouping = expr.modifier.as_ref().map_or(Grouping::By(Vec::new()), grouping);
        Ok(Node::Aggregate {
            operator,
            grouping,
            node: Box::new(self.node(&expr.expr, grid, level)?),
            parameter,
        })
    }

    fn call(&mut self, call: &Call, grid: Grid, level: usize) -> Result<Node, Error> {
        let (name, arguments) = (call.func.name, &call.args.args);
        let argument = |index: usize| {
            arguments
                .get(index)
                .map(Box::as_ref)
                .ok_or_else(|| Error::BadData(format!("{name} lacks an argument")))
        };
        if let Some(function) = Over::named(name) {
            // The window is the last argument of quantile_over_time and the first of all others.
            let (window, parameter) = match function {
                Over::Quantile => (argument(1)?, Some(argument(0)?)),
                Over::PredictLinear => (argument(0)?, Some(argument(1)?)),
                _ => (argument(0)?, None),
            };
            let parameter = match parameter {
                Some(parameter) => Some(Box::new(self.node(parameter, grid, level)?)),
                None => None,
            };
            let matrix = self.matrix(window, grid, level)?;
            return Ok(Node::Over { function, matrix, parameter });
        }
        if let Some(function) = Map::named(name) {
            let node = match arguments.first() {
                Some(first) => self.node(first, grid, level)?,
                None => Node::Vector(Box::new(Node::Time)),
            };
            let parameters = arguments.iter().skip(1).map(|expr| self.node(expr, grid, level));
            return Ok(Node::Map {
                function,
                parameters: parameters.collect::<Result<_, _>>()?,
                node: Box::new(node),
            });
        }
        Ok(match name {
            "time" => Node::Time,
            "pi" => Node::Number(std::f64::consts::PI),
            "vector" => Node::Vector(Box::new(self.node(argument(0)?, grid, level)?)),
            "scalar" => Node::Scalar(Box::new(self.node(argument(0)?, grid, level)?)),
            "sort" | "sort_desc" => Node::Sort {
                node: Box::new(self.node(argument(0)?, grid, level)?),
                descending: name == "sort_desc",
            },
            "timestamp" => match unwrapped(argument(0)?) {
                Expr::VectorSelector(selector) => self.select(selector, grid, true)?,
                other => Node::Timestamp(Box::new(self.node(other, grid, level)?)),
            },
            "absent" => {
                let inner = argument(0)?;
                Node::Absent { labels: absent_labels(inner), node: Box::new(self.node(inner, grid, level)?) }
            }
            "absent_over_time" => {
                let (labels, matrix) = (absent_labels(argument(0)?), self.matrix(argument(0)?, grid, level)?);
                let node = Box::new(Node::Over { function: Over::Present, matrix, parameter: None });
                Node::Absent { node, labels }
            }
            "label_replace" | "label_join" => {
                let node = Box::new(self.node(argument(0)?, grid, level)?);
                let texts = arguments.iter().skip(1).map(|expr| match unwrapped(expr) {
                    Expr::StringLiteral(text) => Ok(text.val.clone()),
                    _ => Err(expected("a string", "something else")),
                });
                let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
                let rule = match name {
                    "label_replace" => LabelRule::replace(&texts)?,
                    _ => LabelRule::join(&texts)?,
                };
                Node::Relabel { node, rule }
            }
            _ => return Err(Error::unsupported(format!("the function `{name}`"))),
        })
    }
}

fn operator(symbol: &str) -> Option<Operator> {
    Some(match symbol {
        "+" => Operator::Arithmetic(|a, b| a + b),
        "-" => Operator::Arithmetic(|a, b| a - b),
        "*" => Operator::Arithmetic(|a, b| a * b),
        "/" => Operator::Arithmetic(|a, b| a / b),
        "%" => Operator::Arithmetic(|a, b| a % b),
        "^" => Operator::Arithmetic(f64::powf),
        "atan2" => Operator::Arithmetic(f64::atan2),
        "==" => Operator::Comparison(|a, b| a == b),
        "!=" => Operator::Comparison(|a, b| a != b),
        "<" => Operator::Comparison(|a, b| a < b),
        ">" => Operator::Comparison(|a, b| a > b),
        "<=" => Operator::Comparison(|a, b| a <= b),
        ">=" => Operator::Comparison(|a, b| a >= b),
        "and" => Operator::And,
        "or" => Operator::Or,
        "unless" => Operator::Unless,
        _ => return None,
    })
}

fn grouping(modifier: &LabelModifier) -> Grouping {
    match modifier {
        LabelModifier::Include(labels) => Grouping::By(labels.labels.clone()),
        LabelModifier::Exclude(labels) => Grouping::Without(labels.labels.clone()),
    }
}

/// Returns the labels of an absent series: those for which the selector has exactly one equality matcher.
fn absent_labels(expr: &Expr) -> Labels {
    let selector = match unwrapped(expr) {
        Expr::VectorSelector(selector) => selector,
        Expr::MatrixSelector(matrix) => &matrix.vs,
        _ => return Labels::default(),
    };
    let mut labels = Labels::default();
    let asked = &selector.matchers.matchers;
    for matcher in asked {
        let alone = asked.iter().filter(|other| other.name == matcher.name).count() == 1;
        if matcher.name != NAME && alone && matches!(matcher.op, MatchOp::Equal) {
            labels.set(&matcher.name, matcher.value.clone());
        }
    }
    labels
}

fn unwrapped(mut expr: &Expr) -> &Expr {
    while let Expr::Paren(inner) = expr {
        expr = &inner.expr;
    }
    expr
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(ETERNITY_MS, |milliseconds| milliseconds.min(ETERNITY_MS))
}

fn expected(wanted: &str, got: &str) -> Error {
    Error::parameter("query", format!("parse error: expected {wanted}, got {got}"))
}
