"""De um modelo do Jinja2 a uma página: um arquivo HTML só, em que todo texto de fora é escapado."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.evaluation import display
from src.utils.numbers import decimal, grouped

TEMPLATES = Path(__file__).parent / "templates"  # onde está base.html.j2, a moldura de todas
HELPERS = {
    "decimal": decimal,
    "grouped": grouped,
    "number_text": display.number_text,
    "date_text": display.date_text,
    "with_interval": display.with_interval,
    "perplexity_text": display.perplexity_text,
}


def render(name: str, folders: Sequence[Path] = (), **values: Any) -> str:
    """A página do modelo ``name``, procurado em ``folders`` e depois em ``TEMPLATES``.

    Um nome que o modelo usa e que não está em ``values`` é um erro, não um vazio.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(HELPERS)
    return environment.get_template(name).render(**values)
