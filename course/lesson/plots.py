"""One style for all figures, and the drawings that several chapters need."""

from itertools import cycle

# Okabe and Ito's palette (2008), told apart by colour-blind readers; ordered so that neighbours differ in lightness
# too, and with a line style each, so that a figure survives a greyscale print.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
LINES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), "-"]


def use_style():
    """Set Matplotlib's defaults for this session: palette, sizes, no frame at the top and right."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS, linestyle=LINES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "figure.figsize": (7.0, 3.2),
            "figure.dpi": 100,
            "font.size": 10,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "savefig.bbox": "tight",
        }
    )


def draw_image(axis, image, title="", signed=False, bound=None):
    """Draw one image with a thin frame on a Matplotlib axis.

    image: (height, width), drawn in grey from 0 to `bound` (its largest value, if None), or (height, width, 3), drawn
    as it is. signed: 0 is drawn white, positive values purple and negative ones orange, from -bound to bound.
    """
    import numpy as np

    image = np.asarray(image)
    bound = bound or float(np.abs(image).max()) or 1.0
    axis.imshow(image, cmap="PuOr" if signed else "gray", vmin=-bound if signed else 0, vmax=bound)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title)
    axis.spines[:].set(visible=True, color="#aaaaaa", linewidth=0.5)


def draw_numbers(axis, values, title="", box=None, size=10):
    """Draw a small array (rows, columns) as a grid of its numbers, coloured by their sign.

    box: (row, column, height, width) of a thick frame around some of them. size: of the digits, in points.
    """
    import numpy as np
    from matplotlib.patches import Rectangle

    values = np.asarray(values)
    draw_image(axis, values, title, signed=True, bound=2 * float(np.abs(values).max()))
    for (row, column), value in np.ndenumerate(values):
        axis.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=size)
    if box:
        row, column, height, width = box
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, fill=False, lw=3, ec=COLOURS[0]))


def show_images(images, titles=(), columns=10, size=1.0, signed=False, limits=None):
    """Draw pictures in rows.

    images: sequence of (height, width) or (height, width, channels), each scaled by itself unless `limits`
    (lowest, highest) says how. titles: one above each. columns: at most so many in a row. size: inches a picture.
    signed: 0 is drawn white, positive values purple and negative ones orange, as for kernels and their responses.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    images = [np.squeeze(np.asarray(image)) for image in images]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = size * (1.4 if len(titles) else 1.0)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size * 1.08, rows * height), squeeze=False)
    titles = iter(titles)
    for axis, image in zip(axes.flat, images):
        if signed:
            bound = np.abs(image).max() or 1.0
            axis.imshow(image, cmap="PuOr", vmin=-bound, vmax=bound)
        elif limits:
            axis.imshow(image, vmin=limits[0], vmax=limits[1])
        else:
            axis.imshow(image)
        axis.set_title(next(titles, ""), fontsize=9)
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout(pad=0.3)
    plt.show()


def show_curves(curves, x_label, y_label, title="", x=None, log_y=False):
    """Draw named curves on one pair of labelled axes.

    curves: dict from name to a sequence of numbers. x: the common positions; else 1, 2, 3, ...
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots()
    markers = cycle("os^Dv<>")
    for (name, values), marker in zip(curves.items(), markers):
        positions = range(1, len(values) + 1) if x is None else x
        axis.plot(positions, values, label=name, marker=marker if len(values) <= 30 else None, markersize=4)
    axis.set(xlabel=x_label, ylabel=y_label, title=title)
    if log_y:
        axis.set_yscale("log")
    if len(curves) > 1:
        axis.legend()
    plt.show()
