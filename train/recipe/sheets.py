"""Contact sheets, to look at: prompts, or a sweep over guidance, temperature and seeds for
each prompt; or pictures over what the tokenizer makes of them."""
import dataclasses
import json
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import pack
from .compose import Compositor, tensors_of
from .evaluate import numbers
from .prompts import fixed
from .trained import Trained

GAP = 6
TEXT = 11           # pixels
LINES = 3           # of a caption at most
COLUMNS = 8         # where the sheet is not a sweep
DEFAULT = 48        # prompts where no file is given


def add_arguments(parser):
    add = parser.add_argument
    add("out", metavar="OUT.png")
    add("--prompts", metavar="FILE",
        help="a prompt a line, or jobs as JSON lines [some of the fixed prompts]")
    add("--limit", type=int, help="only so many prompts")
    add("--cfg", type=numbers, default=(2.0,), metavar="LIST", help="guidance [2]")
    add("--tau", type=numbers, default=(0.3,), metavar="LIST", help="temperature [0.3]")
    add("--seeds", type=lambda s: tuple(int(x) for x in s.split(",")), default=(0,),
        metavar="LIST", help="[0]")
    add("--scale", type=int, default=1, help="enlarges the pictures [1]")
    add("--reconstructions", action="store_true",
        help="the pictures of the fixed prompts over the tokenizer's, without a transformer")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A picture, several above each other, and what stands below."""
    pictures: tuple  # of [3, S, S] in [-1, 1]
    caption: str


def sheet(options, preset):
    """Sub-command."""
    if options.reconstructions:
        rows = reconstructions(options, preset)
    else:
        rows = sweep(options, preset)
    drawn = draw_sheet(rows, preset.pixels * options.scale)
    drawn.save(options.out)
    print(f"{options.out}: {drawn.width} x {drawn.height} pixels")


def fixed_prompts(options, preset):
    pictures = pack.read(options.pack, preset.pixels, options.sets or preset.sets,
                         options.concepts)
    return pictures, fixed(pictures, options.limit or DEFAULT)


def captions_of(options, preset):
    if not options.prompts:
        return [p.caption for p in fixed_prompts(options, preset)[1]]
    with open(options.prompts, encoding="utf-8") as f:
        lines = [line.strip() for line in f if line.strip()]
    captions = [json.loads(s)["prompt"] if s.startswith("{") else s for s in lines]
    return captions[:options.limit]


def sweep(options, preset):
    """Rows of cells: for each prompt a row a seed with all guidances and temperatures; or,
    where there is one of each, the prompts side by side."""
    captions = captions_of(options, preset)
    trained = Trained(options.directory, preset, options.pack)
    settings = [(cfg, tau) for cfg in options.cfg for tau in options.tau]
    made = {(seed, *s): trained.sample(captions, *s, seed).cpu()
            for seed in options.seeds for s in settings}
    if len(made) == 1:
        pictures = next(iter(made.values()))
        return wrapped([Cell((p,), c) for p, c in zip(pictures, captions)])
    rows = []
    for k, caption in enumerate(captions):
        rows.append(caption)
        rows += [[Cell((made[seed, cfg, tau][k],), f"cfg {cfg:g} tau {tau:g} seed {seed}")
                  for cfg, tau in settings] for seed in options.seeds]
    return rows


def reconstructions(options, preset):
    pictures, prompts = fixed_prompts(options, preset)
    trained = Trained(options.directory, preset, options.pack, None)
    x = Compositor(pictures.rgba, trained.where).pictures(
        *tensors_of([p.scene for p in prompts]))
    back = trained.reconstruct(x).cpu()
    return wrapped([Cell(pair, p.caption) for *pair, p in zip(x.cpu(), back, prompts)])


def wrapped(cells):
    return [cells[at:at + COLUMNS] for at in range(0, len(cells), COLUMNS)]


def font_of(size):
    """DejaVu knows the letters of all captions; without it, what Pillow brings."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default()


def draw_sheet(rows, side):
    """rows: of cells, or a text that is a heading. Pictures are drawn side x side."""
    font = font_of(TEXT)
    letters = max(8, int(side / (0.58 * TEXT)))
    line = TEXT + 3
    height = GAP + sum(height_of(r, side, letters, line) for r in rows)
    width = GAP + max(len(r) for r in rows if not isinstance(r, str)) * (side + GAP)
    out = Image.new("RGB", (width, height), (245, 245, 245))
    draw = ImageDraw.Draw(out)
    y = GAP
    for row in rows:
        if isinstance(row, str):
            draw.text((GAP, y), row, fill=(0, 0, 0), font=font)
        else:
            for k, cell in enumerate(row):
                draw_cell(out, draw, cell, (GAP + k * (side + GAP), y), side, letters, font)
        y += height_of(row, side, letters, line)
    return out


def height_of(row, side, letters, line):
    if isinstance(row, str):
        return line + GAP
    lines = max(len(lines_of(cell.caption, letters)) for cell in row)
    return len(row[0].pictures) * (side + 2) + lines * line + GAP


def lines_of(caption, letters):
    return textwrap.wrap(caption, letters, max_lines=LINES, placeholder=" ..") or [""]


def draw_cell(out, draw, cell, at, side, letters, font):
    x, y = at
    for picture in cell.pictures:
        image = image_of(picture)
        out.paste(image.resize((side, side), Image.LANCZOS) if image.width != side else image,
                  (x, y))
        y += side + 2
    draw.multiline_text((x, y), "\n".join(lines_of(cell.caption, letters)), fill=(60, 60, 60),
                        font=font, spacing=3)


def image_of(picture):
    """[3, S, S] in [-1, 1] -> Image."""
    rgb = ((picture.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(np.ascontiguousarray(rgb.permute(1, 2, 0).numpy()))
