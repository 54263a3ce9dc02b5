//! A goal played with the critic in the loop, in closed form.

use groupwise_core::Task;

use super::MenuScreens;

/// A goal as its task tells it.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) index: usize,
    /// (right button, deleting button) of each screen.
    pub(super) screens: Vec<(usize, usize)>,
}

/// Chances of one executed click.
#[derive(Clone, Copy, Debug, Default)]
struct Click {
    right: f64,
    deletes: f64,
}

/// How a goal may end, by the steps taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endings {
    /// Chance to reach the goal with step t (from 1).
    reached: Vec<f64>,
    /// Chance to fail with step t: by deleting, or because steps ran out.
    failed: Vec<f64>,
    /// Chance to delete.
    pub(super) deleted: f64,
}

impl Endings {
    /// Steps allowed: two per click.
    fn of(clicks: &[Click]) -> Self {
        let budget = 2 * clicks.len();
        let mut at = vec![0.0; clicks.len()];
        at[0] = 1.0;
        let (mut reached, mut failed) = (vec![0.0; budget], vec![0.0; budget]);
        let mut deleted = 0.0;
        for step in 0..budget {
            let mut next = vec![0.0; clicks.len()];
            for (k, (p, click)) in at.iter().zip(clicks).enumerate() {
                failed[step] += p * click.deletes;
                deleted += p * click.deletes;
                next[k] += p * (1.0 - click.right - click.deletes);
                match next.get_mut(k + 1) {
                    Some(after) => *after += p * click.right,
                    None => reached[step] += p * click.right,
                }
            }
            at = next;
        }
        failed[budget - 1] += at.iter().sum::<f64>();
        Self {
            reached,
            failed,
            deleted,
        }
    }

    pub(super) fn success(&self) -> f64 {
        self.reached.iter().sum()
    }

    /// Expected steps, however it ends.
    pub(super) fn steps(&self) -> f64 {
        let both = self.reached.iter().zip(&self.failed);
        both.zip(1..).map(|((r, f), t)| (r + f) * f64::from(t)).sum()
    }

    /// Of two independent runs that end alike, the chance that this one took fewer steps; `None` if none end alike.
    pub(super) fn shorter_than(&self, other: &Self) -> Option<f64> {
        let (mut alike, mut shorter) = (0.0, 0.0);
        for (mine, theirs) in [(&self.reached, &other.reached), (&self.failed, &other.failed)] {
            for (t, p) in mine.iter().enumerate() {
                alike += p * theirs.iter().sum::<f64>();
                shorter += p * theirs.iter().skip(t + 1).sum::<f64>();
            }
        }
        (alike > 0.0).then(|| shorter / alike)
    }
}

/// What a critic is worth on a goal.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) verdict: f64,
    pub(super) verdict_correct: f64,
    pub(super) verdict_incorrect: f64,
    pub(super) suggestion: f64,
    pub(super) with_critic: Endings,
    pub(super) without: Endings,
}

impl MenuScreens {
    /// The goal of an evaluation task.
    pub(super) fn goal_of(&self, task: &Task) -> Option<Goal> {
        let buttons = |name: &str| -> Option<Vec<usize>> {
            let list = task.columns.get(name)?.as_array()?;
            let button = |v: &serde_json::Value| {
                v.as_u64()
                    .map(|b| b as usize)
                    .filter(|b| *b < self.config.n_buttons)
            };
            list.iter().map(button).collect()
        };
        let index = task.columns.get("goal")?.as_u64()? as usize;
        let (right, deletes) = (buttons("right")?, buttons("deletes")?);
        let fits = index < self.n_goals()
            && (1..=self.config.max_clicks).contains(&right.len())
            && right.len() == deletes.len();
        fits.then(|| Goal {
            index,
            screens: right.into_iter().zip(deletes).collect(),
        })
    }

    /// Probability that the actor proposes each button.
    fn law(&self, right: usize) -> Vec<f64> {
        let n = self.config.n_buttons;
        let wrong = (1.0 - self.config.actor) / (n - 1) as f64;
        (0..n)
            .map(|b| if b == right { self.config.actor } else { wrong })
            .collect()
    }

    /// Accuracy of the critic on the screens of a goal, and how the goal ends with and without it.
    pub(super) fn judged(&self, goal: &Goal, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<Judged> {
        let n = self.config.n_buttons;
        let (mut clicks, mut bare) = (Vec::new(), Vec::new());
        let (mut right_called, mut wrong_called, mut suggestion) = (0.0, 0.0, 0.0);
        for (k, (right, deletes)) in goal.screens.iter().copied().enumerate() {
            let law = self.law(right);
            let plain = Click {
                right: law[right],
                deletes: law[deletes],
            };
            let mut click = Click::default();
            for (proposal, p) in law.iter().enumerate() {
                let answers = policy(&self.state(goal.index, k, proposal))?;
                let (passed, vetoed) = answers.split_at_checked(n)?;
                let veto: f64 = vetoed.iter().sum();
                suggestion += p * (passed.get(right)? + vetoed.get(right)?);
                if proposal == right {
                    right_called += 1.0 - veto;
                } else {
                    wrong_called += veto / (n - 1) as f64;
                }
                let executed = |button: usize| {
                    let passes = if button == proposal { 1.0 - veto } else { 0.0 };
                    let redone = self.config.follow * vetoed[button];
                    p * (passes + redone + (1.0 - self.config.follow) * veto * law[button])
                };
                if vetoed.len() != n {
                    return None;
                }
                click.right += executed(right);
                click.deletes += executed(deletes);
            }
            clicks.push(click);
            bare.push(plain);
        }
        let screens = goal.screens.len() as f64;
        let actor = self.config.actor;
        Some(Judged {
            verdict: (actor * right_called + (1.0 - actor) * wrong_called) / screens,
            verdict_correct: right_called / screens,
            verdict_incorrect: wrong_called / screens,
            suggestion: suggestion / screens,
            with_critic: Endings::of(&clicks),
            without: Endings::of(&bare),
        })
    }
}
