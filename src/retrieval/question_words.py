"""As palavras com que se pergunta em português: o que cada uma quer saber, e quais se equivalem.

São tabelas gerais da língua, em minúsculas e sem acentos, que ``question_form`` aplica.
"""

from __future__ import annotations

#: Como se abrevia ao digitar.
SHORT_FORMS = {
    "qal": "qual", "ql": "qual", "oq": "o que", "oque": "o que", "q": "que", "qto": "quanto",
    "qnto": "quanto", "qta": "quanta", "qnta": "quanta", "qtos": "quantos", "qts": "quantos",
    "qtas": "quantas", "qdo": "quando", "qnd": "quando", "qndo": "quando", "ond": "onde",
    "aonde": "onde", "pq": "por que", "porq": "por que", "porque": "por que", "cmo": "como",
    "vc": "voce", "ce": "voce", "tu": "voce", "vcs": "voces", "eh": "e", "ta": "esta",
    "tao": "estao", "cade": "onde esta", "pra": "para", "pro": "para o", "pras": "para as",
    "pros": "para os", "prum": "para um", "num": "em um", "numa": "em uma", "dum": "de um",
    "duma": "de uma", "dps": "depois", "hj": "hoje", "tb": "tambem", "tbm": "tambem", "n": "nao",
    "nº": "numero", "km": "quilometros", "kg": "quilos", "pc": "computador", "dog": "cachorro",
    "cel": "celular", "zap": "whatsapp", "insta": "instagram", "app": "aplicativo",
    "tv": "televisao", "td": "tudo",
}  # fmt: skip
_UNITS = (
    "zero um dois tres quatro cinco seis sete oito nove dez onze doze treze quatorze quinze "
    "dezesseis dezessete dezoito dezenove"
).split()
_TENS = "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa".split()
_HUNDREDS = (
    "cem duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos"
).split()
#: Os números por extenso; "um" fica de fora, que quase sempre é o artigo.
NUMBERS = {
    **{word: value for value, word in enumerate(_UNITS) if word != "um"},
    **{word: 10 * tens for tens, word in enumerate(_TENS, 2)},
    **{word: 100 * hundreds for hundreds, word in enumerate(_HUNDREDS, 1)},
    "duas": 2, "catorze": 14, "cento": 100,
}  # fmt: skip

# --- O que vem antes e depois da pergunta --------------------------------------------------------

_TELL = "dizer|informar|falar|contar|mostrar|passar|responder"
_TOLD = (
    "diz|diga|fala|fale|conta|conte|informa|informe|mostra|mostre|passa|passe|responda|responde|"
    "lembra|lembre|manda|mande"
)
_TEACH = "explicar?|explique|ensinar?|ensine|definir|defin[ae]"  # já diz o que se quer saber
#: A cortesia com que se começa, e o pedido: "você sabe me dizer", "me conta", "queria saber".
COURTESIES = (
    "oi|ola|ei|e ai|ai|bom dia|boa tarde|boa noite|luna|por favor|por gentileza|entao|olha|escuta|"
    "ah|mas|ok|agora|afinal|(?:uma |so uma )?(?:duvida|pergunta|curiosidade)|sera que|por acaso|"
    "nao sei|e possivel|seria possivel|tem como|da para|tem ideia de|alguem sabe",
    f"(?:voces? )?(?:sabe|sabes|saberia|lembra|se lembra)(?: me (?:{_TELL})|(?: (?:{_TELL}))?"
    "(?= (?:em |de |por |para |com |a )?(?:qual|quem|quando|onde|como|quant|o que|que|se)))"
    "(?: se| o nome d[eoa])?",
    f"(?:voces? )?(?:pode|poderia|podia|consegue|conseguiria)(?: me)? (?:{_TELL}|(?={_TEACH}))",
    f"me (?:{_TOLD}|(?={_TEACH})|da|de)(?: (?:para mim|ai|so|uma? ideia de))?",
    "(?:diz|diga|fale|conte|informe|responda|cite)(?: (?:para mim|ai|so))?",
    "(?:eu )?(?:gostaria|queria|quero|preciso|precisava)(?: de)? (?:saber|entender|descobrir)",
    "(?:eu )?(?:gostaria|queria|quero|preciso|precisava)(?: d[eao])?",
)
#: O que se diz depois dela.
ENDINGS = (
    "por favor|por gentileza|para mim|exatamente|afinal|mesmo|obrigad[oa]|luna|ai|"
    "me (?:explica|diz|fala|conta|ajuda|diga)"
)

# --- O que se quer saber -------------------------------------------------------------------------

