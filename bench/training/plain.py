"""The plain loop of chapter 9: all images in memory as one tensor, gradients by autograd."""

import math

import contest
import torch

from vae_helpers.data import load_mnist
from vae_helpers.networks import VAE
from vae_helpers.objectives import elbo


def main() -> None:
    """Train and report, the loss in the convention of the others: SSE + KL."""
    images, _ = load_mnist("train")
    torch.manual_seed(0)
    vae = VAE()
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
    constant = 784 / 2 * math.log(math.pi)  # of the Gaussian with variance 1/2

    def one(_: int) -> float:
        total = 0.0
        for indices in torch.randperm(len(images)).split(contest.BATCH):
            loss = -elbo(vae, images[indices]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(indices)
        return total / len(images) - constant

    contest.report(one, "torch")


if __name__ == "__main__":
    main()
