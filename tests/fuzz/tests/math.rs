//! Mathematics: reading, normal form, comparison.

use groupwise_reward::verifiers::math::{self, MathConfig};

const FRAGMENTS: &[&str] = &[
    "\\frac{",
    "}{",
    "}",
    "\\sqrt{",
    "\\sqrt[3]{",
    "^{",
    "_{",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\\left(",
    "\\right)",
    "\\left[",
    "\\right]",
    "\\{",
    "\\}",
    "|",
    "\\|",
    "+",
    "-",
    "*",
    "/",
    "=",
    "<",
    ">",
    "\\le",
    "\\ge",
    "\\ne",
    "\\neq",
    "\\leq",
    "\\approx",
    "\\pm",
    "\\cdot",
    "\\times",
    "\\div",
    ":",
    ";",
    ",",
    ".",
    "'",
    "!",
    "\\%",
    "%",
    "$",
    "\\$",
    "&",
    "\\\\",
    "\\,",
    "\\!",
    "\\;",
    "\\quad",
    "\\text{",
    "\\mathrm{",
    "\\mathbf{",
    "\\boxed{",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "\\begin{bmatrix}",
    "\\end{bmatrix}",
    "\\infty",
    "\\pi",
    "\\theta",
    "\\alpha",
    "e",
    "i",
    "\\in",
    "\\cup",
    "\\cap",
    "\\setminus",
    "\\emptyset",
    "\\mathbb{R}",
    "\\sin",
    "\\cos",
    "\\tan",
    "\\ln",
    "\\log",
    "\\log_2",
    "\\exp",
    "\\binom{",
    "\\dbinom",
    "\\frac12",
    "\\frac13",
    "\\sqrt2",
    "\\dfrac",
    "0",
    "1",
    "2",
    "3",
    "7",
    "10",
    "12",
    "100",
    "999",
    "1,000",
    "0.5",
    ".5",
    "3.14",
    "1e9",
    "10^{",
    "2^",
    "9^9",
    "x",
    "y",
    "z",
    "n",
    "f(x)",
    "a_1",
    "x^2",
    "x_{12}",
    "^\\circ",
    "\\circ",
    "degrees",
    "cm",
    "units",
    "and",
    "or",
    "\\text{or}",
    "2\\frac{1}{2}",
    "-1",
    "!",
    "!!",
    "\\sum_{",
    "\\prod",
    "\\int",
    "\\lim_{",
    "\\to",
    "\\rightarrow",
    "\\mid",
    "\\angle",
    "\\triangle",
    "\\overline{",
    "\\ldots",
    "\\dots",
    "\\cdots",
    "\\lfloor",
    "\\rfloor",
    "\\lceil",
    "\\rceil",
    "mod",
    "\\pmod{",
    "\\gcd",
    "\\max",
    "\\min",
    "√",
    "π",
    "²",
    "½",
    "≤",
    "−",
    "×",
    "÷",
    "∞",
    "∪",
    " ",
    "\n",
    "x = ",
    "y=",
    "(1,2)",
    "[0,1)",
    "{1,2}",
];

/// What is read has a normal form that is one; what equals itself is never wrong; a comparison comes out the same twice.
fn target(bytes: &[u8]) {
    let (gold, answer) = groupwise_fuzz::two_texts(bytes, FRAGMENTS);
    let config = MathConfig::default();
    let normal = math::normal_form(&gold);
    assert_eq!(math::normal_form(&gold), normal);
    let itself = math::compare(&gold, &gold, &config);
    let verdict = math::compare(&gold, &answer, &config);
    assert_eq!(math::compare(&gold, &answer, &config), verdict);
    if math::parse(&gold).is_err() && !gold.contains(['$', '\\']) {
        assert!(!itself.is_correct(), "{gold:?} cannot be read: {itself:?}");
    }
    if math::parse(&gold).is_ok() {
        // What is read is compared, whatever marks stand around nothing.
        assert_ne!(itself.reason, "no answer", "{gold:?}");
    }
    for score in [itself.score, verdict.score].into_iter().flatten() {
        assert!(score == 0.0 || score == 1.0);
    }
}

#[test]
fn keyed() {
    groupwise_fuzz::run("math", target);
}

#[test]
fn explored() {
    if groupwise_fuzz::bolero_is_asked_for() {
        bolero::check!()
            .with_max_len(groupwise_fuzz::MAX_BYTES)
            .for_each(|bytes: &[u8]| target(bytes));
    }
}
