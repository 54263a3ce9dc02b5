//! Reading and writing digit-chain prompts and answers.

use super::{Form, MAX_COLUMNS, label};

/// Why an answer is not the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongAnswer {
    /// The prompt is not of this form.
    #[error("the prompt is not of this form")]
    Prompt,
    /// The answer is not of this form.
    #[error("the answer is not of this form")]
    Unreadable,
    /// The first column, counted from the least significant, that is wrong, missing or too much.
    #[error("column {0} from the least significant is wrong")]
    Column(usize),
}

/// Judges an answer from the prompt alone, column by column.
///
/// # Errors
/// [`WrongAnswer`]; for a readable answer it names the first wrong column.  In the forms without carries the top
/// carry is a column of its own.  `base` is that of the digits, from twice the number of operands to 10.
///
/// # Example
/// ```
/// use groupwise_env::envs::digit_chain::{Form, WrongAnswer, check};
/// assert_eq!(check(Form::Columns, 10, "a75b38=", "a12b12"), Ok(()));
/// assert_eq!(check(Form::Columns, 10, "a75b38=", "a12b11"), Err(WrongAnswer::Column(1)));
/// assert_eq!(check(Form::Carries, 10, "37+85=", "2121"), Ok(()));
/// assert_eq!(check(Form::LeastFirst, 10, "37+85=", "221"), Ok(()));
/// assert_eq!(check(Form::MostFirst, 10, "37+85=", "122"), Ok(()));
/// assert_eq!(check(Form::MostFirst, 10, "37+85=", "12 2"), Err(WrongAnswer::Unreadable));
/// ```
pub fn check(form: Form, base: u8, prompt: &str, answer: &str) -> Result<(), WrongAnswer> {
    let columns = read_prompt(form, base, prompt).ok_or(WrongAnswer::Prompt)?;
    let links = links_of(base, &columns);
    let expected = match form {
        Form::Columns | Form::Carries => links,
        Form::LeastFirst | Form::MostFirst => digits_of(&links).into_iter().map(|d| (0, d)).collect(),
    };
    let found = read_answer(form, answer).ok_or(WrongAnswer::Unreadable)?;
    let length = expected.len().max(found.len());
    match (0..length).find(|i| expected.get(*i) != found.get(*i)) {
        Some(column) => Err(WrongAnswer::Column(column)),
        None => Ok(()),
    }
}

/// Carry and digit of each column's sum, least significant first.
pub(super) fn links_of(base: u8, columns: &[Vec<u8>]) -> Vec<(u8, u8)> {
    let mut carry = 0;
    columns
        .iter()
        .map(|column| {
            let total = column.iter().sum::<u8>() + carry;
            carry = total / base;
            (carry, total % base)
        })
        .collect()
}

/// Digits of the sum, least significant first, without a leading zero.
fn digits_of(links: &[(u8, u8)]) -> Vec<u8> {
    let mut digits: Vec<u8> = links.iter().map(|(_, digit)| *digit).collect();
    digits.extend(links.last().map(|(carry, _)| *carry).filter(|carry| *carry > 0));
    digits
}

/// The prompt of a sum; `columns` least significant first, the operands in order in each.
pub(super) fn write_prompt(form: Form, columns: &[Vec<u8>]) -> String {
    let mut prompt = String::new();
    match form {
        Form::Columns => {
            for (i, column) in columns.iter().enumerate() {
                prompt.push(label(i));
                prompt.extend(column.iter().map(|d| digit(*d)));
            }
        }
        Form::Carries | Form::LeastFirst | Form::MostFirst => {
            for operand in 0..columns.first().map_or(0, Vec::len) {
                if operand > 0 {
                    prompt.push('+');
                }
                prompt.extend(columns.iter().rev().map(|column| digit(column[operand])));
            }
        }
    }
    prompt.push('=');
    prompt
}

