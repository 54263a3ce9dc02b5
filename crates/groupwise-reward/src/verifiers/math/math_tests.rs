use super::*;

fn flexible(gold: &str, answer: &str) -> Verdict {
    compare(gold, answer, &MathConfig::flexible())
}

/// Each pair is equal, in both directions.
fn equal(pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        for (gold, answer) in [(a, b), (b, a)] {
            let verdict = flexible(gold, answer);
            assert!(verdict.is_correct(), "{gold} against {answer}: {verdict:?}");
        }
    }
}

/// No pair is equal, in either direction.
fn different(pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        for (gold, answer) in [(a, b), (b, a)] {
            let verdict = flexible(gold, answer);
            assert_eq!(verdict.score, Some(0.0), "{gold} against {answer}: {verdict:?}");
        }
    }
}

#[test]
fn numbers_and_their_notations() {
    equal(&[
        ("2500", "2,500"),
        ("2500", r"2{,}500"),
        ("2500", r"2\,500"),
        ("2500.5", r"2,\!500.50"),
        ("1234567", "1 234 567"),
        (r"\frac{7}{4}", r"1\frac34"),
        (r"-\frac{7}{4}", r"-1\frac{3}{4}"),
        ("7/4", "1 3/4"),
        ("0.75", r"\tfrac{9}{12}"),
        (r"0.\overline{27}", r"\frac{3}{11}"),
        ("3200000", r"3.2\times10^6"),
        ("0.00012", "1.2e-4"),
        ("2 million", "2000000"),
        (r"\frac{3}{-8}", r"-\frac38"),
        ("--8", "8"),
    ]);
    different(&[
        ("25", "2,5"),
        ("123456", "12,34,56"),
        ("(2,500)", "2500"),
        (r"-1\frac34", r"-\frac14"),
        ("4", "4 million"),
    ]);
    assert_eq!(flexible("15", "1 5").score, Some(0.0));
    assert_eq!(flexible("0", "").score, Some(0.0));
}

#[test]
fn decimals_are_rounded_to_the_places_asked_for() {
    equal(&[
        ("9", "9.0000002"),
        (r"\frac{2}{7}", "0.285714"),
        (r"\sqrt{3}", "1.7320508"),
    ]);
    different(&[(r"\frac{2}{7}", "0.28571"), ("9", "9.00001"), (r"\pi", "3.1416")]);
    let two = MathConfig {
        decimals: 2,
        ..MathConfig::default()
    };
    assert!(compare(r"\pi", "3.14", &two).is_correct());
    assert!(!compare(r"\pi", "3.15", &two).is_correct());
    assert!(
        !compare(r"\pi", r"\frac{22}{7}", &two).is_correct(),
        "no side is a decimal"
    );
}

#[test]
fn neither_tiny_nor_huge_numbers_vanish() {
    different(&[
        (r"\frac{1}{900!}", r"\frac{1}{901!}"),
        ("10^{-30}", "10^{-31}"),
        ("10^{-30}", "0"),
        (r"\sqrt{10^{30}+1}", "10^{15}"),
        ("10^{400}", "10^{400}+1"),
        (r"x+10^{-40}", "x"),
    ]);
    assert_eq!(flexible("0", "1e-999999").score, Some(0.0));
    equal(&[("10^{60}", r"10^{25}\cdot10^{35}"), (r"\frac{900!}{899!}", "900")]);
}

#[test]
fn percent_signs_units_and_words() {
    equal(&[
        (r"35\%", "35"),
        (r"35\%", r"\frac{7}{20}"),
        ("35 percent", "0.35"),
        (r"12\text{ cm}^2", "12"),
        (r"12\mbox{ square meters}.", "12"),
        (r"\$12.50", "12.5"),
        (r"30^\circ", "30 degrees"),
        (r"\text{Neptune}", "neptune"),
        (r"\text{(B)}", "B"),
        (r"\text{no solution}", "No solution."),
        (r"\text{red, blue}", "blue, red"),
    ]);
    different(&[
        (r"35\%", r"3500\%"),
        (r"12\text{ cm}", r"12\text{ km}"),
        (r"12\text{ hours}", r"12\text{ minutes}"),
        (r"20\%", r"20\text{ miles}"),
        (r"\text{stale}", r"\text{least}"),
        ("B", "b"),
        ("6", r"6\text{ or }8"),
        (r"180^\circ", r"\pi"),
        (r"\frac13", r"\text{one third}"),
    ]);
}

