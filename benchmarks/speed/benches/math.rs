//! Math answers: pairs per second on one core, over the kinds of answer that training meets.
//!
//! Pairs are made here, half of them right: numbers in several notations, fractions, roots, polynomials, sets,
//! intervals, tuples, equations, each in a box or in a sentence.  The peer, math-verify, judges some hundreds of
//! such pairs per second.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use groupwise_core::{Key, Stream};
use groupwise_reward::verifiers::math::{self, MathConfig};

/// Reference and response.
type Pair = (String, String);

const PAIRS: usize = 2000;

/// A pair of one kind; `off` is 0 for a right answer.
fn pair(kind: usize, [a, b, k]: [i64; 3], off: i64) -> (String, String) {
    match kind {
        0 => ((a * b).to_string(), (a * b + off).to_string()),
        1 => (format!("{}", 1000 * a + k), format!("{a},{:03}", k + off)),
        2 => (
            format!(r"\frac{{{a}}}{{{b}}}"),
            format!(r"\frac{{{}}}{{{}}}", a * k + off, b * k),
        ),
        3 => (
            format!(r"\frac{{{a}}}{{4}}"),
            format!("{:.2}", (a + off) as f64 / 4.0),
        ),
        4 => (
            format!(r"{a}\sqrt{{{k}}}"),
            format!(r"\sqrt{{{}}}", a * a * k + off),
        ),
        5 => (
            format!("(x+{a})(x-{b})"),
            format!("x^2+({})x-{}", a - b, a * b + off),
        ),
        6 => (
            format!(r"\{{{a}, {b}, {k}\}}"),
            format!(r"\{{{k}, {a}, {}\}}", b + 100 * off),
        ),
        7 => (
            format!("[{a},{})", a + b),
            format!(r"\left[{a}, {}\right)", a + b + off),
        ),
        8 => (format!("({a},{b})"), format!("({a}, {})", b + off)),
        9 => (format!("{a}"), format!("x = {}", a + off)),
        10 => (format!(r"{a}\%"), format!(r"{}\%", a + off)),
        _ => (
            format!(r"\frac{{{a}\pi}}{{{k}}}"),
            format!(r"\frac{{{}}}{{{k}}}\pi", a + off),
        ),
    }
}

fn pairs() -> Vec<Pair> {
    let key = Key::new(11, Stream::Bootstrap);
    let draw =
        |i: usize, token: u64, range: i64| (key.task(i as u64).token(token).uniform() * range as f64) as i64;
    (0..PAIRS)
        .map(|i| {
            let numbers = [2 + draw(i, 0, 58), 2 + draw(i, 1, 58), 2 + draw(i, 2, 8)];
            let (gold, answer) = pair(i % 12, numbers, draw(i, 3, 2));
            let response = match draw(i, 4, 4) {
                0 => format!(r"\boxed{{{answer}}}"),
                1 => format!(r"Adding both parts gives the total, so the answer is $\boxed{{{answer}}}$."),
                2 => format!("First we rearrange $x+1=3$, then divide.\n\nThe final answer is ${answer}$."),
                _ => format!("${answer}$"),
            };
            (gold, response)
        })
        .collect()
}

fn verdicts(c: &mut Criterion) {
    let (pairs, config) = (pairs(), MathConfig::flexible());
    let mut group = c.benchmark_group("math");
    group.throughput(Throughput::Elements(PAIRS as u64));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| {
            let right = |(gold, response): &Pair| math::verify(gold, response, &config).is_correct();
            black_box(pairs.iter().filter(|pair| right(pair)).count())
        });
    });
    group.finish();

    let hostile = r"\frac{1}{1+".repeat(20_000) + "1" + &"}".repeat(20_000);
    c.bench_function("math/nested-fractions", |bencher| {
        bencher.iter(|| black_box(math::compare("1", &hostile, &config).score));
    });
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
