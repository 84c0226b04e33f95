"""Claims about the figures: what is drawn, where, and that nothing else changes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from vae_helpers.plotting import (
    COLOURS,
    WIDTH,
    book_style,
    plot_curves,
    plot_digits,
    plot_latent_cloud,
    plot_pixels,
)

RNG = np.random.default_rng(0)
DIGITS = RNG.random((7, 784))
POINTS, LABELS = RNG.normal(size=(40, 2)), np.arange(40) % 10
LINES = {"training": [3, 2, 1], "held out": [3.5, np.nan, 2]}

PLOTS = {
    "digits": lambda **ax: plot_digits(DIGITS, columns=3, **ax),
    "pixels": lambda **ax: plot_pixels(DIGITS[0], label="ink", **ax),
    "curves": lambda **ax: plot_curves([1, 2, 3], LINES, xlabel="epoch", ylabel="nats", **ax),
    "cloud": lambda **ax: plot_latent_cloud(POINTS, LABELS, **ax),
}
each_plot = pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)


@pytest.fixture(autouse=True)
def clean():
    """No window, and neither figures nor settings that outlive a test."""
    plt.switch_backend("agg")
    with mpl.rc_context():
        yield
    plt.close("all")


def pixels(ax: Axes) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


# Claims about every figure


@each_plot
def test_a_plot_without_axes_makes_one_figure_no_wider_than_the_column(plot):
    book_style()
    ax = plot()
    assert plt.get_fignums() == [1]
    assert ax in ax.figure.axes
    assert ax.figure.get_figwidth() <= WIDTH
    assert ax.get_title() == ""


@each_plot
def test_a_plot_draws_on_the_given_axes_and_makes_no_figure(plot):
    figure, axes = plt.subplots(1, 2)
    assert plot(ax=axes[0]) is axes[0]
    assert plt.get_fignums() == [figure.number]
    assert axes[0].has_data()
    assert not axes[1].has_data()


@each_plot
def test_a_plot_renders_and_changes_no_settings(plot):
    before = dict(mpl.rcParams)
    plot().figure.canvas.draw()
    assert dict(mpl.rcParams) == before


# plot_digits


def test_digits_stand_row_by_row_two_pixels_apart():
    sheet = pixels(plot_digits(torch.tensor(DIGITS), columns=3))
    assert sheet.shape == (3 * 28 + 2 * 2, 3 * 28 + 2 * 2)
    for index, digit in enumerate(DIGITS):
        top, left = 30 * (index // 3), 30 * (index % 3)
        np.testing.assert_array_equal(
            sheet[top : top + 28, left : left + 28], digit.reshape(28, 28)
        )
    assert sheet.sum() == pytest.approx(DIGITS.sum())  # all else is paper; sums of 5,000 floats


def test_ink_is_black_on_one_scale_with_sharp_edges_and_no_ticks():
    ax = plot_digits(DIGITS)
    image = ax.images[0]
    assert (image.get_cmap().name, image.get_clim()) == ("gray_r", (0, 1))
    assert image.get_interpolation() == "nearest"
    assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0


def test_labels_stand_at_the_middle_of_their_rows_and_columns():
    ax = plot_digits(DIGITS, columns=3, row_labels="abc", column_labels="xyz")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y", "z"]
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == [13.5, 43.5, 73.5]


# plot_pixels


def test_pixels_are_a_map_with_a_labelled_bar():
    ax = plot_pixels(DIGITS[0], label="mean ink")
    np.testing.assert_array_equal(pixels(ax), DIGITS[0].reshape(28, 28))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column", "row")
    assert [other.get_ylabel() for other in ax.figure.axes if other is not ax] == ["mean ink"]


# plot_curves


def test_curves_hold_their_data_under_their_names_and_units():
    ax = PLOTS["curves"]()
    assert [line.get_label() for line in ax.lines] == list(LINES)
    for line, y in zip(ax.lines, LINES.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), y)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "nats")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(LINES)


def test_curves_differ_in_colour_and_in_style_under_the_book_style():
    book_style()
    ax = plot_curves([0, 1], {str(i): [i, i] for i in range(4)}, xlabel="x", ylabel="y")
    assert [to_hex(line.get_color()).upper() for line in ax.lines] == list(COLOURS[:4])
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "-.", ":"]


# plot_latent_cloud


def test_every_point_of_the_cloud_is_drawn_in_the_colour_of_its_digit():
    ax = plot_latent_cloud(POINTS, LABELS)
    assert len(ax.collections) == 10
    for digit, cloud in enumerate(ax.collections):
        np.testing.assert_array_equal(np.asarray(cloud.get_offsets()), POINTS[digit == LABELS])
    assert len({tuple(cloud.get_facecolor()[0]) for cloud in ax.collections}) == 10


def test_every_class_is_named_at_its_median():
    ax = plot_latent_cloud(POINTS, LABELS)
    assert [text.get_text() for text in ax.texts] == [str(digit) for digit in range(10)]
    for digit, text in enumerate(ax.texts):
        np.testing.assert_array_equal(
            text.get_position(), np.median(POINTS[digit == LABELS], axis=0)
        )


def test_distances_in_the_cloud_are_true_and_its_axes_named():
    ax = plot_latent_cloud(POINTS, LABELS, names=("$z_2$", "$z_4$"))
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$z_2$", "$z_4$")


# What is refused


@pytest.mark.parametrize(
    ("plot", "shapes", "message"),
    [
        (plot_digits, [(784,), (2, 783), (0, 784)], r"\(N, 784\), N >= 1; found .*\. Flatten"),
        (lambda x: plot_digits(x, row_labels="ab"), [(7, 784)], "expected 1 row labels; found 2"),
        (lambda x: plot_digits(x, column_labels="ab"), [(7, 784)], r"10 column .* 2\. Give one a"),
        (lambda x: plot_pixels(x, label="ink"), [(28, 28)], r"\(784,\); found .*\. Give one num"),
        (lambda z: plot_latent_cloud(z, [1] * 4), [(4, 3), (4,), (3, 2)], r"\(N, 2\).*\. Choose"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_figure_is_made(plot, shapes, message):
    for shape in shapes:
        with pytest.raises(ValueError, match=message):
            plot(np.zeros(shape))
    assert plt.get_fignums() == []


# book_style


def test_the_book_style_holds_once_it_is_called():
    assert mpl.rcParams["figure.figsize"] != [WIDTH, 3.2]
    book_style()
    assert mpl.rcParams["figure.figsize"] == [WIDTH, 3.2]
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLOURS)
