"""One style for all figures, and the two pictures that every chapter needs."""

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
