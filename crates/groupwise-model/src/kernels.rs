//! Arithmetic on slices that the compiler turns into vector code, chosen at run time for the processor.
//!
//! Every function fixes its order of summation and fuses multiply and add explicitly, so the vector width of
//! the machine does not change a bit.

/// Tokens per block of transposed keys.
pub(crate) const KEY_BLOCK: usize = 32;

/// Runs `op` compiled for the widest vector instructions present.  What `op` calls must be `#[inline(always)]`.
pub(crate) fn vectorized<R>(op: impl FnOnce() -> R) -> R {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return simd.vectorize(op);
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return simd.vectorize(op);
        }
    }
    op()
}

/// e^x within 2 units in the last place; 0 is never returned: below -87 the result is that of -87.
#[inline(always)]
pub(crate) fn exp_f32(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits.
    // Comparisons, not min and max, let NaN through.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.388_889e-3_f32;
    p = p.mul_add(r, 8.333_334e-3);
    p = p.mul_add(r, 4.166_666_7e-2);
    p = p.mul_add(r, 1.666_666_7e-1);
    p = p.mul_add(r, 0.5);
    p = p.mul_add(r, 1.0);
    p = p.mul_add(r, 1.0);
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(exponent)
}

/// e^x within 2 units in the last place for x <= 0; below -700 the result is that of -700.
#[inline(always)]
pub(crate) fn exp_f64(x: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    const TAYLOR: [f64; 12] = [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
    ];
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x.mul_add(std::f64::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-0.693_147_180_369_123_8, x);
    let r = n.mul_add(-1.908_214_929_270_587_7e-10, r);
    let mut p = 1.0 / 6_227_020_800.0;
    for c in TAYLOR {
        p = r.mul_add(p, c);
    }
    p = r.mul_add(p, 1.0);
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(1023) << 52;
    p * f64::from_bits(exponent)
}

/// Sum of `term(x)` in sixteen interleaved partial sums, added pairwise at the end.
#[inline(always)]
fn lane_sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += term(*x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += term(*x);
    }
    let mut width = 8;
    while width >= 1 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Sum in sixteen interleaved parts.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    lane_sum(values, |x| x)
}

/// Sum of products in sixteen interleaved parts.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = a.mul_add(*b, *lane);
        }
    }
    sum(&lanes)
}

/// `1 / sqrt(mean(x^2) + eps)`.
#[inline(always)]
pub(crate) fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    1.0 / (lane_sum(row, |x| x * x) / row.len() as f32 + eps).sqrt()
}

/// Scales each row of `width` to unit root mean square.
pub(crate) fn normalize_rows(x: &[f32], width: usize, eps: f32) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    vectorized(
        #[inline(always)]
        || {
            for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                let scale = inverse_rms(row, eps);
                for (o, x) in out.iter_mut().zip(row) {
                    *o = x * scale;
                }
            }
        },
    );
    out
}

/// `x += y`.
pub(crate) fn add_rows(x: &mut [f32], y: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (x, y) in x.iter_mut().zip(y) {
                *x += y;
            }
        },
    );
}

/// `silu(gate) * up` for rows that hold `width` gates and then `width` ups.
pub(crate) fn swiglu_rows(gate_up: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; gate_up.len() / 2];
    vectorized(
        #[inline(always)]
        || {
            for (row, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
                let (gate, up) = row.split_at(width);
                for ((o, g), u) in out.iter_mut().zip(gate).zip(up) {
                    *o = g / (1.0 + exp_f32(-g)) * u;
                }
            }
        },
    );
    out
}

/// Rotates one head: the first half pairs with the second.
#[inline(always)]
pub(crate) fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32], scale: f32) {
    let (first, second) = head.split_at_mut(cos.len());
    for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        let (x, y) = (*a * scale, *b * scale);
        *a = x * c - y * s;
        *b = y * c + x * s;
    }
}

/// Keys and values of one layer and head.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadCache {
    /// Blocks of `[head_dim][KEY_BLOCK]`: the scores of a block are built without horizontal sums.
    keys: Vec<f32>,
    /// `[token][head_dim]`.
    values: Vec<f32>,
    len: usize,
}

