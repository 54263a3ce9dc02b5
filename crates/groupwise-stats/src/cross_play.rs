//! Policies that play one another: what the table of win rates says about whom to play, and who is best.

use groupwise_core::ParamError;
use serde::{Deserialize, Serialize};

use crate::error::StatsError;

/// Rounding that a table of win rates may show.
const ROUNDING: f64 = 1e-6;
/// What counts as 0 in a tableau whose entries are of the order of 1.
const TINY: f64 = 1e-12;
/// Win rates closer than this are equal.
const EQUAL: f64 = 1e-14;

/// Win rates of policies against one another.
///
/// # Formula
/// `M[i][j]` = share of games that `i` wins against `j`, a draw half; `M + M^T = 1`, `M[i][i] = 1/2`.
///
/// # Errors
/// [`StatsError`] for a table that is empty, not square, holds what is no number in [0, 1], or whose two halves differ from 1 by
/// more than 1e-6.
///
/// # Source
/// VGC-Bench, arXiv 2506.10326; `vgc_bench/src/callback.py` of cameronangliss/vgc-bench.
///
/// # Example
/// ```
/// use groupwise_stats::cross_play::WinRates;
/// let one = WinRates::of_one();
/// let two = one.grown(&[0.75])?;
/// assert_eq!(two.rows(), [vec![0.5, 0.25], vec![0.75, 0.5]]);
/// # Ok::<(), groupwise_stats::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct WinRates {
    rows: Vec<Vec<f64>>,
}

impl WinRates {
    /// The table of one policy, which draws against itself.
    pub fn of_one() -> Self {
        Self {
            rows: vec![vec![0.5]],
        }
    }

    /// A table that was measured.
    ///
    /// # Errors
    /// Those of [`WinRates`].
    pub fn new(rows: Vec<Vec<f64>>) -> Result<Self, StatsError> {
        let n = rows.len();
        if n == 0 {
            return Err(StatsError::TooFew {
                what: "payoff",
                found: 0,
                needed: 1,
            });
        }
        for row in &rows {
            crate::error::check_length("row of payoff", row.len(), n)?;
            check_rates("payoff", row)?;
        }
        for (i, row) in rows.iter().enumerate() {
            for (j, (rate, other)) in row.iter().zip(rows.iter().map(|r| r[i])).enumerate() {
                if (rate + other - 1.0).abs() > ROUNDING {
                    return Err(StatsError::Value {
                        what: "payoff",
                        index: i * n + j,
                        value: rate.to_string(),
                        domain: "1 minus the rate of the opponent",
                    });
                }
            }
        }
        Ok(Self { rows })
    }

    /// The table, row by row.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// The table with one more policy, whose win rates against the others, the oldest first, are `rates`: they are its row.
    ///
    /// # Errors
    /// [`StatsError`] if there are not as many rates as policies, or if one is no number in [0, 1].
    pub fn grown(&self, rates: &[f64]) -> Result<Self, StatsError> {
        crate::error::check_length("win_rates", rates.len(), self.rows.len())?;
        check_rates("win_rates", rates)?;
        let mut rows = self.rows.clone();
        for (row, rate) in rows.iter_mut().zip(rates) {
            row.push(1.0 - rate);
        }
        rows.push(rates.iter().copied().chain([0.5]).collect());
        Ok(Self { rows })
    }

    /// The weights of opponents to train against.
    ///
    /// # Edge cases
    /// [`Opponents::DoubleOracle`] where the equilibrium is not unique: one of its vertices.
    pub fn opponents(&self, rule: Opponents) -> Vec<f64> {
        let n = self.rows.len();
        match rule {
            Opponents::SelfPlay => (0..n).map(|i| f64::from(u8::from(i + 1 == n))).collect(),
            Opponents::FictitiousPlay => vec![1.0 / n as f64; n],
            Opponents::DoubleOracle => self.equilibrium().probabilities,
        }
    }

