use proptest::prelude::*;

use super::*;

fn flexible(gold: &str, answer: &str) -> Verdict {
    compare(gold, answer, &MathConfig::flexible())
}

/// Expressions in two variables as text, without division by zero.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0..40_u32).prop_map(|n| n.to_string()),
        Just("x".to_owned()),
        Just("y".to_owned()),
        Just(r"\pi".to_owned()),
        (2..9_u32).prop_map(|n| format!(r"\sqrt{{{n}}}")),
        (1..9_u32, 2..9_u32).prop_map(|(n, d)| format!(r"\frac{{{n}}}{{{d}}}")),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})+({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})-({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!(r"({a})\cdot({b})")),
            (inner.clone(), 1..4_u32).prop_map(|(a, n)| format!("({a})^{{{n}}}")),
            inner.clone().prop_map(|a| format!(r"\sin({a})")),
            inner.prop_map(|a| format!("-({a})")),
        ]
    })
}

/// Whole answers: expressions, and lists, intervals and relations of them.
fn answer() -> impl Strategy<Value = String> {
    prop_oneof![
        expression(),
        (expression(), expression()).prop_map(|(a, b)| format!("({a}, {b})")),
        (expression(), expression()).prop_map(|(a, b)| format!(r"\{{{a}, {b}\}}")),
        expression().prop_map(|a| format!("z = {a}")),
        (-9..9_i32, 1..9_i32).prop_map(|(a, d)| format!("[{a}, {}) \\cup ({}, \\infty)", a + d, a + 2 * d)),
        (expression(), expression()).prop_map(|(a, b)| format!("{a} < {b}")),
        (expression(), expression())
            .prop_map(|(a, b)| format!(r"\begin{{pmatrix}}{a} \\ {b}\end{{pmatrix}}")),
    ]
}

/// What means something to the parser or to extraction.
const PIECES: &[&str] = &[
    "\\frac",
    "\\sqrt",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "|",
    "^",
    "_",
    "1",
    "23",
    "x",
    ",",
    ";",
    "=",
    "<",
    "\\le",
    "\\text{",
    "and",
    "$",
    "\\(",
    "\\)",
    "\\boxed{",
    "\\left",
    "\\right",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "&",
    "\\\\",
    "\\pm",
    "\\cup",
    "!",
    "%",
    "\\sum",
    "\\log",
    "e",
    "i",
    "\\pi",
    "\\infty",
    ".",
    "-",
    "+",
    "/",
    " ",
    "answer",
    " is ",
    "final answer",
    "é",
    "√",
    "²",
    "\\",
    "\n",
    ":",
    "\\in",
    "\\{",
    "\\}",
    "'",
    "0.",
    "sin",
];

/// Pieces that mean something, in any order.
fn noise() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(PIECES).prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_answer_meets_itself(answer in answer()) {
        let verdict = flexible(&answer, &format!(" {answer} "));
        prop_assert!(verdict.is_correct(), "{verdict:?}");
    }

    #[test]
    fn expressions_are_compared_alike_in_both_directions(a in expression(), b in expression()) {
        prop_assert_eq!(flexible(&a, &b).score, flexible(&b, &a).score);
    }

    #[test]
    fn rewriting_keeps_the_verdict(a in expression(), b in expression(), k in 2..7_u32) {
        let verdict = flexible(&a, &b).score;
        for rewritten in [
            format!("({b})"),
            format!(r"\frac{{{k}({b})}}{{{k}}}"),
            format!(r"\left({b}\right)+0"),
            format!("1*({b})"),
            format!("({b})-({a})+({a})"),
        ] {
            prop_assert_eq!(flexible(&a, &rewritten).score, verdict, "{}", rewritten);
        }
    }

    #[test]
    fn one_more_is_different(a in expression(), k in 1..9_u32) {
        let verdict = flexible(&a, &format!("({a})+{k}"));
        prop_assert_eq!(verdict.score, Some(0.0));
    }

    #[test]
    fn expanded_products_are_equal(roots in prop::collection::vec(-9..9_i64, 1..5)) {
        let mut coefficients = vec![1_i64];
        for root in &roots {
            let mut next = vec![0; coefficients.len() + 1];
            for (k, c) in coefficients.iter().enumerate() {
                next[k + 1] += c;
                next[k] -= c * root;
            }
            coefficients = next;
        }
        let factors: String = roots.iter().map(|root| format!("(x-({root}))")).collect();
        let sum: Vec<String> = coefficients.iter().enumerate().map(|(k, c)| format!("({c})x^{{{k}}}")).collect();
        prop_assert!(flexible(&factors, &sum.join("+")).is_correct());
        prop_assert!(!flexible(&factors, &(sum.join("+") + "+1")).is_correct());
    }

    #[test]
    fn a_printed_tree_reads_back(answer in answer()) {
        let tree = parse(&answer).unwrap().to_string();
        prop_assert_eq!(parse(&tree).unwrap().to_string(), tree);
    }

    #[test]
    fn noise_that_can_be_read_prints_and_reads_back(text in noise()) {
        if let Ok(tree) = parse(&text) {
            let printed = tree.to_string();
            let again = parse(&printed).map(|tree| tree.to_string());
            prop_assert_eq!(again.as_deref(), Ok(printed.as_str()));
        }
    }

    #[test]
    fn any_two_texts_are_judged(gold in noise(), answer in noise(), text: String) {
        for config in [MathConfig::default(), MathConfig::flexible()] {
            compare(&gold, &answer, &config);
            verify(&gold, &answer, &config);
            explain(&gold, &text, &config);
        }
    }

    #[test]
    fn fractions_scale(n in -999..999_i64, d in 1..999_i64, k in 1..99_i64) {
        let gold = format!(r"\frac{{{n}}}{{{d}}}");
        let scaled = [n * k, n * k + 1].map(|upper| format!("{upper}/{}", d * k));
        prop_assert!(flexible(&gold, &scaled[0]).is_correct());
        prop_assert!(!flexible(&gold, &scaled[1]).is_correct());
    }
}