impl HeadCache {
    /// Appends one token.
    #[inline(always)]
    pub(crate) fn push(&mut self, key: &[f32], value: &[f32]) {
        let slot = self.len % KEY_BLOCK;
        if slot == 0 {
            self.keys.resize(self.keys.len() + key.len() * KEY_BLOCK, 0.0);
        }
        let start = self.len / KEY_BLOCK * key.len() * KEY_BLOCK;
        for (column, k) in self.keys[start..].chunks_exact_mut(KEY_BLOCK).zip(key) {
            column[slot] = *k;
        }
        self.values.extend_from_slice(value);
        self.len += 1;
    }
}

/// Attention of `R` query heads that share a key head, over the first `visible[i]` tokens of each cache in turn.
///
/// `query` and `out` are `[R][head_dim]`; queries come already scaled.  `scores` is scratch.
#[inline(always)]
fn attend_heads<const R: usize>(
    query: &[f32],
    caches: [(&HeadCache, usize); 2],
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let head_dim = query.len() / R;
    let total = caches[0].1 + caches[1].1;
    // A block may spill past the end of the visible tokens; the next block or the reader overwrites or skips it.
    let stride = (total + KEY_BLOCK).next_multiple_of(16);
    scores.clear();
    scores.resize(R * stride, 0.0);
    let mut start = 0;
    for (cache, visible) in caches {
        for (block, keys) in cache.keys.chunks_exact(head_dim * KEY_BLOCK).enumerate() {
            if block * KEY_BLOCK >= visible {
                break;
            }
            let sums = block_scores::<R>(query, keys, head_dim);
            for (r, sums) in sums.iter().enumerate() {
                let at = r * stride + start + block * KEY_BLOCK;
                scores[at..at + KEY_BLOCK].copy_from_slice(sums);
            }
        }
        start += visible;
    }
    let mut inverse = [0.0; R];
    for (r, inverse) in inverse.iter_mut().enumerate() {
        let row = &mut scores[r * stride..r * stride + total];
        let top = row
            .iter()
            .fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
        for x in row.iter_mut() {
            *x = exp_f32(*x - top);
        }
        *inverse = 1.0 / lane_sum(row, |x| x);
    }
    let weights: [&[f32]; R] = std::array::from_fn(|r| &scores[r * stride..r * stride + total]);
    let mut done = 0;
    while done < head_dim {
        done += match head_dim - done {
            32.. => mix_values::<R, 32>(weights, caches, head_dim, done, inverse, out),
            16.. => mix_values::<R, 16>(weights, caches, head_dim, done, inverse, out),
            8.. => mix_values::<R, 8>(weights, caches, head_dim, done, inverse, out),
            _ => mix_values::<R, 1>(weights, caches, head_dim, done, inverse, out),
        };
    }
}

#[inline(always)]
fn block_scores<const R: usize>(query: &[f32], keys: &[f32], head_dim: usize) -> [[f32; KEY_BLOCK]; R] {
    let mut sums = [[0.0_f32; KEY_BLOCK]; R];
    for (d, column) in keys.chunks_exact(KEY_BLOCK).enumerate() {
        for (r, sums) in sums.iter_mut().enumerate() {
            let q = query[r * head_dim + d];
            for (sum, k) in sums.iter_mut().zip(column) {
                *sum = q.mul_add(*k, *sum);
            }
        }
    }
    sums
}

/// `out[r][from..from + C] = inverse[r] * sum_t weights[r][t] * values[t][from..from + C]`; returns `C`.
#[inline(always)]
fn mix_values<const R: usize, const C: usize>(
    weights: [&[f32]; R],
    caches: [(&HeadCache, usize); 2],
    head_dim: usize,
    from: usize,
    inverse: [f32; R],
    out: &mut [f32],
) -> usize {
    let mut sums = [[0.0_f32; C]; R];
    let mut start = 0;
    for (cache, visible) in caches {
        for (t, value) in cache.values.chunks_exact(head_dim).take(visible).enumerate() {
            let value = &value[from..from + C];
            for (sums, weights) in sums.iter_mut().zip(weights) {
                let w = weights[start + t];
                for (sum, v) in sums.iter_mut().zip(value) {
                    *sum = w.mul_add(*v, *sum);
                }
            }
        }
        start += visible;
    }
    for (r, sums) in sums.iter().enumerate() {
        let out = &mut out[r * head_dim + from..][..C];
        for (o, s) in out.iter_mut().zip(sums) {
            *o = s * inverse[r];
        }
    }
    C
}

