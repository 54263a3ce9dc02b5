use proptest::prelude::*;

use super::*;

const WIDTH: usize = 2;
const HEAD: usize = 3;

fn matrix(rows: usize, columns: usize) -> impl Strategy<Value = Matrix> {
    prop::collection::vec(prop::collection::vec(-1.5..1.5f64, columns), rows)
}

fn weights() -> impl Strategy<Value = AttentionWeights> {
    (matrix(WIDTH, HEAD), matrix(WIDTH, HEAD), matrix(WIDTH, HEAD))
        .prop_map(|(query, key, value)| AttentionWeights { query, key, value })
}

/// A packed group with its inputs and weights.
fn group() -> impl Strategy<Value = (SharedPrefix, Matrix, AttentionWeights, Vec<f64>)> {
    (1..4usize, prop::collection::vec(0..4usize, 1..4)).prop_flat_map(|(prefix, suffixes)| {
        let packed = SharedPrefix::new(prefix, &suffixes).unwrap();
        let x = matrix(packed.segments().len(), WIDTH);
        (
            Just(packed),
            x,
            weights(),
            prop::collection::vec(-1.5..1.5f64, HEAD),
        )
    })
}

fn near(a: &Matrix, b: &Matrix, tolerance: f64) -> bool {
    a.len() == b.len()
        && a.iter()
            .flatten()
            .zip(b.iter().flatten())
            .all(|(x, y)| (x - y).abs() < tolerance)
}

/// The prompt with one answer, as a group of its own.
fn alone(packed: &SharedPrefix, x: &[Vec<f64>], answer: usize) -> (SharedPrefix, Matrix) {
    let prefix = packed.prefix_len();
    let own = SharedPrefix::new(prefix, &[packed.suffix_lens()[answer]]).unwrap();
    let tokens = packed.segments().iter().zip(x);
    let rows = tokens
        .filter(|(segment, _)| **segment == 0 || **segment == answer + 1)
        .map(|(_, row)| row.clone());
    (own, rows.collect())
}

proptest! {
    #[test]
    fn packing_equals_copies_forward_and_backward((packed, x, weights, readout) in group()) {
        let found = packed_attention(&packed, &x, &weights, &readout).unwrap();
        let answers: Vec<usize> = (0..packed.suffix_lens().len()).filter(|i| packed.suffix_lens()[*i] > 0).collect();
        let mut loss = 0.0;
        let mut sums = [(); 3].map(|()| vec![vec![0.0; HEAD]; WIDTH]);
        for &answer in &answers {
            let (own, rows) = alone(&packed, &x, answer);
            let copy = packed_attention(&own, &rows, &weights, &readout).unwrap();
            let kept = packed.segments().iter().zip(&found.outputs);
            let kept: Matrix = kept.filter(|(s, _)| **s == 0 || **s == answer + 1).map(|(_, row)| row.clone()).collect();
            prop_assert!(near(&kept, &copy.outputs, 1e-12));
            let share = 1.0 / answers.len() as f64;
            loss += share * copy.loss;
            for (sum, part) in sums.iter_mut().zip([&copy.gradients.query, &copy.gradients.key, &copy.gradients.value]) {
                sum.iter_mut().zip(part).for_each(|(line, row)| add_scaled(line, row, share));
            }
        }
        prop_assert!((loss - found.loss).abs() < 1e-12);
        for (sum, own) in sums.iter().zip([&found.gradients.query, &found.gradients.key, &found.gradients.value]) {
            prop_assert!(near(sum, own, 1e-12));
        }
    }

    #[test]
    fn gradients_are_finite_differences((packed, x, weights, readout) in group()) {
        const H: f64 = 1e-5;
        let found = packed_attention(&packed, &x, &weights, &readout).unwrap().gradients;
        for row in 0..WIDTH {
            for column in 0..HEAD {
                let slope = |which: usize| {
                    let by = |h: f64| {
                        let mut moved = weights.clone();
                        let parts = [&mut moved.query, &mut moved.key, &mut moved.value];
                        parts.into_iter().nth(which).unwrap()[row][column] += h;
                        packed_attention(&packed, &x, &moved, &readout).unwrap().loss
                    };
                    (by(H) - by(-H)) / (2.0 * H)
                };
                for (which, gradient) in [&found.query, &found.key, &found.value].into_iter().enumerate() {
                    prop_assert!((slope(which) - gradient[row][column]).abs() < 1e-6);
                }
            }
        }
    }
}

#[test]
fn inputs_of_another_shape_are_refused() {
    let packed = SharedPrefix::new(1, &[1]).unwrap();
    let one = vec![vec![1.0]];
    let weights = AttentionWeights {
        query: one.clone(),
        key: one.clone(),
        value: one.clone(),
    };
    let refused = |x: &[Vec<f64>], weights: &AttentionWeights, readout: &[f64]| {
        packed_attention(&packed, x, weights, readout)
            .unwrap_err()
            .to_string()
    };
    let x = [vec![1.0], vec![2.0]];
    assert_eq!(
        refused(&x[..1], &weights, &[1.0]),
        "`x` has 1 entries, expected 2"
    );
    assert_eq!(
        refused(&x, &weights, &[1.0, 2.0]),
        "`row of wq` has 1 entries, expected 2"
    );
    assert_eq!(
        refused(&[vec![1.0], vec![]], &weights, &[1.0]),
        "`row of x` has 0 entries, expected 1"
    );
    assert!(refused(&[vec![1.0], vec![f64::NAN]], &weights, &[1.0]).contains("NaN"));
    let nothing = SharedPrefix::new(1, &[0]).unwrap();
    assert_eq!(
        packed_attention(&nothing, &x[..1], &weights, &[1.0])
            .unwrap()
            .loss,
        0.0
    );
}
