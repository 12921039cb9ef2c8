//! Reading what a client sends: the form and the `Authorization` header, beside the crates that are usual.

#![expect(clippy::expect_used, reason = "a bench that cannot run must stop")]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

use annul::wire::basic;
use annul::wire::basic::{Basic, Scratch};
use annul::wire::form::{Form, Parameter};
use annul::{Policy, Request};
use criterion::Criterion;
use serde::Deserialize;

const TWO: &str = "token=mF_9.B5f-4.1JqM0Zy2kLxN8vQ7tRs6UwXe3YaBc&token_type_hint=access_token";
const FOUR: &str = "token=mF_9.B5f-4.1JqM0Zy2kLxN8vQ7tRs6UwXe3YaBc&token_type_hint=access_token\
                    &client_id=s6BhdRkqt3Xa&client_secret=7Fjfp0ZBr1KtDRbnfVdmIwq9xT2mLs4cYh8eUaN";
const ESCAPED: &str =
    "token=mF%5F9%2EB5f%2D4.1JqM0Zy2kLxN8vQ7tRs6UwXe3YaBc&token_type_hint=access_token";

/// What a handler asks serde for.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(borrow, rename = "token_type_hint")]
    _token_type_hint: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "client_id")]
    _client_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_secret: Option<Cow<'a, str>>,
}

fn form(criterion: &mut Criterion) {
    let policy = Policy::default();
    for (name, body) in [("2 fields", TWO), ("4 fields", FOUR), ("2 fields, escaped", ESCAPED)] {
        let mut group = criterion.benchmark_group(format!("form, {name}"));
        group.bench_function("annul", |bencher| {
            bencher.iter(|| {
                let request = Request::post(black_box(body).as_bytes())
                    .header("content-type", b"application/x-www-form-urlencoded");
                let form = Form::read(&request, &policy).expect("a good form");
                form.get(Parameter::Token).map(str::len)
            });
        });
        group.bench_function("form_urlencoded", |bencher| {
            bencher.iter(|| {
                let pairs = form_urlencoded::parse(black_box(body).as_bytes());
                let token = pairs.fold(None, |token, (name, value)| match name.as_ref() {
                    "token" => Some(value),
                    _ => token,
                });
                token.map(|token| token.len())
            });
        });
        group.bench_function("serde_urlencoded", |bencher| {
            bencher.iter(|| {
                let form: Fields<'_> =
                    serde_urlencoded::from_str(black_box(body)).expect("a good form");
                form.token.len() + form.client_secret.map_or(0, |secret| secret.len())
            });
        });
        group.finish();
    }
}

fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("basic");
    let plain = basic::header_value("s6BhdRkqt3Xa", "7Fjfp0ZBr1KtDRbnfVdmIwq9xT2mLs4cYh8eUaN");
    let escaped = basic::header_value("s6BhdRkqt3Xa", "7Fjfp0Z/r1KtDR+nfVdmIwq9:T2mLs4cYh8eU%N");
    for (name, header) in [("plain", &plain), ("escaped", &escaped)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut scratch = Scratch::default();
                let basic = Basic::read(black_box(header).as_bytes(), &mut scratch);
                basic.map(|basic| basic.decoded().map(|(id, secret)| id.len() + secret.len()))
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    form(&mut criterion);
    header(&mut criterion);
    criterion.final_summary();
}