_WHICH = (
    "(?:qual|quais) (?:e |sao |foi |era |sera |seria )?(?:o |a |os |as )?"
    "(?:(?:seu|sua|meu|minha) )?"
)
#: Modos de perguntar que valem por outro: (como se diz, como fica).
REWRITES: tuple[tuple[str, str], ...] = (
    (r"como (?:e que )?(?:voce |ele |ela |eles |elas )?(?:se )?chama(?:m|va)?(?: [oa])?\b",
     "qual o nome "),
    (r"como (?:e|sao|era) (?=(?:[oa]s?|seu|sua|meu|minha)\b)", "qual "),
    (r"\bd[ae]s 2(?: formas| opcoes| maneiras)?\b", " "),
    (r"se chama(?:va)? como|tem que nome|tem qual nome", "qual o nome "),
    (r"como (?:posso |se )?(?:distingu\w+|diferenci\w+|separo)", "qual a diferenca entre"),
    (rf"{_WHICH}(?:sua |tua |minha )?idade|que idade", "quantos anos"),
    (r"(?:cidade|terra) natal|(?:lugar|local|cidade) de nascimento", "lugar nasceu"),
    (r"como (?:e que )?(?:voce |se )?define", "o que e"),
    (rf"{_WHICH}(?:data de )?(?:validade|vencimento)(?: d[eoa])?", "quando vence"),
    (r"(?:qual|quais) (?:e )?(?:o )?(?:seu|meu|teu) endereco", "onde mora"),
    (r"ate quando(?= posso| devo| preciso| tenho| da para)|quanto tempo (?:eu )?tenho|"
     r"(?:em|ate) quantos dias(?= posso| devo| preciso| tenho)|"
     r"(?:data )?limite(?= para| de)|prazo (?:maximo|final|limite)", "qual o prazo"),
    (r"(?:ao redor|em torno|em volta) d(?=[eoa])", "d"),
    (rf"{_WHICH}(?:formula|calculo) d[eoa]s? (?=area|volume|perimetro|media|juro|porcentagem|imc)",
     "como calcular "),
    (r"quao (?:longe|distante)", "que distancia"),
    (r"quanto (?:esta|fica|sai|se paga|pago|se cobra)(?= (?:[oa]s?|de|pel[oa]|por|no|na|em)\b)",
     "quanto custa"),
    (r"(?:sai|fica|esta)(?: por)? quanto", "quanto custa"),
    (r"\b(?:e |era )?de (?:quem|que autor|qual autor|que artista|qual artista) (?:e|era|foi)\b"
     r"|\be de (?:quem|que autor|qual autor|que artista|qual artista)$", "quem autor"),
)  # fmt: skip
_HOURS, _DATES = "(?:horas?|horario)", "(?:dia|data|ano|mes|epoca|seculo)"
_PLACES = (
    "(?:lugar|local|localidade|cidade|pais|estado|bairro|rua|regiao|continente|municipio|ponto)"
)
_WAYS = (
    "(?:forma|jeito|maneira|modo|passo a passo|procedimento|segredo|metodo|processo|receita|truque|"
    "caminho|comando|atalho|formula(?= para))"
)
_MAKERS = (
    "(?:autora?|escritora?|criadora?|inventora?|pintora?|compositora?|diretora?|fundadora?|"
    "descobridora?)"
)
_PEOPLE = (
    "(?:pessoa|artista|cientista|cantora?|navegador|jogadora?|medic[oa]|engenheir[oa]|selecao|"
    "pesquisadora?|poeta|atriz|ator)"
)
#: (o que se quer saber, como se diz). Vale a primeira que se acha, e o que ela diz sai da pergunta.
KINDS: tuple[tuple[str, str], ...] = (
    (
        "spelling",
        r"(?:o |qual e |qual )?(?:[oa] )?(?:(?:grafia|forma|jeito|modo) )?(?:cert[oa]|corret[oa])"
        r"(?: e| de escrever)?(?=.* ou )|(?:como )?(?:se )?escreve(?:se|r)?(?=.* ou )|"
        r"qual(?: formas?)?(?: esta| e)?(?: [oa])? (?:cert[oa]|corret[oa])",
    ),
    (
        "why",
        f"por (?:que|qual) (?:motivo|razao)|{_WHICH}(?:motivo|razao|causa)(?: d[eoa]s?| por que)?|"
        "por que|o que (?:faz|deixa|torna|causa|provoca|leva)",
    ),
    (
        "how",
        "como (?:que )?(?:e que )?(?:eu |se |a gente |voce )?"
        "(?:faco|faz|fazer|devo fazer|posso fazer|consigo)(?: para| a)|"
        f"(?:de|por) (?:que|qual) {_WAYS}|(?:{_WHICH}|que )(?:melhor )?{_WAYS}"
        "(?: cert[oa]| corret[oa])?(?: d[eoa]| para(?: o)?)?|"
        "o que (?:eu )?(?:faco|fazer|devo fazer|preciso fazer|tenho que fazer|posso fazer) "
        "para(?: o)?|ensin(?:a|e|ar)(?: a| como)?|aprender a|(?:a )?receita d[eoa]|"
        "(?:como|o que) (?:e que )?(?:eu )?(?:faco|fazer|consigo|devo fazer|posso fazer)$|"
        "como (?:que )?(?:e que )?(?:eu |se |a gente )?",
    ),
    (
        "hour",
        f"^(?:o )?horario(?= d)|(?:a|ate|desde|de|a partir de) (?:que|qual) {_HOURS}|que {_HOURS}|"
        f"{_WHICH}{_HOURS}(?: em| de| d[oa])?(?: que)?|(?:o|a) {_HOURS}(?: em)? que",
    ),
    (
        "date",
        f"^(?:o |a )?{_DATES}(?= d)|(?:em|a|ate|desde|de|a partir de) (?:que|qual) {_DATES}|"
        f"que {_DATES}|{_WHICH}{_DATES}(?: em| de| d[oa])?(?: que)?|(?:o|a) {_DATES}(?: em)? que",
    ),
    ("when", "quando|ate quando"),
    (
        "where",
        f"(?:de |para |por )?onde|(?:em|de|para) (?:que|qual) {_PLACES}|"
        f"{_WHICH}(?:lugar|local|localizacao|endereco)",
    ),
    (
        "purpose",
        "para que(?: e que)?(?: servem?| se usam?|(?= (?:e|foi|voce|[oa]s?)\\b))|"
        f"{_WHICH}(?:funcao|finalidade|utilidade|objetivo|proposito)(?: d[eoa]s?)?",
    ),
    (
        "count",
        f"{_WHICH}(?:numero|total|quantidade)(?: total)?(?: d[eoa]s?)|(?:a )?quantidade d[eoa]s?|"
        f"(?:o )?numero d[eoa]s?|quant[oa]s?(?: vezes)?|^calcul[ea]|"
        r"(?:qual|quais) (?:e )?o (?:valor|resultado) de(?= \d)",
    ),
    (
        "who",
        f"(?:de )?(?:qual|que) (?:e |foi |era )?(?:o |a )?{_PEOPLE}(?: que)?|"
        f"(?:a|de|por|para|com|em) quem|quem|"
        f"(?:de )?(?:qual|que) (?:e |foi |era )?(?:o |a )?(?:nome d[oa] )?(?={_MAKERS}\\b)",
    ),
    (
        "what",
        "o que (?:que )?(?:e(?! que)|sao|significam?|quer dizer|querem dizer|vem a ser|seria)"
        "(?: isso| ter)?|em que consiste|o que se entende por|"
        f"{_WHICH}(?:definicao|conceito|significado|sentido)|"
        "(?:a |o )?(?:definicao|significado|conceito|sentido) d[eoa]|"
        "(?:e |sao |significa |quer dizer )o que|defin[ae]|definir|"
        "expli(?:ca|que|car)(?: [oa] (?:conceito|sentido|significado|definicao) d[eoa]s?)?|"
        "(?:que )?significa",
    ),
)
#: Sem nada disso: a pergunta que escolhe ("qual", "que").
CHOICE_WORDS = frozenset("qual quais que".split())
#: Os pares que, diferentes, ainda podem perguntar o mesmo: "qual é o nome de", "quem é".
KIND_PAIRS = frozenset(
    map(
        frozenset,
        (
            ("which", "who"), ("which", "count"), ("which", ""), ("", "who"), ("", "count"),
            ("when", "hour"), ("when", "date"),
        ),
    )
)  # fmt: skip
#: De quem se fala: quem pergunta, ou a Luna.
OWNERS = {
    "me": frozenset("eu meu minha meus minhas me comigo mim nosso nossa nossos nossas nos".split()),
    "you": frozenset("voce voces seu sua seus suas te teu tua teus tuas contigo ti".split()),
}
POSSESSIVES = frozenset(
    "meu minha meus minhas nosso nossa nossos nossas seu sua seus suas teu tua teus tuas".split()
)
#: Vazias na busca, mas não numa pergunta.
KEPT_WORDS = frozenset("nao nem sem depois".split())

