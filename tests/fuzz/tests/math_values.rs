//! Mathematics with known values: what is equal is accepted, what is not is refused.

use groupwise_reward::verifiers::math::{self, MathConfig};

/// An expression in LaTeX, what it is worth, and how tightly it binds: 1 a sum, 2 a product, 3 a power's base or anything closed.
#[derive(Clone)]
struct Written {
    latex: String,
    value: (i64, i64),
    rank: u8,
}

fn greatest_divisor(a: i64, b: i64) -> i64 {
    if b == 0 {
        a.abs()
    } else {
        greatest_divisor(b, a % b)
    }
}

/// Lowest terms; `None` without a value, or where it grows past what is easily kept.
fn lowest((n, d): (i64, i64)) -> Option<(i64, i64)> {
    if d == 0 || n.abs() > 1 << 30 || d.abs() > 1 << 30 {
        return None;
    }
    let by = greatest_divisor(n, d).max(1) * d.signum();
    Some((n / by, d / by))
}

fn bracketed(x: &Written, least: u8, style: u8) -> String {
    if x.rank >= least && !x.latex.starts_with('-') {
        return x.latex.clone();
    }
    match style % 3 {
        0 => format!("({})", x.latex),
        1 => format!(r"\left({}\right)", x.latex),
        _ => format!("[{}]", x.latex),
    }
}

fn number(n: u8) -> Written {
    let value = i64::from(n % 23);
    let latex = match n / 23 % 4 {
        0 => value.to_string(),
        1 => format!("{{{value}}}"),
        2 => format!(r"\, {value} "),
        _ => format!("{value}"),
    };
    Written {
        latex,
        value: (value, 1),
        rank: 3,
    }
}

/// Joins two expressions in one of many notations.
fn joined(op: u8, a: &Written, b: &Written) -> Option<Written> {
    let ((n, d), (m, e)) = (a.value, b.value);
    let style = op / 4;
    let (latex, value, rank) = match op % 4 {
        0 => (
            format!("{} + {}", a.latex, bracketed(b, 2, style)),
            (n * e + m * d, d * e),
            1,
        ),
        1 => (
            format!("{}-{}", a.latex, bracketed(b, 2, style)),
            (n * e - m * d, d * e),
            1,
        ),
        2 => {
            let sign = [r" \cdot ", r"\times ", "*", r"\cdot{}"][usize::from(style % 4)];
            let (left, right) = (bracketed(a, 2, style), bracketed(b, 3, style));
            (format!("{left}{sign}{right}"), (n * m, d * e), 2)
        }
        _ => {
            let value = (n * e, d * m);
            match style % 4 {
                0 => (format!(r"\frac{{{}}}{{{}}}", a.latex, b.latex), value, 3),
                1 => (format!(r"\dfrac{{{}}}{{{}}}", a.latex, b.latex), value, 3),
                2 => (
                    format!("{}/{}", bracketed(a, 2, style), bracketed(b, 3, style)),
                    value,
                    2,
                ),
                _ => (
                    format!(r"{} \div {}", bracketed(a, 2, style), bracketed(b, 3, style)),
                    value,
                    2,
                ),
            }
        }
    };
    Some(Written {
        latex,
        value: lowest(value)?,
        rank,
    })
}

/// An expression out of bytes: numbers are pushed, every other byte joins the two on top.
fn expression(bytes: &[u8]) -> Option<Written> {
    let mut stack: Vec<Written> = Vec::new();
    for pair in bytes.chunks(2).take(14) {
        let (&kind, choice) = (pair.first()?, pair.get(1).copied().unwrap_or_default());
        match (kind % 2 == 0, stack.len()) {
            (true, _) | (_, 0) => stack.push(number(choice)),
            (_, 1) => {
                let x = stack.pop()?;
                let latex = format!("-{}", bracketed(&x, 2, choice));
                stack.push(Written {
                    latex,
                    value: (-x.value.0, x.value.1),
                    rank: 1,
                });
            }
            _ => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                stack.push(joined(choice, &a, &b)?);
            }
        }
    }
    stack.pop()
}

fn target(bytes: &[u8]) {
    let Some(written) = expression(bytes) else {
        return;
    };
    let config = MathConfig::default();
    let (n, d) = written.value;
    let plain = |(n, d): (i64, i64)| {
        if d == 1 {
            n.to_string()
        } else {
            format!(r"\frac{{{n}}}{{{d}}}")
        }
    };
    let latex = &written.latex;
    let right = math::compare(&plain(written.value), latex, &config);
    assert!(right.is_correct(), "{latex} is {n}/{d}: {right:?}");
    let turned = math::compare(latex, &plain(written.value), &config);
    assert!(turned.is_correct(), "{n}/{d} is {latex}: {turned:?}");
    for (more, per) in [(1, 1), (-1, 1), (1, 7), (-1, 1_000)] {
        let Some(other) = lowest((n * per + more * d, d * per)) else {
            continue;
        };
        let wrong = math::compare(&plain(other), latex, &config);
        assert_eq!(
            wrong.score,
            Some(0.0),
            "{latex} is {n}/{d}, not {other:?}: {wrong:?}"
        );
    }
    if n != 0 {
        let wrong = math::compare(&plain((-n, d)), latex, &config);
        assert_eq!(wrong.score, Some(0.0), "{latex} is {n}/{d}: {wrong:?}");
    }
}

groupwise_fuzz::tests!("math_values", target);
