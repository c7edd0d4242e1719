"""One style for all figures, and the drawings that several chapters need.

`draw_*` take a Matplotlib axis first and return nothing, so that a chapter composes a figure of several; `show_*` make
a figure and show it.
"""

from itertools import cycle

# Okabe and Ito's palette (2008), told apart by colour-blind readers; ordered so that neighbours differ in lightness
# too, and with a line style each, so that a figure survives a greyscale print.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
LINES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), "-"]
MARKERS = "os^Dv<>"
GAP = 0.45  # the grey between images that stand edge to edge, on a scale from 0 (black) to 1 (white)


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


def frame(axis, title=""):
    """Take the ticks off an axis, draw a thin frame around it and set its title."""
    axis.set(xticks=[], yticks=[])
    axis.set_title(title)
    axis.spines[:].set(visible=True, color="#aaaaaa", linewidth=0.5)


def draw_image(axis, image, title="", limits=None, signed=False):
    """Draw an image on an axis, in a thin frame.

    image: (height, width), (height, width, 1) or (height, width, 3). limits: (black, white) of a grey image, each image
    scaled by itself where it is None; colours are drawn as they are, from 0 to 1 or as uint8. signed: 0 is white,
    positive values are purple and negative ones orange, as for kernels and their responses; limits is then the largest
    absolute value.
    """
    import numpy as np

    image = np.squeeze(np.asarray(image))
    if signed:
        bound = limits or np.abs(image).max() or 1.0
        axis.imshow(image, cmap="PuOr", vmin=-bound, vmax=bound)
    else:
        low, high = limits or (image.min(), max(image.max(), image.min() + 1e-12))
        axis.imshow(image, vmin=low, vmax=high, cmap="gray")
    frame(axis, title)


def draw_numbers(axis, values, title="", bound=None, boxes=(), form="{:.3g}", size=10):
    """Draw a small matrix as a grid of its numbers, purple where positive and orange where negative.

    values: (rows, columns). bound: the value of the deepest colour drawn; twice the largest if None, which keeps the
    digits legible. boxes: (row, column, height, width) of each thick frame, such as a kernel's window. form: how a
    number is written. size: of the digits, in points.
    """
    import numpy as np
    from matplotlib.patches import Rectangle

    values = np.asarray(values)
    draw_image(axis, values, title, bound or 2 * np.abs(values).max() or 1.0, signed=True)
    for (row, column), value in np.ndenumerate(values):
        axis.text(column, row, form.format(value).replace("-", "−"), ha="center", va="center", size=size)
    for row, column, height, width in boxes:
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, fill=False, lw=3, ec=COLOURS[0]))


