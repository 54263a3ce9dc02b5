use proptest::prelude::*;

use super::*;

fn value(text: &str) -> Result<String, ArithmeticError> {
    Expression::parse(text)?.value().map(|v| v.to_string())
}

#[test]
fn values_are_exact_and_operators_bind_as_usual() {
    for (text, expected) in [
        ("7", "7"),
        ("0", "0"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("8 / 4 / 2", "1"),
        ("8 - 4 - 2", "2"),
        ("1 / 3 + 1 / 6", "1/2"),
        ("-2 * -3", "6"),
        ("-(2 - 5)", "3"),
        ("--2", "2"),
        ("2 - -2", "4"),
        ("+2 - +3", "-1"),
        ("6 / -4", "-3/2"),
        ("0 / 5", "0"),
        (" (\t(1)\n) ", "1"),
        ("8/(3-8/3)", "24"),
        ("18446744073709551615 * 9", "166020696663385964535"),
    ] {
        assert_eq!(value(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn everything_else_is_refused_with_its_place() {
    use ArithmeticError::*;
    for (text, error) in [
        ("", Unfinished),
        ("2 +", Unfinished),
        ("2 ** 3", Unexpected(3)),
        ("4 // 2", Unexpected(3)),
        ("2.5", Unexpected(1)),
        ("1 2", Unexpected(2)),
        ("2(3)", Unexpected(1)),
        ("()", Unexpected(1)),
        ("* 2", Unexpected(0)),
        ("1 + 2 = 3", Unexpected(6)),
        ("2 \u{d7} 3", Unexpected(2)),
        ("2 \u{2212} 3", Unexpected(2)),
        ("\u{662}", Unexpected(0)),
        ("x", Unexpected(0)),
        ("__import__", Unexpected(0)),
        ("((1)", Unbalanced),
        ("1)", Unbalanced),
        ("01", BadNumber(0)),
        ("1 + 18446744073709551616", BadNumber(4)),
        ("1 / (2 - 2)", DivisionByZero),
        ("1 / 0", DivisionByZero),
    ] {
        assert_eq!(value(text), Err(error), "{text}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000));
    assert_eq!(value(&deep).as_deref(), Ok("1"));
    assert_eq!(value(&"-".repeat(60_000)), Err(ArithmeticError::Unfinished));
    assert_eq!(value(&"(".repeat(MAX_BYTES + 1)), Err(ArithmeticError::TooLong));
    let large = ["18446744073709551615"; 4].join("*");
    assert_eq!(value(&large), Err(ArithmeticError::Overflow));
    assert!(
        ArithmeticError::Overflow.to_string().starts_with("limit")
            && ArithmeticError::TooLong.to_string().starts_with("limit")
    );
}

#[test]
fn only_whole_postfix_orders_are_expressions() {
    let (n, sum) = (Item::Number(1), Item::Binary(Operator::Add));
    assert!(Expression::from_postfix(vec![n, n, sum, Item::Negate]).is_some());
    for bad in [
        vec![],
        vec![n, n],
        vec![n, sum],
        vec![sum, n, n],
        vec![Item::Negate, n],
    ] {
        assert_eq!(Expression::from_postfix(bad), None);
    }
}

/// Postfix orders of every shape.
fn expressions() -> impl Strategy<Value = Expression> {
    let operator = prop::sample::select(vec![
        Operator::Add,
        Operator::Subtract,
        Operator::Multiply,
        Operator::Divide,
    ]);
    let leaf = (0..20u64).prop_map(|n| vec![Item::Number(n)]);
    let tree = leaf.prop_recursive(6, 64, 2, move |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| [a, vec![Item::Negate]].concat()),
            (inner.clone(), inner, operator.clone())
                .prop_map(|(a, b, op)| [a, b, vec![Item::Binary(op)]].concat()),
        ]
    });
    tree.prop_map(|postfix| Expression::from_postfix(postfix).unwrap())
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(expression in expressions()) {
        let text = expression.to_string();
        prop_assert_eq!(Expression::parse(&text), Ok(expression), "{}", text);
    }

    #[test]
    fn values_are_those_of_floating_point(expression in expressions()) {
        let mut stack: Vec<f64> = Vec::new();
        for item in &expression.postfix {
            let value = match item {
                Item::Number(n) => *n as f64,
                Item::Negate => -stack.pop().unwrap(),
                Item::Binary(operator) => {
                    let (b, a) = (stack.pop().unwrap(), stack.pop().unwrap());
                    match operator {
                        Operator::Add => a + b,
                        Operator::Subtract => a - b,
                        Operator::Multiply => a * b,
                        Operator::Divide => a / b,
                    }
                }
            };
            stack.push(value);
        }
        if let Ok(exact) = expression.value() {
            let exact = exact.numerator as f64 / exact.denominator as f64;
            // Rounding may part a quotient by a difference that is nearly 0.
            let rough = stack[0];
            prop_assume!(rough.is_finite() && rough.abs() < 1e6);
            prop_assert!((exact - rough).abs() <= 1e-6 * (1.0 + exact.abs()), "{expression}: {exact} {rough}");
        }
    }

    #[test]
    fn fractions_are_in_lowest_terms(a in -1000i128..1000, b in -1000i128..1000) {
        match Fraction::new(a, b) {
            None => prop_assert_eq!(b, 0),
            Some(f) => {
                prop_assert!(f.denominator > 0);
                prop_assert_eq!(f.numerator * b, a * f.denominator);
                prop_assert_eq!(gcd(f.numerator.unsigned_abs(), f.denominator.unsigned_abs()), 1);
            }
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), signs in "[-+*/() 0-9]{0,40}") {
        for text in [text, signs] {
            if let Ok(expression) = Expression::parse(&text) {
                prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression.clone()));
                prop_assert!(expression.numbers().count() >= 1);
                let _ = expression.value();
            }
        }
    }
}
