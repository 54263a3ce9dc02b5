//! Verifiers of text, one core.
//!
//! Target: more than 1,000,000 exact matches of short answers a second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use groupwise_core::{Key, Stream};
use groupwise_reward::qa::{F1Rule, QaScorer};
use groupwise_reward::shape::{tag_count_reward, think_format_reward};
use groupwise_reward::tool_calls::{ExpectedCalls, FunctionNames, parse_calls};
use groupwise_reward::verifiers::{CountdownConfig, QaMatchConfig, choice_of_response};
use serde_json::json;
use std::hint::black_box;

const N_ROWS: usize = 1000;

/// An answer of one to four words, with articles, capitals and punctuation, and a reference that is the same half of the
/// time.
fn rows() -> Vec<(String, String)> {
    const WORDS: [&str; 8] = [
        "Paris", "the", "Eiffel", "Tower,", "New-York", "1889", "J.R.R.", "river",
    ];
    let words = |key: Key| -> String {
        let mut rng = key.rng();
        let n = 1 + (rng.uniform() * 4.0) as usize;
        let pick = |_| WORDS[(rng.uniform() * WORDS.len() as f64) as usize % WORDS.len()];
        (0..n).map(pick).collect::<Vec<_>>().join(" ")
    };
    let key = |i: usize| Key::new(5, Stream::Tasks).task(i as u64);
    (0..N_ROWS)
        .map(|i| {
            let answer = words(key(i));
            let gold = if i % 2 == 0 {
                answer.to_lowercase()
            } else {
                words(key(i + N_ROWS))
            };
            (answer, gold)
        })
        .collect()
}

fn answers(c: &mut Criterion) {
    let rows = rows();
    let mut group = c.benchmark_group("short answers, 1,000 rows");
    group.throughput(Throughput::Elements(N_ROWS as u64));
    let mut scorer = QaScorer::default();
    group.bench_function("exact match", |b| {
        b.iter(|| {
            rows.iter()
                .filter(|(a, g)| scorer.is_exact_match(black_box(a), &[g]))
                .count()
        });
    });
    group.bench_function("token F1", |b| {
        b.iter(|| {
            rows.iter()
                .map(|(a, g)| scorer.f1(black_box(a), &[g], F1Rule::Squad))
                .sum::<f64>()
        });
    });
    let responses: Vec<(String, &str)> = rows
        .iter()
        .map(|(a, g)| {
            (
                format!("<think>\nIt is known.\n</think>\n<answer>{a}</answer>"),
                g.as_str(),
            )
        })
        .collect();
    let config = QaMatchConfig::default();
    group.bench_function("verdict on a response", |b| {
        let right =
            |(response, gold): &&(String, &str)| config.verdict(black_box(response), &[gold]).is_correct();
        b.iter(|| responses.iter().filter(right).count());
    });
    group.finish();
}

fn others(c: &mut Criterion) {
    let mut group = c.benchmark_group("one verdict");
    let countdown = CountdownConfig::default();
    let sum = "<think>\nhm\n</think> <answer>((25 + 75) * 3 - 7) / (9 - 8)</answer>";
    group.bench_function("countdown", |b| {
        b.iter(|| countdown.verdict(black_box(sum), &[25, 75, 3, 7, 9, 8], 293));
    });
    let reply = "<think>\nB looks wrong, and so does A.\n</think>\nThe correct answer is **(C)** because of the lamp.";
    group.bench_function("multiple choice", |b| {
        b.iter(|| choice_of_response(black_box(reply), &['A', 'B', 'C', 'D']));
    });
    group.bench_function("tags", |b| {
        b.iter(|| think_format_reward(black_box(reply)) + tag_count_reward(black_box(reply)));
    });
    let functions =
        [json!({"name": "f", "parameters": {"properties": {"n": {"type": "integer"}}, "required": ["n"]}})];
    let accepted: Vec<_> = (0..4).map(|n| json!({"f": {"n": [n, n + 1]}})).collect();
    let expected = ExpectedCalls::new(&functions, &accepted).expect("a task that fits");
    let calls: String = (1..5)
        .rev()
        .map(|n| format!("<tool_call>{{\"name\": \"f\", \"arguments\": {{\"n\": {n}}}}}</tool_call>"))
        .collect();
    group.bench_function("four tool calls", |b| {
        b.iter(|| parse_calls(black_box(&calls)).map(|calls| expected.check(&calls, FunctionNames::Exact)));
    });
    group.finish();
}

criterion_group!(benches, answers, others);
criterion_main!(benches);
