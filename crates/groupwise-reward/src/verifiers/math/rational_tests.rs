use proptest::prelude::*;

use super::*;

fn fuel() -> Fuel {
    Fuel::new(VERDICT_FUEL)
}

fn ratio(n: i64, d: i64) -> Rational {
    Rational::ratio(n, d).unwrap()
}

proptest! {
    #[test]
    fn arithmetic_agrees_with_big_rationals(a: i64, b in 1..i64::MAX, c: i64, d in 1..i64::MAX) {
        let big = |n: i64, d: i64| BigRational::new(n.into(), d.into());
        let (x, y) = (ratio(a, b), ratio(c, d));
        let fuel = &mut fuel();
        prop_assert_eq!(x.add(&y, fuel).unwrap().to_big(), big(a, b) + big(c, d));
        prop_assert_eq!(x.mul(&y, fuel).unwrap().to_big(), big(a, b) * big(c, d));
        prop_assert_eq!(x.sub(&y, fuel).unwrap().to_big(), big(a, b) - big(c, d));
        prop_assert_eq!(x.cmp(&y), big(a, b).cmp(&big(c, d)));
        if c != 0 {
            prop_assert_eq!(x.div(&y, fuel).unwrap().to_big(), big(a, b) / big(c, d));
        }
    }

    #[test]
    fn one_value_has_one_form(a: i64, b in 1..1000_i64, k in 1..1000_i64) {
        let fuel = &mut fuel();
        let x = ratio(a, b);
        let scaled = x.mul(&Rational::integer(k), fuel).unwrap().div(&Rational::integer(k), fuel).unwrap();
        prop_assert_eq!(x, scaled);
    }

    #[test]
    fn a_numeral_is_read_exactly(whole in 0..u64::MAX, part in "[0-9]{0,30}") {
        let fuel = &mut fuel();
        let read = Rational::parse_decimal(&format!("{whole}.{part}"), fuel).unwrap();
        let back = read.mul(&Rational::power_of_ten(part.len() as i64, fuel).unwrap(), fuel).unwrap();
        let digits: BigInt = format!("{whole}{part}").parse().unwrap();
        prop_assert_eq!(back, Rational::of_integer(digits).unwrap());
    }
}

#[test]
fn ties_round_to_even() {
    let round = |n, d| ratio(n, d).rounded(0, &mut fuel()).unwrap().to_i64().unwrap();
    assert_eq!(
        [round(5, 2), round(7, 2), round(-5, 2), round(8, 3), round(-8, 3)],
        [2, 4, -2, 3, -3]
    );
}

#[test]
fn what_is_too_large_is_a_limit_and_what_is_not_there_is_undefined() {
    let fuel = &mut fuel();
    assert_eq!(Rational::integer(2).pow(1 << 30, fuel), Err(Stop::Limit));
    assert_eq!(Rational::power_of_ten(-999_999, fuel), Err(Stop::Limit));
    assert_eq!(Rational::ONE.pow(i64::MAX, fuel), Ok(Rational::ONE));
    assert_eq!(Rational::ZERO.pow(-1, fuel), Err(Stop::Undefined));
    assert_eq!(Rational::ONE.div(&Rational::ZERO, fuel), Err(Stop::Undefined));
    assert_eq!(factorial(1_000_000, fuel), Err(Stop::Limit));
    assert_eq!(binomial(1_000_000, 500_000, fuel), Err(Stop::Limit));
}

#[test]
fn factorials_and_binomials() {
    let fuel = &mut fuel();
    assert_eq!(
        factorial(20, fuel),
        Ok(Rational::integer(2_432_902_008_176_640_000))
    );
    assert_eq!(binomial(52, 5, fuel), Ok(Rational::integer(2_598_960)));
    assert_eq!(binomial(5, 9, fuel), Ok(Rational::ZERO));
    assert_eq!(binomial(-1, 3, fuel), Ok(Rational::MINUS_ONE));
    assert_ne!(factorial(2004, fuel), factorial(2006, fuel));
}

#[test]
fn exact_roots_only() {
    assert_eq!(ratio(27, 8).exact_root(3), Some(ratio(3, 2)));
    assert_eq!(ratio(2, 1).exact_root(2), None);
    let tenth = Rational::power_of_ten(40, &mut fuel()).unwrap();
    assert_eq!(tenth.exact_root(2), Rational::power_of_ten(20, &mut fuel()).ok());
}

#[test]
fn spent_fuel_stays_spent() {
    let mut fuel = Fuel::new(3);
    assert_eq!(fuel.spend(4).map_err(Stop::from), Err(Stop::Limit));
    assert_eq!(fuel.spend(1).map_err(Stop::from), Err(Stop::Limit));
}
