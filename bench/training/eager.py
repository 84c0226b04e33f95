"""What the two loops in plain PyTorch share: the network of the recipe, its loss, the images."""

import gzip
import tempfile
from pathlib import Path

import contest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Network(nn.Module):
    """784-64-32-(4+4) and 4-32-64-784, written as tutorials write it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Linear(*sizes) for sizes in contest.ENCODER)
        self.decoder = nn.ModuleList(nn.Linear(*sizes) for sizes in contest.DECODER)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean image, and mean and log-variance of q."""
        first, second, last = self.encoder
        h = torch.relu(second(torch.relu(first(x))))
        mu, logvar = last(h).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        first, second, last = self.decoder
        h = torch.relu(second(torch.relu(first(z))))
        return torch.sigmoid(last(h)), mu, logvar


def loss_of(network: nn.Module, x: Tensor) -> Tensor:
    """Summed squared error plus KL, summed over the batch as the original tutorial has it."""
    x_mean, mu, logvar = network(x)
    kl = 0.5 * torch.sum(mu.pow(2) + logvar.exp() - 1 - logvar)
    return nn.functional.mse_loss(x_mean, x, reduction="sum") + kl


def loader(*, workers: int) -> DataLoader:
    """Shuffled batches of torchvision's MNIST, each image converted when it is asked for."""
    try:
        from torchvision.datasets import MNIST
    except RuntimeError:  # its operators want CUDA; MNIST needs these signatures, and no more
        for name in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)
        from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "MNIST", "raw")  # where torchvision looks for the unpacked files
        raw.mkdir(parents=True)
        for archive in contest.MNIST.glob("*.gz"):
            (raw / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))
        mnist = MNIST(folder, train=True, transform=ToTensor())
    return DataLoader(mnist, batch_size=contest.BATCH, shuffle=True, num_workers=workers)


def train_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, batches: DataLoader) -> float:
    """Take one step a batch; return the mean loss of an image."""
    total, count = 0.0, 0
    for x, _ in batches:
        x = x.flatten(start_dim=1)
        optimizer.zero_grad()
        loss = loss_of(network, x)
        loss.backward()
        optimizer.step()
        total += loss.item()
        count += len(x)
    return total / count


def main(*, workers: int) -> None:
    """Train and report."""
    torch.manual_seed(0)
    batches = loader(workers=workers)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    contest.report(lambda _: train_epoch(network, optimizer, batches), "torch", "torchvision")
