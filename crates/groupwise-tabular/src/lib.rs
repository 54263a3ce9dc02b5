//! A softmax over a table, or over features that states share, as policy and learner.
//!
//! The table holds one logit per state and action; a turn is one token, the action, drawn after the last state.
//! Everything is exact and in `f64`: log-probabilities, entropies, gradients, and with
//! [`World::exact_success`](groupwise_core::World::exact_success) the success probability itself.  So the whole
//! pipeline can be tested in milliseconds, and an estimator's bias and variance can be told from the noise.
//!
//! [`pair`] makes a [`TabularPolicy`] and a [`TabularLearner`] that share one table.  [`linear_pair`] makes the same
//! two over weights: logits are `base + psi theta`, the features psi given by the world, so that what is learned in one
//! state shows in others.  [`grouping`] analyses known
//! decision processes: what is lost and what is saved when many actions are played as few groups.

mod checkpoint;
pub mod grouping;
mod learner;
mod linear;
mod policy;
mod table;

pub use groupwise_core::architecture::{LinearConfig, TabularConfig};
use groupwise_core::seams::{Features, Symbols};
use groupwise_core::{Key, ParamError};

pub use learner::TabularLearner;
use linear::Linear;
pub use policy::TabularPolicy;
use table::{Shared, Table, Words};

/// A policy and its learner over one table.
///
/// The logits are `initial_logits`, states x actions, or else draws of `N(0, init_std^2)` under `key`.
///
/// # Errors
/// A parameter outside its range, symbols that are not words or not distinct, logits of another shape or not finite.
///
/// # Example
/// ```
/// use groupwise_core::seams::{Policy, Symbols};
/// use groupwise_core::{Key, Stream};
/// use groupwise_tabular::{TabularConfig, pair};
///
/// let symbols = Symbols::Words { states: vec!["s0".into()], actions: vec!["o0".into(), "o1".into()] };
/// let logits = Some(vec![vec![3.0_f64.ln(), 0.0]]);
/// let (policy, _learner) = pair(&TabularConfig::default(), &symbols, logits, Key::new(7, Stream::Init))?;
/// let probabilities = policy.action_probabilities("s0").expect("a known state");
/// assert!((probabilities[0] - 0.75).abs() < 1e-15);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
pub fn pair(
    config: &TabularConfig,
    symbols: &Symbols,
    initial_logits: Option<Vec<Vec<f64>>>,
    key: Key,
) -> Result<(TabularPolicy, TabularLearner), ParamError> {
    config.validate()?;
    let words = Words::new(symbols)?;
    let table = match initial_logits {
        Some(logits) => Table::from_rows(&words, logits)?,
        None => Table::draw(&words, config.init_std, key),
    };
    let shared = Shared::new(words, None, table);
    let policy = TabularPolicy::new(shared.clone());
    let learner = TabularLearner::new(shared, config.max_grad_norm, config.micro_batch_tokens);
    Ok((policy, learner))
}