    /// A strategy that nobody beats.
    ///
    /// # Formula
    /// `max u over p >= 0, sum p = 1, with (p^T M)_j >= u for all j`; exploitability `max_j (M p)_j - p^T M p`.
    ///
    /// # Edge cases
    /// The value is 1/2 for every table of win rates.  With ties there are many such strategies; the one given is a vertex, always the
    /// same for the same table.
    ///
    /// # Source
    /// VGC-Bench, arXiv 2506.10326 (double oracle); simplex method with Bland's rule, which does not cycle.
    ///
    /// # Example
    /// ```
    /// use groupwise_stats::cross_play::WinRates;
    /// let cycle = WinRates::new(vec![vec![0.5, 0.3, 0.9], vec![0.7, 0.5, 0.2], vec![0.1, 0.8, 0.5]])?;
    /// let equilibrium = cycle.equilibrium();
    /// for (p, expected) in equilibrium.probabilities.iter().zip([3.0 / 9.0, 4.0 / 9.0, 2.0 / 9.0]) {
    ///     assert!((p - expected).abs() < 1e-12);
    /// }
    /// assert!((equilibrium.value - 0.5).abs() < 1e-12 && equilibrium.exploitability < 1e-12);
    /// # Ok::<(), groupwise_stats::StatsError>(())
    /// ```
    pub fn equilibrium(&self) -> Equilibrium {
        let probabilities = maximin(&self.rows);
        let against = |j: usize| {
            self.rows
                .iter()
                .zip(&probabilities)
                .map(|(row, p)| p * row[j])
                .sum::<f64>()
        };
        let value = (0..self.rows.len()).map(against).fold(f64::INFINITY, f64::min);
        let exploitability = self.exploitability(&probabilities);
        Equilibrium {
            probabilities,
            value,
            exploitability,
        }
    }

    /// How much more than its own share of wins the best answer to a mixture of the policies gets.
    fn exploitability(&self, mixture: &[f64]) -> f64 {
        let dot = |row: &[f64]| row.iter().zip(mixture).map(|(rate, p)| rate * p).sum::<f64>();
        let answers: Vec<f64> = self.rows.iter().map(|row| dot(row)).collect();
        let own = dot(&answers);
        let best = answers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (best - own).max(0.0)
    }

    /// How long a population in which the winner of a pair spreads stays with each policy.
    ///
    /// # Formula
    /// Stationary distribution of `C[s][r] = eta (1 - eps)` if r beats s, `eta / 2` if they are equal, `eta eps` if s beats r, with
    /// `eta = 1 / (n - 1)` and the rest on the diagonal.  The limit of infinite alpha: of each pair only the winner counts.
    ///
    /// # Edge cases
    /// One policy: 1.
    ///
    /// # Errors
    /// `eps` outside (0, 1/2).
    ///
    /// # Source
    /// alpha-rank, Omidshafiei et al. 2019, as VGC-Bench (arXiv 2506.10326) uses it; solved by the elimination of Grassmann, Taksar
    /// and Heyman, which subtracts nothing.
    ///
    /// # Example
    /// ```
    /// use groupwise_stats::cross_play::WinRates;
    /// let ladder = WinRates::new(vec![vec![0.5, 0.4, 0.2], vec![0.6, 0.5, 0.3], vec![0.8, 0.7, 0.5]])?;
    /// let ranks = ladder.alpha_rank(0.01)?;
    /// assert!((ranks[0] - 1.0 / 199.0).abs() < 1e-12 && ranks[2] > 0.98);
    /// # Ok::<(), groupwise_stats::StatsError>(())
    /// ```
    pub fn alpha_rank(&self, eps: f64) -> Result<Vec<f64>, StatsError> {
        ParamError::check(eps > 0.0 && eps < 0.5, "epsilon", eps, "in (0, 1/2)")?;
        let n = self.rows.len();
        let eta = 1.0 / (n.max(2) - 1) as f64;
        let moves = |s: usize, r: usize| {
            let ahead = self.rows[r][s] - self.rows[s][r];
            match (s == r, ahead.abs() <= EQUAL) {
                (true, _) => 0.0, // The elimination reads no diagonal.
                (false, true) => eta / 2.0,
                (false, false) if ahead > 0.0 => eta * (1.0 - eps),
                (false, false) => eta * eps,
            }
        };
        let chain = (0..n).map(|s| (0..n).map(|r| moves(s, r)).collect()).collect();
        Ok(stationary(chain))
    }
}

fn check_rates(what: &'static str, rates: &[f64]) -> Result<(), StatsError> {
    match rates.iter().position(|rate| !(0.0..=1.0).contains(rate)) {
        None => Ok(()),
        Some(index) => Err(StatsError::Value {
            what,
            index,
            value: rates[index].to_string(),
            domain: "in [0, 1]",
        }),
    }
}

