"""As sugestões proativas, como dados: por padrão e por tom, com e sem assunto.

Cada modelo tem duas linhas: o que a pessoa lê e, depois de ``=>``, o pedido que se manda ao modelo
se ela responder só "sim" ou "quero". ``{tema}`` é o assunto ("juros compostos"; de um verbo, "como
instalar o programa"); ``{com}`` é o mesmo assunto depois de "com" ou "para" ("com juros compostos",
"para instalar o programa"). Como o assunto vem da pessoa, sem artigo certo, nada aqui o contrai.

O acolhimento (``COMFORT``) vem antes da sugestão quando a mensagem é de frustração, e muda com a
emoção lida: primeiro se reconhece o que a pessoa sente, depois se oferece.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from src.config.emotions import NEUTRAL
from src.config.personas import PERSONAS, Persona

CASUAL, TECHNICAL, FORMAL = "casual", "tecnico", "formal"
TONES = (CASUAL, TECHNICAL, FORMAL)
TONE_AXES = ("formality", "technicality")

#: padrão -> tom -> (modelos com assunto, modelos sem assunto)
TEMPLATES: dict[str, dict[str, tuple[str, str]]] = {
    "indecisao": {
        CASUAL: (
            """
            Quer que eu faça uma listinha de prós e contras sobre {tema}?
            => Faça uma lista de prós e contras sobre {tema}.
            Posso te fazer umas perguntas pra clarear essa dúvida sobre {tema}. Quer?
            => Faça algumas perguntas que me ajudem a decidir sobre {tema}.
            Bora pensar junto sobre {tema}? A gente compara as opções com calma.
            => Compare com calma as opções sobre {tema}.
            Se ajudar, eu digo o que costuma pesar mais numa decisão sobre {tema}. Quer?
            => Diga o que costuma pesar mais numa decisão sobre {tema}.
            Quer que eu conte como outras pessoas costumam decidir sobre {tema}?
            => Conte como as pessoas costumam decidir sobre {tema} e por quê.
            """,
            """
            Quer que eu liste os prós e os contras de cada opção?
            => Liste os prós e os contras de cada opção de que falei.
            Bora comparar as opções? Eu organizo tudo pra você.
            => Organize e compare as opções de que falei.
            Quer que eu te faça umas perguntas pra clarear essa decisão?
            => Faça algumas perguntas que me ajudem a decidir.
            Quer pensar nisso junto? A gente vê o que pesa mais pra você.
            => Ajude a ver o que pesa mais nesta decisão.
            """,
        ),
        TECHNICAL: (
            """
            É possível comparar as opções sobre {tema} por custo, prazo e risco. Fazer a comparação?
            => Compare as opções sobre {tema} por custo, prazo e risco.
            Recomenda-se definir critérios antes de decidir sobre {tema}. Listar os critérios?
            => Liste os critérios para decidir sobre {tema}.
            Uma tabela de vantagens e desvantagens sobre {tema} pode ajudar. Montar a tabela?
            => Monte uma tabela de vantagens e desvantagens sobre {tema}.
            A decisão sobre {tema} depende de poucos fatores. Indicar os principais?
            => Indique os principais fatores de uma decisão sobre {tema}.
            """,
            """
            É possível comparar as opções por custo, prazo e risco. Fazer a comparação?
            => Compare as opções de que falei por custo, prazo e risco.
            Recomenda-se definir critérios antes de decidir. Listar os critérios?
            => Liste critérios para a decisão de que falei.
            Uma tabela de vantagens e desvantagens pode ajudar. Montar a tabela?
            => Monte uma tabela de vantagens e desvantagens das opções de que falei.
            A decisão depende de poucos fatores. Indicar os principais?
            => Indique os principais fatores da decisão de que falei.
            """,
        ),
        FORMAL: (
            """
            O senhor ou a senhora gostaria de uma lista de prós e contras sobre {tema}?
            => Apresente uma lista de prós e contras sobre {tema}.
            Caso deseje, posso comparar as alternativas sobre {tema}. Gostaria?
            => Compare as alternativas sobre {tema}.
            Permita-me sugerir alguns critérios para decidir sobre {tema}. Deseja conhecê-los?
            => Sugira critérios para decidir sobre {tema}.
            Gostaria que eu fizesse algumas perguntas para orientar a decisão sobre {tema}?
            => Faça algumas perguntas que orientem a decisão sobre {tema}.
            """,
            """
            O senhor ou a senhora gostaria de uma comparação entre as alternativas?
            => Compare as alternativas de que falei.
            Caso deseje, posso apresentar os prós e os contras de cada opção. Gostaria?
            => Apresente os prós e os contras de cada opção de que falei.
            Permita-me sugerir alguns critérios para essa decisão. Deseja conhecê-los?
            => Sugira critérios para a decisão de que falei.
            Gostaria que eu fizesse algumas perguntas para orientar essa decisão?
            => Faça algumas perguntas que orientem a minha decisão.
            """,
        ),
    },
    "ajuda": {
        CASUAL: (
            """
            Quer que eu monte um passo a passo sobre {tema}?
            => Monte um passo a passo sobre {tema}.
            Posso te dar umas dicas sobre {tema}. Quer?
            => Dê dicas práticas sobre {tema}.
            Bora por partes? Eu começo pelo básico sobre {tema}.
            => Explique o básico sobre {tema}, por partes.
            Quer um exemplo prático sobre {tema}, pra já sair fazendo?
            => Dê um exemplo prático sobre {tema}.
            Quer saber os erros mais comuns sobre {tema}, pra não cair neles?
            => Diga quais são os erros mais comuns sobre {tema} e como evitar cada um.
            """,
            """
            Quer que eu monte um passo a passo pra você?
            => Monte um passo a passo do que pedi.
            Posso te dar umas dicas pra começar. Quer?
            => Dê dicas para começar o que pedi.
            Bora por partes? Eu começo pelo básico.
            => Explique o básico do que pedi, por partes.
            Quer um exemplo prático, pra já sair fazendo?
            => Dê um exemplo prático do que pedi.
            """,
        ),
        TECHNICAL: (
            """
            É possível detalhar o procedimento sobre {tema} em etapas numeradas. Detalhar?
            => Detalhe o procedimento sobre {tema} em etapas numeradas.
            Há recomendações práticas sobre {tema}. Listar?
            => Liste recomendações práticas sobre {tema}.
            Recomenda-se começar pelos fundamentos sobre {tema}. Apresentar os fundamentos?
            => Apresente os fundamentos sobre {tema}.
            Um exemplo completo sobre {tema} costuma esclarecer. Mostrar o exemplo?
            => Mostre um exemplo completo sobre {tema}.
            """,
            """
            É possível detalhar o procedimento em etapas numeradas. Detalhar?
            => Detalhe em etapas numeradas o procedimento que pedi.
            Há recomendações práticas para esse caso. Listar?
            => Liste recomendações práticas para o meu caso.
            Recomenda-se começar pelos fundamentos. Apresentar os fundamentos?
            => Apresente os fundamentos do que pedi.
            Um exemplo completo costuma esclarecer. Mostrar o exemplo?
            => Mostre um exemplo completo do que pedi.
            """,
        ),
        FORMAL: (
            """
            O senhor ou a senhora gostaria de um passo a passo sobre {tema}?
            => Apresente um passo a passo sobre {tema}.
            Caso deseje, posso reunir orientações práticas sobre {tema}. Gostaria?
            => Reúna orientações práticas sobre {tema}.
            Permita-me começar pelo essencial sobre {tema}. Deseja que eu prossiga?
            => Explique o essencial sobre {tema}.
            Gostaria de ver um exemplo sobre {tema}?
            => Apresente um exemplo sobre {tema}.
            """,
            """
            O senhor ou a senhora gostaria de um passo a passo?
            => Apresente um passo a passo do que pedi.
            Caso deseje, posso reunir orientações práticas. Gostaria?
            => Reúna orientações práticas sobre o que pedi.
            Permita-me começar pelo essencial. Deseja que eu prossiga?
            => Explique o essencial do que pedi.
            Gostaria de ver um exemplo?
            => Apresente um exemplo do que pedi.
            """,
        ),
    },
    "informacao": {
        CASUAL: (
            """
            Quer umas ideias de onde procurar sobre {tema}?
            => Dê ideias de onde procurar sobre {tema}.
            Quer que eu liste os caminhos mais comuns sobre {tema}?
            => Liste os caminhos mais comuns sobre {tema}.
            Posso te dizer o que vale ter em mãos antes de ir atrás disso: {tema}. Quer?
            => Diga o que convém ter em mãos sobre {tema}.
            Quer saber que tipo de lugar ou serviço costuma cuidar de questões sobre {tema}?
            => Diga que tipo de lugar ou serviço costuma cuidar de questões sobre {tema}.
            Quer um resumo do que é bom saber sobre {tema} antes de procurar?
            => Resuma o que é bom saber sobre {tema}.
            """,
            """
            Quer umas ideias de onde procurar?
            => Dê ideias de onde procurar o que pedi.
            Quer que eu liste os caminhos mais comuns pra conseguir isso?
            => Liste os caminhos mais comuns para conseguir o que pedi.
            Posso te dizer o que vale ter em mãos antes de ir. Quer?
            => Diga o que convém ter em mãos para conseguir o que pedi.
            Quer saber que tipo de lugar ou serviço costuma resolver isso?
            => Diga que tipo de lugar ou serviço costuma resolver o que pedi.
            """,
        ),
        TECHNICAL: (
            """
            É possível listar os canais mais comuns sobre {tema}. Listar?
            => Liste os canais mais comuns sobre {tema}.
            Em geral há requisitos e documentos envolvidos. Indicar os que se aplicam sobre {tema}?
            => Indique os requisitos e os documentos que costumam se aplicar sobre {tema}.
            Recomenda-se comparar fontes sobre {tema}. Apontar critérios para escolher a fonte?
            => Aponte critérios para escolher uma fonte confiável sobre {tema}.
            Um roteiro de busca sobre {tema} reduz o tempo gasto. Montar o roteiro?
            => Monte um roteiro de busca sobre {tema}.
            """,
            """
            É possível listar os canais mais comuns para isso. Listar?
            => Liste os canais mais comuns para o que pedi.
            Em geral há requisitos e documentos envolvidos. Indicar quais?
            => Indique os requisitos e os documentos que costumam ser exigidos no meu caso.
            Recomenda-se comparar fontes. Apontar critérios para escolher a fonte?
            => Aponte critérios para escolher uma fonte confiável.
            Um roteiro de busca reduz o tempo gasto. Montar o roteiro?
            => Monte um roteiro de busca para o que pedi.
            """,
        ),
        FORMAL: (
            """
            O senhor ou a senhora gostaria de sugestões de onde buscar informações sobre {tema}?
            => Sugira onde buscar informações sobre {tema}.
            Caso deseje, posso indicar os caminhos mais usuais sobre {tema}. Gostaria?
            => Indique os caminhos mais usuais sobre {tema}.
            Permita-me relacionar o que convém ter em mãos sobre {tema}. Deseja a lista?
            => Relacione o que convém ter em mãos sobre {tema}.
            Gostaria de um resumo do que convém saber sobre {tema}?
            => Resuma o que convém saber sobre {tema}.
            """,
            """
            O senhor ou a senhora gostaria de sugestões de onde buscar essa informação?
            => Sugira onde buscar a informação que pedi.
            Caso deseje, posso indicar os caminhos mais usuais. Gostaria?
            => Indique os caminhos mais usuais para o que pedi.
            Permita-me relacionar o que convém ter em mãos. Deseja a lista?
            => Relacione o que convém ter em mãos para o que pedi.
            Gostaria de saber que serviço costuma cuidar disso?
            => Diga que serviço costuma cuidar do que pedi.
            """,
        ),
    },
    "frustracao": {
        CASUAL: (
            """
            Quer tentar outro caminho {com}, um passo de cada vez?
            => Sugira outro caminho {com}, um passo de cada vez.
            Bora descobrir junto onde está travando {com}?
            => Faça perguntas para descobrir onde estou travando {com}.
            Quer que eu divida isso em partes pequenas, pra ficar mais leve {com}?
            => Divida em partes pequenas o que preciso fazer {com}.
            Quer que eu liste o que costuma dar errado {com}, pra gente ir eliminando?
            => Liste o que costuma dar errado {com} e como resolver cada caso.
            Quer tentar um jeito mais simples {com}?
            => Mostre um jeito mais simples {com}.
            """,
            """
            Quer tentar por outro caminho, um passo de cada vez?
            => Sugira outro caminho, um passo de cada vez.
            Bora descobrir junto onde está travando?
            => Faça perguntas para descobrir onde estou travando.
            Quer que eu divida isso em partes pequenas, pra ficar mais leve?
            => Divida em partes pequenas o que preciso fazer.
            Quer que eu liste o que costuma dar errado, pra gente ir eliminando?
            => Liste o que costuma dar errado nesse caso e como resolver.
            """,
        ),
        TECHNICAL: (
            """
            É possível isolar a causa por etapas {com}. Começar o diagnóstico?
            => Faça um diagnóstico por etapas {com}.
            Há causas comuns para esse tipo de falha {com}. Listar?
            => Liste as causas comuns de falha {com} e a correção de cada uma.
            Recomenda-se uma abordagem alternativa {com}. Apresentar?
            => Apresente uma abordagem alternativa {com}.
            Dividir a tarefa em etapas menores costuma ajudar {com}. Dividir?
            => Divida a tarefa em etapas menores {com}.
            """,
            """
            É possível isolar a causa por etapas. Começar o diagnóstico?
            => Faça um diagnóstico por etapas do problema que contei.
            Há causas comuns para esse tipo de falha. Listar?
            => Liste as causas comuns do problema que contei e a correção de cada uma.
            Recomenda-se uma abordagem alternativa. Apresentar?
            => Apresente uma abordagem alternativa para o problema que contei.
            Dividir a tarefa em etapas menores costuma ajudar. Dividir?
            => Divida em etapas menores a tarefa de que falei.
            """,
        ),
        FORMAL: (
            """
            O senhor ou a senhora gostaria de tentar outro caminho {com}?
            => Sugira outro caminho {com}.
            Caso deseje, posso ajudar a localizar a dificuldade {com}. Gostaria?
            => Faça perguntas para localizar a dificuldade {com}.
            Permita-me propor etapas menores {com}. Deseja vê-las?
            => Proponha etapas menores {com}.
            Gostaria que eu reunisse as causas mais frequentes de dificuldade {com}?
            => Reúna as causas mais frequentes de dificuldade {com} e o que fazer em cada caso.
            """,
            """
            O senhor ou a senhora gostaria de tentar por outro caminho?
            => Sugira outro caminho para o problema que contei.
            Caso deseje, posso ajudar a localizar a dificuldade. Gostaria?
            => Faça perguntas para localizar a minha dificuldade.
            Permita-me propor etapas menores. Deseja vê-las?
            => Proponha etapas menores para o que preciso fazer.
            Gostaria que eu reunisse as causas mais frequentes desse problema?
            => Reúna as causas mais frequentes do problema que contei e o que fazer em cada caso.
            """,
        ),
    },
    "clarificacao": {
        CASUAL: (
            """
            Quer que eu explique {tema} de outro jeito, com um exemplo?
            => Explique {tema} de outro jeito, com um exemplo.
            Posso explicar {tema} com palavras mais simples. Quer?
            => Explique {tema} com palavras mais simples.
            Quer ver {tema} por partes, sem pressa?
            => Explique {tema} por partes, bem devagar.
            Quer uma comparação do dia a dia pra entender {tema}?
            => Explique {tema} com uma comparação do dia a dia.
            """,
            """
            Quer que eu explique de outro jeito, com um exemplo?
            => Explique a sua última resposta de outro jeito, com um exemplo.
            Posso dizer isso com palavras mais simples. Quer?
            => Diga a sua última resposta com palavras mais simples.
            Quer ir por partes, sem pressa?
            => Explique a sua última resposta por partes, bem devagar.
            Quer uma comparação do dia a dia pra entender melhor?
            => Explique a sua última resposta com uma comparação do dia a dia.
            """,
        ),
        TECHNICAL: (
            """
            É possível explicar {tema} de outra forma, com um exemplo. Explicar?
            => Explique {tema} de outra forma, com um exemplo.
            Recomenda-se rever {tema} a partir das definições. Apresentar as definições?
            => Explique {tema} a partir das definições.
            Dividir {tema} em etapas costuma esclarecer. Dividir?
            => Explique {tema} em etapas.
            Um exemplo numérico ou concreto pode esclarecer {tema}. Mostrar o exemplo?
            => Mostre um exemplo numérico ou concreto que esclareça {tema}.
            """,
            """
            É possível reformular a explicação, com um exemplo. Reformular?
            => Reformule a sua última resposta, com um exemplo.
            Recomenda-se rever as definições. Apresentar as definições?
            => Defina os termos da sua última resposta.
            Dividir a explicação em etapas costuma esclarecer. Dividir?
            => Divida a sua última resposta em etapas.
            Um exemplo concreto pode esclarecer. Mostrar o exemplo?
            => Mostre um exemplo concreto da sua última resposta.
            """,
        ),
        FORMAL: (
            """
            O senhor ou a senhora gostaria que eu explicasse {tema} de outra forma?
            => Explique {tema} de outra forma.
            Caso deseje, posso apresentar {tema} com um exemplo. Gostaria?
            => Apresente {tema} com um exemplo.
            Permita-me expor {tema} em termos mais simples. Deseja que eu o faça?
            => Explique {tema} em termos mais simples.
            Gostaria de rever {tema} por partes?
            => Explique {tema} por partes.
            """,
            """
            O senhor ou a senhora gostaria que eu explicasse de outra forma?
            => Explique a sua última resposta de outra forma.
            Caso deseje, posso apresentar um exemplo. Gostaria?
            => Apresente um exemplo da sua última resposta.
            Permita-me usar termos mais simples. Deseja que eu o faça?
            => Diga a sua última resposta em termos mais simples.
            Gostaria de rever a explicação por partes?
            => Reveja a sua última resposta por partes.
            """,
        ),
    },
}

#: padrão -> tom -> emoção -> frases, separadas por ``|``, de que uma vem antes da sugestão.
COMFORT: dict[str, dict[str, dict[str, str]]] = {
    "frustracao": {
        CASUAL: {
            "raiva": "Dá raiva mesmo. | Poxa, que chateação! | Com razão, isso irrita.",
            "tristeza": "Poxa, sinto muito. | Isso desanima mesmo. | Calma, você não está só "
            "nessa.",
            "medo": "Calma, dá tempo. | Respira, a gente resolve. | Vamos com calma.",
            NEUTRAL: "Isso cansa mesmo. | Poxa, que chato! | Entendo, não é fácil.",
        },
        TECHNICAL: {
            "raiva": "A irritação é compreensível. | O incômodo procede.",
            "tristeza": "O desânimo é compreensível. | A dificuldade é comum.",
            "medo": "A preocupação é compreensível. | Há alternativas.",
            NEUTRAL: "A dificuldade é comum. | Esse tipo de obstáculo costuma ter solução.",
        },
        FORMAL: {
            "raiva": "Compreendo a irritação. | Lamento o incômodo.",
            "tristeza": "Lamento que esteja sendo difícil. | Compreendo o desânimo.",
            "medo": "Compreendo a preocupação. | Fique à vontade: há tempo para resolver.",
            NEUTRAL: "Compreendo a dificuldade. | Lamento o contratempo.",
        },
    },
    "indecisao": {
        CASUAL: {"medo": "Sem pressa. | Calma, não precisa decidir agora."},
        TECHNICAL: {"medo": "A hesitação é comum nesse tipo de decisão."},
        FORMAL: {"medo": "Compreendo a apreensão."},
    },
    "clarificacao": {
        CASUAL: {"raiva": "Desculpa a confusão. | Foi mal, ficou enrolado."},
        TECHNICAL: {"raiva": "A explicação não ficou clara."},
        FORMAL: {"raiva": "Peço desculpas pela falta de clareza."},
    },
}


@dataclass(frozen=True)
class Template:
    """Um modelo de sugestão: o que a pessoa lê e o pedido que ela aceita."""

    text: str
    request: str


@cache
def templates(pattern: str, tone: str, with_topic: bool) -> tuple[Template, ...]:
    """Os modelos de um padrão e de um tom."""
    block = TEMPLATES[pattern][tone][0 if with_topic else 1]
    lines = [line.strip() for line in block.strip().splitlines()]
    return tuple(
        Template(text, request.removeprefix("=> "))
        for text, request in zip(lines[::2], lines[1::2])
    )


def comfort(pattern: str, tone: str, emotion: str) -> tuple[str, ...]:
    """As frases que podem vir antes da sugestão; nenhuma, se não há o que acolher."""
    by_emotion = COMFORT.get(pattern, {}).get(tone, {})
    phrases = by_emotion.get(emotion) or by_emotion.get(NEUTRAL, "")
    return tuple(phrase.strip() for phrase in phrases.split("|") if phrase.strip())


def tone_of(persona: Persona) -> str:
    """O tom de uma persona: o da mais próxima, das três que vêm prontas, em ``TONE_AXES``."""
    return min(TONES, key=lambda tone: _distance(persona.traits, PERSONAS[tone].traits))


def _distance(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """O quadrado da distância entre duas personas nos eixos do tom."""
    return sum((first.get(axis, 0.0) - second.get(axis, 0.0)) ** 2 for axis in TONE_AXES)