#: As que, sobrando numa das duas perguntas, mudam o que ela pede.
DECISIVE = """
    nao nem sem nunca menos menor maior melhor pior primeiro segundo terceiro quarto quinto ultimo
    proximo anterior antes depois mal ruim perigoso proibido evitar problema vezes contrario oposto
    unico metade dobro
    """

# --- O que as palavras dizem ---------------------------------------------------------------------

#: As que quase nada acrescentam a uma pergunta.
FILLERS = """
    nome pessoa gente alguem existe existem existir ser sao sou serem estar esta estao ter tenho
    tem possui ficar fica ficam fazer faz faco feito feita haver ha poder posso pode podem dever
    devo deve dar da dou consegue consigo conseguir tipo coisa todo toda todos todas algum
    alguma cidade palavra verbo termo expressao numero quantidade total hoje agora atual
    atualmente mundo elemento vir vem vai ir autor autora cor pais aqui artista direito favor
    bom boa bem chamar chama chamado chamada nomear significado ideia certo possivel permitido
    seguro cabem caber conta tirar gosta proprio propria exato exatamente geral cerca humano
    valor resultado igual deixar deixa outro dentro fez fazia explica explicar explique capaz
    cai serve lembra sabe recomendado indicado quao seguinte mesmo mundial
    """
#: Dizem o que é um nome ("o livro Dom Casmurro"): nada acrescentam a quem pergunta por uma pessoa.
CLASSIFIERS = """
    livro romance quadro musica cancao filme obra poema pintura peca tela marca palavra teoria
    aparelho
    """