/// Whom a policy trains against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opponents {
    /// The newest policy: itself.
    #[default]
    SelfPlay,
    /// All policies, each as often.
    FictitiousPlay,
    /// The mixture that nobody beats.
    DoubleOracle,
}

/// A strategy of a zero-sum game.
#[derive(Clone, Debug, PartialEq)]
pub struct Equilibrium {
    /// Probability of each policy.
    pub probabilities: Vec<f64>,
    /// Its win rate against the best answer.
    pub value: f64,
    /// How much more the best answer wins than the strategy does against itself, at least 0.
    pub exploitability: f64,
}

/// Maximin strategy of the row player, for payoffs in [0, 1].
///
/// The game is shifted to positive payoffs A.  The column player maximizes `sum y` under `A y <= 1`, which starts from a vertex,
/// y = 0; the dual solution is the row player's, up to scale.
fn maximin(rows: &[Vec<f64>]) -> Vec<f64> {
    let n = rows.len();
    // Columns: y, slack, right side; the last row holds reduced costs.
    let width = 2 * n + 1;
    let mut tableau: Vec<Vec<f64>> = rows
        .iter()
        .enumerate()
        .map(|(i, row)| {
            let slack = (0..n).map(|j| f64::from(u8::from(i == j)));
            row.iter()
                .map(|rate| rate + 1.0)
                .chain(slack)
                .chain([1.0])
                .collect()
        })
        .collect();
    let costs = (0..width).map(|j| if j < n { -1.0 } else { 0.0 });
    tableau.push(costs.collect());
    let mut basis: Vec<usize> = (n..2 * n).collect();
    while let Some((row, column)) = pivot_place(&tableau, &basis, n) {
        pivot(&mut tableau, row, column);
        basis[row] = column;
    }
    let dual: Vec<f64> = tableau[n][n..2 * n].iter().map(|d| d.max(0.0)).collect();
    let total: f64 = dual.iter().sum();
    dual.iter().map(|d| d / total).collect()
}

/// Row and column of the next pivot by Bland's rule; `None` at the optimum.
fn pivot_place(tableau: &[Vec<f64>], basis: &[usize], n: usize) -> Option<(usize, usize)> {
    let column = tableau[n][..2 * n].iter().position(|cost| *cost < -TINY)?;
    let mut best: Option<(f64, usize)> = None;
    for (row, line) in tableau[..n].iter().enumerate() {
        if line[column] > TINY {
            let ratio = line[2 * n] / line[column];
            let better = best.is_none_or(|(least, at)| {
                ratio < least - TINY || (ratio <= least + TINY && basis[row] < basis[at])
            });
            if better {
                best = Some((ratio, row));
            }
        }
    }
    best.map(|(_, row)| (row, column))
}

fn pivot(tableau: &mut [Vec<f64>], row: usize, column: usize) {
    let scale = tableau[row][column];
    let scaled: Vec<f64> = tableau[row].iter().map(|x| x / scale).collect();
    for (at, line) in tableau.iter_mut().enumerate() {
        if at == row {
            line.clone_from(&scaled);
        } else {
            let factor = line[column];
            for (x, s) in line.iter_mut().zip(&scaled) {
                *x -= factor * s;
            }
        }
    }
}

/// Stationary distribution of an irreducible chain; the diagonal is not read.
fn stationary(mut chain: Vec<Vec<f64>>) -> Vec<f64> {
    let n = chain.len();
    let mut left = vec![1.0; n];
    for k in (1..n).rev() {
        let (before, after) = chain.split_at_mut(k);
        let last = &after[0];
        let leaving: f64 = last[..k].iter().sum();
        left[k] = leaving;
        for row in before {
            let share = row[k] / leaving;
            for (x, step) in row[..k].iter_mut().zip(&last[..k]) {
                *x += share * step;
            }
        }
    }
    let mut weights = vec![1.0; n];
    for k in 1..n {
        let flow: f64 = (0..k).map(|i| weights[i] * chain[i][k]).sum();
        weights[k] = flow / left[k];
    }
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

#[cfg(test)]
#[path = "cross_play_tests.rs"]
mod tests;
