//! Which edges of a residual network carry what differs between two inputs: edge attribution with integrated gradients.

use groupwise_core::ParamError;
use groupwise_core::dense::{add_scaled, combine, dot};
use serde::{Deserialize, Serialize};

use crate::error::{StatsError, check_length, check_values};

/// What is measured at the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMetric {
    /// `KL(p_clean || p)` of the softmax of the outputs, nats.
    #[default]
    Kl,
    /// First output minus second.
    LogitDiff,
}

/// A network whose nodes read from, and add to, one residual stream.
///
/// # Formula
/// `in_v = x + sum over u before v of z_u`, `z_v = tanh(W_v in_v)`, outputs `y = W_o in_o` with all nodes before `o`.
///
/// # Shapes
/// Inputs and node outputs of width d; each `W_v` is d x d, `W_o` has d columns and a row for each output.  Row by row.
///
/// # Errors
/// [`StatsError`] for a matrix of another shape, or one that holds what is no number.
///
/// # Source
/// The setting of Thinking Sparks, arXiv 2509.25758, section 3: heads and multilayer perceptrons are nodes; here each is one layer
/// of tanh, which is enough to check an attribution in closed form.
///
/// # Example
/// ```
/// use groupwise_stats::attribution::{OutputMetric, ResidualNetwork};
/// let network = ResidualNetwork::new(vec![vec![vec![0.5]]], vec![vec![1.0], vec![-1.0]])?;
/// let scores = network.edge_scores(&[1.0], &[0.0], 4, OutputMetric::LogitDiff)?;
/// // Into the output: what differs, times the readout.
/// assert_eq!(scores.len(), 3);
/// assert!((scores[1].score - 2.0).abs() < 1e-12 && (scores[2].score - 2.0 * 0.5_f64.tanh()).abs() < 1e-12);
/// # Ok::<(), groupwise_stats::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ResidualNetwork {
    nodes: Vec<Vec<Vec<f64>>>,
    readout: Vec<Vec<f64>>,
}

/// Where an edge starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The input of the network.
    Input,
    /// Output of the node of that index.
    Node(usize),
}

/// Where an edge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Input of the node of that index.
    Node(usize),
    /// The readout.
    Output,
}

/// Score of one edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EdgeScore {
    /// Where it starts.
    pub from: Source,
    /// Where it ends.
    pub to: Destination,
    /// How much it carries, in units of the metric.
    pub score: f64,
}

