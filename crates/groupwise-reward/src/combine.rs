//! Weighted sums of reward components, with what each component contributed.

use groupwise_core::DataError;

/// What the components of a reward add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// Weighted sum of each member; `None`: a component that counts is missing.
    pub totals: Vec<Option<f64>>,
    /// What each component contributed: component, then member; `None` where it is missing.
    pub weighted: Vec<Vec<Option<f64>>>,
}

/// Adds up the components of a reward.
///
/// # Formula
/// `R_i = sum_k w_k s_ki`.
///
/// # Shapes
/// `components`: one list per component, with one entry per member, `None` where the component has no value for it;
/// `weights`: one per component, of any sign and any sum.
///
/// # Edge cases
/// - A missing value is not 0: the member has no total.  A component of weight 0 may be missing.
/// - No components: there are no members either.
///
/// # Errors
/// As many weights as components must be given, all components must have the same number of members; a weight or a value
/// that is not finite, named by component and member.
///
/// # Source
/// The scalar reward of Multi-Objective GRPO (arXiv 2503.21819) and of every method that adds weighted reward terms.
///
/// # Example
/// ```
/// use groupwise_reward::combine::combine;
/// let (safe, useful) = ([Some(0.5), Some(1.0)], [Some(1.0), None]);
/// let combined = combine(&[safe, useful], &[1.0, 0.25])?;
/// assert_eq!(combined.totals, [Some(0.75), None]);
/// assert_eq!(combined.weighted, [vec![Some(0.5), Some(1.0)], vec![Some(0.25), None]]);
/// assert_eq!(combine(&[safe, useful], &[1.0, 0.0])?.totals, safe);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn combine<C: AsRef<[Option<f64>]>>(components: &[C], weights: &[f64]) -> Result<Combined, DataError> {
    DataError::check_len("weights", weights.len(), components.len())?;
    DataError::check_finite("weights", weights)?;
    let n_members = components.first().map_or(0, |c| c.as_ref().len());
    let mut totals = vec![Some(0.0); n_members];
    let mut weighted = Vec::with_capacity(components.len());
    for (k, (component, weight)) in components.iter().zip(weights).enumerate() {
        let component = component.as_ref();
        DataError::check_len(&format!("component {k}"), component.len(), n_members)?;
        for (i, (value, total)) in component.iter().zip(&mut totals).enumerate() {
            if let Some(value) = value.filter(|v| !v.is_finite()) {
                return Err(DataError::NonFinite {
                    place: format!("trajectory {i}"),
                    what: format!("component {k}"),
                    value: value.to_string(),
                });
            }
            if *weight != 0.0 {
                *total = total.zip(*value).map(|(sum, v)| sum + weight * v);
            }
        }
        weighted.push(component.iter().map(|v| v.map(|v| weight * v)).collect());
    }
    Ok(Combined { totals, weighted })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(components: &[Vec<Option<f64>>], weights: &[f64]) -> String {
        combine(components, weights).expect_err("refused").to_string()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let one = vec![Some(1.0)];
        assert_eq!(
            refused(std::slice::from_ref(&one), &[]),
            "`weights` has 0 entries, expected 1"
        );
        assert_eq!(
            refused(&[one.clone(), vec![]], &[1.0, 1.0]),
            "`component 1` has 0 entries, expected 1"
        );
        assert_eq!(
            refused(std::slice::from_ref(&one), &[f64::NAN]),
            "index 0: `weights` is NaN"
        );
        assert_eq!(
            refused(&[one, vec![Some(f64::INFINITY)]], &[1.0, 0.0]),
            "trajectory 0: `component 1` is inf"
        );
        let none = combine::<Vec<Option<f64>>>(&[], &[]).expect("fits");
        assert_eq!((none.totals, none.weighted), (vec![], vec![]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn totals_are_the_sums_of_what_is_weighted(
            rows in prop::collection::vec(
                (-2.0..2.0f64, prop::collection::vec(prop::option::weighted(0.8, -2.0..2.0f64), 4)), 1..5,
            ),
        ) {
            let (weights, components): (Vec<f64>, Vec<Vec<Option<f64>>>) = rows.into_iter().unzip();
            let combined = combine(&components, &weights)?;
            for i in 0..4 {
                let parts: Option<Vec<f64>> = combined.weighted.iter().map(|row| row[i]).collect();
                let sum = parts.map(|parts| parts.iter().sum::<f64>());
                prop_assert_eq!(sum.is_some(), combined.totals[i].is_some());
                prop_assert!((sum.unwrap_or(0.0) - combined.totals[i].unwrap_or(0.0)).abs() < 1e-12);
                for (k, row) in components.iter().enumerate() {
                    prop_assert_eq!(combined.weighted[k][i], row[i].map(|v| v * weights[k]));
                }
            }
        }
    }
}
