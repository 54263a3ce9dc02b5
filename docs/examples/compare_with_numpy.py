"""Compares `groupwise score` with a few lines of numpy on random rollouts.

    python docs/examples/compare_with_numpy.py
    python docs/examples/compare_with_numpy.py --command "cargo run -q -p groupwise-score --example score --"

Needs numpy.  Each check prints the largest difference found; the exit code is 1 if one exceeds the tolerance.
"""

import argparse
import json
import shlex
import subprocess
import sys

import numpy as np

EPSILON = 0.2
TOLERANCE = 1e-12


def rollouts(rng, n_groups):
    """Ragged groups: rewards, log-probabilities now and before, masks."""
    for g in range(n_groups):
        n = int(rng.integers(2, 9))
        lengths = rng.integers(1, 40, size=n)
        old = [-rng.exponential(1.0, size=t) for t in lengths]
        yield {
            "id": f"prompt {g}",
            "rewards": rng.choice([0.0, 0.5, 1.0], size=n).tolist(),
            "tokens": {
                "logp": [(row + rng.normal(0.0, 0.2, size=row.size)).tolist() for row in old],
                "logp_old": [row.tolist() for row in old],
                # The first token always counts, so that no trajectory is without one.
                "mask": [[1] + rng.integers(0, 2, size=t - 1).tolist() for t in lengths],
            },
        }


def score(command, groups, *options):
    """The lines that come out, parsed; Python's json reads back every bit."""
    text = "".join(json.dumps(group) + "\n" for group in groups)
    done = subprocess.run([*command, *options], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(command)}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def trl_advantages(rewards):
    """TRL's GRPOTrainer, scale_rewards="group": sample deviation, 1e-4."""
    r = np.array(rewards)
    return (r - r.mean()) / (r.std(ddof=1) + 1e-4)


def clip(group, advantages):
    """PPO's clipped loss of every token and its derivative by logp, 0 where masked; and the masks."""
    loss, grad, masks = [], [], []
    for i, a in enumerate(advantages):
        t = group["tokens"]
        ratio = np.exp(np.array(t["logp"][i]) - np.array(t["logp_old"][i]))
        mask = np.array(t["mask"][i], dtype=float)
        bounded = np.clip(ratio, 1 - EPSILON, 1 + EPSILON)
        loss.append(-np.minimum(ratio * a, bounded * a) * mask)
        grad.append(np.where(ratio * a <= bounded * a, -ratio * a, 0.0) * mask)
        masks.append(mask)
    return loss, grad, masks


def worst(found, expected):
    """Largest absolute difference of two ragged lists."""
    pairs = zip(found, expected, strict=True)
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", default="groupwise score")
    parser.add_argument("--groups", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    command = shlex.split(args.command)
    groups = list(rollouts(np.random.default_rng(args.seed), args.groups))
    trl = ["--advantage", 'grpo = { dialect = "trl" }']
    checks = {}

    lines = score(command, groups, *trl)
    advantages = [trl_advantages(g["rewards"]) for g in groups]
    checks["advantages as in TRL"] = worst([line["advantages"] for line in lines], advantages)

    # loss_type="grpo": mean over the trajectories of means over tokens; here every group is a batch of its own.
    lines = score(command, groups, *trl, "--objective", "grpo")
    losses, grads = [], []
    for group, a in zip(groups, advantages, strict=True):
        loss, grad, masks = clip(group, a)
        losses.append(np.mean([row.sum() / m.sum() for row, m in zip(loss, masks, strict=True)]))
        grads += [row / m.sum() / len(a) for row, m in zip(grad, masks, strict=True)]
    checks['loss, loss_type = "grpo", a batch per group'] = worst([line["loss"] for line in lines], losses)
    checks["its gradient"] = worst([row for line in lines for row in line["grad_logp"]], grads)

    # loss_type="dapo", TRL's default: mean over the tokens of the whole update batch, here all groups.
    dapo = ["--objective", f"dapo.epsilon_high = {EPSILON}", "--batch", str(len(groups))]
    lines = score(command, groups, *trl, *dapo)
    parts = [clip(group, a) for group, a in zip(groups, advantages, strict=True)]
    counted = sum(m.sum() for _, _, masks in parts for m in masks)
    total = sum(row.sum() for loss, _, _ in parts for row in loss) / counted
    checks['loss, loss_type = "dapo", one batch'] = worst([line["loss"] for line in lines], [total] * len(groups))
    checks["its shares add up to it"] = abs(sum(line["loss_share"] for line in lines) - total)
    grads = [row / counted for _, grad, _ in parts for row in grad]
    checks["its gradient, one batch"] = worst([row for line in lines for row in line["grad_logp"]], grads)

    for name, difference in checks.items():
        print(f"{'ok  ' if difference <= TOLERANCE else 'OFF '} {difference:8.1e}  {name}")
    return 0 if all(d <= TOLERANCE for d in checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
