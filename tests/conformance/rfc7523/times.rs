//! When an assertion is good.

use std::time::Duration;

use annul::Policy;
use serde_json::{Value, json};

use crate::rfc7523::{accepts, job, server, server_with};
use crate::signer::unique;
use crate::support::START;

#[tokio::test]
async fn jwa_11_expiry_is_required_and_bounded() {
    let server = server();
    let limits = Policy::default().assertions;
    let skew = limits.clock_skew.as_secs().cast_signed();
    let latest = skew + limits.max_lifetime.as_secs().cast_signed();
    assert!(!accepts(&server, "job", &job().without("exp").jwt()).await);
    for (seconds, accepted) in [
        (-1_000_000, false),
        (-skew - 1, false),
        // "on or after which the JWT MUST NOT be accepted", on our clock and on one that is late.
        (-skew, false),
        (-skew + 1, true),
        (0, true),
        (60, true),
        (latest, true),
        (latest + 1, false),
        (86_400 * 365, false),
    ] {
        let jwt = job().seconds("exp", seconds).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{seconds}");
    }
    let ends_of_time =
        [json!(u64::MAX), json!(1e300), json!(-1), json!(i64::MIN), json!(0), json!(-1e300)];
    let no_times = [json!("1800000060"), json!([1_800_000_060]), json!(true), Value::Null];
    for value in ends_of_time.into_iter().chain(no_times) {
        let jwt = job().claim("exp", value.clone()).jwt();
        assert!(!accepts(&server, "job", &jwt).await, "{value}");
    }
}

#[tokio::test]
async fn jwa_12_not_before_and_age_are_respected() {
    let server = server();
    let skew = Policy::default().assertions.clock_skew.as_secs().cast_signed();
    for name in ["nbf", "iat"] {
        for (seconds, accepted) in
            [(-1_000_000, true), (0, true), (skew, true), (skew + 1, false), (1_000_000, false)]
        {
            let jwt = job().seconds(name, seconds).jwt();
            assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{name} {seconds}");
        }
        for wrong in [json!("0"), json!({}), Value::Null] {
            let jwt = job().claim(name, wrong.clone()).jwt();
            assert!(!accepts(&server, "job", &jwt).await, "{name} {wrong}");
        }
        assert!(accepts(&server, "job", &job().claim(name, -5).jwt()).await);
    }
    let aging = server_with(|policy| policy.assertions.max_age = Some(Duration::from_secs(300)));
    assert!(!accepts(&aging, "job", &job().jwt()).await, "no iat");
    for (seconds, accepted) in
        [(0, true), (-300 - skew, true), (-301 - skew, false), (skew + 1, false)]
    {
        let jwt = job().seconds("iat", seconds).jwt();
        assert_eq!(accepts(&aging, "job", &jwt).await, accepted, "{seconds}");
    }
}

#[tokio::test]
async fn jwa_12_times_may_have_fractions() {
    // RFC 7519 section 2: "non-integer values can be represented".
    let server = server();
    let start = START.as_unix_seconds() as f64;
    for (name, offset, accepted) in [
        ("exp", 0.5, true),
        ("exp", -29.5, true),
        ("exp", -30.5, false),
        ("nbf", 30.0, true),
        ("nbf", 30.5, false),
        ("iat", 29.999, true),
    ] {
        let jwt = job().claim(name, start + offset).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{name} {offset}");
    }
    let jwt = job().claim("jti", unique("exponent-"));
    let payload = jwt.payload().replace("1800000060", "1.80000006e9");
    assert!(payload.contains("e9"));
    assert!(accepts(&server, "job", &jwt.encode(r#"{"alg":"EdDSA"}"#, &payload)).await);
}

#[tokio::test]
async fn jwa_13_clocks_may_differ_by_a_minute_at_most() {
    for (skew, seconds, accepted) in [
        (30, 10, true),
        (10, 10, true),
        (60, 60, true),
        (60, 61, false),
        (30, 61, false),
        // More than sixty counts as sixty.
        (3_600, 60, true),
        (3_600, 61, false),
        (0, 0, true),
        (0, 1, false),
    ] {
        let server = server_with(|policy| policy.assertions.clock_skew = Duration::from_secs(skew));
        for name in ["iat", "nbf"] {
            let jwt = job().seconds(name, seconds).jwt();
            assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{skew} {name} {seconds}");
        }
        // And the other way round: one that has expired.
        let jwt = job().seconds("exp", 1 - seconds).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{skew} exp {seconds}");
    }
}
