//! Answers in responses: boxes, anchors, marks of mathematics, letters, thinking parts.

use groupwise_reward::choice::find_choice;
use groupwise_reward::verifiers::gsm8k::{self, Gsm8kMethod};
use groupwise_reward::verifiers::math::{self, MathConfig, Profile};
use groupwise_reward::verifiers::{WirelessMathConfig, boxes, mcq_letter, wireless_math};
use groupwise_reward::{after_thinking, qa};

const FRAGMENTS: &[&str] = &[
    "\\boxed{",
    "}",
    "}$",
    "$",
    "$$",
    "\\[",
    "\\]",
    "\\(",
    "\\)",
    "final answer is ",
    "The final answer is $",
    "answer: ",
    "Answer: ",
    "The answer is ",
    "answer",
    " is ",
    "I hope it is correct.",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "\n",
    "\n\n",
    " ",
    ". ",
    ", ",
    " and ",
    " or ",
    "5",
    "42",
    "-1",
    "\\frac{1}{2}",
    "\\frac{",
    "1/2",
    "0.5",
    "1,234",
    "3.5%",
    "$5",
    "x=2",
    "(1,2)",
    "[0, 1]",
    "{",
    "\\{",
    "\\}",
    "\\boxed",
    "\\fbox{",
    "\\text{ cm}",
    "####",
    "#### 18",
    "A",
    "(B)",
    "**",
    "No, wait",
    "therefore ",
    "= ",
    "\\\\",
    "\\begin{align}",
    "\\end{align}",
    "&",
    "\\boxed{\\boxed{",
    "\\boxed{1}, \\boxed{2}",
    "\\dots",
    "...",
    "km",
    "%",
];

/// Nothing is found inside an open thinking part; what is found stands in the text; strict places are flexible ones.
fn target(bytes: &[u8]) {
    let response = groupwise_fuzz::text(bytes, FRAGMENTS);
    for profile in [Profile::Strict, Profile::Flexible] {
        let config = MathConfig {
            profile,
            ..MathConfig::default()
        };
        let verdict = math::verify("42", &response, &config);
        assert_eq!(math::verify("42", &response, &config), verdict);
        assert!(verdict.score.is_some(), "42 can be read: {verdict:?}");
        if after_thinking(&response).is_none() {
            assert!(
                !verdict.is_correct() && verdict.extracted.is_none(),
                "{verdict:?}"
            );
        }
        let told = math::explain("42", &response, &config);
        assert_eq!(told.verdict, verdict);
    }
    for inside in boxes(&response) {
        assert!(response.contains(&format!("{{{inside}}}")), "{inside:?}");
    }
    let letter = mcq_letter(&response);
    assert!(letter.is_none_or(|letter| ('A'..='D').contains(&letter)));
    assert!(
        wireless_math(&response, "5", &WirelessMathConfig::default())
            .score
            .is_some()
    );
    let _ = find_choice(&response, &['A', 'B', 'C', 'D']);
    for method in [Gsm8kMethod::Strict, Gsm8kMethod::Flexible] {
        assert!(gsm8k::verify("18", &response, method).score.is_some());
    }
    let normal = qa::normal_form(&response);
    assert_eq!(qa::normal_form(&normal), normal);
    assert!(qa::is_exact_match(&response, &[&response]));
}

groupwise_fuzz::tests!("extraction", target);
