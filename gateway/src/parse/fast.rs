//! The fast pass: deserialises with serde straight into borrowed fields. It leaves everything unusual to the
//! slow pass.

use super::{Batch, Sample};
use crate::validate;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    project_id: Text<'a>,
    metrics: Option<Vec<Object<Metric<'a>>>>,
    metric_id: Option<Text<'a>>,
    metric_name: Option<Text<'a>>,
    value: Option<f64>,
    unit: Option<Text<'a>>,
    timestamp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metric<'a> {
    #[serde(borrow)]
    metric_id: Text<'a>,
    metric_name: Option<Text<'a>>,
    value: f64,
    unit: Option<Text<'a>>,
    timestamp: Option<i64>,
}

/// Accepts only a JSON object, because serde also reads structs from arrays.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// A string that is borrowed where possible. Serde never borrows a `Cow` inside an `Option`.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// Returns the batch, or `None` to let the slow pass decide.
pub fn batch(body: &[u8], now_ms: i64) -> Option<Batch<'_>> {
    let Object(body): Object<Body<'_>> = serde_json::from_slice(body).ok()?;
    let metrics = match (body.metrics, body.metric_id) {
        (Some(metrics), None)
            if body.metric_name.is_none()
                && body.value.is_none()
                && body.unit.is_none()
                && body.timestamp.is_none() =>
        {
            metrics
        }
        (None, Some(metric_id)) => vec![Object(Metric {
            metric_id,
            metric_name: body.metric_name,
            value: body.value?,
            unit: body.unit,
            timestamp: body.timestamp,
        })],
        _ => return None,
    };
    if !(1..=validate::MAX_METRICS).contains(&metrics.len()) {
        return None;
    }
    let samples = metrics.into_iter().map(|Object(metric)| metric.sample(now_ms)).collect::<Option<_>>()?;
    Some(Batch { project_id: body.project_id.0, samples })
}

impl<'a> Metric<'a> {
    fn sample(self, now_ms: i64) -> Option<Sample<'a>> {
        let is_valid = validate::is_metric_id(&self.metric_id.0)
            && self.metric_name.as_ref().is_none_or(|name| validate::is_name(&name.0))
            && self.unit.as_ref().is_none_or(|unit| validate::is_unit(&unit.0))
            && self.timestamp.is_none_or(|timestamp| validate::is_timestamp(timestamp, now_ms))
            && self.value.is_finite();
        is_valid.then(|| Sample {
            metric_id: self.metric_id.0,
            metric_name: self.metric_name.map(|name| name.0),
            value: self.value,
            unit: self.unit.map(|unit| unit.0),
            timestamp_ms: self.timestamp,
        })
    }
}
