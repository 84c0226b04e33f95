"""The loop of the original tutorial, as a reader would write it today."""

import contest
import torch
from eager import Network, loader, train_epoch


def main() -> None:
    """Train and report."""
    torch.manual_seed(0)
    batches = loader(workers=0)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    contest.report(lambda _: train_epoch(network, optimizer, batches), "torch", "torchvision")


if __name__ == "__main__":
    main()
