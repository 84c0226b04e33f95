"""Figures of the book: arrays in, Axes out. Nothing here knows a model.

Each function draws on ``ax`` and returns it, and makes a figure only where ``ax`` is None. None
shows, saves or titles a figure: the caption on the page says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib_inline.backend_inline import set_matplotlib_formats
from numpy.typing import ArrayLike

WIDTH = 6.4
"""Width of a figure, in inches; the page's column is as wide."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The palette of Okabe and Ito, told apart by colour-blind eyes; dark colours first."""


def book_style() -> None:
    """Set matplotlib's defaults for the book; call it once, after the imports.

    In a notebook figures are stored at twice the screen's resolution, crisp on dense screens.
    """
    if get_ipython() is not None:
        set_matplotlib_formats("retina")
    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.2),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "image.cmap": "viridis",
            "legend.frameon": False,
            "lines.linewidth": 1.6,
        }
    )


def plot_digits(
    images: ArrayLike,
    *,
    columns: int = 10,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw images ``(N, 784)`` side by side, row by row; 0 is paper and 1, or more, is ink."""
    images = np.asarray(images)
    if images.ndim != 2 or images.shape[1] != 784 or len(images) == 0:
        raise ValueError(
            f"images must have shape (N, 784), N >= 1; found {images.shape}. "
            "Flatten them with images.reshape(-1, 784)."
        )
    rows = -(-len(images) // columns)
    for name, labels, count in [("row", row_labels, rows), ("column", column_labels, columns)]:
        if labels is not None and len(labels) != count:
            raise ValueError(
                f"expected {count} {name} labels; found {len(labels)}. Give one a {name}."
            )
    cells = np.zeros((rows, columns, 30, 30))  # a digit of 28 pixels, and a gap of 2
    cells.reshape(-1, 30, 30)[: len(images), :28, :28] = images.reshape(-1, 28, 28)
    sheet = cells.swapaxes(1, 2).reshape(30 * rows, 30 * columns)[:-2, :-2]
    if ax is None:
        height = WIDTH * sheet.shape[0] / sheet.shape[1]
        _, ax = plt.subplots(figsize=(WIDTH, max(height, 0.5)))
    ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.grid(False)
    centres = 13.5 + 30 * np.arange(max(rows, columns))
    ax.set_xticks(centres[:columns] if column_labels is not None else [], column_labels)
    ax.set_yticks(centres[:rows] if row_labels is not None else [], row_labels)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def plot_pixels(values: ArrayLike, *, label: str, ax: Axes | None = None) -> Axes:
    """Draw one number a pixel, ``(784,)``, as a map with a colour bar; its label has the unit."""
    values = np.asarray(values)
    if values.shape != (784,):
        raise ValueError(
            f"values must have shape (784,); found {values.shape}. Give one number a pixel."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(3.2, 2.6))
    picture = ax.imshow(values.reshape(28, 28), interpolation="nearest")
    ax.grid(False)
    ax.set(xlabel="column", ylabel="row", xticks=[0, 9, 18, 27], yticks=[0, 9, 18, 27])
    ax.figure.colorbar(picture, ax=ax, label=label)
    return ax


def plot_curves(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw named curves ``(T,)`` over x ``(T,)``, told apart by colour and style; NaN is a gap."""
    if ax is None:
        _, ax = plt.subplots()
    styles = ["-", "--", "-.", ":"]
    for index, (name, y) in enumerate(curves.items()):
        ax.plot(np.asarray(x), np.asarray(y), styles[index % len(styles)], label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return ax


def plot_latent_cloud(
    points: ArrayLike,
    labels: ArrayLike,
    *,
    names: tuple[str, str] = ("$z_1$", "$z_2$"),
    size: float = 18,
    ax: Axes | None = None,
) -> Axes:
    """Draw points ``(N, 2)`` of two latent variables as their labels ``(N,)``, in small digits.

    Each class stands again at its median. The size is the area of a digit, in square points.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) != len(labels):
        raise ValueError(
            f"expected points (N, 2) and labels (N,); found {points.shape} and {labels.shape}. "
            "Choose two latent variables, and give one label a point."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(WIDTH, WIDTH))
    colours = plt.get_cmap("tab10")
    for digit in np.unique(labels):
        cloud, colour = points[labels == digit], colours(digit % 10)
        ax.scatter(*cloud.T, color=colour, marker=f"${digit}$", s=size, alpha=0.6, linewidths=0)
        x, y = np.median(cloud, axis=0)
        box = {"boxstyle": "circle", "facecolor": "white", "edgecolor": colour, "alpha": 0.9}
        ax.text(x, y, str(digit), ha="center", va="center", weight="bold", bbox=box)
    ax.set(xlabel=names[0], ylabel=names[1], aspect="equal")
    return ax
