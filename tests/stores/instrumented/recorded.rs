//! What a recorder of `metrics` is told.

use std::collections::BTreeMap;

use annul::store::instrumented::MetricsObserver;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::calls::{SECRETS, a_round};

type Series = (String, BTreeMap<String, String>);

/// Runs a round, and returns what it was and each series with its value.
fn round() -> (Vec<(&'static str, &'static str)>, BTreeMap<Series, DebugValue>) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let expected = metrics::with_local_recorder(&recorder, || a_round(MetricsObserver::new()));
    let mut series = BTreeMap::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let (name, labels) = key.into_parts();
        assert!(description.is_some(), "{name:?} is not described");
        let is_time = name.as_str().ends_with("_seconds");
        assert_eq!(unit.is_some(), is_time, "{name:?}");
        let labels = labels.iter().map(|label| (label.key().to_owned(), label.value().to_owned()));
        series.insert((name.as_str().to_owned(), labels.collect()), value);
    }
    (expected, series)
}

fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn each_call_is_counted_by_operation_and_outcome_and_its_time_is_recorded() {
    let (expected, series) = round();
    let mut calls: BTreeMap<_, u64> = BTreeMap::new();
    for call in expected {
        *calls.entry(call).or_default() += 1;
    }
    for ((operation, outcome), count) in &calls {
        let labels = labels(&[("operation", operation), ("outcome", outcome)]);
        let counted = series.get(&("annul_store_operations_total".to_owned(), labels.clone()));
        assert_eq!(counted, Some(&DebugValue::Counter(*count)), "{operation} {outcome}");
        let times = series.get(&("annul_store_operation_seconds".to_owned(), labels));
        let Some(DebugValue::Histogram(times)) = times else {
            unreachable!("{operation} {outcome}: {times:?}");
        };
        let wanted = if *outcome == "dropped" { 0.0 } else { 0.003 };
        assert!(times.iter().all(|time| time.into_inner() == wanted), "{operation} {outcome}");
        assert_eq!(times.len() as u64, *count, "{operation} {outcome}");
    }
    for operation in ["sweep", "changes"] {
        let labels = labels(&[("operation", operation)]);
        let counted = series.get(&("annul_store_records_total".to_owned(), labels));
        let some = matches!(counted, Some(DebugValue::Counter(records)) if *records > 0);
        assert!(some, "{operation}: {counted:?}");
    }
    // And nothing else.
    assert_eq!(series.len(), 2 * calls.len() + 2);
}

#[test]
fn no_label_is_a_token_a_name_or_a_secret() {
    let (_, series) = round();
    let shown = format!("{series:?}");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret}");
    }
}
