"""O que cada padrão de mensagem costuma dizer, como dados: as pistas da proatividade.

As expressões ficam separadas por vírgula, já na forma comum de ``proactive_text`` ("voce", "nao",
"pra", "to", "ta", "eh"), nesta escrita:

    a|b         uma palavra ou outra
    trav*       qualquer terminação
    [x|y]       uma das palavras, ou nenhuma
    ..          de zero a três palavras, sem sinal no meio
    ...         de zero a oito palavras ou sinais
    !a|b        a palavra seguinte não é nenhuma destas
    ^ e $       o começo e o fim de uma oração
    ^^ e $$     o começo e o fim da mensagem
    ?           o ponto de interrogação
    <nome>      uma das classes de ``CLASSES``

Cada pista tem um nome, que diz a intenção, e um peso: o quanto ela vale sozinha nas regras (1 basta
para o padrão). O modelo aprende os próprios pesos; para ele, a pista é um traço da mensagem.
As pistas de ``AGAINST`` dizem o contrário: que a mensagem conta, cita ou dispensa, e nada pede.
"""

CLASSES: dict[str, str] = {
    "inf": "*ar|*er|*ir|*or|por|ver|ler|ser|dar|ir|vir|ter",
    "eu_decido": (
        "vou|fico|levo|compro|faco|uso|peco|escolho|aceito|mando|falo|conto|caso|largo|troco|vendo|"
        "alugo|viajo|volto|saio|ligo|pego|opto|prefiro|visto|ponho|boto|coloco|sigo|mudo|"
        "pinto|como|"
        "assino|invisto|guardo|gasto|dou|invito|convido|chamo|perdoo|adoto|entro|tento|"
        "espero|marco|"
        "desmarco|cancelo|pago|parcelo|financio|corto|deixo|tiro|termino|respondo|conserto|reformo|"
        "estudo|presto|passo|abro|fecho|monto|encaro|arrisco|topo|recuso|nego|procuro|me"
    ),
    "lugar": (
        "lugar|lugares|local|locais|loja|lojas|site|sites|posto|postos|cartorio|hospital|clinica|"
        "escola|curso|cursos|faculdade|biblioteca|museu|mercado|feira|farmacia|padaria|restaurante|"
        "banco|caixa|app|aplicativo|canal|orgao|setor|departamento|balcao|guiche|secretaria|"
        "prefeitura|delegacia|forum|ong|abrigo|oficina|academia|hotel|pousada|rua|bairro|cidade|"
        "canto|link|pagina|portal|plataforma|blog|forum|grupo|perfil|fornecedor|fabrica|"
        "sebo|brecho|"
        "pet|lavanderia|papelaria|costureira|chaveiro|veterinario|dentista|advogado|"
        "medico|psicologo|"
        "terapeuta|pediatra|eletricista|encanador|pedreiro|mecanico|tecnico|contador|nutricionista|"
        "fisioterapeuta|fono|dermatologista|cardiologista|oculista|barbeiro|cabeleireiro|diarista|"
        "baba|cuidador|marceneiro|serralheiro|tradutor|despachante|corretor|fotografo|profissional|"
        "especialista|empresa|servico|atendimento|telefone|numero|contato|email|zap|endereco|"
        "ouvidoria|sac|procon|defensoria|sindicato|cooperativa|projeto|programa|vaga|vagas|bolsa|"
        "livro|livros|video|videos|podcast|documentario|apostila|material|fonte|fontes|manual|"
        "bolsas|estacionamento|ponto|onibus|quadra|praca|parque|piscina|creche|asilo|igreja|"
        "laboratorio|deposito|ferragem|acougue|floricultura|livraria|teatro|cinema|galeria|estudio"
    ),
    "documento": (
        "via|certidao|carteira|cnh|rg|cpf|passaporte|visto|comprovante|atestado|laudo|diploma|"
        "historico|extrato|boleto|nota|alvara|licenca|senha|ingresso|ingressos|documento|"
        "documentos|"
        "declaracao|certificado|titulo|registro|matricula|beneficio|auxilio|aposentadoria|bolsa|"
        "seguro|fgts|pis|inss|reembolso|desconto|isencao|cartao|credito|emprestimo|contrato|copia|"
        "formulario|guia|protocolo|procuracao|escritura|cidadania|crachá|cracha|"
        "carteirinha|receita|"
        "prontuario|exame|remedio|vacina|cesta|vaga|cupom|amostra|patrocinio|autorizacao"
    ),
    "dito": (
        "disse|falou|explicou|escreveu|mandou|citou|mencionou|comentou|respondeu|usou|"
        "colocou|passou|"
        "mostrou|dizendo|falando|explicando"
    ),
    "parte": (
        "parte|passo|etapa|ponto|item|paragrafo|frase|linha|trecho|exemplo|conta|formula|palavra|"
        "termo|sigla|expressao|conceito|diferenca|resposta|explicacao|ideia|coisa|pedaco|topico|"
        "tabela|grafico|calculo|numero|texto|mensagem|regra|historia|negocio|trem|bagulho"
    ),
    "ele": (
        "ele|ela|eles|elas|pessoal|povo|turma|galera|aluno|aluna|alunos|cliente|clientes|mae|pai|"
        "irmao|irma|filho|filha|tio|tia|primo|prima|avo|vo|vovo|sobrinho|sobrinha|cunhado|cunhada|"
        "sogra|sogro|genro|nora|marido|esposa|mulher|namorado|namorada|amigo|amiga|amigos|vizinho|"
        "vizinha|colega|colegas|chefe|gerente|professor|professora|prof|medico|medica|moca|moco|"
        "rapaz|senhora|senhor|menino|menina|crianca|criancas|mulherada|equipe|time|tecnico|padre|"
        "diretor|diretora|porteiro|motorista|atendente|vendedor|vendedora|neto|neta|afilhado|"
        "estagiario|estagiaria|todos|paciente|pacientes|cara|visita|hospede|turista|personagem|"
        "jogador|cantor|cantora|ator|atriz|monitora|monitor|instrutor|instrutora|delegado|juiz"
    ),
}

