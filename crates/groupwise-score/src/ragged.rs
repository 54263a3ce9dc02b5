//! Lists of lists as one flat list and the lengths of its rows: no allocation per row.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// Rows of different lengths, one per trajectory.
///
/// # Example
/// ```
/// use groupwise_score::Ragged;
/// let rows: Ragged<f64> = serde_json::from_str("[[1, 2.5], [], [3]]")?;
/// assert_eq!(rows.lengths, [2, 0, 1]);
/// assert_eq!(rows.values, [1.0, 2.5, 3.0]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ragged<T> {
    /// Entries of each row.
    pub lengths: Vec<usize>,
    /// The rows, one after the other.
    pub values: Vec<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ragged<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Rows(PhantomData))
    }
}

struct Rows<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Rows<T> {
    type Value = Ragged<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list per trajectory")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
        let (mut lengths, mut values) = (Vec::new(), Vec::new());
        while let Some(length) = rows.next_element_seed(Row(&mut values))? {
            lengths.push(length);
        }
        Ok(Ragged { lengths, values })
    }
}

/// Appends a row and says how long it is.
struct Row<'a, T>(&'a mut Vec<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Row<'_, T> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Row<'_, T> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list of a trajectory")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<usize, A::Error> {
        let before = self.0.len();
        while let Some(value) = entries.next_element()? {
            self.0.push(value);
        }
        Ok(self.0.len() - before)
    }
}

/// A mask entry: true, false, 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bits;

        impl Visitor<'_> for Bits {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0, 1, true or false")
            }

            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Flag, E> {
                Ok(Flag(v))
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Flag, E> {
                match v {
                    0 | 1 => Ok(Flag(v == 1)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(v), &self)),
                }
            }

            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Flag, E> {
                if v == 0.0 || v == 1.0 {
                    Ok(Flag(v == 1.0))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(v), &self))
                }
            }
        }

        deserializer.deserialize_any(Bits)
    }
}

/// Advantages of a group that another trainer computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// One per trajectory.
    Trajectory(Vec<f64>),
    /// One per token.
    Token(Ragged<f64>),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Levels)
    }
}

struct Levels;

impl<'de> Visitor<'de> for Levels {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers per trajectory")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Given, A::Error> {
        let (mut values, mut lengths, mut numbers) = (Vec::new(), Vec::new(), 0_usize);
        while let Some(row) = rows.next_element_seed(Either(&mut values))? {
            match row {
                Some(length) => lengths.push(length),
                None => numbers += 1,
            }
            if numbers > 0 && !lengths.is_empty() {
                return Err(de::Error::custom("holds both numbers and lists of numbers"));
            }
        }
        Ok(if lengths.is_empty() {
            Given::Trajectory(values)
        } else {
            Given::Token(Ragged { lengths, values })
        })
    }
}

/// Appends a number (`None`) or a row of them (its length).
struct Either<'a>(&'a mut Vec<f64>);

impl<'de> DeserializeSeed<'de> for Either<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Either<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Self::Value, E> {
        self.0.push(v);
        Ok(None)
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
        self.visit_f64(v as f64)
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
        self.visit_f64(v as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        Row(self.0).visit_seq(entries).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<'de, T: Deserialize<'de> + fmt::Debug>(text: &'de str) -> String {
        serde_json::from_str::<T>(text).unwrap_err().to_string()
    }

    #[test]
    fn flags_are_bits_and_nothing_else() {
        let flags: Vec<Flag> = serde_json::from_str("[1, 0, true, false, 1.0, 0.0]").unwrap();
        assert_eq!(
            flags.iter().map(|f| f.0).collect::<Vec<_>>(),
            [true, false, true, false, true, false]
        );
        assert!(refused::<Flag>("2").starts_with("invalid value: integer `2`, expected 0, 1, true or false"));
        assert!(refused::<Flag>("0.5").starts_with("invalid value: floating point `0.5`"));
        assert!(refused::<Flag>("\"1\"").starts_with("invalid type: string"));
        assert!(refused::<Flag>("-1").starts_with("invalid type: integer `-1`"));
    }

    #[test]
    fn advantages_come_at_two_levels_that_do_not_mix() {
        let given = |text| serde_json::from_str::<Given>(text).unwrap();
        assert_eq!(given("[1, -2, 0.5]"), Given::Trajectory(vec![1.0, -2.0, 0.5]));
        let rows = Ragged {
            lengths: vec![2, 0],
            values: vec![1.0, -2.0],
        };
        assert_eq!(given("[[1, -2], []]"), Given::Token(rows));
        assert_eq!(given("[]"), Given::Trajectory(vec![]));
        for mixed in ["[1, [2]]", "[[2], 1]"] {
            assert!(
                refused::<Given>(mixed).starts_with("holds both numbers and lists"),
                "{mixed}"
            );
        }
        assert!(refused::<Given>("[null]").contains("expected a number or a list of numbers"));
    }

    #[test]
    fn a_row_must_be_a_list() {
        assert!(refused::<Ragged<f64>>("[1]").contains("expected the list of a trajectory"));
        assert!(refused::<Ragged<f64>>("3").contains("expected a list per trajectory"));
    }
}
