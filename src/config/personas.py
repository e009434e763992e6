"""As personas de Luna: estilos de resposta, como dados."""

from dataclasses import dataclass

from src.config.errors import UsageError


@dataclass(frozen=True)
class Persona:
    """Um estilo de resposta: o que se diz dele e o que o modelo lê antes da conversa."""

    name: str
    description: str
    system_prompt: str


PERSONAS: dict[str, Persona] = {
    persona.name: persona
    for persona in (
        Persona("casual", "conversa leve e amigável", "Você é a Luna. Converse de um jeito leve."),
        Persona(
            "tecnico", "técnica, objetiva, detalhada", "Você é a Luna. Seja técnica e precisa."
        ),
        Persona("formal", "profissional e educada", "Você é a Luna. Seja formal e cortês."),
    )
}
DEFAULT_PERSONA = "casual"


def get_persona(name: str) -> Persona:
    """A persona ``name``; acentos e maiúsculas não importam ("técnico" é "tecnico").

    Erros:
        UsageError: não existe; a mensagem lista as que existem.
    """
    plain = name.strip().lower().replace("é", "e")
    if plain not in PERSONAS:
        raise UsageError(
            f"--persona {name!r}: não existe. As que existem: {', '.join(sorted(PERSONAS))}."
        )
    return PERSONAS[plain]