#[test]
fn algebra_is_proved_by_normal_form() {
    equal(&[
        ("(x-2)(x+5)", "x^2+3x-10"),
        (r"\frac{x^3-8}{x-2}", "x^2+2x+4"),
        (r"\frac{1}{\sqrt7-2}", r"\frac{\sqrt7+2}{3}"),
        (r"\sqrt{7+4\sqrt3}", r"2+\sqrt3"),
        (r"\frac{1}{\sqrt[3]{3}-1}", r"\frac{1+\sqrt[3]{3}+\sqrt[3]{9}}{2}"),
        ("2^{2n+1}", r"2\cdot 4^n"),
        (r"\ln 12", r"2\ln 2+\ln 3"),
        (r"\log_9 27", r"\frac32"),
        ("e^{2+x}", r"e^x\cdot e^2"),
        (r"\sin 3x", r"3\sin x-4\sin^3 x"),
        (r"1+\cot^2 t", r"\csc^2 t"),
        (r"\cos 75^\circ", r"\frac{\sqrt6-\sqrt2}{4}"),
        (r"(2-i)^2", "3-4i"),
        ("e^{-i\\pi}", "-1"),
        (r"\left|5-12i\right|", "13"),
        (r"\sum_{j=2}^{5} j^2", "54"),
        (r"\binom{7}{3}", "35"),
        (r"\arctan\sqrt3", r"\frac{\pi}{3}"),
        ("(1+x)^{5000}", "(x+1)^{5000}"),
    ]);
    different(&[
        ("x-y", "y-x"),
        ("n^3", "3^n"),
        (r"\frac{p}{q}", r"\frac{q}{p}"),
        (r"1-\frac1e", r"1+\frac1e"),
        (r"\sqrt{x^2}", "x"),
        (r"\sin^2 x", r"\sin x^2"),
        ("f(x)", "f(y)"),
        ("f(x+1)", "f(x)+f"),
        (r"\frac10", r"\frac10"),
        (r"\infty-\infty", "0"),
    ]);
}

#[test]
fn equations_and_assignments() {
    equal(&[
        ("y=4", "4"),
        (r"y = 2 + 2 = 4", "y=4"),
        ("3a+6b=9", "a+2b-3=0"),
        (r"y=\frac{2}{3}x-1", "2x-3y=3"),
        ("n=4", r"n \approx 4"),
        (r"4 \approx 3.99", "4"),
        ("AB=7", "7"),
        ("|AB|=7", "7"),
        ("(r,s)=(1,5)", "(1,5)"),
        (r"\text{Area}=30", "30"),
        (r"y\in\{4\}", "4"),
    ]);
    equal(&[
        (r"\left\{\begin{array}{l}x=1\\y=2\end{array}\right.", "x=1, y=2"),
        (r"\begin{cases}x=1\\y=2\end{cases}", "y=2, x=1"),
        (r"6\mathrm{~cm}", "6"),
    ]);
    different(&[
        ("y=4", "z=4"),
        ("3a+b=9", "9"),
        ("x+1=0", "x-1=0"),
        ("4", r"\ne 4"),
        ("4", ">4"),
        ("y^2=4", "4"),
    ]);
}

#[test]
fn inequalities_intervals_and_sets() {
    equal(&[
        ("x>3", "3<x"),
        ("x>3", "-2x<-6"),
        (r"-1\le x<4", r"4>x\ge -1"),
        (r"[-1,4)\cup(6,\infty)", r"(6,\infty)\cup[-1,4)"),
        (r"[0,2]\cup[2,5]", "[0,5]"),
        (r"\mathbb{R}\setminus\{2\}", r"(-\infty,2)\cup(2,\infty)"),
        (r"\{4,1\}", "1,4"),
        (r"\{4,4,1\}", r"\{1,4\}"),
        (r"\emptyset", r"\{\}"),
        (r"\pm 6", "6, -6"),
        (r"2\pm i", "2+i, 2-i"),
        (r"1,2\text{ and }3", "3;2;1"),
        (r"\{t : t>3\}", r"(3,\infty)"),
    ]);
    different(&[
        ("x>3", r"x\ge 3"),
        ("[0,1)", "[0,1]"),
        ("(4,1)", "(1,4)"),
        ("(5,1)", "(7,2)"),
        ("[1,2]", "(1,2)"),
        (r"(-\infty,\infty)", r"(\infty,-\infty)"),
        ("1,2,3", "1,2"),
        (r"\pm 6", "6"),
        ("6", r"\{5,6\}"),
        (r"(1,2)", r"\{1,2\}"),
    ]);
}

