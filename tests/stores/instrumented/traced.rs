//! What `tracing` is told, as its own formatter writes it.

use std::io;
use std::sync::{Arc, Mutex};

use annul::store::instrumented::TracingObserver;
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::calls::{SECRETS, a_round};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Runs a round within a span of the host's, and returns what it was called and what was written.
fn round(
    observer: TracingObserver,
    level: Level,
) -> (Vec<(&'static str, &'static str)>, Vec<String>) {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_writer(captured.clone())
        .finish();
    let expected = tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("request", id = 17).in_scope(|| a_round(observer))
    });
    let written = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    (expected, written.lines().map(str::to_owned).collect())
}

#[test]
fn each_call_is_an_event_with_its_outcome_and_time_within_the_callers_span() {
    let (expected, lines) = round(TracingObserver::new(), Level::TRACE);
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for ((operation, outcome), line) in expected.into_iter().zip(lines) {
        let level = match outcome {
            "corrupt" => "ERROR",
            "conflict" | "reused" | "unavailable" => "WARN",
            _ => "DEBUG",
        };
        let start = format!("{level} request{{id=17}}: annul::store: store call");
        assert!(line.trim_start().starts_with(&start), "{line}");
        let elapsed = if outcome == "dropped" { 0 } else { 3_000 };
        let fields = format!(r#"operation="{operation}" outcome="{outcome}" elapsed_us={elapsed}"#);
        assert!(line.contains(&fields), "{line}");
        let counts = matches!((operation, outcome), ("sweep" | "changes", "done"));
        assert_eq!(line.contains(" records="), counts, "{line}");
    }
}

#[test]
fn no_token_name_or_secret_is_written_and_no_cause_unless_it_is_asked_for() {
    let (_, lines) = round(TracingObserver::new(), Level::TRACE);
    for line in &lines {
        for secret in SECRETS {
            assert!(!line.contains(secret), "{line}");
        }
        assert!(!line.contains("cause"), "{line}");
    }
    // They are in the engine's words, for those who want them.
    let (_, lines) = round(TracingObserver::new().causes(), Level::TRACE);
    let causes = lines.iter().filter(|line| line.contains("hunter2")).count();
    assert_eq!(causes, 3, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("cause=the store is corrupt: could not run")));
}

#[test]
fn a_host_that_wants_warnings_only_gets_them_only() {
    let (_, lines) = round(TracingObserver::new(), Level::WARN);
    assert_eq!(lines.len(), 4, "{lines:#?}");
}