impl ResidualNetwork {
    /// A network of these matrices.
    ///
    /// # Errors
    /// Those of [`ResidualNetwork`].
    pub fn new(nodes: Vec<Vec<Vec<f64>>>, readout: Vec<Vec<f64>>) -> Result<Self, StatsError> {
        let width = readout.first().map_or(0, Vec::len);
        let checked = |what: &'static str, row: &Vec<f64>| {
            check_length(what, row.len(), width)?;
            check_values(what, row, 1)
        };
        for node in &nodes {
            check_length("node", node.len(), width)?;
            node.iter().try_for_each(|row| checked("row of a node", row))?;
        }
        if readout.is_empty() {
            return Err(StatsError::TooFew {
                what: "readout",
                found: 0,
                needed: 1,
            });
        }
        readout
            .iter()
            .try_for_each(|row| checked("row of the readout", row))?;
        Ok(Self { nodes, readout })
    }

    /// Score of every edge, by destination and then by source, the input first and the output last.
    ///
    /// # Formula
    /// `score(u -> v) = (z_u - z'_u) . (1/m) sum_(k=1..m) g_v(x' + (k/m)(x - x'))`: `z` from the clean input x, `z'` from the corrupted one x',
    /// and `g_v` the gradient of the metric with respect to `v`'s own input, which flows on through `v`'s output only:
    /// `g_v = W_v^T ((1 - z_v^2) * sum over w after v of g_w)`.
    ///
    /// # Edge cases
    /// Equal inputs: every score is 0.  A metric that is linear in the outputs: the edges into the output add up to
    /// its difference.
    ///
    /// # Errors
    /// [`StatsError`] for inputs of another width or that are no numbers, for 0 steps, for one step with [`OutputMetric::Kl`] (its
    /// gradient at the clean input is 0, and with it every score), and for [`OutputMetric::LogitDiff`] with fewer than two outputs.
    ///
    /// # Source
    /// EAP-IG as in Thinking Sparks, arXiv 2509.25758, equations 3 to 8.
    pub fn edge_scores(
        &self,
        clean: &[f64],
        corrupt: &[f64],
        steps: usize,
        metric: OutputMetric,
    ) -> Result<Vec<EdgeScore>, StatsError> {
        self.check(clean, corrupt, steps, metric)?;
        let n = self.nodes.len();
        let (z, z_corrupt) = (self.forward(clean), self.forward(corrupt));
        let target = softmax(&self.outputs(clean, &z));
        let mut mean = vec![vec![0.0; clean.len()]; n + 1];
        for k in 1..=steps {
            let share = k as f64 / steps as f64;
            let between: Vec<f64> = corrupt
                .iter()
                .zip(clean)
                .map(|(c, x)| c + share * (x - c))
                .collect();
            for (sum, gradient) in mean.iter_mut().zip(self.gradients(&between, &target, metric)) {
                add_scaled(sum, &gradient, 1.0 / steps as f64);
            }
        }
        let difference =
            |from: &[f64], to: &[f64]| -> Vec<f64> { from.iter().zip(to).map(|(a, b)| a - b).collect() };
        let mut changes = vec![(Source::Input, difference(clean, corrupt))];
        let nodes = z.iter().zip(&z_corrupt).enumerate();
        changes.extend(nodes.map(|(at, (a, b))| (Source::Node(at), difference(a, b))));
        let mut scores = Vec::with_capacity((n + 1) * (n + 2) / 2);
        for (v, gradient) in mean.iter().enumerate() {
            let to = if v < n {
                Destination::Node(v)
            } else {
                Destination::Output
            };
            scores.extend(changes.iter().take(v + 1).map(|(from, change)| EdgeScore {
                from: *from,
                to,
                score: dot(change, gradient),
            }));
        }
        Ok(scores)
    }

    fn check(
        &self,
        clean: &[f64],
        corrupt: &[f64],
        steps: usize,
        metric: OutputMetric,
    ) -> Result<(), StatsError> {
        let width = self.readout.first().map_or(0, Vec::len);
        for (what, input) in [("clean", clean), ("corrupt", corrupt)] {
            check_length(what, input.len(), width)?;
            check_values(what, input, 1)?;
        }
        let (least, range) = match metric {
            OutputMetric::Kl => (
                2,
                ">= 2 with the metric `kl`, whose gradient at the clean input is 0",
            ),
            OutputMetric::LogitDiff => (1, ">= 1"),
        };
        ParamError::check(steps >= least, "steps", steps, range)?;
        let enough = metric == OutputMetric::Kl || self.readout.len() >= 2;
        ParamError::check(enough, "metric", "logit_diff", "kl, as there is one output")?;
        Ok(())
    }

    /// Outputs of the nodes.
    fn forward(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut stream = x.to_vec();
        let mut outputs = Vec::with_capacity(self.nodes.len());
        for weights in &self.nodes {
            let z: Vec<f64> = weights.iter().map(|row| dot(row, &stream).tanh()).collect();
            add_scaled(&mut stream, &z, 1.0);
            outputs.push(z);
        }
        outputs
    }

    fn outputs(&self, x: &[f64], nodes: &[Vec<f64>]) -> Vec<f64> {
        let mut stream = x.to_vec();
        nodes.iter().for_each(|z| add_scaled(&mut stream, z, 1.0));
        self.readout.iter().map(|row| dot(row, &stream)).collect()
    }

    /// Gradients with respect to the inputs of the nodes, and of the readout last.
    fn gradients(&self, x: &[f64], target: &[f64], metric: OutputMetric) -> Vec<Vec<f64>> {
        let nodes = self.forward(x);
        let outputs = self.outputs(x, &nodes);
        let at_output: Vec<f64> = match metric {
            OutputMetric::Kl => softmax(&outputs).iter().zip(target).map(|(p, t)| p - t).collect(),
            OutputMetric::LogitDiff => (0..outputs.len())
                .map(|i| [1.0, -1.0].get(i).copied().unwrap_or(0.0))
                .collect(),
        };
        let mut gradients = vec![combine(&at_output, &self.readout)];
        let mut later = gradients[0].clone();
        for (weights, z) in self.nodes.iter().zip(&nodes).rev() {
            let inner: Vec<f64> = later.iter().zip(z).map(|(g, z)| g * (1.0 - z * z)).collect();
            let gradient = combine(&inner, weights);
            add_scaled(&mut later, &gradient, 1.0);
            gradients.push(gradient);
        }
        gradients.reverse();
        gradients
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let total: f64 = shares.iter().sum();
    shares.iter().map(|share| share / total).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDTH: usize = 3;

    fn vector() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.5..1.5f64, WIDTH)
    }

    fn matrix(rows: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
        prop::collection::vec(vector(), rows)
    }

    fn network() -> impl Strategy<Value = ResidualNetwork> {
        (prop::collection::vec(matrix(WIDTH), 0..4), matrix(2))
            .prop_map(|(nodes, readout)| ResidualNetwork::new(nodes, readout).unwrap())
    }

    /// The metric if the input of node `v` alone is moved by `shift`.
    fn moved(
        network: &ResidualNetwork,
        x: &[f64],
        target: &[f64],
        metric: OutputMetric,
        v: usize,
        shift: &[f64],
    ) -> f64 {
        let mut stream = x.to_vec();
        for (at, weights) in network.nodes.iter().enumerate() {
            let mut own = stream.clone();
            if at == v {
                add_scaled(&mut own, shift, 1.0);
            }
            let z: Vec<f64> = weights.iter().map(|row| dot(row, &own).tanh()).collect();
            add_scaled(&mut stream, &z, 1.0);
        }
        if v == network.nodes.len() {
            add_scaled(&mut stream, shift, 1.0);
        }
        let y: Vec<f64> = network.readout.iter().map(|row| dot(row, &stream)).collect();
        match metric {
            OutputMetric::LogitDiff => y[0] - y[1],
            OutputMetric::Kl => target
                .iter()
                .zip(softmax(&y))
                .map(|(t, p)| t * (t / p).ln())
                .sum(),
        }
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        let network = ResidualNetwork::new(vec![], vec![vec![1.0]]).unwrap();
        let refused = |steps, metric| {
            network
                .edge_scores(&[1.0], &[0.0], steps, metric)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(1, OutputMetric::Kl),
            "`steps` = 1: must be >= 2 with the metric `kl`, whose gradient at the clean input is 0"
        );
        assert_eq!(refused(0, OutputMetric::LogitDiff), "`steps` = 0: must be >= 1");
        assert_eq!(
            refused(1, OutputMetric::LogitDiff),
            "`metric` = logit_diff: must be kl, as there is one output"
        );
        assert!(
            network
                .edge_scores(&[1.0, 2.0], &[0.0], 2, OutputMetric::Kl)
                .is_err()
        );
        assert!(
            network
                .edge_scores(&[f64::NAN], &[0.0], 2, OutputMetric::Kl)
                .is_err()
        );
        assert!(ResidualNetwork::new(vec![], vec![]).is_err());
        assert!(ResidualNetwork::new(vec![vec![vec![1.0, 2.0]]], vec![vec![1.0]]).is_err());
    }

    proptest! {
        #[test]
        fn gradients_are_finite_differences(network in network(), x in vector(), clean in vector(), kl in any::<bool>()) {
            const H: f64 = 1e-5;
            let metric = if kl { OutputMetric::Kl } else { OutputMetric::LogitDiff };
            let target = softmax(&network.outputs(&clean, &network.forward(&clean)));
            for (v, gradient) in network.gradients(&x, &target, metric).iter().enumerate() {
                for (i, analytic) in gradient.iter().enumerate() {
                    let by = |h: f64| {
                        let mut shift = [0.0; WIDTH];
                        shift[i] = h;
                        moved(&network, &x, &target, metric, v, &shift)
                    };
                    let numeric = (by(H) - by(-H)) / (2.0 * H);
                    prop_assert!((numeric - analytic).abs() < 1e-5 * (1.0 + analytic.abs()), "{} {}", numeric, analytic);
                }
            }
        }

        #[test]
        fn a_linear_metric_is_shared_out_among_the_edges_into_the_output(network in network(), x in vector(), y in vector()) {
            let scores = network.edge_scores(&x, &y, 3, OutputMetric::LogitDiff).unwrap();
            let into: f64 = scores.iter().filter(|e| e.to == Destination::Output).map(|e| e.score).sum();
            let metric = |x: &[f64]| {
                let y = network.outputs(x, &network.forward(x));
                y[0] - y[1]
            };
            prop_assert!((into - (metric(&x) - metric(&y))).abs() < 1e-9);
            let n = network.nodes.len();
            prop_assert_eq!(scores.len(), (n + 1) * (n + 2) / 2);
        }

        #[test]
        fn equal_inputs_have_no_edges(network in network(), x in vector()) {
            let scores = network.edge_scores(&x, &x, 2, OutputMetric::Kl).unwrap();
            prop_assert!(scores.iter().all(|edge| edge.score == 0.0));
        }
    }
}
