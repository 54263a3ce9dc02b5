//! Countdown: expressions and their exact values.

use groupwise_reward::arithmetic::Expression;
use groupwise_reward::verifiers::CountdownConfig;

const FRAGMENTS: &[&str] = &[
    "1",
    "2",
    "5",
    "7",
    "10",
    "25",
    "100",
    "0",
    "007",
    "18446744073709551615",
    "18446744073709551616",
    "+",
    "-",
    "*",
    "/",
    "**",
    "//",
    "(",
    ")",
    "((",
    "))",
    " ",
    "\n",
    "=",
    "<answer>",
    "</answer>",
    "<answer>5 * (5 - 1 / 5)</answer>",
    "5 * (5 - 1 / 5)",
    "1 + 2",
    "-(",
    "<think>",
    "</think>",
    "Assistant:",
    "x",
    ".",
    "1.5",
    ",",
    "= 24",
    "	",
    "(1",
    "2)",
];

/// What was read is written so that it reads the same, with the same value; a right answer uses the numbers given.
fn target(bytes: &[u8]) {
    let text = groupwise_fuzz::text(bytes, FRAGMENTS);
    if let Ok(expression) = Expression::parse(&text) {
        let written = expression.to_string();
        let again = Expression::parse(&written).unwrap_or_else(|e| panic!("{written}: {e}"));
        assert_eq!(again, expression, "{written}");
        assert_eq!(again.value(), expression.value());
        let numbers: Vec<u64> = expression.numbers().collect();
        let tagged = format!("<answer>{written}</answer>");
        let verdict = CountdownConfig::default().verdict(&tagged, &numbers, 24);
        let reaches = expression.value().is_ok_and(|value| value.is(24));
        assert_eq!(verdict.is_correct(), reaches, "{verdict:?}");
    }
    let verdict = CountdownConfig::default().verdict(&text, &[1, 5, 5, 5], 24);
    let score = verdict.score.expect("a sound task");
    assert!([0.0, 0.1, 1.0].contains(&score));
    if verdict.is_correct() {
        let answer = Expression::parse(verdict.extracted.as_deref().unwrap_or_default()).expect("was read");
        let mut numbers: Vec<u64> = answer.numbers().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 5, 5, 5]);
    }
}

groupwise_fuzz::tests!("countdown", target);