/// Attention of all query heads of one key head.
#[inline(always)]
pub(crate) fn attend(
    query: &[f32],
    head_dim: usize,
    caches: [(&HeadCache, usize); 2],
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let (mut query, mut out) = (query, out);
    while !query.is_empty() {
        let heads = match query.len() / head_dim {
            4.. => 4,
            2..4 => 2,
            _ => 1,
        };
        let (q, q_rest) = query.split_at(heads * head_dim);
        let (o, o_rest) = out.split_at_mut(heads * head_dim);
        match heads {
            4 => attend_heads::<4>(q, caches, scores, o),
            2 => attend_heads::<2>(q, caches, scores, o),
            _ => attend_heads::<1>(q, caches, scores, o),
        }
        (query, out) = (q_rest, o_rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_accurate_and_let_nan_through() {
        for i in -8_700..=8_800 {
            let x = i as f32 * 0.01;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_f32(x)) - exact).abs() / exact;
            assert!(error < 2.5e-7, "exp({x}) off by {error}");
        }
        for i in -70_000..=0 {
            let x = f64::from(i) * 0.01;
            let error = (exp_f64(x) - x.exp()).abs() / x.exp();
            assert!(error < 5e-16, "exp({x}) off by {error}");
        }
        assert_eq!(exp_f64(0.0), 1.0);
        assert_eq!(exp_f32(0.0), 1.0);
        assert!(exp_f32(f32::NAN).is_nan() && exp_f64(f64::NAN).is_nan());
        assert!(exp_f32(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn attention_equals_the_definition_for_every_head_count_and_width() {
        for (heads, head_dim) in [(1, 32), (2, 16), (3, 8), (4, 64), (7, 10), (1, 2)] {
            for (before, own) in [(0, 1), (1, 1), (31, 33), (64, 5), (40, 0)] {
                let wave = |i: usize, k: f32| (i as f32 * k).sin();
                let mut caches = [HeadCache::default(), HeadCache::default()];
                let mut all = Vec::new();
                for t in 0..before + own + 3 {
                    let key: Vec<f32> = (0..head_dim).map(|d| wave(t * 7 + d, 0.37)).collect();
                    let value: Vec<f32> = (0..head_dim).map(|d| wave(t * 5 + d * 3, 0.71)).collect();
                    // Tokens beyond the visible ones must not matter.
                    caches[usize::from(t >= before)].push(&key, &value);
                    all.push((key, value));
                }
                all.truncate(before + own);
                let query: Vec<f32> = (0..heads * head_dim).map(|i| wave(i, 0.53)).collect();
                let mut out = vec![0.0; query.len()];
                let seen = [(&caches[0], before), (&caches[1], own)];
                vectorized(
                    #[inline(always)]
                    || attend(&query, head_dim, seen, &mut Vec::new(), &mut out),
                );
                for (q, out) in query.chunks(head_dim).zip(out.chunks(head_dim)) {
                    let dot = |k: &[f32]| -> f64 {
                        q.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                    };
                    let weights: Vec<f64> = all.iter().map(|(k, _)| dot(k).exp()).collect();
                    let total: f64 = weights.iter().sum();
                    for (d, o) in out.iter().enumerate() {
                        let mixed: f64 = weights
                            .iter()
                            .zip(&all)
                            .map(|(w, (_, v))| w / total * f64::from(v[d]))
                            .sum();
                        assert!((mixed - f64::from(*o)).abs() < 2e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn the_vector_width_changes_no_bit() {
        let x: Vec<f32> = (0..7 * 50).map(|i| (i as f32 * 0.77).sin() * 3.0).collect();
        let wide = vectorized(
            #[inline(always)]
            || x.iter().map(|x| exp_f32(*x)).collect::<Vec<_>>(),
        );
        let narrow: Vec<f32> = x.iter().map(|x| exp_f32(*x)).collect();
        assert_eq!(wide, narrow);
        for (row, out) in x.chunks(50).zip(normalize_rows(&x, 50, 1e-6).chunks(50)) {
            let scale = inverse_rms(row, 1e-6);
            assert!(row.iter().zip(out).all(|(x, o)| x * scale == *o));
        }
    }
}