#[test]
fn a_relation_meets_an_interval_only_on_request() {
    assert!(flexible("x>3", r"(3,\infty)").is_correct());
    assert!(flexible(r"x\le 0\text{ or }x>3", r"(3,\infty)\cup(-\infty,0]").is_correct());
    assert!(!flexible(r"(3,\infty)", "x>3").is_correct());
    let asked = MathConfig {
        relation_for_set: RelationForSet::Accepted,
        ..MathConfig::default()
    };
    assert!(compare(r"(3,\infty)", "x>3", &asked).is_correct());
    assert!(!compare(r"(3,\infty)", r"x\ge3", &asked).is_correct());
}

#[test]
fn tuples_keep_their_order() {
    equal(&[
        (r"\left(\frac12,3\right)", "(0.5, 3)"),
        ("x=2, y=9", "(2,9)"),
        ("x=2, y=9", "y=9, x=2"),
        ("(1,2),(3,4)", "(3,4),(1,2)"),
        ("p=3,q=1;p=5,q=2", "(5,2),(3,1)"),
        (
            r"\begin{pmatrix}1\\0.5\end{pmatrix}",
            r"\begin{bmatrix}1\\ \frac12\end{bmatrix}",
        ),
    ]);
    different(&[
        ("(2,9)", "(9,2)"),
        ("x=2, y=9", "(9,2)"),
        ("(1,2,3)", "(1,2)"),
        (
            r"\begin{pmatrix}1\\2\end{pmatrix}",
            r"\begin{pmatrix}1&2\end{pmatrix}",
        ),
    ]);
}

#[test]
fn bases_ratios_and_times() {
    equal(&[
        ("110_2", "110_{2}"),
        ("8:45", r"8:45\text{ p.m.}"),
        ("31_{10}", "31"),
        ("2:5", r"\frac25"),
    ]);
    different(&[
        ("110_2", "110_3"),
        ("110_2", "110"),
        ("9:30", "3:10"),
        ("11:00", "1:00"),
        ("5:8", "8:5"),
    ]);
    // 9:24 may be a time, 3:8 hardly.
    assert!(flexible("3:8", "9:24").is_correct());
    assert!(!flexible("9:24", "3:8").is_correct());
    different(&[(r"8:45\text{ a.m.}", r"8:45\text{ p.m.}")]);
}

#[test]
fn unicode_is_read_as_latex() {
    equal(&[
        ("−3π", r"-3\pi"),
        ("2√5", r"2\sqrt5"),
        ("x² ≥ 4", r"x^2\ge 4"),
        ("10⁻²", "0.01"),
        ("\u{666}", "6"),
        ("７", "7"),
        ("7\u{200b}", "7"),
        ("1½", "1.5"),
        ("{1,2} ∪ {3}", r"\{1,2,3\}"),
    ]);
}

#[test]
fn variables_can_be_matched_by_position() {
    let by_position = MathConfig {
        variables: Variables::ByPosition,
        ..MathConfig::default()
    };
    assert!(compare("2a+b^2", "2s+t^2", &by_position).is_correct());
    assert!(!compare("2a+b^2", "2s+s^2", &by_position).is_correct());
    assert!(!compare("2a+b^2", "2s+t^2", &MathConfig::default()).is_correct());
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    assert_eq!(
        flexible(r"\frac{8}{4", "2").score,
        Some(1.0),
        "an open brace is closed"
    );
    for gold in ["", r"\frac{1}{", "((", "1 +", "3 4"] {
        assert_eq!(flexible(gold, "1").score, None, "{gold}");
    }
    assert_eq!(flexible("1", r"1 +").score, Some(0.0));
    assert_eq!(flexible("1", &"}".repeat(50)).score, Some(0.0));
}