/// A policy and its learner over the weights of a world's features.
///
/// # Formula
/// `logits = base + psi theta`: `base` are the `initial_logits`, states x actions, or 0; theta are draws of
/// `N(0, init_std^2)` under `key`.
///
/// # Errors
/// A parameter outside its range, symbols that are not words or not distinct, no features or features of other states and
/// actions, logits of another shape or not finite.
///
/// # Example
/// ```
/// use groupwise_core::seams::{Features, Policy, Symbols};
/// use groupwise_core::{Key, Stream};
/// use groupwise_tabular::{LinearConfig, linear_pair};
///
/// let symbols = Symbols::Words { states: vec!["s0".into()], actions: vec!["o0".into(), "o1".into()] };
/// let psi = Features::new(1, 2, 1, |_, action| vec![(0, action as f64)])?;
/// let config = LinearConfig::default();
/// let (policy, _learner) = linear_pair(&config, &symbols, Some(psi), None, Key::new(7, Stream::Init))?;
/// assert_eq!(policy.action_probabilities("s0"), Some(vec![0.5, 0.5]));
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
pub fn linear_pair(
    config: &LinearConfig,
    symbols: &Symbols,
    features: Option<Features>,
    initial_logits: Option<Vec<Vec<f64>>>,
    key: Key,
) -> Result<(TabularPolicy, TabularLearner), ParamError> {
    config.validate()?;
    let words = Words::new(symbols)?;
    let linear = Linear::new(&words, features, initial_logits)?;
    let weights = linear.draw(config.init_std, key);
    let table = Table::of(weights, Some(&linear), words.n_actions(), 0);
    let shared = Shared::new(words, Some(linear), table);
    let policy = TabularPolicy::new(shared.clone());
    let learner = TabularLearner::new(shared, config.max_grad_norm, config.micro_batch_tokens);
    Ok((policy, learner))
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use groupwise_core::seams::Policy;

    use super::*;

    fn key() -> Key {
        Key::new(42, Stream::Init)
    }

    fn words(states: &[&str], actions: &[&str]) -> Symbols {
        let own = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        Symbols::Words {
            states: own(states),
            actions: own(actions),
        }
    }

    fn refused(config: TabularConfig, symbols: &Symbols, logits: Option<Vec<Vec<f64>>>) -> String {
        pair(&config, symbols, logits, key())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let good = words(&["s0", "s1"], &["o0", "o1"]);
        let config = |init_std, max_grad_norm, micro_batch_tokens| TabularConfig {
            init_std,
            max_grad_norm,
            micro_batch_tokens,
        };
        let plain = TabularConfig::default;
        assert_eq!(
            refused(config(-1.0, None, 1), &good, None),
            "`init_std` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            refused(config(f64::NAN, None, 1), &good, None),
            "`init_std` = NaN: must be a finite number >= 0"
        );
        assert_eq!(
            refused(config(0.0, Some(0.0), 1), &good, None),
            "`max_grad_norm` = 0: must be a finite number > 0"
        );
        assert_eq!(
            refused(config(0.0, None, 0), &good, None),
            "`micro_batch_tokens` = 0: must be >= 1"
        );
        assert_eq!(
            refused(plain(), &Symbols::Characters("ab".into()), None),
            "`policy` = tabular: must be used in a world whose symbols are words (states and actions)"
        );
        for (states, actions) in [(&[][..], &["o0"][..]), (&["s0"][..], &[][..])] {
            assert_eq!(
                refused(plain(), &words(states, actions), None),
                format!(
                    "`symbols` = {} states and {} actions: must be at least one state and one action, in all below 2^32",
                    states.len(),
                    actions.len()
                )
            );
        }
        assert_eq!(
            refused(plain(), &words(&["s0", "x"], &["x"]), None),
            "`symbols` = x: must be distinct words without white space"
        );
        assert_eq!(
            refused(plain(), &words(&["s 0"], &["x"]), None),
            "`symbols` = s 0: must be distinct words without white space"
        );
        assert_eq!(
            refused(plain(), &good, Some(vec![vec![0.0; 2]])),
            "`initial_logits` = 1 rows: must be one row of logits for each of the 2 states"
        );
        assert_eq!(
            refused(plain(), &good, Some(vec![vec![0.0; 2], vec![0.0; 3]])),
            "`initial_logits` = 3 logits of `s1`: must be one logit for each of the 2 actions"
        );
        assert_eq!(
            refused(plain(), &good, Some(vec![vec![0.0; 2], vec![0.0, f64::NAN]])),
            "`initial_logits` = NaN at `s1`: must be a finite number"
        );
    }

    #[test]
    fn starting_logits_are_pinned_and_uniform_by_default() {
        let symbols = words(&["s0", "s1"], &["o0", "o1", "o2"]);
        let start = |init_std| {
            pair(
                &TabularConfig {
                    init_std,
                    ..Default::default()
                },
                &symbols,
                None,
                key(),
            )
            .unwrap()
            .0
        };
        assert_eq!(start(0.0).action_probabilities("s1"), Some(vec![1.0 / 3.0; 3]));
        assert_eq!(start(0.0).action_probabilities("o1"), None);
        let drawn = start(1.0).action_probabilities("s1").unwrap();
        assert_eq!(drawn, start(1.0).action_probabilities("s1").unwrap());
        assert_eq!(
            format!("{drawn:.12?}"),
            "[0.727762487744, 0.226996509024, 0.045241003232]"
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_str::<TabularConfig>(r#"{"init_sd": 1.0}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `init_sd`"), "{error}");
    }
}
