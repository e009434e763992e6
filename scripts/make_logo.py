"""Desenha ``img/Luna.png``: uma lua crescente sobre o mar e três pontos de quem está escrevendo.

Uso (só para refazer a imagem; precisa do Pillow)::

    pip install pillow
    python scripts/make_logo.py
"""

import math
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT, SCALE = 800, 300, 3  # desenha maior e reduz, para as bordas saírem lisas
HORIZON = 238
MOON, RADIUS = (190, 128), 74
SKY_TOP, SKY_LOW = (13, 16, 44), (62, 52, 110)
SEA_TOP, SEA_LOW = (38, 34, 82), (12, 14, 38)
LIGHT = (255, 241, 208)
FONTS = ("DejaVuSerif.ttf", "Georgia.ttf", "georgia.ttf", "Times New Roman.ttf")
OUTPUT = Path(__file__).resolve().parent.parent / "img" / "Luna.png"

Color = tuple[int, int, int]


def blend(first: Color, second: Color, part: float) -> Color:
    """A cor a ``part`` do caminho entre as duas."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second))
    return red, green, blue


def sky_and_sea() -> Image.Image:
    """O fundo: dois degradês que se encontram no horizonte."""
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))
    draw = ImageDraw.Draw(image)
    horizon = HORIZON * SCALE
    for y in range(image.height):
        if y < horizon:
            color = blend(SKY_TOP, SKY_LOW, (y / horizon) ** 1.5)
        else:
            color = blend(SEA_TOP, SEA_LOW, (y - horizon) / (image.height - horizon))
        draw.line([(0, y), (image.width, y)], fill=color)
    return image


def circle(center: tuple[float, float], radius: float) -> list[float]:
    """A caixa de um círculo, já na escala do desenho."""
    x, y = center
    return [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]


def crescent(size: tuple[int, int]) -> Image.Image:
    """A máscara da lua: um disco menos outro."""
    disc, shadow = Image.new("L", size), Image.new("L", size)
    ImageDraw.Draw(disc).ellipse(circle(MOON, RADIUS), fill=255)
    away = (MOON[0] + RADIUS * 0.46, MOON[1] - RADIUS * 0.2)
    ImageDraw.Draw(shadow).ellipse(circle(away, RADIUS * 0.86), fill=255)
    return ImageChops.subtract(disc, shadow)


def add_stars(image: Image.Image) -> None:
    """Estrelas fracas no céu, longe do nome e da lua."""
    chance, draw = random.Random(7), ImageDraw.Draw(image)
    for _ in range(90):
        x, y = chance.uniform(0, WIDTH), chance.uniform(6, HORIZON - 24)
        if math.dist((x, y), MOON) < RADIUS + 14 or (320 < x < 660 and 60 < y < 215):
            continue
        color = blend(SKY_LOW, (255, 255, 255), chance.uniform(0.25, 0.9))
        draw.ellipse(circle((x, y), chance.choice([0.5, 0.7, 1.0])), fill=color)


def add_reflection(image: Image.Image) -> None:
    """A luz da lua na água, em traços que se alargam."""
    chance, draw = random.Random(3), ImageDraw.Draw(image)
    for y in range(HORIZON + 4, HEIGHT - 4, 5):
        depth = (y - HORIZON) / (HEIGHT - HORIZON)
        half = 18 + 46 * depth + chance.uniform(-8, 8)
        x = MOON[0] + chance.uniform(-6, 6)
        color = blend(SEA_TOP, LIGHT, 0.62 * (1 - depth))
        draw.line(
            [((x - half) * SCALE, y * SCALE), ((x + half) * SCALE, y * SCALE)],
            fill=color,
            width=SCALE,
        )


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A primeira fonte com serifa que houver; senão, a do Pillow."""
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size * SCALE)
        except OSError:
            continue
    return ImageFont.load_default(size * SCALE)


def add_words(image: Image.Image) -> None:
    """O nome, os três pontos e a frase."""
    draw = ImageDraw.Draw(image)
    draw.text((330 * SCALE, 152 * SCALE), "Luna", font=font(104), fill=LIGHT, anchor="ls")
    for index in range(3):
        draw.ellipse(
            circle((622 + 24 * index, 148), 5.5), fill=blend(SKY_LOW, LIGHT, 0.9 - 0.25 * index)
        )
    motto = "o seu pequeno modelo de diálogo em português"
    draw.text((334 * SCALE, 198 * SCALE), motto, font=font(16), fill=(190, 184, 222), anchor="ls")


def main() -> None:
    """Desenha e grava."""
    image = sky_and_sea()
    add_stars(image)
    mask = crescent(image.size)
    for radius, strength in ((60, 0.55), (18, 0.5)):  # o halo
        glow = mask.filter(ImageFilter.GaussianBlur(radius * SCALE / 2))
        image.paste(Image.new("RGB", image.size, LIGHT), mask=glow.point(lambda v: v * strength))
    image.paste(Image.new("RGB", image.size, LIGHT), mask=mask)
    add_reflection(image)
    add_words(image)
    OUTPUT.parent.mkdir(exist_ok=True)
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(OUTPUT, optimize=True)


if __name__ == "__main__":
    main()