/// The right answer.
pub(super) fn write_answer(form: Form, base: u8, columns: &[Vec<u8>]) -> String {
    let links = links_of(base, columns);
    let mut answer = String::new();
    match form {
        Form::Columns => {
            for (i, (carry, units)) in links.iter().enumerate() {
                answer.extend([label(i), digit(*carry), digit(*units)]);
            }
        }
        Form::Carries => links
            .iter()
            .for_each(|(carry, units)| answer.extend([digit(*units), digit(*carry)])),
        Form::LeastFirst => answer.extend(digits_of(&links).iter().map(|d| digit(*d))),
        Form::MostFirst => answer.extend(digits_of(&links).iter().rev().map(|d| digit(*d))),
    }
    answer
}

/// Columns of a prompt, least significant first; `None` if it is not of this form or holds a digit beyond the base.
pub(super) fn read_prompt(form: Form, base: u8, prompt: &str) -> Option<Vec<Vec<u8>>> {
    let body = prompt.strip_suffix('=')?;
    let columns: Vec<Vec<u8>> = match form {
        Form::Columns => read_labelled(body)?,
        Form::Carries | Form::LeastFirst | Form::MostFirst => {
            let operands: Vec<Vec<u8>> = body.split('+').map(read_digits).collect::<Option<_>>()?;
            let n = operands[0].len();
            if operands.iter().any(|operand| operand.len() != n) {
                return None;
            }
            (0..n)
                .rev()
                .map(|i| operands.iter().map(|operand| operand[i]).collect())
                .collect()
        }
    };
    let operands = columns.first()?.len();
    // A carry is below the number of operands, and a digit only where the base is at least twice that.
    let fits = columns.len() <= MAX_COLUMNS && operands >= 2 && 2 * operands <= usize::from(base);
    let fits = fits && columns.iter().all(|column| column.len() == operands);
    (fits && columns.iter().flatten().all(|d| *d < base)).then_some(columns)
}

/// Carry and digit of each column of an answer, least significant first; carry 0 in the forms without carries.
fn read_answer(form: Form, answer: &str) -> Option<Vec<(u8, u8)>> {
    match form {
        Form::Columns => read_labelled(answer)?
            .into_iter()
            .map(|column| match column[..] {
                [carry, units] => Some((carry, units)),
                _ => None,
            })
            .collect(),
        Form::Carries => {
            let digits = read_digits(answer)?;
            let pairs = digits.chunks_exact(2);
            pairs
                .remainder()
                .is_empty()
                .then(|| pairs.map(|pair| (pair[1], pair[0])).collect())
        }
        Form::LeastFirst => Some(read_digits(answer)?.into_iter().map(|d| (0, d)).collect()),
        Form::MostFirst => Some(read_digits(answer)?.into_iter().rev().map(|d| (0, d)).collect()),
    }
}

/// True for an answer in labelled columns of two digits.
pub(super) fn is_labelled(answer: &str) -> bool {
    read_answer(Form::Columns, answer).is_some()
}

/// True for an answer in pairs of digits.
pub(super) fn is_pairs(answer: &str) -> bool {
    read_answer(Form::Carries, answer).is_some()
}

/// True for a number.
pub(super) fn is_digits(answer: &str) -> bool {
    read_digits(answer).is_some()
}

/// Digits under the labels `a`, `b`, ... in this order.
fn read_labelled(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut columns: Vec<Vec<u8>> = Vec::new();
    for symbol in text.chars() {
        match symbol.to_digit(10) {
            Some(value) => columns.last_mut()?.push(value as u8),
            None if columns.len() < MAX_COLUMNS && symbol == label(columns.len()) => columns.push(Vec::new()),
            None => return None,
        }
    }
    (!columns.is_empty()).then_some(columns)
}

/// At least one digit and nothing else.
fn read_digits(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(10).map(|d| d as u8)).collect();
    digits.filter(|digits| !digits.is_empty())
}

