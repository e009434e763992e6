"""Texto em forma de comparação: a parte de que a configuração também precisa."""

import unicodedata


def without_accents(text: str) -> str:
    """Em minúsculas e sem acentos, para comparar ("Técnico" -> "tecnico")."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))