def show_rows(rows, limits=(0, 1), width=8.0):
    """Show images in named rows, edge to edge, with a thin grey gap: originals above reconstructions, epoch by epoch.

    rows: dict from a row's name to images of one shape, (height, width), (height, width, 1) or (height, width, 3); rows
    may differ in length. limits: (black, white). width: of the figure, in inches.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    longest = max(len(images) for images in rows.values())
    shape = np.shape(next(iter(rows.values()))[0])
    height = len(rows) * 0.92 * width / longest * shape[0] / shape[1]
    figure, axes = plt.subplots(len(rows), 1, figsize=(width, height), squeeze=False)
    grey = limits[0] + GAP * (limits[1] - limits[0])
    for axis, (name, images) in zip(axes[:, 0], rows.items()):
        colour = np.ndim(images[0]) == 3 and np.shape(images[0])[-1] == 3
        images = [np.asarray(one) if colour else np.reshape(one, np.shape(one)[:2]) for one in images]
        border = [(1, 1), (1, 1)] + [(0, 0)] * colour
        strip = np.concatenate([np.pad(one.astype(float), border, constant_values=grey) for one in images], axis=1)
        if colour:
            strip = np.clip((strip - limits[0]) / (limits[1] - limits[0]), 0, 1)
        axis.imshow(strip, cmap="gray", vmin=limits[0], vmax=limits[1])
        axis.set(xticks=[], yticks=[], xlim=(-0.5, longest * (shape[1] + 2) - 0.5))
        axis.spines[:].set_visible(False)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    plt.show()


def draw_curves(axis, curves, x_label, y_label, title="", x=None, levels=None):
    """Draw named curves, with the spread over seeds where there is one, and named levels to compare them with.

    curves: dict from name to values (points,), or (seeds, points): then the mean is the curve and a band goes from the
    lowest to the highest seed. x: the common positions; else 1, 2, 3, ... levels: dict from name to a number, drawn as
    a dotted black line with its name at the right end, such as the loss of guessing. A log scale, limits and ticks are
    the axis's own: axis.set(yscale="log").
    """
    import numpy as np

    for (name, values), colour, line, marker in zip(curves.items(), cycle(COLOURS), cycle(LINES), cycle(MARKERS)):
        values = np.atleast_2d(np.asarray(values, dtype=float))
        places = np.arange(1, values.shape[1] + 1) if x is None else np.asarray(x)
        few = marker if len(places) <= 30 else None
        axis.plot(places, values.mean(axis=0), color=colour, ls=line, marker=few, ms=4, label=name)
        if len(values) > 1:
            axis.fill_between(places, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0)
    for name, level in (levels or {}).items():
        axis.axhline(level, color="black", ls=":", lw=1)
        at = axis.get_yaxis_transform()
        axis.annotate(name, (1, level), xycoords=at, xytext=(0, 2), textcoords="offset points", ha="right", size=8)
    axis.set(xlabel=x_label, ylabel=y_label, title=title)
    if len(curves) > 1:
        axis.legend(fontsize=8)


def draw_bars(axis, bars, label, title="", levels=None, highlight=()):
    """Draw named horizontal bars, the first at the top, each with the runs it is the mean of.

    bars: dict from name to a number, or to one number for each seed: the bar is their mean, the small circles are the
    runs. label: of the axis of numbers. levels: dict from name to a number that the bars are compared with, a dotted
    line. highlight: the names of bars in blue, the others being grey; all are blue if it is empty.
    """
    import numpy as np

    for row, (name, values) in enumerate(bars.items()):
        values = np.atleast_1d(np.asarray(values, dtype=float))
        colour = COLOURS[0] if not highlight or name in highlight else "#bbbbbb"
        axis.barh(row, values.mean(), color=colour, height=0.7)
        if len(values) > 1:
            axis.plot(values, np.full(len(values), row), "o", ms=4, mfc="white", mec="black", mew=0.8, ls="")
    for name, level in (levels or {}).items():
        axis.axvline(level, color="black", ls=":", lw=1)
        at = axis.get_xaxis_transform()
        axis.annotate(name, (level, 1), xycoords=at, xytext=(0, 2), textcoords="offset points", ha="center", size=8)
    axis.set(yticks=range(len(bars)), yticklabels=list(bars), xlabel=label)
    axis.set_title(title, pad=16 if levels else None)
    axis.invert_yaxis()


def draw_confusion(axis, matrix, names=None, title="", shares=False, least=0):
    """Draw a confusion matrix: a row for each true class, a column for each predicted one.

    matrix: (classes, classes), counts, or with `shares` numbers from 0 to 1, which are written in per cent. names: of
    the classes; else 0, 1, 2, ... least: entries below it stay blank. The shade is that of the mistakes alone, so that
    they can be seen beside a strong diagonal, which is outlined.
    """
    import numpy as np
    from matplotlib.patches import Rectangle

    matrix = np.asarray(matrix, dtype=float)
    count = len(matrix)
    mistakes = matrix - np.diag(np.diag(matrix))
    top = mistakes.max() or 1.0
    axis.imshow(mistakes, cmap="Blues", vmin=0, vmax=top)
    for (true, predicted), value in np.ndenumerate(matrix):
        if true == predicted:
            axis.add_patch(Rectangle((predicted - 0.5, true - 0.5), 1, 1, fill=False, ec="#999999", lw=0.8))
        if value > 0 and value >= least:
            dark = true != predicted and value > 0.6 * top
            text = f"{100 * value:.0f}" if shares else f"{value:.0f}"
            axis.text(predicted, true, text, ha="center", va="center", size=8, color="white" if dark else "black")
    axis.set(xticks=range(count), yticks=range(count), xlabel="predicted class", ylabel="true class", title=title)
    if names is not None:
        axis.set_xticklabels(names, rotation=45, ha="right")
        axis.set_yticklabels(names)
    axis.spines[:].set(visible=True, color="#aaaaaa", linewidth=0.5)


def draw_blocks(axis, blocks, arrows=(), size=(2.7, 0.8), title=""):
    """Draw a diagram of blocks and arrows: the layers of a network, two networks of a game, a shortcut.

    blocks: dict from a name to (column, row, text) or (column, row, text, colour number); rows count downwards.
    arrows: (from, to) or (from, to, text) by the blocks' names; an arrow within one column that passes over a block
    goes round it, as a shortcut does. size: of a block, in units of which a column is 3.2 and a row 1.3 apart.
    """
    from matplotlib.patches import FancyBboxPatch

    width, height = size
    places = {name: (3.2 * block[0], -1.3 * block[1]) for name, block in blocks.items()}
    for name, block in blocks.items():
        x, y = places[name]
        colour = COLOURS[block[3]] if len(block) > 3 else "#777777"
        outline = {"boxstyle": "round,pad=0,rounding_size=0.12", "fc": "white", "ec": colour, "lw": 1.6}
        axis.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, **outline))
        axis.text(x, y, block[2], ha="center", va="center", size=9)
    for source, target, *text in arrows:
        (x0, y0), (x1, y1) = places[source], places[target]
        round_it = x0 == x1 and abs(y0 - y1) > 1.5
        if round_it:
            start, end, bend = (x0 + width / 2, y0), (x1 + width / 2, y1), "arc3,rad=-0.45"
        elif abs(x0 - x1) > 0.1:
            side = 1 if x1 > x0 else -1
            start, end, bend = (x0 + side * width / 2, y0), (x1 - side * width / 2, y1), "arc3,rad=0"
        else:
            side = -1 if y1 < y0 else 1
            start, end, bend = (x0, y0 + side * height / 2), (x1, y1 - side * height / 2), "arc3,rad=0"
        style = {"arrowstyle": "-|>", "color": "black", "lw": 1.1, "connectionstyle": bend}
        axis.annotate("", end, start, arrowprops=style)
        if text:
            aside = 0.9 if round_it else 0.0
            middle = ((start[0] + end[0]) / 2 + aside, (start[1] + end[1]) / 2 + 0.18 * (not round_it))
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
            axis.text(*middle, text[0], ha="center", va="center" if round_it else "bottom", size=8, bbox=box)
    columns, rows = ([place[i] for place in places.values()] for i in (0, 1))
    axis.set(xlim=(min(columns) - 1.7, max(columns) + 2.2), ylim=(min(rows) - 0.7, max(rows) + 0.7), aspect="equal")
    axis.axis("off")
    axis.set_title(title)


def show_images(images, titles=(), columns=10, size=1.0, signed=False, limits=None):
    """Draw images in rows.

    images: sequence of (height, width) or (height, width, channels), each scaled by itself unless `limits`
    (lowest, highest) says how. titles: one above each. columns: at most so many in a row. size: inches an image.
    signed: 0 is drawn white, positive values purple and negative ones orange, as for kernels and their responses.
    """
    import matplotlib.pyplot as plt

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = size * (1.4 if len(titles) else 1.0)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size * 1.08, rows * height), squeeze=False)
    titles = iter(titles)
    for axis, image in zip(axes.flat, images):
        draw_image(axis, image, limits=limits, signed=signed)
        axis.set_title(next(titles, ""), fontsize=9)
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout(pad=0.3)
    plt.show()


def show_curves(curves, x_label, y_label, title="", x=None, log_y=False):
    """Draw named curves on one pair of labelled axes: see `draw_curves`."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots()
    draw_curves(axis, curves, x_label, y_label, title, x)
    if log_y:
        axis.set_yscale("log")
    plt.show()