fn digit(value: u8) -> char {
    char::from(b'0' + value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form; 4] = [Form::Columns, Form::Carries, Form::LeastFirst, Form::MostFirst];

    fn columns() -> impl Strategy<Value = (u8, Vec<Vec<u8>>)> {
        (2..=5u8, 0..7u8, 1..=26usize).prop_flat_map(|(k, spare, n)| {
            let base = (2 * k + spare).min(10);
            let column = prop::collection::vec(0..base, usize::from(k));
            (Just(base), prop::collection::vec(column, n))
        })
    }

    proptest! {
        #[test]
        fn a_prompt_reads_back_and_its_own_answer_passes((base, columns) in columns()) {
            for form in FORMS {
                let prompt = write_prompt(form, &columns);
                prop_assert_eq!(read_prompt(form, base, &prompt), Some(columns.clone()));
                prop_assert_eq!(check(form, base, &prompt, &write_answer(form, base, &columns)), Ok(()));
            }
        }

        #[test]
        fn the_sum_is_that_of_the_numbers((base, columns) in columns()) {
            // Independent of the column arithmetic: 26 digits fit in u128.
            let prompt = write_prompt(Form::MostFirst, &columns);
            let sum: u128 = prompt.trim_end_matches('=').split('+').map(|n| u128::from_str_radix(n, u32::from(base)).unwrap()).sum();
            let answer = write_answer(Form::MostFirst, base, &columns);
            prop_assert_eq!(u128::from_str_radix(&answer, u32::from(base)).unwrap(), sum);
            let reversed: String = answer.chars().rev().collect();
            prop_assert_eq!(write_answer(Form::LeastFirst, base, &columns), reversed);
        }

        #[test]
        fn any_changed_character_fails((base, columns) in columns(), place in 0.0..1.0f64, other in 0..10u8) {
            for form in FORMS {
                let mut answer: Vec<char> = write_answer(form, base, &columns).chars().collect();
                let i = (place * answer.len() as f64) as usize;
                prop_assume!(answer[i] != digit(other));
                answer[i] = digit(other);
                let changed: String = answer.into_iter().collect();
                prop_assert!(check(form, base, &write_prompt(form, &columns), &changed).is_err());
            }
        }
    }

    #[test]
    fn wrong_answers_are_named() {
        let wrong = |form, answer| {
            check(
                form,
                10,
                if form == Form::Columns {
                    "a75b38="
                } else {
                    "37+85="
                },
                answer,
            )
        };
        assert_eq!(wrong(Form::Columns, "a12"), Err(WrongAnswer::Column(1)));
        assert_eq!(wrong(Form::Columns, "a12b12c00"), Err(WrongAnswer::Column(2)));
        assert_eq!(wrong(Form::Columns, "a02b12"), Err(WrongAnswer::Column(0)));
        assert_eq!(wrong(Form::Columns, "a1b12"), Err(WrongAnswer::Unreadable));
        assert_eq!(wrong(Form::Columns, "12"), Err(WrongAnswer::Unreadable));
        assert_eq!(wrong(Form::Carries, "212"), Err(WrongAnswer::Unreadable));
        assert_eq!(wrong(Form::Carries, "2120"), Err(WrongAnswer::Column(1)));
        assert_eq!(wrong(Form::LeastFirst, "22"), Err(WrongAnswer::Column(2)));
        assert_eq!(wrong(Form::MostFirst, "0122"), Err(WrongAnswer::Column(3)));
        assert_eq!(wrong(Form::MostFirst, ""), Err(WrongAnswer::Unreadable));
        assert_eq!(
            wrong(Form::Columns, "a12b11").unwrap_err().to_string(),
            "column 1 from the least significant is wrong"
        );
        for prompt in ["", "=", "37+85", "37+8=", "37=", "1+1+1+1+1+1=", "a7+5="] {
            for form in FORMS {
                assert_eq!(check(form, 10, prompt, "1"), Err(WrongAnswer::Prompt), "{prompt}");
            }
        }
        assert_eq!(
            check(Form::Columns, 10, "a75b3=", "a12"),
            Err(WrongAnswer::Prompt)
        );
        assert_eq!(
            check(Form::Columns, 7, "a75b38=", "a12"),
            Err(WrongAnswer::Prompt)
        );
        assert_eq!(check(Form::MostFirst, 5, "34+12=", "101"), Ok(()));
    }
}