CUES: dict[str, dict[str, tuple[float, str]]] = {
    "indecisao": {
        "duvida_entre": (
            1.0,
            """
            duvida ... entre|se, duvida ... ou, em|na duvida $, em|na duvida de|do|da|sobre|quanto|
            mesmo|ainda|aqui|demais|total|cruel|com|se|entre, duvida cruel, que duvida $, bateu|deu
            .. duvida, com|numa|nessa duvida se|entre|cruel|danada, tenho .. duvida se, cheio|cheia
            de duvida .. se|entre, na duvida ate agora, duvida danada, a duvida eh .. entre|se
            """,
        ),
        "nao_sei_o_que": (
            1.0,
            """
            nem sei mais se|o que|qual, ja nem sei, nem sei se, nem sei qual|o que
            quero, nao sei dizer qual, continuo sem saber qual|se, sem saber qual|se,
            nao me ocorre preferencia, sigo sem saber qual|se|o que quero, eu sem
            saber se,
            nao sei .. se, nao sei .. qual .. escolher|escolho|levar|levo|comprar|compro|pegar|pego|
            usar|uso|melhor|prefiro|fazer|faco|caminho|seguir|sigo|quero|dos|das|delas|deles|aceitar,
            nao sei [bem|direito|ainda|mesmo] o que .. quero|escolher|escolho|fazer|faco|vestir|
            comprar|dar|levar|responder|decidir|pedir|prefiro|comer|fazer|assistir|sinto|pensar,
            nao sei qual $, nao sei que .. escolher|comprar|levar|seguir|fazer|usar|quero, sem saber
            .. se|qual|que|o|pra, nao sei pra que lado, nao sei quem .. chamar|convidar|escolher,
            nao sei quando .. ir|marcar, nao sei onde .. passar|comemorar|jantar|ir,
            nao sei com que|
            qual .. ir, nao faco [a|menor] ideia .. do|de|se|qual .. escolher|quero|fazer|vestir|
            levar, nao faco ideia se, nem sei se|qual|o, nao sabemos se|qual|o, a gente nao sabe se|
            qual|o, sei nao se
            """,
        ),
        "nao_sei": (
            0.7,
            """
            nao sei $, nao sei nao, sei nao $, sei la $, sei la viu|ne|mano|cara|hein,
            ainda nao sei,
            nao sei ainda, nao sei mesmo, nao sei bem, nao sei direito, sei la se, nao sei ao certo,
            vai saber $, sabe deus, so deus sabe
            """,
        ),
        "nao_decido": (
            1.0,
            """
            sigo sem .. definicao|decidir|decisao, ainda nao ..
            convenci|decidi|defini|resolvi|escolhi|optei, escolher nao consigo,
            decidir nao consigo, nao chego a .. conclusao|acordo, nao chega num
            acordo, nao consegui fechar, nao fecho, escolhesse por mim, decidisse por
            mim, nao definimos, nao decidimos, a gente nao
            decid*|resolv*|escolh*|cheg*, ninguem .. chega num acordo, receio de ..
            escolher|errar, medo de .. escolher, nao tenho coragem de ..
            decidir|escolher,
            nao|nunca|sem|nem|custo|dificil consigo|conseguir|consegui|to|posso|sei|conseguindo|pra|
            de .. decid*|escolh*|optar|definir|resolver, nao .. me decid*, nao me
            resolvo, nao decid*,
            nao escolhi, nao me defin*, sem .. decidir|escolher, decid* nada, ainda
            nao resolvi|defini|
            optei|bati|fechei, nao bati o martelo, nao bato o martelo, bater o
            martelo, nao chego|cheguei
            .. conclusao|decisao, nao tomei .. decisao, sem decisao, dificil|duro|complicado|custoso
            escolher|decidir|optar, dificil de escolher|decidir, nao tomo .. decisao,
            nao saio do talvez,
            escolha dificil, decisao dificil, dificil decisao|escolha, nao consigo .. me decidir
            """,
        ),
        "indeciso": (
            1.0,
            """
            indecis*, to .. dividid*, dividid* entre, to .. balancad*, balancad* com,
            em cima do muro,
            dilema*, encruzilhada, sinuca de bico, hesit*, vacil* entre, incert*
            se|sobre, fico entre,
            perdid* entre, to entre, tamo entre, ando entre, empacad* entre, mexid* com, ta entre,
            divid* entre, titube*, oscil* entre, cabeca dividida, coracao dividido,
            sigo|continuo entre,
            meio a meio, cinquenta por cento
            """,
        ),
        "vai_e_volta": (
            1.0,
            """
            tem dia|hora|vez que ... tem dia|hora|vez que, tem dia|hora .. acordo, de
            um lado ... do outro, eis a questao, e agora $$, e agora ?, e ai ? $$,
            gangorra, barata tonta, sem veredito, uni duni te, nem um nem outro, nem
            de um nem de outro, nem de uma nem de outra, um pe la, nao ponho a mao no
            fogo, fico no meio, e eu no meio, no meio $$, rodando nisso, vai entender
            $, amanha posso querer, amanha .. deus sabe, depois passou ... depois
            voltou, ontem .. tinha dito, uma semana .. outra semana, ja troquei de
            ideia, troc* de ideia, cada um .. fala|diz uma coisa, um me fala|diz ...
            outro, todo mundo da palpite, sorteio, sortear, tirar na sorte, dado,
            moeda pra cima, minha vontade .. mas, as duas me chamam|puxam|agradam, os
            dois me agradam|puxam, uma me .. a outra, um me .. o outro, um eh .. o
            outro eh, uma eh .. a outra eh, se eu .. perco ... se nao, metade de mim,
            parte de mim,
            uma|cada|toda hora .. quero|acho|penso|vou|digo ... outra, ora .. ora, hora .. hora ..,
            cada dia|hora|minuto .. quero|penso|escolho|prefiro|gosto .. uma|um|outra|outro|coisa,
            mud* de ideia, mud* de opiniao, por um lado, de um lado, por outro lado,
            pros e contras, pro e contra, prós e
            contras, cara ou coroa, deu empate, empatad*, na moeda, vou nao vou, vai
            nao vai, vou ou fico,
            se fico ou .. vou, nem vou nem fico, nem caso nem, caso ou compro, meio
            que sim, acho que sim
            ... acho que nao, as vezes .. sim ... as vezes, uma parte .. outra, cabeca
            diz, coracao diz,
            coracao .. cabeca|razao, razao .. coracao, pensei e repensei, penso e
            repenso, pra la e pra ca,
            faz .. dias que .. penso, de manha .. quero ... de noite|noite|tarde, num dia .. quero
            """,
        ),
        "um_ou_outro": (
            0.8,
            """
            ^ <eu_decido> .. ou .. <eu_decido>, <eu_decido> ou nao, <eu_decido> .. ou
            nao <eu_decido>,
            <eu_decido> ... ou ... ?, ou .. ou .., ou nao ?, ou deixo, ou espero, ou sera que, ou
            melhor nao, ou fico, ou e melhor, ou eh melhor, ou nem, uma coisa ou outra, um ou outro,
            um ou o outro, uma ou outra, esse ou aquele, este ou aquele, vou de .. ou,
            eh melhor .. ou, melhor .. ou ..
            """,
        ),
        "ou": (0.2, "ou"),
        "sera_que": (
            0.8,
            """
            sera que [eu|nao] [eu|me] <eu_decido>, sera que ..
            devo|deveria|devia|compensa|vale|presta|
            ia|vou|seria|aguento|consigo|caberia|combina|fica|eh|e|nao|tenho|me, sera
            se, sera mesmo,
            devo ou nao, devo .. ou, deveria .. ou, devia .. ou, devo
            aceitar|ir|comprar|fazer|falar|
            mudar|trocar|largar|sair|esperar|contar|insistir|terminar|vender|pedir|voltar|investir|
            escolher|dizer|perdoar|mandar|ligar|levar|seguir, e se eu nao|me|for, e se
            nao der, nao sei se devo
            """,
        ),
        "vale_a_pena": (
            0.6,
            """
            se|sera|que vale a pena, vale .. pena .. ?, vale mais a pena, compensa
            mais, se compensa,
            compensa .. ?, compensa .. ou, o que compensa, vale a pena .. ou, se eh melhor, se vale
            """,
        ),
        "qual_escolho": (
            1.0,
            """
            o que .. senhor|senhora faria, voce iria, voce faria, voce ficaria, voce
            compraria, voce trocaria, voce aceitaria, voce [acha] que eu .. ou, ce
            acha que eu, voce acha que .. compensa|devo|vale, acha que eu
            devo|deveria|faco|aceito|compro, qual eu, que eh que eu resolvo, o que eu
            visto, oq eu visto, o que sera mais, o que eh mais
            acertado|indicado|vantajoso|negocio, mais vantagem, mais negocio, melhor
            negocio, pra .. idade o que, o que eu escolho, que .. eu
            escolho|compro|levo|dou de presente,
            qual .. voce ..
            escolheria|acha|prefere|recomenda|levaria|compraria|pegaria|usaria|faria|
            ficaria, qual .. dos|das|destes|desses|deles|delas ...
            melhor|escolho|levo|fico|pego|compro|
            combina|prefere|acha, qual [eu]
            escolho|levo|compro|pego|prefiro|uso|visto|faco|aceito|assino|
            faria, o que .. voce faria, o que voce escolheria, no meu lugar, se fosse
            voce, se voce fosse eu,
            voce no meu, escolhe .. pra|por mim, escolhe voce, decide .. pra|por mim,
            me diz voce, qual
            caminho, que caminho, que rumo, pra que lado, qual lado, ajuda* .. a|pra
            decidir|escolher|
            optar|resolver, ajuda a escolher|decidir, o que faco da minha vida, voce
            escolhe, fico com qual, vou de qual,
            com qual .. fico|vou, qual vai|cai|combina melhor, o que eh melhor, qual
            eh melhor .. pra mim
            """,
        ),
        "talvez": (
            0.7,
            """
            talvez, quem sabe .. eu|$|ou, pode ser que .. sim|eu|va, acho que sim, vai
            que .., depende ne,
            tanto faz, ou talvez, pode ser que sim
            """,
        ),
        "sem_certeza": (
            0.8,
            """
            nao tenho .. certeza, sem .. certeza, nao to .. cert*, nao to .. segur*,
            nao to convencid*, nao
            sinto firmeza, insegur* se|sobre|com, nao tenho .. segurança|seguranca,
            nao me sinto pront*,
            certeza nenhuma, nao to totalmente, nao tenho opiniao formada, ainda nao to pront*
            """,
        ),
        "pensando_se": (
            0.9,
            """
            pensando .. se, fico pensando, matutando, ponder*, avaliando se,
            refletindo se, penso se, pensar
            se, me pergunto se, vendo se .. vou|vale|compensa|compro, na balanca,
            pesando, estudando se,
            remoendo, cogit*, pensando seriamente, ainda to pensando, ainda to vendo,
            to vendo ainda, vou pensar|ver,
            considerando se, quebrando a cabeca pra escolher, martelando
            """,
        ),
        "adio": (
            0.9,
            """
            empurrando com a barriga essa|esse|a, embrom* .. ele|ela|eles|resposta|$,
            cozinhando o|a, com o dedo no botao, olhando pro cardapio, travei na
            inscricao|escolha|hora, quer resposta, querem resposta, pediu .. resposta,
            ficou de dar .. resposta, ficamos de dar, tenho que dar .. resposta, prazo
            pra responder, me deram prazo, nem um sim nem um nao, so posso escolher, o
            dinheiro so da, meu tempo so da, tem que ser um|uma so, e eu ainda nisso,
            vim embora sem,
            enrolando .. decidir|resolver|responder|escolher|dar, adiando ..
            decisao|escolha|resposta, coragem de
            decidir|escolher, trav* .. hora de .. escolher|decidir|comprar, trav* pra
            escolher|decidir,
            medo de .. arrepender|escolher|errar .. escolha|errada, me arrepender,
            escolher errado, arrependimento,
            preciso|tenho|devo que|de decidir|escolher|responder|resolver, preciso
            decidir|escolher|resolver se,
            tomar .. decisao, so posso .. um|uma, so da pra .. um|uma, so tenho
            dinheiro .. um|uma, abas abertas,
            o carrinho .. cheio, nao clico, empurrando com a barriga, cozinhando ..
            decisao, amarelo na hora
            """,
        ),
        "os_dois": (
            0.6,
            """
            os dois .. bons|bonitos|legais|otimos|bom, as duas ..
            boas|bonitas|legais|otimas|opcoes|propostas|vagas,
            dois|duas .. bons|boas|opcoes|propostas|caminhos|vagas, ambos, ambas,
            tantas opcoes, tanta opcao,
            muito opcao, muito opcoes, opcoes demais, gosto dos dois, gosto das duas,
            quero os dois, quero as duas,
            dois modelos, duas cores, todos sao .. lindos|bons
            """,
        ),
    },
    "ajuda": {
        "me_ajuda": (
            1.0,
            """
            me assessor*, me aconselh*, que conselho, me prepara pra, me da ..
            conselho|caminho|norte|rumo|toque, da uma maozinha, me instrua, instrua
            me, me conduz*, vai me conduzindo, vai me
            falando|dizendo|guiando|ensinando|orientando, vai me, ir me dizendo, pega
            na minha mao, ficar comigo, fica comigo, posso contar com voce, conto com
            voce, topa .. comigo, vem conferir comigo, monta* comigo, montar comigo,
            revisa comigo, pensar .. comigo, caminhamos juntos, vamo junto, vamos
            juntos, pensa comigo, caminho das pedras, me dá um help, me tira do
            sufoco, me da uma salvada, me empresta .. cabeca,
            me ajud*, ajud* eu, ajuda [ai|aqui|nois|nos|pra], ajude me, ajudem, me
            acode, acode, me acuda,
            me salva, salva eu, me socorr*, socorro, sos $, help, me da|de ..
            mao|forca|luz|ajuda|ajudinha|
            dica|dicas|suporte|orientacao|auxilio|apoio|help, me [da|de] .. uma
            mao|forca|luz|dica, da|de .. uma mao|
            forca|luz|ajuda|ajudinha|moral|dica, dar .. uma
            mao|forca|luz|ajuda|ajudinha|dica|orientada|olhada,
            dá uma mao, quebra .. galho, quebrar .. galho, me guia*, me orient*, me
            instru*, me assist*, me auxili*,
            me acompanh*, me da um norte, da um norte, um norte, ajuda com, ajuda pra,
            ajudinha, uma maozinha, maozinha,
            me tira .. dessa|duvida|sufoco, tirar .. duvida, tirar umas duvidas, tira
            .. duvida, ajuda* .. com|em|no|
            na|nessa|nesse, me ampara, me apoia
            """,
        ),
        "preciso_de_ajuda": (
            1.0,
            """
            precis* ..
            ajuda|auxilio|orientacao|apoio|suporte|help|socorro|dica|dicas|forca|mao|luz|ajudinha|
            assistencia|instrucoes|tutorial|aula|aulas|reforco, quer* ..
            ajuda|auxilio|orientacao|apoio|dicas|dica|
            ajudinha|help|suporte, gostaria ..
            ajuda|auxilio|orientacao|dicas|apoio|ajudasse|orientasse|guiasse|
            ensinasse, necessit* .. ajuda|auxilio|orientacao|apoio|suporte, precis* ..
            que .. me ajud*|ensin*|
            orient*|expli*|mostr*|guie|acompanh*, precis* de alguem .. que|pra,
            precis* .. aprender, precis* .. saber como,
            pode* .. ajudar|orientar|ensinar|auxiliar|guiar|socorrer|instruir,
            consegue .. ajudar|ensinar|orientar|
            auxiliar, tem como .. ajudar|ensinar|orientar, da pra .. ajudar|ensinar,
            seria possivel .. ajud*|orient*|
            ensin*, alguem .. ajuda|ajudar|ensina|salva|socorre|explica como, sua
            ajuda, uma ajuda, pedir .. ajuda,
            bora .. junto*, vamos .. junto*, faz comigo, faz* junto, treina comigo,
            estuda comigo, escreve comigo, revisa
            comigo, pratica comigo, comigo ? $$, passo comigo, sozinh* nao, nao .. dou
            conta .. sozinh*, da conta sozinh*
            """,
        ),
        "me_ensina": (
            1.0,
            """
            me ensin*, ensina .. como|a|o|um|uma|pra|ai, ensine, ensinar .. como|a, me
            mostra .. como|o jeito|passo,
            mostra .. como, me mostre como, me explica .. como, explica .. como ..,
            explique como, me diz|diga|fala|
            conta|fale|diz como, diz como, me passa ..
            passo|receita|dicas|macete|manha, me da .. aula|roteiro|plano,
            quero .. aprender, queria .. aprender, gostaria de aprender, quero|queria
            entender|saber como, to
            .. aprendendo, to comecando, comecando agora, sou iniciante, pra
            iniciante*, por onde .. comec*, onde .. comeco,
            de onde .. comeco, como .. comec*, quer* saber como, gostaria de saber
            como, sabe* como .., sabe me dizer como,
            voce sabe .. <inf>, voce sabe como, alguem sabe como, ensina, como aprend*
            """,
        ),
        "como_faco": (
            0.9,
            """
            faco como, faz como, atendo como, fazer como, faco o que, como eh que .. a
            gente|eu|se, cume que, comé que, come que .., que que eu faco, que que se
            faz, que eh que eu faco, o que se faz, que jeito|modo|maneira ..
            <inf>|faco|posso, qual a manha, qual eh a manha, qual eh a magica, qual o
            jeito, tem salvacao, qual botao, que botao, o que eu passo .. pra|na|no, o
            que eu uso pra, o que .. dou pra, que cuidados, que exercicio, que remedio
            caseiro, o que olho primeiro, o que eu olho, comeca pelo que, comeco pelo
            que, por que ponta, como saio, como me aproximo, como preparo, como a
            gente, como leio, como volta,
            como .. faco, como .. faz, como .. fazer, como .. faria, como .. fazem,
            como que, como eh que .., como eu, como se
            <inf>|faz, como <inf>, como [eu|que|a|se|eh] [eu|a|gente|que|se] <inf>,
            como .. tiro|limpo|troco|instalo|
            configuro|uso|ligo|desligo|monto|conserto|arrumo|mudo|coloco|ponho|boto|aprendo|melhoro|evito|calculo|
            escrevo|organizo|divido|controlo|economizo|invisto|planto|cozinho|preparo|tempero|lavo|pinto|corto|costuro|
            treino|estudo|decoro|memorizo|lido|converso|explico|conto|resolvo|recupero|bloqueio|desbloqueio|apago|
            excluo|envio|formato|edito|salvo|conecto|transfiro|declaro|abro|fecho|crio|removo|desentupo|cuido|ensino|
            acalmo|paro|deixo|falo|peco
            desculp*|perco|ganho|aumento|diminuo|abaixo|acelero, como ..
            instala|configura|
            limpa|troca|usa|liga|monta|conserta|arruma|muda|coloca|poe|bota|tira|calcula|escreve|organiza|declara|
            prepara|corta|costura|lava|planta|poda|pinta|pode|deve|evita|cuida|mexe|joga|toca|dirige|estaciona|cozinha,
            como proced*, como devo, como posso, como deveria, como lid*, de que
            jeito|forma|maneira|modo .. <inf>|faco|
            posso, de que jeito, qual ..
            jeito|forma|maneira|modo|melhor|procedimento|macete|truque|segredo|tecnica|
            metodo .. de|pra|para, qual ..
            jeito|forma|maneira|modo|passo|procedimento|macete|truque|segredo|melhor
            """,
        ),
        "como_funciona": (
            1.0,
            """
            como .. funciona*, como que funciona, como rola, como .. se usa, como
            usa*, como se joga, pra que serve, como .. uso,
            como mexe*, como mexo, entender como funciona, funcionamento d*
            """,
        ),
        "passo_a_passo": (
            1.0,
            """
            passo a passo, tutorial, um por um, dica* .. de|pra|sobre, dica* ?, umas
            dicas, uma dica, alguma dica, algumas dicas,
            tem dica*, da .. dicas, macete*, um guia, roteiro pra|de estud*, plano de
            estud*, cronograma de estud*, instrucoes, me
            da um caminho, sugestao de como, jeito certo de|pra, jeito facil de|pra,
            tem .. jeito de|pra, tem .. truque, tem
            algum segredo, existe .. jeito|truque|forma|maneira|modo|macete .. de|pra
            """,
        ),
        "o_que_faco_pra": (
            0.9,
            """
            o que .. faco|fazer|faz|tomo|passo|uso|devo ...
            pra|quando|com|se|primeiro, o que .. eu faco, o que faco, que .. eu faco,
            que faco, que fazer, o que fazer, o que .. devo .. fazer, o que [eu]
            preciso .. fazer|estudar|aprender|saber, o que
            eh bom pra, que devo, o que devo, pra .. parar ?, o que da pra fazer
            """,
        ),
        "nao_sei_fazer": (
            0.8,
            """
            nao sei .. como .., nao sei nem .. como|por, nao sei ..
            mexer|usar|fazer|por|lidar|cozinhar|ligar|configurar|instalar|
            declarar|preencher|calcular|escrever|comecar|montar|dirigir, nem sei ..
            por|como|comecar, nunca fiz, nunca usei, nunca
            mexi, nunca programei, nunca cozinhei, primeira vez que, sou leig*, nao
            manjo, nao entendo nada de, nao entendo de, nao faco
            ideia de como|por, nao tenho .. nocao|ideia .. como|de, sou zero, zero a
            esquerda, nao tenho .. pratica|experiencia
            """,
        ),
        "explica_assunto": (
            0.5,
            """
            me explica* o|a|os|as|um|sobre|isso, explica* [pra] [mim] o|a|os|as,
            explique o|a, pode* .. explicar o|a|os|as|como|sobre,
            me fala|conta mais sobre, quero|queria entender, preciso entender,
            gostaria de entender, da pra .. explicar, revisa*
            .. meu|minha, revisar meu|minha, corrig* .. meu|minha, corrig* pra mim,
            avalia .. meu|minha, da uma olhada, ve se .. certo
            """,
        ),
    },
    "informacao": {
        "onde": (
            0.9,
            """
            por onde .. peco|pede|pedir|tiro|faco|se, onde .. me
            inscrevo|inscreve|cadastra|cadastro, faz onde, fica onde, eh onde, vende
            onde, onde [eu] arrumo|descarto|assisto, pra que lado, em qual, adonde,
            mora onde, acho onde, compro onde, tem onde,
            onde ..
            <lugar>|encontr*|ach*|compr*|fica|ficam|vend*|vende|tem|tem|consig*|consegu*|posso|pego|pegar|vejo|ver|baix*|
            tiro|tirar|faco|fazer|leio|ler|assisto|assistir|solicit*|peco|pedir|denunci*|reclam*|retir*|alug*|consert*|arrum*|
            estud*|acesso|acessar|consulto|consultar|procuro|procurar|obtenho|obter|deixo|descart*|doo|doar|levo|levar|entrego|
            marco|marcar|agend*|pago|pagar|busc*|voto|votar|cadastr*|inscrev*|inscric*|estacion*|come|comer|como,
            onde .. ?, ^ onde ..,
            sabe* .. onde, saber .. onde, diz* .. onde, dica de onde, ideia de onde,
            de onde sai, de onde tiro, onde que, onde eh que,
            onde eu, onde a gente, onde da pra, onde se, onde esta|ta|estao, me fala
            onde, nao sei onde .. compr*|ach*|vend*|encontr*|
            procur*|consig*|fica|tir*|ir|fazer, nao acho .. em lugar
            """,
        ),
        "em_que_lugar": (
            1.0,
            """
            em que|qual|quais [eh] [o|a] <lugar>, em que|qual .. <lugar>,
            qual|quais|que [eh|o|a] [o|a|os|as] [melhor] <lugar> .., que|qual|quais
            <lugar>,
            pra que|qual <lugar>, com que <lugar>, por qual <lugar>, por que <lugar>,
            que bairro, que parte da cidade, qual
            o nome do|da <lugar>, quais sao .. <lugar>
            """,
        ),
        "tem_algum": (
            0.9,
            """
            alguma|algum <lugar>, tem quem, alguem .. aluga|conserta|vende|faz|sabe
            de|tem o|indica, tem .. que <inf>, quem recebe, quem compra, quem faz,
            conhece loja|app|site, conhece .. <lugar>, existe ? , sera que [ha|tem] ..
            <lugar>, algum .. por perto|por aqui|perto, soube de, ouvi falar de um, me
            disseram que tem, tem como arranjar|conseguir|arrumar,
            tem|ha|existe|existem|teria|havera|conhece|conhecem|sabe|sabem|sabes
            [de|se] [tem|ha|existe] [algum|alguma|alguns|um|uma|uns|
            umas|aquele] .. <lugar>, tem .. <lugar> ..
            aqui|perto|por|na|no|que|pra|gratis|gratuit*|de|confiavel|bom|boa|barat*
            .. ?,
            tem .. <lugar> .. ?, existe .. <lugar>, existe .. algum|alguma, existem
            .., ha algum|alguma, tem alguma|algum .. que|aqui|
            perto|por|na|no, por aqui ?, aqui perto, perto d*, aqui na regiao, aqui na
            cidade, no meu bairro, na minha cidade, mais proxim*,
            sabe* se tem, sabe* se existe, sabe* se aqui, sabe* de algum*, sabe* de
            um|uma|alguem, sabe* algum*, conhece* algum*|um|uma|
            alguem, conhece* .. que, alguem .. conhece|sabe|indica|recomenda|tem o|tem
            contato, tem na net|internet, tem online, tem .. gratis,
            tem gente que, quem .. possa .., tem wifi, disponivel onde
            """,
        ),
        "indica": (
            1.0,
            """
            me indic*, indica .. um|uma|algum*|ai|o|bons|boas, indique, indicar,
            indicacao, indicacoes, me recomend*, recomenda .. um|uma|
            algum*|ai|o, recomende, recomendar, recomendacao, recomendacoes, me
            sugere, sugira um|uma, sugere .. <lugar>, sugestao de
            <lugar>, sugestoes de <lugar>, alguma indicacao, aceito indicacoes, me diz
            um|uma bom|boa, referencia de, referencias sobre|de,
            bibliografia, fonte confiavel, fontes .. sobre, algum .. confiavel, confiavel
            """,
        ),
        "procuro": (
            0.8,
            """
            procuro, procurando, to atras de|do|da, atras de um|uma, a procura de, em
            busca de, buscando, busco, to querendo achar|comprar|encontrar,
            precisando de um|uma <lugar>, precisando de um|uma .. que, preciso ..
            encontrar|achar|localizar, preciso de um|uma|algum <lugar>, preciso do|da
            <lugar>|<documento>,
            quero .. encontrar|achar|localizar, queria .. encontrar|achar, preciso ..
            de um|uma <lugar>, quero um|uma <lugar>, queria um|uma
            <lugar>, cade .., aonde, catando
            """,
        ),
        "com_quem": (
            1.0,
            """
            fala com quem, ligo pra quem, falo com quem, a quem, quem pode
            me|fazer|vender|ajudar com, quem recebe, quem empresta, quem empreste,
            quem busca, quem aluga, quem .. baratinho, que <lugar> ..
            procuro|resolve|fica|atende|devo, que medico, que empresa, qual empresa,
            com quem .., pra quem ..
            ligo|mando|falo|peco|envio|reclamo|entrego|ligar|mandar|pedir|reclamar|pergunto,
            a quem .., quem .. vende|
            conserta|aluga|atende|entrega|arruma|instala|faz|cuida|resolve|emite|fabrica|compra|da
            aula|possa|pode .. ?, quem eh o responsavel,
            quem responde por, quem cuida, quem posso, quem eu procuro|chamo|aciono,
            quem procurar, quem devo procurar, procuro quem, falar com quem, falo com
            quem, ligo pra quem,
            peco pra quem, alguem que ..
            conserte|faca|venda|entregue|alugue|de|saiba|ensine|atenda|possa|conserta|faz|vende|trabalhe,
            pessoa que, profissional que
            """,
        ),
        "contato": (
            0.9,
            """
            qual|quais|que .. telefone|contato|endereco|site|link|email|zap|numero
            do|canal|ramal|cnpj|perfil|horario de atendimento|
            ouvidoria|sac .. d*, qual ..
            telefone|contato|endereco|site|link|email|zap|ramal|canal, me passa ..
            contato|link|telefone|endereco|numero|site|
            zap|email|nome, me manda ..
            contato|link|telefone|endereco|numero|site|localizacao, tem ..
            contato|link|telefone|endereco|
            numero|site|zap|email .. d*|ai|?, o telefone d*, o contato d*, o link d*,
            o endereco d*, o site d*, passa .. contato|link|
            telefone|endereco|zap, manda o link|contato|endereco, qual .. telefone,
            preciso do telefone|contato|endereco|link|numero|site
            """,
        ),
        "como_obter": (
            1.0,
            """
            como ..
            consig*|conseg*|obter|obtenho|solicit*|adquir*|requer*|arrum*|arranj*|emit*|retir*|agend*|marc*|receb*|acess*|
            cadastr*|inscrev* ... , como ..
            peco|pedir|tirar|tiro|tira|pega|pegar|pego|achar|acho|encontr*|baixo|baixar|comprar|compro|fazer|faco|conseguir
            [a|o|um|uma|meu|minha|as|os|pra]
            [segunda|2a|meu|minha|nova|novo|tirar|pegar|conseguir|obter|solicitar|pedir|ter|a|o|primeira]
            <documento>, como .. dar entrada, como .. entro em contato|com, como
            entrar em contato, como
            falar com, como falo com, como chegar|chego, como posso ..
            obter|conseguir|encontrar|achar|ter acesso|solicitar, como ter acesso,
            como
            faco pra ..
            obter|conseguir|tirar|pedir|solicitar|emitir|receber|ter|marcar|agendar|achar|encontrar|falar|me,
            como ganhar, quero|queria tirar|pedir|
            solicitar|emitir .. <documento>, preciso
            tirar|emitir|pedir|solicitar|pegar|retirar|renovar .. <documento>, dar
            entrada, segunda via, como me inscrevo, como se
            inscreve, como eu acho, como faz pra .. conseguir|ter|pegar|tirar|ganhar
            """,
        ),
        "que_documentos": (
            0.9,
            """
            que|quais|qual .. <documento> ..
            preciso|levo|levar|precisa|pede*|exig*|necessari*|entreg*|apresent*|separar|?,
            o que .. preciso
            levar|apresentar|ter, o que .. levar, quais .. requisitos, quem tem
            direito, tenho direito, precisa de que, que papel*
            """,
        ),
        "informacoes": (
            0.9,
            """
            inform* sobre|de|a|acerca|quanto, informacoes, uma informacao, mais
            informacoes, quer* .. informacao|informacoes|saber onde|saber se
            tem|saber se existe|saber quem, gostaria de saber .. onde|se tem|se
            existe|quem, gostaria de informacoes, precis* .. informacao|
            informacoes, ler mais sobre, saber mais sobre, dados sobre|de, material
            sobre|de|pra, livro sobre|que fale|de, artigo sobre,
            documentario sobre, estatistica*, me informa*, pode* .. informar, poderia
            .. informar|dizer onde|indicar
            """,
        ),
    },
    "frustracao": {
        "nao_consigo": (
            0.9,
            """
            nao consig* !entender|decidir|escolher|compreender|me|acompanhar, nao to
            conseguindo !entender|decidir|escolher|compreender|acompanhar,
            nao consegui !entender|decidir|escolher|compreender|acompanhar|pegar, nao
            consigo .. me
            concentrar|organizar|acostumar|adaptar|controlar|conectar|inscrever|cadastrar,
            num consigo, nunca consigo, nao da pra conseguir, sem conseguir, nao tem
            como .. conseg*, nao conseguimos, a gente nao consegue, nao consigo $
            """,
        ),
        "nao_funciona": (
            0.9,
            """
            nao sai d*, nao baixa, nao abre, nao obedece, nao passa $, nao volta $,
            nao levanta, nao vinga, nao cresce, nao para, nao termina, nao diminui,
            nao flui, nao aparece, nao chega $, nao veio, nunca chega, nao grava, nao
            responde, nao sobe, nao desce, nao fixa, nao gira, nao seca, nao pega nem,
            nao liga nem, e nada $$, o mesmo jeito $, do mesmo jeito $, igualzinho $,
            e continua .. tort*|igual|errad*|dando|ruim|sem|com, nao .. jeito de, num
            abre, tudo torto, saiu .. monstrengo, virou sopa, mao abanando, nenhuma
            resposta, ate agora nada, que eh bom nada,
            nao|nunca|nem funciona*, nao [ta] [dando|da|deu|vai|ta] certo, nada
            [ta|que|da|do] .. certo, nao vai $, nao vai de, nao vai nem, nao anda $,
            nao rola $, nao adianta, nada adianta,
            nada funciona, nada resolve*, nao resolve*, nao resolveu, nao adiantou,
            nada muda, nao muda nada, nao sai d* lugar|zero|canto, nao sai nada, nao
            pega $, nao liga $, nao
            carrega, nao abre, nao entra, nao conecta, nao imprime, nao instala, nao
            roda, nao salva, nao aceita, nao reconhece, nao compila, nao cresce, nao
            bate $, nao fecha $, nao encaixa,
            nao cola $, nao para de .. cair|travar|dar|chiar|apitar, nao da certo, nao
            deu certo, nao deu em nada, sem sucesso, sem resultado, em vao, e nada $,
            e nada ate, e nada de, e nada ainda,
            e necas, nadica, continua na mesma|igual|assim|dando|sem|o|com, na mesma
            $, mesma coisa $, mesmo erro, mesmo problema, tudo de novo, do zero,
            estaca zero, deu ruim, da ruim, nao surte, sem efeito, de nada $,
            nao evolu*, nao melhora*, nao rende*, nao progrid*, nao avanc*, nao
            presta, nao fica bom|pronto|boa|direito, nunca fica, nunca sai, nunca da,
            nunca acerto, nao acerto, so piora, piorou, so erro, erro tudo, tudo
            errado, tudo da errado, sempre da errado, deu errado, da errado
            """,
        ),
        "erro": (
            0.7,
            """
            deu|da|dando|dar|aparece|dá erro, erro de novo, trav* .., trava, travou,
            travando, empac*, emperr*, bug*, enguic*, cai toda|de, caiu .. de novo,
            caindo toda, sumiu, sumiram, perdi tudo, apagou tudo,
            desandou, solou, queimou de novo, quebrou de novo, estragou de novo, fora
            do ar, sistema caiu, tela azul, recus*, negad* de novo, reprov* de novo,
            de novo $$, de novo ! , outra vez $$, mais uma vez
            """,
        ),
        "ja_tentei": (
            1.0,
            """
            ja tentei, ja tentamos, tentei [de] tudo, tentei
            todas|todos|varias|varios|mil|umas|de|do|NUM|tres|duas|dez|cinco, ja fiz
            .. tudo|de tudo|NUM, ja fiz, ja reiniciei, ja desinstalei, ja liguei, ja
            troquei, ja mudei, ja procurei,
            ja vi .. video*|tutoriais, ja li .. vezes, ja perdi .. conta, perdi a
            conta, ja refiz, ja formatei, ja mandei .. email|emails|vezes, tento e,
            tento .. tento, tentei .. tentei, faco e refaco, fiz e refiz, por mais
            que, nao importa o que|quanto,
            estudo .. e [nao|nada|continuo|esqueco], treino .. e nao|nada, sigo ..
            receita e, segui .. direitinho|certinho|risca e, tentei .. e, tentei ..
            mas, tento .. mas|e nao|nunca, tento .. nao
            """,
        ),
        "tempo_perdido": (
            0.8,
            """
            duas horas pra, ha .. h tentando, passei ..
            manha|tarde|dia|noite|feriado|madrugada .. nisso|tentando|na
            fila|nesse|esperando, terceira semana, NUM vezes, tres vezes, quatro
            vezes, cinco vezes, dez vezes, vinte vezes, umas NUM, outra vez $, de novo
            $, como sempre $, sempre na ultima, entra ano sai ano, todo mes, todo
            santo, a semana toda, sempre falta,
            ha|faz|tem
            NUM|um|uma|dois|duas|tres|quatro|cinco|dez|varios|varias|dias|horas|meses|semanas
            .. dia*|hora*|mes*|semana*|ano*|minuto* ..
            que|tentando|nisso|e|nessa|nesse|aqui|esperando|apanhando, o dia
            todo|inteiro .., a tarde|manha|noite
            toda|inteira, a semana toda|inteira, desde cedo|ontem|manha|segunda|de,
            perdi .. tarde|dia|manha|noite|horas|fim, horas ..
            nisso|nesse|nessa|tentando|pra|esperando, pela
            NUM|segunda|terceira|quarta|quinta|decima|enesima|milesima|centesima vez,
            eh a NUM|segunda|terceira|quarta|quinta|sexta|decima|enesima vez,
            NUM|terceira|quarta|quinta|decima vez .. que, toda [santa] vez .., sempre
            que .., toda hora .., o tempo todo, todo santo dia, nunca termina|acaba,
            nao acaba nunca
            """,
        ),
        "dificil": (
            0.8,
            """
            dificil, dificeis, dificilimo, dificil demais, muito dificil, ta ..
            dificil, complicad*, complicado demais, que dificuldade, dificuldade
            pra|de|com|em|enorme|danada, tenho .. dificuldade, impossivel, nao eh pra
            mim, ta osso, ta foda, foda, eh foda, ta
            puxado, puxado, pesado demais, um parto, que luta, uma luta, sofr* pra,
            sofrendo .. com|pra|nesse|nessa, sofrimento, inferno, pesadelo, apanhando,
            apanho, levando um coro|coça|surra, surra, brigando com, quebr* .. cabeca,
            bat* .. cabeca, cabecada, enxugando gelo, murro em
            ponta, um saco, um sufoco, perrengue, novela, via sacra, via crucis,
            tortura, suplicio, castigo, canseira, bicho de sete cabecas, duro demais,
            pedreira, embacado, cabuloso, tenso demais, ta tenso, ta russo, ta feia,
            nao eh facil, nada facil, nao ta facil
            """,
        ),
        "desisto": (
            1.0,
            """
            larguei mao, largar mao, entreguei, que se dane, sem condicoes, nao mexo
            mais, nao quero mais, nao faco mais, nao tento mais, larga mao, vou
            largar, chega $, to sem forcas, nao tenho forcas, nao vejo o fim, areia
            demais, morri na praia, murro em ponta, virei peteca, me derrota, me
            odeia, quase consegui, remei, so falta .., rindo pra nao chorar, da
            vontade de, da vontade .. queimar|chorar|sumir|jogar|quebrar,
            desist*, larguei, vou largar, largar tudo|mao|de, joguei a toalha, jogar a
            toalha, jogar tudo pro, chutar o balde, chutei o balde, pra mim chega, pra
            mim deu, ja deu $, ja deu pra, chega $, chega de, cansei, to .. cansad*
            de, exaust* de, exaust*, esgotad*, no .. limite, nao aguento mais, nao
            aguento,
            nao suporto mais, nao tenho mais ..
            paciencia|forca|cabeca|saco|animo|energia, sem paciencia, sem animo, sem
            forcas, sem saco, perdi .. paciencia|vontade|animo|esperanca, acabou ..
            paciencia, minha paciencia, vontade de ..
            jogar|quebrar|chorar|largar|desistir|sumir|gritar|tacar|bater|socar|mandar,
            jogar .. pela janela|parede|longe|
            fora|chao|no lixo, jogando .. pela janela, na parede, tacar fogo,
            entreguei os pontos, entrego os pontos, abrir mao, abro mao, quase ..
            desistindo|jogando|chorando|largando, a ponto de, to por aqui, de saco
            cheio, saco cheio, encheu o saco, enche o saco, torrou, farto, farta de,
            nao quero mais saber, ja era, nao tem mais jeito, to quase
            """,
        ),
        "desanimo": (
            0.9,
            """
            desanim*, desmotiv*, frustr*, decepcion*, incapaz, fracass*, sou burr*,
            burr* demais|pra, burrice, me sinto ..
            burr*|idiota|incapaz|inutil|um|uma|lixo|perdid*|travad*, sou ..
            pessim*|negacao|horrivel|ruim, pessim*, nao nasci pra, nao sirvo pra, nao
            levo jeito, nao tenho .. jeito|dom|talento|cabeca|capacidade, nao
            presto pra, nao fui feit*, nao entra na .. cabeca, nao entra $, entra na
            minha cabeca, nao dou conta, nao to dando conta, nao acompanho, sou uma
            negacao, nunca vou .. conseguir|aprender|passar|entender|terminar|dar,
            acho que nunca, nao vou conseguir, nao vou dar conta, que vergonha, que
            humilhacao, pior .. turma|sala, continuo .. tirando|
            errando|perdendo|igual|sem|na, fico pra tras, to atrasad*, afogad*,
            atolad*, sobrecarregad*, nao fixa, esqueco tudo, branco, deu branco, me
            sabot*, estagnad*, estacionei, patin*
            """,
        ),
        "ninguem_resolve": (
            0.9,
            """
            ninguem [me]
            resolve|responde|atende|ajuda|sabe|da|explica|liga|faz|retorna|se, ninguem
            .. resposta|satisfacao, jogam .. pra|de um, me jogam, empurra pra|um, ja
            liguei pra, caiu a ligacao, me deix* esperando, so enrol*, me enrol*, so
            sabem, descaso, burocracia, fila .. horas|enorme|interminavel, nao
            respondem, nao atendem, nao
            resolvem, ninguem merece, palhacada, absurdo, vergonha, falta de respeito,
            me mandam, devolv*, voltei pra, setor em setor, de novo isso
            """,
        ),
        "que_raiva": (
            0.8,
            """
            que canseira, que peleja, que sufoco, vixe, o trem dificil, meu deus do
            ceu, pelo amor de deus, que parto, que novela, que agonia, que suplicio,
            tenha do, faca me o favor, valha me, misericordia,
            que raiva, que odio, odeio, que droga, que saco, que merda, merda, droga,
            inferno, maldit*, desgraca*, porcaria, aff, pqp, argh, grr, ranco, bosta,
            cacete, que inferno, que chato, me irrita, irritad*, irritante, me
            estressa, estressad*, estressante, nos nervos, me tira do serio, to put*,
            puto, puta, pistola, p da vida, ta louco,
            quero chorar, chorar, chorando, EMTRISTE, nao eh possivel, nao eh possivel
            que, nao acredito, justo agora, por que nao, diabo, praga, lixo
            """,
        ),
        "nem_com": (
            1.0,
            """
            nem com reza*|macumba|milagre|video|tutorial|ajuda, nem por decreto, nem a
            pau|base|forca, nem que a vaca, de jeito nenhum, de jeito maneira, nao tem
            santo|cristo|jeito|quem|cabimento|condicao|condicoes|meio, nao ha
            meio|quem|jeito, so por deus|milagre, so jesus, reza brava, haja
            paciencia|saco|coracao, ja rezei, nem sei mais o que
            """,
        ),
    },
    "clarificacao": {
        "nao_entendi": (
            1.0,
            """
            nao peguei, nao liguei, no escuro, nao vi logica, nao enxerguei, nao
            visualizo, sem entender, bulhufas, patavina*, nao to te acompanhando,
            fiquei na mesma, fiquei zonz*, baguncei a ordem, troquei as bolas, nao
            ficou .. nitido, nao captei, todo mundo entendeu menos eu, menos eu $, to
            boiando, passou batida, tava distraid*, nao prestei atencao, nao pesquei,
            nao .. entend*, nao compreend*, nao .. compreendi|compreender, nao ..
            saquei, nao saco, nao peguei, nao pesquei, nao .. captei, nao capto, nao
            manjei, nao assimil*, nao alcancei, nao acompanhei, nao consegui ..
            acompanhar|pegar|entender|visualizar|captar, nao ouvi, nao escutei, nao li
            direito, entendi nada, entendi foi nada,
            entendo nada, nao to .. entendendo|acompanhando|captando|pegando, nada
            entendi, entendi bulhufas|lhufas|patavina|necas|po, nao ficou ..
            claro|clara|explicado, nao ta .. claro|clara, nao deu pra
            entender|sacar|acompanhar, nao fez .. sentido, nao faz sentido, sem
            sentido, nao ligando o nome, nao liguei, nao caiu .. ficha, ainda nao
            caiu, nao bateu, nao
            clareou, nao associei, nao faco ideia do que .. voce|disse|falou, nao sei
            o que .. eh|significa|quer dizer|voce, nunca ouvi ..
            palavra|termo|falar|isso, nao conheco .. palavra|termo|sigla, entendi
            errado, entendi mal, nao me ficou, entender .. que voce <dito>, nao entra
            .. o que voce, entendi foi nada, sigo sem entender, continuo sem entender,
            fiquei sem entender, ainda nao entend*, sem entender
            """,
        ),
        "me_perdi": (
            0.9,
            """
            me perdi, perdid* na|no|nessa|nesse|aqui|agora|com|$, me embanan*, me
            embol*, me enrol* .. na|no|nessa|nesse|com|$, me confund*, boiei, boiando,
            boio, confus* .. isso|esse|essa|ai|voce|a|o|$, fiquei .. confus*|na
            mesma|boiando|perdid*|sem, to .. confus*, meio confuso, ficou ..
            confuso|confusa|vago|vaga|abstrato|abstrata|estranho|ambiguo|no
            ar|solto|nebuloso|
            embolado|tecnico|dificil de entender, buguei, bugou, minha cabeca ..
            no|deu, deu no na|no, deu um no, pirou, pirei, viajei, voei, grego, russo,
            chines, javanes, aramaico, latim, muito tecnic*, tecnic* demais, palavras
            dificeis, palavreado, complicou, embaralh*, misturei tudo, enrolad*, me
            pegou
            """,
        ),
        "como_assim": (
            1.0,
            """
            como assim, hein ?, ^^ hein $$, ^^ que ? $$, ^^ oi ?, ^^ o que ? $$, ^^
            ue, ^^ hein, ^^ ah ?, tipo [o] que ?, tipo o que, em que sentido, como eh
            que eh, quê ?, o que isso, o que eh isso, que isso ?, isso o que, isso
            quer dizer, como que eh ?, no caso ?, tipo como ?, pera, perai, espera,
            calma $, calma ai, wtf, que que eh isso
            """,
        ),
        "o_que_quer_dizer": (
            1.0,
            """
            quis dizer, quer dizer, querendo dizer, o que .. significa, que significa,
            significa o que, significado d*, o que eh
            [esse|essa|isso|o|a|um|uma|tal|que] .. que voce|tal|ai, o que seria, o que
            eh CIT, que eh isso, que eh esse|essa, essa sigla, esse termo, essa
            palavra, essa expressao, CIT o que, CIT eh o que, CIT seria, CIT quer, por
            CIT, com CIT ?, isso ai ..
            o que, esse tal, essa tal, na pratica $, na pratica ?, se refer*, voce ta
            falando, ta falando d*, falando de que, ta se referindo, do que voce, de
            que voce, quem eh esse|essa .. que voce, voce fala d*, voce chama de, que
            voce chamou, o que voce entende por, a que .. se refere, a qual, qual
            deles, qual delas
            """,
        ),
        "explica_de_novo": (
            1.0,
            """
            expli* .. de novo|novamente|melhor|outra|dnovo|direito|mais|com outras|de
            outra|de outro|mastigad*|desenhando|devagar|como
            se|isso|essa|esse|aquilo|aquela|aquele|denovo|simples|facil, pode* ..
            explicar .. isso|melhor|de novo|outra|mais|essa|esse|$, pode* explicar $,
            explica* $, me explica* $, explique $, repet* .., repete, repetir, repita,
            de novo por favor, de novo ? $$, fala
            de novo, diz de novo, manda de novo, outra vez ?, mais uma vez .. por|?,
            mais devagar, devagar, vai com calma, mais simples, mais claro, mais
            clara, mais facil .. de entender|ai, com outras palavras, outras palavras,
            de outro jeito|modo|forma, de outra forma|maneira, de um
            jeito|modo|forma|maneira mais|simples, em miudos, troca* as palavras, em
            portugues, portugues claro, lingua de gente,
            pra leig*, desenha .., desenhar, traduz isso|pra, traduz ai, traduz ..
            portugues, simplific*, reformul*, destrinch*, mastig*, detalh*, esclare*,
            clare*, aprofund*, elabora*, expli* como se, cinco anos, voltar .. pouco,
            volta um|uma|na|no|pro, volta ai, retom*, reexplic*, resum* isso|o que
            voce|sua|ai|essa, troc* em, repassa*, recapitul*, recapit*
            """,
        ),
        "exemplo": (
            0.9,
            """
            da um exemplo, dar um exemplo, de um exemplo, me da um exemplo, um exemplo
            ?, exemplo ?, por exemplo ?, exemplo
            pratico|concreto|real|mais|disso|simples, outro exemplo, algum exemplo,
            ilustr*, exemplific*, mostra um exemplo, com exemplo, com exemplos, uns
            exemplos, um exemplo
            """,
        ),
        "voce_disse": (
            0.8,
            """
            voce falou, voce disse, voce deu, voce passou, voce citou, voce usou, voce
            mencionou, voce pulou, que <dito> voce, a senhora disse, o senhor
            falou|disse, tu disse|falou|usou, sua frase, sua mensagem, sua lista, o
            seu $, de onde apareceu, onde isso se encaixa, nao bate com o que, o audio
            falhou|cortou, veio cortad*, contradiz, passou batid*, nessa explicacao,
            nesse raciocinio, que bicho eh, que diabo eh, que raio eh, o que vem a
            ser, que seria esse|essa, o que seria esse|essa, e esse CIT, esse CIT,
            essa CIT, quando voce fala|diz, quando o senhor fala,
            que voce <dito>, o que voce <dito>, voce <dito> .., voce [acabou|tinha|ja]
            .. de dizer|falar|explicar|dito|falado, sua ..
            resposta|explicacao|mensagem|frase, seu .. texto|exemplo|raciocinio, tua
            resposta|explicacao, antes voce, voce tinha dito, tinha dito, tinha
            falado,
            ultimo|ultima|primeiro|primeira|segundo|segunda|terceiro|terceira|quarto|final
            <parte>, <parte> final, essa <parte>,
            esse <parte>, nessa <parte>, nesse <parte>, dessa <parte>, desse <parte>,
            aquela <parte>, aquele <parte>, daquela <parte>, isso ai, ai em cima,
            acima, la em cima, de onde saiu, de onde veio, de onde tirou, de onde voce
            tirou, entendi .. mas, entendi ate, entendi .. so que, ate ai ..
            entendi|ok|beleza, ok mas, ta mas, certo mas, beleza mas, sim mas
            """,
        ),
        "confirma": (
            0.9,
            """
            entao eu tenho que, entao quer dizer, quer dizer que, voce ta falando
            serio, entendi certo, certo ? $$, eh isso mesmo que, ta dizendo que, seria
            entao, seria NUM ou, eu ou, ou sou eu, o primeiro .. ou o segundo,
            obrigatorio ou opcional, isso eh bom ou ruim, por mes ou por ano, verde ou
            .. azul, mandado ou mandato, eh o .. ou a, eh .. ou .., inclui o que, no
            caso seria,
            eh isso ?, eh isso mesmo ?, isso mesmo ?, eh assim ?, seria isso ?,
            correto ?, confere ?, ta certo ?, to certo ?, to certa ?, eh isso que, se
            entendi, se eu entendi, entendi certo|direito|bem, deixa eu ver, deixa ver
            se, quer dizer que, quer dizer entao, entao .. quer dizer, entao eh .. ?,
            ou seja .. ?, ou seja, entao .. nao .. ?, entao eu .. ?, entao
            posso|tenho|devo|preciso .. ?, entao se .. ?, entao o .. ?, entao a .. ?,
            so pra confirmar, so confirmando, pra confirmar, confirm*, recapitulando,
            resumindo .. ?, ne isso, nao era .. ?, ao contrario, o contrario, mas nao
            era, mas nao eh, voce ta dizendo que, ta dizendo que, ta me dizendo, isso
            significa, isso inclui, isso vale, eh a mesma coisa, eh o mesmo que, entao
            quer, no caso eu, no caso seria, no caso eh, tipo assim, seria tipo
            """,
        ),
        "por_que_isso": (
            0.5,
            """
            mas porque, porque .. esse|essa|isso|ai, qual .. diferenca, qual a
            relacao, que diferenca, de que <parte>, em qual <parte>, qual <parte>, que
            <parte>, porque precisa, porque nao .. direto, da onde, e porque, ue mas
            """,
        ),
    },
}

