"""The floor: only the matrix products of each step, forward and backward.

The first layer's input needs no gradient. So an image costs 528,640 operations, each layer three
products of its weights' size, the first two.
"""

import contest
import torch
from torch import Tensor


def main() -> None:
    """Multiply and report."""
    torch.manual_seed(0)
    images = torch.from_numpy(contest.images())
    sizes = contest.ENCODER + contest.DECODER
    weights = [torch.randn(outputs, inputs) for inputs, outputs in sizes]
    inputs = [torch.randn(contest.BATCH, w.shape[1]) for w in weights]
    deltas = [torch.randn(contest.BATCH, w.shape[0]) for w in weights]
    forward = [torch.empty_like(delta) for delta in deltas]
    by_weight = [torch.empty_like(w) for w in weights]
    by_input = [torch.empty_like(h) for h in inputs]

    def step(x: Tensor) -> None:
        for i, w in enumerate(weights):
            torch.mm(inputs[i] if i else x, w.t(), out=forward[i])
        for i, w in enumerate(weights):
            torch.mm(deltas[i].t(), inputs[i] if i else x, out=by_weight[i])
            if i:
                torch.mm(deltas[i], w, out=by_input[i])

    def epoch(_: int) -> None:
        for x in images.split(contest.BATCH):
            step(x)

    contest.report(epoch, "torch")


if __name__ == "__main__":
    main()