#[test]
fn the_reason_tells_different_from_not_proved() {
    let reason = |gold, answer| flexible(gold, answer).reason;
    assert_eq!(reason("x^2", "x^3"), "different values at a point");
    assert_eq!(reason(r"\sqrt{2}", "1"), "different numbers");
    assert_eq!(
        reason(r"\sqrt{x^2}", "x"),
        "not proved equal",
        "they agree at every point tried"
    );
    assert_eq!(reason("(1,2)", "(1,3)"), "different elements");
}

fn found(response: &str, config: &MathConfig) -> Option<String> {
    extract(answer_part(response)?, config)
        .into_iter()
        .next()
        .map(|candidate| candidate.text)
}

#[test]
fn places_are_tried_in_order() {
    let flexible = MathConfig::flexible();
    let text = |response: &str| found(response, &flexible);
    assert_eq!(text(r"It is 3. \boxed{4} of 9").as_deref(), Some("4"));
    assert_eq!(
        text("The final answer is 8. I hope it is correct. 9").as_deref(),
        Some("8")
    );
    assert_eq!(
        text("Final Answer: The area of $ABC$ is $12$. Check 5.").as_deref(),
        Some("12")
    );
    assert_eq!(text("**Answer:** 6, found in 3 steps").as_deref(), Some("6"));
    assert_eq!(
        text("so the answer, after 2 steps, is $x=7$ as wished").as_deref(),
        Some("x=7")
    );
    assert_eq!(text("we get $5$ and then 1,200 dollars").as_deref(), Some("1200"));
    assert_eq!(text("it costs 3,5 €").as_deref(), Some("3.5"));
    assert_eq!(text("room B12 only").as_deref(), None);
    assert_eq!(text("Answer: Saturday.").as_deref(), Some("Saturday"));
    assert_eq!(text("$1$, $2$ and $3$").as_deref(), Some("1, 2, 3"));
    let shared = MathConfig {
        boxes: BoxPriority::Shared,
        ..flexible
    };
    let late = r"\boxed{4}. The final answer is $5$";
    assert_eq!(found(late, &shared).as_deref(), Some("5"));
    assert_eq!(found(late, &MathConfig::default()).as_deref(), Some("4"));
}

#[test]
fn boxes_are_joined_by_separators_only() {
    let text = |response: &str| found(response, &MathConfig::default());
    assert_eq!(
        text(r"\boxed{1}, \boxed{2} and \boxed{3}").as_deref(),
        Some("1, 2, 3")
    );
    assert_eq!(text(r"\boxed{8}. No wait, it is \boxed{9}").as_deref(), Some("9"));
    assert_eq!(text(r"\boxed{9} \boxed{9}").as_deref(), Some("9"));
    assert_eq!(text(r"\boxed{\boxed{9}}").as_deref(), Some(r"\boxed{9}"));
    assert_eq!(text(r"\boxed{9"), None);
    let many: String = (0..9)
        .map(|n| format!(r"or perhaps \boxed{{{n}}} is it. "))
        .collect();
    assert_eq!(text(&many), None, "a list of guesses is no answer");
}

#[test]
fn thoughts_do_not_count() {
    let score = |response: &str| verify("9", response, &MathConfig::flexible()).score;
    assert_eq!(score(r"<think>\boxed{8}</think>\boxed{9}"), Some(1.0));
    assert_eq!(score(r"<think>\boxed{9}</think>done"), Some(0.0));
    assert_eq!(score(r"<think>\boxed{9}"), Some(0.0));
    assert_eq!(score(r"<think>a</think>\boxed{9}<think>b"), Some(0.0));
    assert_eq!(score(r"\boxed{9}</think>\boxed{8}"), Some(0.0));
}