AGAINST: dict[str, tuple[float, str]] = {
    "ja_entendi": (
        1.0,
        """
        ja entendi, agora [sim] entendi, agora [eu] entendi, ah entendi, entendi agora,
        entendi tudo, entendi sim, entendi perfeitamente, entendi direitinho, entendido $,
        ficou claro, ficou clar*, ficou .. explicad*, caiu a ficha, caiu a minha ficha,
        peguei a ideia, saquei $, saquei agora, agora saquei, compreendi $, captei $,
        agora [sim] ficou, fez sentido,
        agora faz sentido, agora [eu] peguei, ja saquei, ja peguei, clareou, entendi $$,
        entendi valeu|obrigado|perfeito|otimo, ta claro, super claro, tudo claro, muito
        claro, cristalin*, ficou otima, ficou otimo
        """,
    ),
    "ja_resolvi": (
        1.0,
        """
            ja dei conta, me decidi, ja me decidi, peguei o jeito, sigo firme, faco de
            olho fechado, clareou tudo, entendi tudinho, ja sei onde, me mostrou tudo,
        ja resolvi, resolvi $, ja consegui, consegui $$, consegui
        [fazer|sozinh*|de|resolver|sim], conseguimos, deu certo, deu tudo certo, ja achei,
        achei $$, ja encontrei, ja decidi, decidi $, decidi [por|pelo|pela|ficar|que], ja
        escolhi, escolhi $, escolhi [o|a], ja fiz $, ja sei, ja me decidi, bati o martelo,
        ja bati, ja comprei, ja passou, ja aprendi, aprendi, ja funcionou, funcionou,
        voltou ao normal, se resolveu, resolvid*,
        ta resolvido, tudo certo, sem problema, ja ta, ja era hora, de primeira, na
        primeira, superei, passei, dei conta, tirei de letra, foi facil, facil facil,
        moleza, mole mole, sopa no mel, tranquilo, ja me explicaram, ja me ajudaram, me
        ajudou, ajudou muito, terminei
        """,
    ),
    "dispenso": (
        1.0,
        """
            nao to pedindo, deixa quieto, deixa que eu, pode deixar, me viro sozinh*,
            longe de mim, sem segredo, sem misterio, nao ha misterio, nada de, nem
            pensei duas vezes, nao hesitei, nem me arrependo, nao me arrependo,
            nenhuma duvida, nunca mais tive, nao tive trabalho, nao me falta, sei de
            cor, nao errei, nao cansei, ja nao me, nao to mais, nao foi nada, nao
            ficou nada,
        nao precis* .. explicar|ajud*|repet*|procurar|indicar|se preocupar|de
        ajuda|mais|nao|disso, nem precisa, precisa nao, nao quero ..
        ajuda|dica|dicas|explicacao|opiniao, nao carece, deixa pra la, dispenso, nao tenho
        .. duvida*|dificuldade*|problema*, nao ha duvida*, nao ha nada, nao resta*, sem
        duvida*, sem sombra, duvida nenhuma, nenhuma duvida, nenhuma dificuldade, duvida
        alguma, zero duvida*, dificuldade nenhuma,
        dificuldade alguma, problema nenhum, sem dificuldade*, sem problema*, sem ajuda,
        nao to .. indecis*|perdid*|confus*|frustrad*|em duvida|na duvida|com
        dificuldade|com duvida|com problema|procurando|pedindo|reclamando|desistindo,
        nunca .. tive .. dificuldade|problema|duvida, nao foi .. dificil|complicado, nao
        eh .. dificil|complicado|bicho|tao, nao achei .. dificil|complicado, nada ..
        dificil|complicado|confuso, longe de ser dificil, nao eh que, nao desisti,
        nao vou desistir, nao desisto, nao me perdi, nao me confundi, nao fiquei, nao era
        dificil, nem foi, nem eh, nem um pouco, nao tive, nao falta, nao complica, tenho
        certeza, com certeza, certeza absoluta, nao to perdid*, nao deu erro, nao travou,
        nunca travou, nao deu trabalho, nao deu problema
        """,
    ),
    "relato": (
        0.8,
        """
        <ele> .. nao ..
        sabia|entendia|conseguia|entendeu|conseguiu|tinha|sabe|entende|consegue, <ele> ..
        perguntou|pediu|quis|queria|tava|ficou|ficaram|disse|contou|reclamou|falou|explicou|desistiu|precisou|procurou|ligou|foi|teve|tinha|achou|pensou|resolveu|ensinou|ajudou|mostrou|passou|vivia|sofreu|tentou|tentava|conseguiu|decidiu|escolheu|hesitou|estava|andava|veio|mandou|confessou|comentou|chegou|saiu|demorou|escreveu|leu|levou|deu,
        me perguntaram, me perguntou, perguntaram, pediram, ficaram, queriam, tavam,
        foram, conseguiram, nao sabiam, nao entenderam, quando eu era, na epoca, naquela
        epoca, naquele tempo, antigamente, no comeco, no inicio, ano passado, mes passado,
        semana passada, quando comecei, quando entrei, ha anos, anos atras, meses atras,
        dias atras, ontem, anteontem, outro dia, esses dias, antes eu, eu tinha, eu nao
        sabia, eu nao conseguia, eu nao entendia, eu tava,
        nao sabia, nao conseguia, nao entendia, hoje eh, hoje ta, hoje [eu]
        faco|ensino|sei|consigo|dou|trabalho|moro, no fim, no final, acabei, acabaram, ate
        que, depois passou, mas depois, ai o|a|eu|ele|ela, e eu ..
        expliquei|mostrei|ajudei|indiquei|falei|respondi|ensinei|passei|mandei, expliquei,
        ajudei, mostrei, ensinei, indiquei, ja atendi, eu respondi, me contou, contaram,
        disseram
        """,
    ),
    "mencao": (
        0.8,
        """
            o verbo CIT, a oracao CIT, fala CIT, falando CIT, falou CIT, dizia CIT,
            diz CIT, gritou CIT, chama CIT, nome de CIT, nome CIT, livro CIT, placa ..
            CIT, faixa .. CIT, cartaz .. CIT, corrij* .. CIT, analis* .. CIT,
            reescrev* .. CIT, troque CIT, ponha .., quantas letras, que classe
            gramatical, sempre CIT, era CIT, CIT eh o titulo|nome, titulo CIT,
        CIT, a palavra, o verbo, o termo CIT, a expressao CIT, a frase, sinonimo*,
        antonimo*, traduz* CIT, traduz* .. pro|pra|para|em|ao
        ingles|espanhol|frances|alemao|italiano, em ingles, em espanhol, conjug*, silaba*,
        soletr*, escreve com, se escreve, o titulo, chama CIT, chamad*, se chama, refrao,
        musica, capitulo, cartaz, placa, letreiro, plural, feminino, rima*, escrito,
        escrita CIT, estampa*
        """,
    ),
    "tarefa": (
        0.8,
        """
        ^^ traduz*, ^^ [me] resum*, ^^ [me] cont* uma, ^^ [me] conta um|uma|outra, ^^ [me]
        escrev* um|uma|o|a|NUM, ^^ [me] escreva, ^^ [me] faz um|uma|o|a, ^^ [me] faca
        um|uma|o|a, ^^ [me] cri* um|uma, ^^ [me] list* , ^^ [me] gera um|uma|o|a, ^^ gere,
        ^^ calcul*, ^^ soma*, ^^ corrija, ^^ corrige, ^^ invent*, ^^ monta um|uma, ^^
        monte, ^^ liste, ^^ convert*, ^^ compar*, ^^ complet*, ^^ passe, ^^ passa ..
        pro|pra|para, ^^ coloque, ^^ coloca, ^^ reescrev*, ^^ redij*, ^^ toca|toque,
        ^^ lembr* me, ^^ me lembr*, ^^ agende, ^^ acorda me, ^^ cant*, ^^ defin*, ^^
        classific*, ^^ ordene, ^^ organiz* .. lista|ordem, ^^ transform*, ^^ cite, ^^
        diga, ^^ descrev*, ^^ imagin*, ^^ simul*, ^^ me fale, ^^ me conta, ^^ conte,
        piada, poema, haicai, uma historia, um conto, curiosidade, trava lingua*,
        adivinha, charada, um verso, um texto sobre, uma redacao, legenda
        """,
    ),
    "fato": (
        0.7,
        """
        ^^ quem
        foi|eh|era|inventou|descobriu|escreveu|pintou|ganhou|venceu|criou|fez|descobriu|matou|canta|compos|proclamou,
        ^^ quanto|quantos|quantas .., ^^ quando .., ^^ qual|quais [eh|foi|era] [o|a|os|as]
        !site|telefone|melhor|jeito|forma|link|contato|endereco|email .., ^^ que
        dia|horas|ano|horas|seculo, ^^ o que eh|foi !isso|CIT|esse|essa, ^^ porque
        o|a|os|as .., em que ano, quanto custa, quanto eh, que horas, capital d*, quantos
        anos, ^^ existe vida, ^^ voce eh|gosta|tem|sabe, ^^ qual seu|sua
        """,
    ),
    "cortesia": (
        0.8,
        """
        ^^ oi $, ^^ ola $, ^^ opa $, ^^ eai, ^^ e ai, ^^ bom dia, ^^ boa tarde, ^^ boa
        noite, obrigado, valeu, de nada, tchau, ate mais, ate amanha, ate logo, beleza $,
        falou $, tudo bem ?, tudo bem com, como vai, ^^ ok $, ^^ ta bom, ^^ sim $, ^^ nao
        $, ^^ claro $, ^^ perfeito, ^^ otimo, ^^ show, ^^ legal $, ^^ entendi $, ^^ certo
        $, ^^ pode ser $, ^^ massa, ^^ RISO, parabens, bom trabalho, gostei, amei, adorei,
        agradeco, gratidao, ^^ fechado, ^^ combinado
        """,
    ),
    "outro_sentido": (
        0.8,
        """
        funciona de|das|ate|por|bem|a|direitinho|que, dificilmente, ajuda de custo,
        ajudante, duvidos*, frase feita, autoajuda, auto ajuda, informado, informatica,
        informante, encontrei, encontro com, ponto de encontro, explicacao d*, genio
        dificil, pessoa dificil, aula de reforco, central de, balcao de, mesa de ajuda,
        botao de, menu de, ajuda humanitaria, jornal, noticia, complicadinh*, consigo
        mesm*, carrego consigo, levou consigo, dificil de achar, duvida razoavel, dia
        dificil, talvez seja
        """,
    ),
}
