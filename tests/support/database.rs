//! Asks a database by the query API that Prometheus and VictoriaMetrics share, and computes by brute
//! force what it must answer.

use serde_json::Value;

use crate::server::Server;

/// A series' labels and its samples: Unix time in seconds and value.
pub(crate) type Series = (Value, Vec<(f64, f64)>);

/// What an expression gives at an instant: one sample a series, or all of a range.
pub(crate) async fn ask(server: &Server, expression: &str, time: i64) -> Vec<Series> {
    let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
    let path = format!("/api/v1/query?time={time}&query={encoded}");
    let Some(body) = server.get(&path).await else {
        panic!("no answer to {expression}; {}", server.said())
    };
    let body: Value = serde_json::from_str(&body).unwrap();
    let results = body["data"]["result"].as_array().unwrap();
    results
        .iter()
        .map(|result| {
            let samples = match &result["values"] {
                Value::Array(samples) => samples.iter().map(sample).collect(),
                _ => vec![sample(&result["value"])],
            };
            (result["metric"].clone(), samples)
        })
        .collect()
}

fn sample(pair: &Value) -> (f64, f64) {
    let value = pair[1].as_str().unwrap().parse().unwrap();
    (pair[0].as_f64().unwrap(), value)
}

/// The samples of the only series; none if there is no series.
pub(crate) async fn only(server: &Server, expression: &str, time: i64) -> Vec<(f64, f64)> {
    let mut answers = ask(server, expression, time).await;
    assert!(answers.len() <= 1, "{expression}: {answers:?}");
    answers.pop().map(|(_, samples)| samples).unwrap_or_default()
}

/// The quantile as Prometheus defines it: linear between the two nearest ranks; not a number of nothing.
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "ranks are small and not negative"
)]
pub(crate) fn quantile(share: f64, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    if sorted.is_empty() {
        return f64::NAN;
    }
    sorted.sort_by(f64::total_cmp);
    let rank = share * (sorted.len() - 1) as f64;
    let (low, weight) = (rank.floor() as usize, rank - rank.floor());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] * (1.0 - weight) + sorted[high] * weight
}

/// The sum with a running compensation of what rounding loses (Neumaier's), as Prometheus adds up.
pub(crate) fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    sum + lost
}

/// Whether two figures are the same but for what a double loses in some operations.
pub(crate) fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= other.abs() * 1e-12
}