#[test]
fn the_strict_profile_wants_a_box_and_whole_latex() {
    let strict = MathConfig::default();
    let score = |response: &str| verify(r"\frac12", response, &strict).score;
    assert_eq!(score(r"\boxed{\frac{1}{2}}"), Some(1.0));
    assert_eq!(score(r"\boxed{\frac12}"), Some(0.0));
    assert_eq!(score(r"it is $\frac{1}{2}$"), Some(0.0));
    assert_eq!(score(r"The final answer is $\frac{1}{2}$."), Some(1.0));
    assert_eq!(
        verify(r"\frac12", r"it is $\frac12$", &MathConfig::flexible()).score,
        Some(1.0)
    );
}

#[test]
fn deep_long_and_huge_inputs_end_in_a_verdict() {
    let n = 60_000;
    let nested = |open: &str, core: &str, close: &str| open.repeat(n) + core + &close.repeat(n);
    for answer in [
        nested("(", "5", ")"),
        nested(r"\left(", "5", r"\right)"),
        nested("{", "5", "}"),
        "-".repeat(2 * n) + "5",
    ] {
        assert!(flexible("5", &answer).is_correct());
    }
    for answer in [
        nested(r"\frac{1}{1+", "1", "}"),
        nested("2^{", "2", "}"),
        nested(r"\sqrt{1+", "2", "}"),
        nested("(1,", "2", ")"),
        nested("|", "5", "|"),
        nested(r"\sin(", "1", ")"),
        nested("", "3", "!"),
        "5,".repeat(n) + "5",
        "1,".repeat(n) + "x",
        "x<".repeat(n) + "5",
        "{".repeat(n) + "5",
        r"\boxed{".repeat(n) + "5",
        "9^{9^{9^9}}".to_owned(),
        r"\binom{9000000}{4500000}".to_owned(),
        "(x+y)^{90000}".to_owned(),
        r"\sum_{k=1}^{2000}\sum_{j=1}^{2000}\sum_{m=1}^{2000} kjm".to_owned(),
    ] {
        let verdict = flexible("5", &answer);
        assert!(!verdict.is_correct(), "{}: {verdict:?}", &answer[..10]);
        let same = flexible(&answer, &format!(" {answer}"));
        assert!(
            same.score != Some(0.0) || answer.len() > 4 * n,
            "{}: {same:?}",
            &answer[..10]
        );
    }
}

#[test]
fn an_explanation_tells_every_step() {
    let told = explain(
        r"$x^2-1$",
        r"so $x$ is 3 and \boxed{(x-1)(x+1)}",
        &MathConfig::default(),
    );
    assert_eq!(told.verdict.score, Some(1.0));
    assert_eq!(told.verdict.reason, "the difference is zero");
    assert_eq!(told.reference, "x^2-1");
    assert_eq!(told.candidates.len(), 1);
    assert_eq!(told.candidates[0].place, Place::Box);
    assert_eq!(
        told.answer_normal_form.as_deref(),
        Some(told.reference_normal_form.as_str())
    );
}

#[test]
fn parameters_out_of_range_are_refused() {
    let message = |config: MathConfig| config.build(&()).unwrap_err().to_string();
    let decimals = MathConfig {
        decimals: 16,
        ..MathConfig::default()
    };
    assert!(message(decimals).contains("decimals"));
    let max_boxes = MathConfig {
        max_boxes: 0,
        ..MathConfig::default()
    };
    assert!(message(max_boxes).contains("max_boxes"));
}

#[test]
fn plain_numbers_have_one_form() {
    assert_eq!(plain_number("1,250.50").as_deref(), Some("2501/2"));
    assert_eq!(plain_number("-0.0").as_deref(), Some("0"));
    assert_eq!(plain_number("18.").as_deref(), Some("18"));
    assert_eq!(plain_number("1.2.3"), None);
    assert_eq!(plain_number("..."), None);
}

/// Found by the fuzz target `math`: the reference was read, the same text as an answer was not.
#[test]
fn marks_around_nothing_leave_a_text_readable() {
    let config = MathConfig::default();
    for text in ["x$$", "x+y$$"] {
        assert!(parse(text).is_ok(), "{text}");
        assert!(compare(text, text, &config).is_correct(), "{text}");
    }
    assert!(compare("x", "x$$", &config).is_correct());
    assert!(!compare("y", "x$$", &config).is_correct());
}
