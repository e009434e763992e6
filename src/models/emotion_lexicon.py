"""O léxico de emoções do português do Brasil, como dados.

Cada linha lista expressões separadas por vírgula, sem acentos obrigatórios. ``*`` no fim de uma
palavra aceita qualquer terminação ("feliz*": feliz, felizes, felizão); ``..`` aceita até três
palavras no meio ("morr* .. saudade"). O peso é o quanto a expressão vale sozinha: 1 é uma emoção
clara, 1,5 é forte, 0,4 e 0,35
são palavras comuns, que sozinhas só contam quando alguém fala de si.

Foi ajustado com ``data/eval/emocoes_dev.jsonl``, sem ler as frases de ``emocoes_teste.jsonl``.
"""

LEXICON: dict[str, dict[float, str]] = {
    "alegria": {
        1.5: """
            cheia de alegria, cheio de alegria, chor* de alegria, chor* de emocao, chor* de
            felicidade, chor* de rir, coracao transbord*, explod* de alegria, explod* de
            felicidade, explod* de orgulho, lagrimas de alegria, me acab* de rir, melhor dia da
            minha vida, morr* de felicidade, morr* de rir, nao cabia em mim, nao caibo em mim,
            nao to cabendo em mim, nas nuvens, pul* de alegria, pul* de felicidade, pulando de
            alegria, rach* de rir, rach* o bico, realiz* .. sonho, rol* de rir, sonho realizado,
            sorriso de orelha a orelha, transbord* de alegria
        """,
        1.0: """
            abracei, abraco apertado, abrir um champanhe, abriu um sorriso, acabou em festa,
            aceitou casar, aceitou meu pedido, acertamos, acertei, acordei bem, acordei
            cantando, acordei disposta, acordei disposto, acordei sorrindo, acude encheu, aee,
            aeh, agora e meu, agora e minha, agradecid*, agradeco a deus, agua de coco, alegr*,
            alegrou meu dia, aleluia, aliviad*, alivio, alma lavada, alma leve, alta do
            hospital, alto astral, amando, amei, amo demais, amo muito, amo voce*, amo voces,
            amorzinh*, animad*, animadac*, animal demais, anos sem beber, apaixonadinh*,
            aplaud*, aqui em casa e festa, arrancou um sorriso, arrasamos, arrasei, arrasou,
            arrasta-pe, ate que enfim deu certo, bao demais, batemos a meta, bateram palma,
            bateu palma, bati .. meta, bati minha meta, belezura, bem melhor agora, benign*,
            bilhete na minha, bilhetinh*, boa prosa, boas noticias, bobon*, bodas, bom demais da
            conta, bom humor, bora comemorar, borboletas no estomago, botei batom, brincamos,
            brindamos, brinquei, campea, campeao, campeoes, cantando, cantarol*, carinho enorme,
            carta de motorista, casa cheia, casa propria, ceu na terra, chave do apartamento,
            cheia de energia, cheia de gas, cheia de planos, cheio de energia, cheio de gas,
            cheio de planos, chorando de tanto rir, chorei de emocao, choveu no sertao,
            churrascao, churrasco, chuva chegou, colhi, comecei a namorar, comeco segunda,
            comemor*, confiante, consegui .. emprego, consegui .. vaga, conseguimos a,
            conseguimos adotar, conseguimos o, conta os dias, contando os dias, contente*,
            coracao .. festa, coracao .. quentinho, coracao cheio, coracao leve, coracao
            quentinho, coracao ta quentinho, curad*, curou, da hora, danca*, dancando, dancei,
            dancei .. sala, dancei a noite, daora, de alto astral, de bom humor, de peito cheio,
            de tanto comemorar, de tanto rir, dei conta, dei um pulo de, demos risada,
            derretid*, deu bom, deu certo, deu tudo certo, deus e bom, deus e maravilhoso, dever
            cumprido, dia abencoado, dia lindo, dia maravilhoso, dia perfeito, diploma, disse
            sim, doida pra, doido pra, dormi como um anjo, dormi que nem, dormi super bem, e de
            alegria, e de felicidade, eba, ebaa, ela aceitou, ele aceitou, emagreci, emocao boa,
            empolga*, empolgad*, encantad*, enfim livre, entusiasm*, esperancos*, esta curad*,
            estourar champanhe, estufei o peito, eta trem, eu passei, eufori*, euforic*, existe
            coisa melhor, extasiad*, exultante*, familia reunida, familia toda, familia toda
            junta, feito pinto no lixo, felic*, feliz*, festa a noite toda, festa na rua, festa
            surpresa, festej*, festejando, fez meu dia, fica quentinho, ficou boa, ficou bom de
            vez, fiquei toda, foi bom demais, foi demais, foi incrivel, foi lindo, foi
            maravilhos*, foi massa, foi otimo, foi show, fomos campeoes, formatura, forro, fui
            aceit*, fui ao ceu, fui aprovad*, fui chamad*, fui chamada pra vaga, fui contratad*,
            fui escolhid*, fui pro ceu, fui promovid*, fui selecionad*, funcionando
            perfeitamente, gabaritei, ganhei .. bolsa, ganhei na, ganhei o dia, ganhou o premio,
            gargalh*, gargalhamos, gloria a deus, gol do, gosto de quem eu vejo, gosto de quem
            sou, gracas a deus, grata, gratidao, gratissim*, grato, gratos, gritei de alegria,
            gritei de felicidade, gurizada reunida, hoje e festa, honrad*, igual pinto no lixo,
            ihu, inesquecivel, inspirad*, irada demais, irado, jubil*, juntos ha, lagrima de
            alegria, lavou minha alma, lev* comigo pra sempre, limpei meu nome, limpo de cancer,
            lindez*, lisonjead*, livre das dividas, livre enfim, louca pra, louco pra, lua de
            mel, mais linda do que, mais lindo do que, mal posso esperar, mandamos bem, mandei
            bem, maravilhad*, marzao, mata de rir, matando a saudade, matar a saudade, matar
            saudade*, matei a saudade, matei saudade*, mato de rir, matou de rir, me abracou, me
            abriu um sorriso, me adorar*, me amaram, me deixou alegr*, me deixou feliz, me
            derreti, me diverti*, me faz bem, me faz sorrir, me fez sorrir, me fizeram uma
            festa, me formei, me matei de rir, me pediu em, me sinto otim*, melhor agora, melhor
            aniversario, melhor coisa que, melhor dia, melhor fim de semana, melhor noticia,
            melhor presente, melhor viagem, merece comemorar, merece festa, merece uma pizza,
            meu de verdade, meu nome na lista, meu time foi campeao, minha de verdade, minha
            vida mudou pra melhor, missao cumprida, morta de rir, motivad*, muito melhor agora,
            muito obrigada mesmo, nada como um, nada melhor do que, nada melhor que, nada vai
            estragar, namorando, nao consigo parar de rir, nao consigo parar de sorrir, nao paro
            de rir, nao paro de sorrir, nao posso reclamar, nao queria que acabasse, nao tem
            coisa melhor, nao tem preco, nao tenho do que reclamar, nao vejo a hora, nasceram os
            dentinhos, nasci de novo, nem acredito que consegui, neve pela primeira, no paraiso,
            no setimo ceu, nome limpo, nos divertimos, nota dez, nota maxima, noticia boa,
            noticia maravilhosa, nova fase, nunca estive tao bem, nunca me senti tao bem, nunca
            vou esquecer o que vc fez, nunca vou esquecer o que voce fez, o gloria, oba,
            obrigada de coracao, obrigada por tudo, obrigado de coracao, obrigado por tudo,
            orgulh*, orgulhos*, pagode, pagou adiantado, papai pela primeira, passaporte
            carimbado, passei .. concurso, passei .. prova, passei .. vestibular, passei de ano,
            passei de fase, passei em primeiro, passei na auto escola, passei na lista, passei
            raspando, pedido de namoro, pediu em namoro, peito estufado, pela primeira vez e eu,
            peso das costas, peso enorme, pinto no lixo, povo todo, pra rua dancar, presente de
            deus, primeira casa, primeira vez no mar, primeira viagem, primeiro dentinho,
            primeiro lugar, primeiro salario, problema resolvido, pronta pra tudo, prontinh*,
            prosa boa, pulei, que .. nao acabasse, que alegria, que bencao, que bom, que
            delicia, que dia bom, que dia lindo, que dia maravilhoso, que fofa, que fofo, que
            fofura, que gostoso, que legal, que linda, que lindo, que maravilha, que massa, que
            orgulho, que otimo, que sensacao boa, que show, que sorte, que vitoria, quentinh*,
            quentinho no coracao, quer coisa melhor, queria que .. nao acabasse, quitei,
            radiante*, realizad*, realizada, realizei, recebeu alta, rede agua de coco, renasci,
            respir* aliviad*, respirei fundo pela primeira vez, ri alto, ri demais, ri muito, ri
            tanto, rimos, rindo a toa, rindo ate agora, rindo muito, rindo sozinh*, risada*,
            risos, rojao, role bom, sai com as amigas, saindo do forno, saiu do forno, saiu do
            hospital, saiu meu nome na lista, saltit*, salvou meu dia, salvou minha vida, salvou
            o dia, samba ate, sem beber hoje, sem cancer, sem fumar hoje, sem igual, sem voz de
            tanto comemorar, sensacao boa, so agradeco, so alegria, so felicidade, so sorriso,
            so tenho a agradecer, sobri*, soltar fogos, soltei fogos, sorri* .. dia, sorrindo a
            toa, sorrindo sozinh*, sorrisao, sorte grande, sou seu fa, sou sua fa, subiu de
            divisao, superei, surpresa boa, surpresa linda, suspirando, ta curad*, ta sendo
            incrivel, ta sendo otimo, ta tudo bem agora, ta tudo bem de novo, ta tudo no lugar,
            tamo voando, tao boa, tao bom, tao gostoso, te agradec*, te amo, tem coisa melhor,
            terminou em festa, teve alta, time .. subiu, time ganhou, time subiu, tirei a
            carteira, tirei a sorte, tirei a sorte grande, tirei dez, tirei um peso, tirou dez,
            tmj, to amando, to curad*, to nas alturas, to no ceu, to realizad*, toda boba, toda
            orgulhosa, toda reunida, todo bobo, todo mundo junto, todo mundo reunido, torci e,
            trem bao, tudo deu certo, tudo no lugar, turma reunida, ufa, uhu, uhul, vai estragar
            meu dia, valeu a pena, valeu cada, vamos comemorar, vc e demais, vencemos, venci,
            venci .. medo, ver o mar, vi o mar, vibr*, vibrei, vida boa, vida de rainha, vida de
            rei, vidao, viva, viva a, viva o, voando alto, voce e demais, voce me salvou, voltei
            a sorrir, voltei a viver, voltou a andar, voltou a falar, vou ser promovid*, zerei a
            divida, zerei as dividas, zerei o boleto, zoeira
        """,
        0.6: """
            abencoad*, abraco gostoso, aconchegante, aconchego, adoramos, adorando, adorei,
            adoro, adotamos, adotei, agradavel, amamos, animei, animou, bolo de cenoura, bonita
            de ver, bonito de ver, cachorrinh*, cafe passado, cafezinho, cafune, caprichad*,
            caprichos*, caprichou, carinhosa, casamos, chegou finalmente, chegou meu, chegou
            minha, colinho, conquist*, conseguimos, curti, curtimos, curtindo, de bem com a
            vida, de boa, delicia, delicios*, demais da conta, divertid*, docinh*, elogi*,
            emocionad*, enfim, enfim consegui, espetacular*, excelente, fantastic*, feriadao,
            ferias, festa linda, filhote, finalmente, finalmente consegui, fofa, fofinh*, fofo,
            fofura, folga, ganhamos, ganhei, generos*, gostosinh*, gostoso, gostosura, herdei,
            incriveis, lindinh*, lindo de ver, maravilh*, me elogi*, melhorou, mereci, merecid*,
            mereco, mimad*, mimo, mimos, nasceu, netinh*, noivamos, noivei, novinho em folha,
            otimista*, pagaram, pedido de casamento, perfeit*, primeira palavra, primeiros
            passos, privilegi*, promovid*, recebi flores, recompensa*, reconhecid*, recuperad*,
            reencontr*, ronron*, saboroso, satisfeit*, sensacional, sextou, show do meu, solzao,
            sorrindo, sorriso, sorteio, sortud*, surpreso de felicidade, vitoria, voltou pra
            casa, vou casar, vou ser avo, vou ser mae, vou ser pai, vou ser tia, vou ser tio
        """,
        0.4: """
            adotar, apaixonad*, bencao, bonus, brind*, cachoeira, cafe quentinho, cantar, carro
            novo, casa nova, casamento, cerveja gelada, cheirinho, comida da, dancar, descanso,
            feriado, flores, formad*, funcionou, gol, liberdade, medalha*, melhores, neta, neto,
            praia, presentao, resolvid*, risada, salario, sobrinh*, solzinh*, sonho, trofeu
        """,
        0.35: """
            bacana, beijo, bem melhor, boa demais, bom demais, brigadao, brigadinh*, carinhos*,
            gostamos, gostei, legal, leve, linda, lindas, lindo, lindos, obrigadao, otimo, paz,
            show, top, valeu
        """,
    },
    "tristeza": {
        1.5: """
            arras* por dentro, chor* a noite, chor* a tarde, chor* ate dormir, chor* o dia,
            chor* sem parar, coracao despedacad*, coracao em pedacos, coracao partido, destruid*
            por dentro, me sinto um fracasso, me sinto um lixo, me sinto um nada, meu mundo
            caiu, meu mundo desab*, morr* de saudade, morr* de tristeza, morr* por dentro, nao
            parei de chorar, nao paro de chorar, nao tenho mais vontade, perdi a vontade, queria
            sumir, quero sumir, sem rumo, sem vontade de viver, so choro, so queria chorar, so
            quero chorar, so sei chorar, sou um fracasso, sou um lixo, um vazio enorme, vazio
            dentro, vazio no peito, vontade de chorar, vontade de sumir
        """,
        1.0: """
            a culpa e minha, a falta, a partida de, abati*, abatid*, aborrecid* da vida,
            abracad* no, abracada no travesseiro, acabad*, acabou tudo, acabrunhad*, agua nos
            olhos, ainda pego o telefone, alma doi, alma pesada, almoc* so, almocando so, almoco
            de domingo sem, almoco sozinh*, amargur*, amizade acabou, amuad*, ando mal, animo
            nem pra, aniversario de morte, aniversario sem, aos pedacos, aos prantos, apagou
            nossas fotos, aperto no coracao, aperto no peito, arrasad*, asilo, azarad*, bad,
            balanco vazio, berco vazio, bombei, borocox*, botei duas xicaras, buraco enorme,
            buraco no peito, cabisbaix*, cade a alegria, cadeira dela, cadeira dele, caiu a
            ficha, caixao, cama vazia, caminha dele, caneca dela, caneca dele, cansada de viver,
            cansei da vida, cansei de sofrer, cansei de tentar, cansei de viver, carta da mamae,
            carta dela, carta dele, casa .. silencio, casa .. vazia, casa tao quieta, ceia
            sozinh*, cheia de do, cheiro dela ainda, cheiro dele ainda, chor*, chorand*, chorar
            no travesseiro, chorinho no travesseiro, cicatriz, cinzas, coitadinh*, coleira, come
            sozinh*, como se eu nao existisse, como se eu nunca, coracao apertado, coracao de
            pedra, coracao doi, coracao na mao de saudade, coracao pesado, coracao sangr*,
            corroi por dentro, corta o coracao, cortou meu coracao, da errado comigo, da tudo
            errado, de cortar o coracao, de dar do, debaixo do chuveiro, decepc*, decepcion*,
            decepcionei, deixei o sonho, deixou de me amar, deixou um buraco, depois que .. foi,
            depois que .. morreu, depre, depress*, deprimid*, derrotad*, derrub* por dentro,
            desabei, desabei no, desamparad*, desanim*, descanse em paz, desconsolad*, desde que
            .. morreu, desde que .. partiu, desde que .. se foi, desencantad*, desesperanc*,
            desgost*, desgracada da vida, desiludid*, desilus*, desisti .. sonho, desmotivad*,
            desolad*, despedac*, despedir, destrocad*, deu errado, deu tudo errado, devastad*,
            devia estar ali, devia estar aqui, devia ta aqui, devia ter dito, dia cinzento, dia
            de finados, divorcio, do danada, doendo aqui dentro, doeu, doeu demais, doeu muito,
            doi, doi demais, doi muito, doi tanto, dois pratos na mesa, domingo sem, dor de
            cotovelo, dor na alma, dor no peito, duas xicaras, em pedacos, em prantos,
            engavetei, engol* o choro, enlutad*, enterr*, enterrei o sonho, enterro, era da
            minha avo, era da minha mae, era do meu pai, era viva, era vivo, esperei e ninguem,
            esqueceram de mim, esqueceram do meu aniversario, esqueceram meu aniversario,
            esqueceu de mim, esqueceu meu, esse vazio, eu decepcionei, excluid*, faleceram,
            faleceu, falhei, falhei com, falta da minha, falta de vc, falta de voce, falta dela,
            falta dele, falta do meu, falta que, falta que .. faz, faria .. anos, faria anos
            hoje, fariamos .. anos, faz falta, faz tanta falta, feito fantasma, ferida aberta,
            ficar sozinh*, ficaram pra tras, ficha caiu que, ficou pra tras, fim da linha, fim
            de tudo, fim do casamento, fim do mundo pra mim, fim do namoro, fiquei de fora,
            fiquei esperando, fiquei mal, foi cedo demais, foi culpa minha, foi morar, foi pro
            ceu, fossa, foto antiga, fotos antigas, fracass*, fui demitid*, fui mal, fui
            recusad*, fui rejeitad*, fundo do poco, funeral, gordinha feia, hoje completaria,
            hoje faria, indo um por um, infelic*, infeliz*, insignificante, inutil, invisivel,
            isolad*, ja faz .. anos e ainda, ja nao esta, jant* sozinh*, jantando so, jururu,
            lado da cama, lament*, lamentando, lamentavel, lamento, largar o sonho, levantar da
            cama, levei pau, levei um fora, levei um nao, longe da minha, longe de casa, longe
            de tudo, longe do meu filho, lugar .. vazio, luto, macambuzi*, machucad*, machucou,
            machucou muito, magoa*, magoad*, magoou, mais um beijo na, mal demais, marejei, me
            acho feia, me acho feio, me apaguei, me arrependo, me corroi, me deixar, me deixaram
            de fora, me demitiram, me despedi, me despedido, me deu do, me doi, me esconder do
            mundo, me ignora*, me ignorou, me isolando, me isolei, me lamentando, me largou, me
            machuca, me odeio, me perdi de mim, me rasg*, me sentindo mal, me sentindo um, me
            sentindo uma, me sinto abandonad*, me sinto culpad*, me sinto descart*, me sinto
            horrivel, me sinto inutil, me sinto mal, me sinto perdid*, me sinto pessim*, me
            sinto so, me sinto um, me sinto uma, me trocou, me trocou por, melancol*, menos eu,
            mesa posta, meu sonho acabou, minha vida e uma, missa de setimo, molhei o
            travesseiro, morreu, mudou de pais, mudou pra longe, na bad, na fossa, na lama, na
            merda emocional, na minha vo, na pior, nada .. graca, nada .. sentido, nada bem,
            nada da certo, nada deu certo, nada e a mesma coisa, nada faz sentido, nada me
            anima, nada tem graca, nao aguento mais chorar, nao aguento mais sofrer, nao aguento
            mais viver, nao ando bem, nao apareceu ninguem, nao consegui a vaga, nao consegui
            levantar da cama, nao consegui passar, nao consigo comer, nao consigo mais sorrir,
            nao consigo me perdoar, nao consigo sorrir, nao deu pra mim, nao deu tempo de, nao
            dou sorte, nao e a mesma coisa, nao esta mais aqui, nao estou legal, nao faco falta,
            nao faz falta, nao fazem falta, nao foi chamad*, nao fui aprovad*, nao fui bem, nao
            fui chamad*, nao fui convidad*, nao fui escolhid*, nao fui selecionad*, nao gosta
            mais de mim, nao lembra de mim, nao lembra mais de mim, nao levanto da cama, nao
            liga mais, nao me ama, nao me ama mais, nao me chamaram, nao me chamou, nao me
            convidaram, nao me convidou, nao me perdoo, nao me quer, nao me reconhece, nao me
            reconheco, nao me respondeu, nao passei, nao presto pra nada, nao pude me despedir,
            nao quero levantar, nao quero mais nada, nao quero mais viver, nao quero nada, nao
            quero sair da cama, nao quero ver ninguem, nao recebo visita*, nao sabe quem eu sou,
            nao sai da cama, nao saio da cama, nao sirvo pra nada, nao sobrou ninguem, nao somos
            mais, nao sou boa o suficiente, nao sou bom o suficiente, nao ta mais aqui, nao tem
            graca nenhuma, nao tenho amigos, nao tenho animo, nao tenho com quem, nao tenho
            ninguem, nao tenho vontade, nao tenho vontade de nada, nao to bem, nao to legal, nao
            to nada bem, nao vai voltar, nao valho nada, nao veio ninguem, nao vejo saida, nao
            vejo sentido, nao volta mais, natal sozinh*, nem comi, nem consegui comer, nem
            consegui jantar, nem consegui levantar, nem jantei, nem lembrou, nem ligou, nem me
            deu parabens, nem me ligou, nem me reconheco, nem nem lembraram, nem o futebol, nem
            sabia que ia ter, nem um parabens, ninguem aparece, ninguem apareceu, ninguem
            lembrou, ninguem liga mais, ninguem liga pra mim, ninguem me chama, ninguem me
            chamou, ninguem me entende, ninguem me ve, ninguem nota*, ninguem percebe*, ninguem
            pergunta, ninguem perguntou, ninguem pra conversar, ninguem se importa, ninguem
            sente minha falta, ninguem sentiria, ninguem telefona, ninguem veio, ninho vazio, no
            banheiro do trabalho, no fundo do poco, no na garganta, no travesseiro, nos deixou,
            nostalgi*, nota baixa, nunca mais foi, nunca mais vai ser, nunca mais vou te ver,
            nunca mais vou ver, nunca me liga, nunca sou suficiente, nunca tivesse existido, o
            desemprego, oca por dentro, oco, odeio a minha vida, odeio minha vida, olhei no
            espelho e nao, olho inchado, olhos cheios, olhos cheios d agua, olhos encheram,
            olhos inchados, olhos marejad*, olhos se encheram, olhos se encheram de agua, parei
            no tempo, parte o coracao, partid* ao meio, partida da, partida do, partiu cedo,
            partiu meu coracao, passei .. sozinh*, pego o telefone pra ligar, peito apertado,
            perdemos .. bebe, perdemos a final, perdemos o bebe, perdemos o jogo, perdeu a cor,
            perdeu a graca, perdeu o sentido, perdi a alegria, perdi a amizade, perdi a
            esperanca, perdi a fe, perdi a vaga, perdi as esperancas, perdi meu, perdi meu
            cachorro, perdi meu gato, perdi minha, perdi minha melhor amiga, perdi o bebe, perdi
            o emprego, perdi tudo, perdi um filho, perdid* na vida, pesa mais que, por dentro
            estou, por dentro ta, por dentro to, pra que continuar, pra que levantar, pra que
            viver, pra um so, prantos, precisava de um abraco, preciso de colo, qria voltar,
            quando ela era viva, quando ele era vivo, quarto dela, quarto dele, que derrota, que
            do, que pena, queria colo, queria de volta, queria desaparecer, queria mais um dia,
            queria ter abracado, queria ter dito, queria um abraco, queria voltar no tempo,
            racao dele, rasgou por dentro, rebaixad*, recai, recaida, rejeitad*, reprovad*,
            reprovei, rodei, roupa dela, roupa dele, sacrificad*, sair da cama, saudade*,
            saudos*, se eu pudesse voltar, se eu sumisse, se foi e, se foi pra sempre, se foi
            tao cedo, se separ*, segunda opcao, segurando o choro, segurar o choro, sem amigos,
            sem animo, sem chao, sem despedir, sem ela .. mesma, sem energia pra nada, sem
            esperanca, sem fome, sem forca, sem forcas, sem graca nenhuma, sem graca sem, sem me
            despedir, sem ninguem, sem norte, sem pique, sem saida, sem sentido, sem visita, sem
            vontade, sem vontade de nada, sentindo falta, separac*, separamos, seria
            aniversario, silencio da casa, silencio doi, silencio na casa, sinto falta, sinto
            so, sinto tanta falta, so atrapalho, so dou trabalho, so lembram de mim quando, so
            levo, so me ferro, so me lasco, so o bagaco, so o po, so queria ter, so queria um
            abraco, so quero dormir, so quero minha cama, sobrando, sobrei, sofr*, sofrencia,
            solidao, solitari*, soluc*, solucei, sonho .. acabou, sonho pra tras, sorrio mas,
            sorriso forcado, sorumbatic*, sou burra, sou burro, sou feia, sou feio, sou um peso,
            ta doendo, tadinh*, tanta falta, tao mal, tao so, tao sozinh*, telefone nao toca,
            telefone que nao toca, ter me despedido, terminamos, terminei, terminou comigo,
            terminou por mensagem, terminou tudo, teve que sacrificar, time caiu, tirei zero, to
            mal, to sozinh*, to um caco, todo mundo menos eu, traiu minha confianca, traz de
            volta, trist*, tristeza, tristonh*, trocou por outra, tudo acabou, tudo da errado,
            tudo de ruim, tudo deu errado, tudo perdeu o sentido, tudo tao vazio, ultima vez
            que, ultimas palavras, ultimo abraco, um ano sem, um caco, um mes sem, um peso pra,
            um prato a menos, um vazio, uma pena, unica .. que nao, unico .. que nao, vazio que,
            velhice, velorio, vendi minha alianca, vendi o violao, vida de merda, vida parou,
            vida sem graca, viramos estranhos, virou estrela, virou estrelinha, visualizou e
            nao, volta pra mim, voltou pra longe, vontade de desaparecer, vontade de levantar,
            vontade de nada, zerei a prova
        """,
        0.6: """
            abandonaram, abandonou, acabou comigo, adeus, antigamente, apagad*, arrependid*,
            arrependimento, arrependo, ausencia, bons tempos, cadeira vazia, cai no choro,
            cansad* de tudo, casa silenciosa, casa vazia, chateadinh*, choroso, chuva na janela,
            coitad*, culpad*, de partir, desab*, desamparo, descart*, descartad*, desempregad*,
            desistir, desisto, despedida, dificil levantar, dificil sem, dificil viver, domingo
            a noite, domingo e o pior, era tao bom quando, esgotad*, exaust*, ferid*, foi
            embora, foram embora, foto dela, foto dele, fraca, fraco, frustrac*, frustrad*,
            infelizmente, internad*, jamais vou esquecer, jantar sozinh*, lamentei, lascou,
            lembro dela, lembro dele, longe da familia, longe de voces, longe dela, longe dele,
            magoa, melancolia, murch*, nao deu, nao rolou, natal sem, no meu canto, perdemos,
            perder a, perder o, perdi, perdid*, prejudicad*, primeiro natal sem, quarto vazio,
            que nao voltam, que sobrou, quebrad*, quebrad* por dentro, queria que ela estivesse
            aqui, queria que ele estivesse aqui, queria tanto, quieto no meu canto, restaram,
            restou, sem ela, sem ele, sem emprego, sem graca, sem voce, silencio, so eu, sobrou
            so, solto no mundo, sozinh*, sumir, sumiu do mapa, tarde demais, tempo que nao
            volta, vazia, vazio, vergonha de mim
        """,
        0.4: """
            abandonad*, acabou, alzheimer, ausente, cansaco, choro, desaparecer, domingo,
            envelhec*, errei, esquecid*, fracasso, fraqueza, lagrima*, lembranca, lembranca*,
            morte, nao consigo mais, perda, peso, saudade, vergonha
        """,
    },
    "raiva": {
        1.5: """
            cega de raiva, cego de raiva, cuspindo fogo, espum* de raiva, explod* de raiva, fdp,
            ferv* de raiva, filho da puta, morr* de odio, morr* de raiva, p da vida, puta da
            vida, puto da vida, que odio, que raiva, quebr* a cara, quebr* a cara dele, rodei a
            baiana, sangue ferv*, sangue nos olhos, soltando fogo, soltei os cachorros, subiu o
            sangue, vai a merda, vai pro inferno, vai se foder, vai tomar no, vontade de bater,
            vontade de esganar, vontade de gritar com, vontade de mandar, vontade de quebrar,
            vontade de socar, vontade de xingar, vsf, vtnc
        """,
        1.0: """
            a mesma desculpa, a mesma ladainha, abestad*, abomin*, absurd*, abusad*, abusam,
            abuso, abuso de autoridade, acabou a paciencia, acabou minha paciencia, acha que eu
            sou, acha que manda, acha que pode, afronta, agressiv*, ah vai, amarrad* a cara,
            aproveitador*, arremess*, arrogant*, ate aqui com, ate o pescoco, atendimento
            horrivel, atendimento pessimo, atrasaram meu, avisei .. vezes, babaca*, bando de,
            bando de gente, barulho infernal, bat* a porta, bater boca, bateram na minha,
            bateram no meu, bateram no meu carro, bateu no meu carro, bati na mesa, bati o
            telefone, bico desse tamanho, bolad*, boletim de ocorrencia, bosta de, botou a culpa
            em mim, brab*, brava, brava nao, bravissim*, bravo, brigando, brigar, briguei,
            bufando, bufei, bufo, cabeca fervendo, cabeca quente, cabra mentiroso, cabra safado,
            cachorrada, cafajeste, cai toda hora, cala a boca, cale a boca, calote, caloteir*,
            cambada, canalha*, cancelaram meu, cancelaram minha, cansad* de gente, cansad* de
            ouvir, cansad* de ser, cansad* dessa, cansad* desse, cansei de, cansei de ser,
            cansei de voce*, cansei dessa, cansei desse, cara amarrada, cara de pau, cara dura,
            cerrei os punhos, chata pra, chatic*, chato pra, chega de, chega disso, chegou
            quebrado, chutaram meu, cobranca indevida, cobrar errado, cobraram a mais, cobraram
            duas vezes, cobrou errado, colera, com o capeta, com o diabo, com odio, com raiva,
            comeram meu, comeu meu, conseguiu me tirar do serio, contando ate dez, contar ate
            dez, contei ate dez, corja, cortaram a minha, cortaram minha, cretin*, cricri, culpa
            dela, culpa dele, culpa deles, culpa sua, cuspindo maribondo, cuspindo marimbondo,
            da minha mae nao, da odio, da raiva, da revolta, da um odio, da uma raiva, dane se,
            dane-se, de cara fechada, de mal com, de novo a mesma, de proposito, de saco,
            debocha*, debochad*, deboche, decima vez, deixou plantad*, dentes cerrados,
            denunci*, desaforad*, desaforo, descaso, descontaram, desculpa esfarrapada,
            desgraca, desgracad*, desligaram na minha cara, desligou na minha cara, desliguei na
            cara, desrespeit*, detestavel, detestei, detesto, deu odio, deu raiva, discuti com,
            droga, droga de, duas caras, e a quarta vez, e a quinta vez, e a segunda vez, e a
            terceira vez, e um crime, egoist*, emburrad*, emputecid*, enche a paciencia, enche o
            saco, enchendo a paciencia, enchendo o saco, encheu o saco, encolerizad*,
            endiabrad*, enfurec*, engoli seco, engolir sapo, enraivec*, entalad*, entregaram
            errado, errado de novo, errou de novo, esbrave*, escraviz*, esgotou minha paciencia,
            esmurr*, espalhou sobre mim, espumando, esquentad*, essa bosta, essa droga, essa
            merda, essa porcaria, esse inferno, estragaram meu, estragou meu, estragou minha,
            estressad*, eu explodo, eu mato, exijo, explorador*, extraviaram, fala mal de mim,
            falando mal de mim, falar assim comigo, falar comigo assim, falar comigo desse
            jeito, falou assim comigo, falou da minha mae, falou mal de mim, falsa, falsidade,
            falta de carater, falta de consideracao, falta de educacao, falta de respeito, falta
            de vergonha, fart*, farta disso, farto disso, fazem de trouxa, fecharam meu carro,
            fechou na minha vez, ferv* por dentro, fervendo, fervi, ficaram de, ficou de mal,
            ficou de mandar, ficou de vir, foda se, foda-se, fofoqueir*, folga dele, folgad*,
            folgadao, fora de mim, fora do serio, fui enganad*, fui feit* de, fula, furaram a
            fila, furia, furios*, furou a fila, furou comigo, gente folgada, gente sem,
            golpista*, gritei com, gritou comigo, grosseir*, grosso comigo, hora extra de graca,
            hora na fila, horas de fila, horas esperando, horas na fila, horas no telefone,
            idiota*, imbecil, imbecis, inaceitavel, inadmissivel, incompetente*, indigna,
            indignac*, indignad*, indigno, infeliz desse, infeliz do, infernal, inferniza*,
            inferno, injust*, injustica, insuportaveis, insuportavel, interesseir*, intimidade
            demais, intoleravel, intrometid*, invadiram, invadiu, invejos*, inventando sobre
            mim, inventaram sobre mim, inventou que eu, irad*, irrit*, irrita, irritac*,
            irritad*, irritam, irritante*, irritou, isso nao fica assim, ja avisei, ja basta, ja
            chega, ja deu, ja disse que, ja falei .. vezes, ja falei mil vezes, ja falei q, ja
            falei que, ja liguei .. vezes, jogar as roupas, jogou a culpa em mim, jogou fora
            meu, jogou no lixo meu, letra miuda, levei bolo, liguei mil vezes, lixo de, lixo de
            aplicativo, lixo de atendimento, mais uma desculpa, mal atendid*, mal de mim, mal
            educad*, mal-educad*, mal-humorad*, maldit*, maldita hora, mato um, mau carater,
            mau-carater, me apunhal*, me controlar pra nao, me da nos nervos, me deixa em paz,
            me deixem em paz, me deixou plantad*, me deu bolo, me engan*, me enrol*, me esgotou,
            me explor*, me expor, me expos, me faz de, me fazem de, me fechou no transito, me
            fez de, me fez esperar, me fez passar vergonha, me fez perder, me humilh*, me
            ignoraram, me paga, me passaram a perna, me passou pra tras, me poupe, me respeit*,
            me respeita, me revolta, me roub*, me segurando pra nao, me segurar pra nao, me
            testa*, me tira do serio, me tirar do serio, me tirou do serio, me tratam, me
            trataram mal, me tratou como, me tratou feito, me tratou mal, me us*, me usando, me
            usou, mentiros*, mentiu na minha cara, mentiu pra mim, merda de, metid*, mexer com
            meu, mexer com minha, mexeram nas minhas, mexeu com minha, mexeu nas minhas coisas,
            mil vezes, milesima vez, minha paciencia, mord* a lingua pra nao, multa indevida,
            murro, musica alta, na frente de todo mundo, na frente dos outros, na minha vez, nao
            admito, nao aguento mais, nao apareca, nao cala, nao cumpre*, nao cumpriu, nao da
            pra aceitar, nao dei liberdade, nao deixam dormir, nao deixo barato, nao devolve,
            nao devolveu, nao engulo, nao fala comigo, nao fica quiet*, nao funciona nunca, nao
            me deixa em paz, nao me dirija a palavra, nao me enche, nao me pagam, nao me pagou,
            nao me peca, nao me venha, nao pagaram, nao pagou, nao perdoo, nao quero conversa,
            nao quero papo, nao respondo por mim, nao sou obrigad*, nao suporto, nao te dei, nao
            to brava nao, nao tolero, nao vai ficar assim, nao vem com, nao vem me, nao vou
            aceitar, nao vou deixar barato, negligen*, nem apareca, nem vem, ninguem aguenta, no
            meu limite, nos nervos, nunca funciona, o infeliz que, o pau quebra, obra as sete,
            odei*, odio, odios*, ordinari*, otari*, ousadia, paciencia de jo, paciencia tem
            limite, palhaca, palhacad*, palhaco, pare de me, parem de, passad* pra tras,
            passaram dos limites, passou a perna, passou do limite, passou dos limites,
            patifaria, pau comeu, pau vai quebrar, pegou meu .. sem, pegou minhas coisas, pegou
            sem pedir, pensa num, pensa que eu sou, perdendo a paciencia, perderam meu, perderam
            minha, perdi a paciencia, perdi meu tempo, pessimo atendimento, petulan*, pilantra*,
            pior atendimento, pistola, plantad* esperando, poca vergonha, por aqui com, porcaria
            de, possess*, possuid*, pouca vergonha, pqp, prepotent*, presta atencao, processar,
            procon, produto errado, prometeram consertar, prometeram e, prometeram e nao,
            prometeu e nao, propaganda enganosa, punho cerrado, puta, puta que pariu, puto, puts
            que raiva, quantas vezes, quase explodi, que absurdo, que descaso, que droga, que
            falta de, que gente mais, que inferno, que merda, que nao apareca, que palhacada,
            que ridiculo, que sacanagem, que saco, que se dane, que se exploda, que se foda, que
            se lasque, que tipo de gente, quebr* tudo, quebrei o prato, quebrou meu, quebrou
            minha, quem .. pensa que, quem comeu, quem ela pensa, quem ele pensa, quem fez isso
            vai, quem foi a, quem foi o, quem foi o infeliz, quem mandou, quem mexeu, quem
            pegou, quem voce pensa, quer brigar, quero brigar, quero meu dinheiro, quero que ..
            se exploda, quinta vez, rabugent*, raiva, raivos*, ranger os dentes, ranzinz*,
            rasguei, respeita os mais, respira fundo pra nao, respondeu errado, revolta, revolta
            ver, revoltad*, revoltante*, revoltei, ridicul*, rir da minha cara, riscou meu, riu
            da minha cara, rodar a baiana, roub* meu, roubalheira, sacana, sacanagem, saco
            cheia, saco cheio, saco isso, safad*, safadeza, sai da minha, salario atrasado,
            sangue subindo, sangue subiu, se acha a dona, se acha o dono, se aproveit*, se
            arrepender, se enxerga, se faz de, se ferrar, se mete onde, se meter na minha vida,
            segunda vez que, sem carater, sem educacao, sem limite, sem noc*, sem nocao, sem
            paciencia, sem vergonha, sem-vergonha, sem-vergonhice, sempre a mesma coisa, seu
            ordinari*, sexta vez, so enrola, so promete, sobrou pra mim, soco na, soco no,
            soltando fumaca, som alto, som alto de novo, some da minha, some daqui, sou palhac*,
            subi nas tamancas, subindo pelas paredes, subir nas tamancas, sujeira que fizeram,
            sumiu com meu, sumiu com o dinheiro, surda ou, surdo ou, surtar, surtei, ta achando
            que, ta se achando, te enxerga, te mato, tenha respeito, terceira vez que, testando
            minha, testar minha, tira vantagem, tirando com a minha cara, tirando do serio,
            tirando onda com, tirar do serio, tirar qualquer um do serio, tirou vantagem, to
            explodindo, to farta, to farto, to por aqui, tomar providencia*, torra* ..
            paciencia, torra* a paciencia, trabalho de graca, traicao, traidor*, trairag*,
            traiu, traste, tratar assim, trava toda hora, trepando nas paredes, trincando os
            dentes, trocar a fechadura, trouxa, um abuso, uma vergonha isso, usou meu, va a
            merda, va plantar batata, va pro inferno, va se catar, va se danar, va te catar,
            vagabund*, vai catar coquinho, vai escutar, vai me pagar, vai ouvir, vai pagar, vai
            plantar batata, vai se catar, vai se danar, vai se ferrar, vai ter briga, vai ter
            troco, vai ver se eu to, vai ver so, vao me pagar, vao pagar, ve se te enxerga, veia
            saltando, veio errado, veio quebrado, veio trocado, vergonha esse pais, vergonhos*,
            vigesima vez, virad* no, virada no jiraia, virei bicho, viro bicho, volume no talo,
            vontade de dar na, vontade de jogar, vontade de mandar .. longe, vontade de matar,
            vontade de pegar, vontade de tacar, vontade de voar no, vou atras, vou cobrar, vou
            denunciar, vou e no, vou explodir, vou matar, vou na delegacia, vou processar, vou
            reclamar, vou surtar, xing*, xinguei, zangad*, zomba*
        """,
        0.6: """
            aff, affs, arre, atrasad*, atraso, atrasou de novo, birra, brigona, burr*, cacete,
            caralho, chatead*, cobraram, culpa, desligam, embroma*, enrolac*, enrolam,
            enrolando, errad* de novo, fofoc*, gritou, haja paciencia, haja saco, hipocrit*,
            humilh*, impacien*, infeliz que, mais uma vez, mal humorad*, mau humor, mentiu,
            merda, nao devolvem, nao resolve*, nas minhas costas, nem avis*, nem pediu
            desculpa*, nem pra, nervos*, ninguem atende, ninguem faz nada, ninguem resolve,
            outra vez a mesma, pela quarta vez, pela quinta vez, pela terceira vez, pelas
            costas, pelo amor de deus ne, poxa vida, preguicos*, provoc*, quebr* meu, quebr*
            minha, reclam*, riscaram meu, sem avisar, sem educ*, sem me avisar, sem pedir,
            sempre a mesma, so pode ser brincadeira, ta de sacanagem, ta me tirando, toda santa
            vez, toda vez a mesma, vergonha na cara
        """,
        0.4: """
            agredi*, atacad*, bagunca, basta, berr*, cansei, chefe, chega, cobranca, criminos*,
            estressa*, estresse, explora*, falso, fila, grossa, jogado, ladroes, largado, louca
            suja, multa, ninguem faz, paciencia, promess*, sempre eu, sujar, toda hora
        """,
    },
    "medo": {
        1.5: """
            apavor*, aterrad*, aterroriz*, borrando de medo, branco de medo, cag* de medo, com
            muito medo, gel* de medo, horroriz*, me borr* de medo, morr* de medo, morro de medo,
            panico, paralisad* de medo, pavor, pavoros*, pelando de medo, terror, trem* de medo,
            tremendo de medo
        """,
        1.0: """
            acelerei o passo, acordo assustad*, acordo de madrugada pensando, acuad*, aflic*,
            aflit*, agarrad* no, agarrei no, agoni*, agua subindo, ai meu coracao, alagamento,
            alerta o tempo todo, algo grave, alguem atras, alguem me segu*, alguem no portao,
            alguem no quintal, alguem no telhado, alguma coisa ruim, alma penada, ameac*,
            ameacaram, amedront*, andei mais rapido, anestesia, angusti*, ansiedade, ansios*,
            apagou a luz, apertei o passo, apreens*, aranha armadeira, arma, arrancando telha,
            arrepi*, arrepia, arrepiad*, arrepiei, arrepio*, assalt*, assombra*, assombrac*,
            assusta, assustad*, assustador*, assustam, assustei, assustou, ataque de panico, ate
            agora nada, atras da porta, atras de mim, atravessei a rua, avc, barragem, barranco,
            barriga gelad*, barulho estranho, barulho na porta, batendo forte, bateria acabando,
            bateu o desespero, boca seca, borrada, borrado, borrei tod*, bota o pe fora, braco
            dormente, cabeca rodando, cabeca rodou, cabelo em pe, cabelo* em pe, cabelos em pe,
            cabreir*, cachorro solto, cagaco, cagad*, cagao de medo, cair em golpe, calafrio*,
            capot*, cara atras de mim, caroco, carocos, casa mal assombrada, celular desligado,
            cemiterio a noite, chaveei, chega bebada, chega bebido, cheia de medo, cheio de
            medo, cirurgia da, cirurgia do, clonaram, cobra enorme, cobra na, cobra no, cobri a
            cabeca, coisa grave, com a pulga atras da orelha, com o cu na mao, como e que eu
            vou, como vou criar, como vou pagar, como vou sustentar, congelei, contando os
            minutos, contrato vence, coracao acelerad*, coracao aos pulos, coracao dispar*,
            coracao disparad*, coracao na boca, coracao na goela, coracao na mao, coracao par*,
            coracao pul*, coracao quase par*, coracao quase sai*, coracao saindo pela boca,
            corri pra, credo em cruz, crise de ansiedade, crise de panico, cruzes que medo, cu
            na mao, dar de comer, de cabelo em pe, de olho na porta, debaixo da cama, debaixo da
            coberta, debaixo da mesa, depois que escurece, derrap*, desabamento, desabar,
            descobrir onde eu moro, desconfi*, desconfiad*, desesperad*, desespero, desliz* de
            terra, desmai*, despejad*, despejo, destelh*, deus me livre, deus me proteja, deus
            nos livre, deus que me perdoe, doenca grave, dor de barriga, dormencia, dormir de
            luz acesa, e gelo, e normal isso, e se a, e se acontecer, e se alguem, e se as, e se
            der, e se der errado, e se ela, e se ele, e se ele me, e se eu travar, e se for, e
            se isso, e se limparem, e se me, e se nao, e se ninguem, e se os, e se tudo, e se
            vier, e se voltar, em risco, embaixo da coberta, empac*, emperrei, enchente,
            encolhid*, encurralad*, enxame, era pra ter chegado, escapei por pouco, escapou,
            escorpiao, escorpioes, escuridao, espera do resultado, esperando o resultado,
            espinha gel*, estomago embrulhado de nervoso, eu apago, eu gelo, evito passar, evito
            sair, falta coragem, faltando ar, fantasma*, febre .. nao baixa, fico pensando no
            pior, filme de terror, fiquei imovel, fobia, foi por pouco, forcando a porta, freio
            falhou, frio na barriga, frio na espinha, frio na nuca, friozinho na barriga, fugi,
            fugir, furacao, futuro me, garganta fech*, garganta seca, gelando, gelei, gelo so
            de, gelo toda, gelou a espinha, gelou o sangue, granizo, guarda dos, hackearam,
            historia de terror, homem atras de mim, imaginando o pior, imagino o pior, infarto,
            inquiet*, insegur*, inseguranca, intranquil*, ja era pra ter chegado, ja penso no
            pior, jacare na, ladrao, latindo pra mim, levanta a mao pra mim, levar meus filhos,
            ligacao anonima, ligacao estranha, lista de corte, luz acesa, luz apagou, maior
            temor, mal consigo respirar, mal piso, mal saio, mamografia, mancha estranha,
            mandando todo mundo embora, mandarem embora, mao dormente, mao gelada, mao na
            macaneta, mao suando, mao trem*, mao* gel*, maos gel*, maos geladas, maos suando,
            maos trem*, maribondo, mau pressentimento, me achar, me afogar, me ajuda tem, me
            ameac*, me arrepi*, me bate, me bater, me borr*, me cagando, me encolh*, me
            encontre, me enfiei debaixo, me escond*, me espera la, me mata, me olhando estranho,
            me persegue*, me seguia, me seguindo, me seguiu, me tranco, me tranquei, me tranquei
            no, me tremi, me tremo, me vigiand*, medo, medo de perder, medros*, mensagem
            anonima, minha mao gela, mordeu, morta de medo, morte de perto, nao ando sozinh*,
            nao atende o celular, nao atende o telefone, nao baixa, nao boto o pe, nao chego
            perto, nao confio, nao consegui me mexer, nao consigo dormir, nao consigo dormir
            pensando, nao consigo entrar, nao consigo nem entrar, nao consigo olhar pra baixo,
            nao consigo respirar, nao da noticia, nao desco la, nao deu noticia, nao dormi
            pensando, nao durmo, nao durmo direito, nao e segur*, nao entro, nao entro no mar,
            nao fico sozinh*, nao fico tranquil*, nao gosto de ficar sozinh*, nao me mexi, nao
            me sinto segur*, nao nado, nao olho pra baixo, nao paro de pensar, nao passar na
            prova, nao passar no, nao passo la, nao passo por la, nao piso, nao pregou o olho,
            nao preguei o olho, nao quero ir sozinh*, nao quero morrer, nao quero nem pensar,
            nao quero perder, nao sai voz, nao saio mais, nao saio sozinh*, nao saiu voz, nao
            sei o que esperar, nao sei o que fazer se, nao sei o que vai ser, nao sei se
            aguento, nao sei se ela volta, nao sei se ele volta, nao sei se sobrevivo, nao sei
            se volto, nao sei se vou conseguir, nao subo la, nao tenho coragem, nao to segur*,
            nao to tranquil*, nao volto la, nao vou la sozinh*, neblina, neblina fechada, nem a
            pau, nem boto o pe, nem chego perto de altura, nem durmo, nem gosto de pensar, nem
            me mexi, nem morta, nem morto, nem olho pra baixo, nem passo, nem passo perto, nem
            pra por o lixo, nem quero pensar, nem sei o que vai ser, no que pode acontecer,
            nodulo, noiad*, noites sem dormir, o banco .. cobra medo, o futuro me, o que eu
            faco, o que me espera, o que sera de nos, o que vai ser, o que vai ser da gente, o
            que vai ser de mim, o que vai ser de nos, olhando pra tras, onca, onda gigante,
            operar, orando, ouvi passos, ouvi um, paralis*, paranoia, paranoic*, partiu pra
            cima, passar vergonha, passos atras, passos no, pelo amor de deus me, pelo* arrepi*,
            pensando besteira, pensando nela sozinha, pensando nele sozinho, pensando no pior,
            pensar no pior, pensei no pior, penso no pior, perd* o sono, perder a casa, perder a
            guarda, perder meu filho, perder meu pai, perder minha filha, perder minha mae,
            perdi o freio, perigo*, perigosa, perna* .. bamb*, perna* bamb*, perna* fraquej*,
            perna* nao obedec*, perna* trav*, pernas amolec*, pernas trem*, perseguind*,
            pesadelo*, petrific*, pilha de nervos, pior pode, pitbull, plano de saude, pode
            acontecer com, poe o pe pra fora, por um triz, porta rangendo, pregou o olho,
            prendendo a respiracao, prendi a respiracao, preocup*, pressentimento, prova oral,
            pulga atras, qdo ele bebe, quando ele bebe, quando escurece, quase bati, quase fui
            atropelad*, quase me afoguei, quase me mordeu, quase me pegou, quase morri, quase
            tive um infarto, que me encontre, queda de luz, quimio, recea*, receio*, relampago*,
            repetir de ano, reprovar, respiracao curta, respirando esquisito, respirando
            estranho, resultado sai, rezando pra, rezei, rezo pra, rirem de mim, roendo as
            unhas, roendo unha, roer as unhas, roer unha, roi as unhas, rondando, rondar,
            rondou, roubarem, rua deserta, sabe onde eu moro, sai correndo, saiu .. nao voltou,
            saiu de moto, sala de cirurgia, sangue frio nas veias, sangue gela, sangue gelou, se
            acontecer algo, se acontecer alguma coisa, se alguem descobrir, se descobrirem, se
            ela descobrir, se ela morrer, se ele descobrir, se ele morrer, se enfiou debaixo, se
            eu morrer, se eu perder, se rirem, se voltar, seguindo desde, sem conseguir entrar,
            sem coragem, sem coragem de, sem dormir pensando, sem freio, sem noticia, sem
            noticias, sem renovar, sem unha, sem voz de medo, sempre olhando pra tras, sendo
            seguid*, sensacao ruim, sera grave, sera que e cancer, sera que e grave, sera que e
            normal, sera que vai, sirene tocou, so penso no que, sobressalt*, sobreviv*,
            socorr*, socorro, sombra atras, sombra na, sou a proxima, sou o proximo, sozinh* em
            casa, sozinha na rua, sozinho na rua, suando em bicas, suando frio, suando sem, suei
            frio, sufoc*, suor frio, suor gelado, surtando aqui, susto, tem alguem aqui, tem
            alguem la fora, tem alguem na, tem alguem no, temendo, temeros*, temo, temor,
            temor*, tensao, tentando abrir, terremoto, tira* o sono, tirando meu sono, tiroteio,
            to com medo, to surtando, todo mundo vai olhar, tomara que nao, tonta de, tontura,
            touro solto, tranco tudo, tranquei a porta, tranquei tudo, travad*, travei,
            treme-treme, tremedeira, tremelic*, tremendo, tremer, tremi, tremia, troveja*,
            trovejando, tubarao, ultrassom, um barulho, uma cobra, uma coisa ruim, uma pilha,
            unhas roidas, uns barulhos, vai acontecer alguma, vai me bater, vai me deixar, vai
            me largar, vai me matar, vai morrer, vai que, vai que acontece, vao cortar, vao
            renovar, vao rir de mim, vazaram, veio pra cima, veio pra cima de mim, vendaval,
            vertigem, vi a morte, vi uma cobra, vigiad*, virus novo, vou morrer, vou operar, vou
            passar vergonha, vou travar, voz falh*, voz sumiu, vultos
        """,
        0.6: """
            ainda nao chegou, ainda nao voltou, biopsia, cachorro bravo, cade ela, cade ele,
            cortes, dar branco, dar errado, demora* pra responder, dentista, entrevista, escuro,
            esquecer tudo, falar em publico, injecao, mal da pra respirar, me julg*, me mandarem
            embora, nao atende, nao chegou ate agora, nao dou conta, nao responde, nao vou
            conseguir, nao vou dar conta, perder o emprego, resultado da biopsia, resultado do
            exame, ruim pressinto, ser demitid*, serei demitid*, tempestade, todo mundo olhando,
            trovao, trovoada, turbulencia
        """,
        0.4: """
            afog*, afund*, agouro, agulha, ameacou, apresentacao, ar, aranha, armad*, avaliacao,
            aviao, banca, bandido, beco, bomba, cachorro grande, cancer, caverna, chega logo,
            chegar em casa, cobras, conta no banco, correnteza, correr de, desaparecid*,
            epidemia, escond*, espirito*, exame, exames, explosao, exposta, exposto, fantasma,
            grave, guerra, hacker*, incerteza, madrugada, maldic*, mar aberto, mata fechada,
            morcego*, nao chegou, noite sozinh*, onda, palco, perder, perigo, picad*, piorar,
            ponte, prova, raio, rosn*, rosnando, rua escura, sangue no, senha vazada, silencio
            estranho, sirene, suar, tiro, tiros, tomara, trancad*, tumor, urgente, vespa*, vulto
        """,
        0.35: """
            barulho, dar conta, estranho, noite escura, so de imaginar, so de pensar
        """,
    },
    "surpresa": {
        1.5: """
            arregalei os olhos, baita surpresa, boquiabert*, cai da cadeira, cai dura, cai duro,
            cai pra tras, chocad*, de boca aberta, em choque, fiquei chocad*, fiquei passad*,
            fiquei sem palavras, grande surpresa, meu queixo, nao esperava por essa, olhos
            arregalad*, pega de surpresa, pegaram de surpresa, pego de surpresa, pegou de
            surpresa, por essa eu nao esperava, por essa nao esperava, por essa ninguem
            esperava, quase cai, que surpresa, queixo caido, queixo caiu, sem palavras, to
            chocad*, to passad*
        """,
        1.0: """
            a cara de um, abalad* com a noticia, abismad*, abri a caixa e, abri a gaveta e, abri
            a porta e, abri e tinha, abri um livro e, acabei de descobrir, achei no bolso,
            acredita nisso, adivinha quem, ah nao creio, ahn, ainda sem acreditar, aparece do
            nada, apareceu aqui, apareceu do nada, apareceu na minha, apareceu na televisao,
            apareceu na tv, arregal*, as duas eram, assombros*, ate agora nao acredito, ate
            engasguei, ate eu, ate meu pai, ate minha mae, ate minha vo, atonit*, babadeira,
            babado, bafao, bafo forte, barbaridade, bateu na minha porta, bege com, belisc*,
            bizarr*, bizarro, cade o que, ce jura, ce ta me dizendo, chocante, choquei,
            coincidencia, coisa doida, coisa mais doida, coisa mais estranha, como assim, como
            assim ela morreu, como cresceu, como e possivel, como e que e, como pode, como que
            pode, contra todas, credo que, creio, cresceu tanto, custando a acreditar, custei a
            acreditar, custo a acreditar, custou quanto, da noite pro dia, da pra acreditar, de
            cair o queixo, de onde saiu, de onde surgiu, de queixo, de uma hora pra outra, de
            uma vez so, dei de cara, dei de cara com, deixei cair, deparamos, deparei, derrubei
            o, descobri agora, descobri hoje, descobri ontem, descobri que, descobri um,
            descobri uma, descobrimos, desde quando, desprevenid*, deve ter erro, dificil de
            acreditar, do dia pra noite, dou de cara, e a mesma pessoa, e ai que descobri, e nao
            e que, e pegadinha, e possivel uma coisa, e real isso, e serio isso, e verdade isso,
            e verdade mesmo, eitaa, engasgu*, engasguei, era a mesma, era a mesma pessoa, era o
            tempo todo, esbugalh*, esfreguei os olhos, espant*, espantad*, espanto, esse tempo
            todo, estarrecid*, estranhissim*, estupefat*, eu ia pensar, eu nao sabia,
            extraordinari*, ficou famosa, ficou famoso, ficou mud*, final do filme, fiquei
            abismad*, fiquei bege, fiquei besta, fiquei boba, fiquei bobo, fiquei de cara,
            fiquei mud*, fiquei sem fala, fiquei sem reacao, foi parar, fora do comum, fora do
            normal, fui contar e, fui olhar e, fui ver e, ganhei eu nem, ganhou quanto, hein
            como, igualzinh*, imagina a minha cara, imagina minha cara, imagina so, impensavel,
            impressionad*, impressionante, imprevist*, inacreditavel, incredul*, inesperad*,
            inesperadamente, inexplic*, inimagin*, isso e real, isso e verdade, ja faz tudo
            isso, ja tinha sido, jamais diria, jamais imaginei, jamais me passou, jamais na
            minha vida, jamais pensei, jesus amado, jura mesmo, juraa, juro por deus, juro por
            tudo, justo agora, justo ela, justo ele, justo eu, justo hoje, largou tudo e, levei
            um susto bom, li direito, li duas vezes, li tres vezes, logo ela, logo ele, logo eu,
            magica, mal acredito, mas gente, mas nao era, me aparece, me apareceu, me belisca,
            me beliscar, mentira ne, mentira que, mentiraa, mesmo nome que, meu deus do ceu,
            milagre, mind blow*, minha gente, minha nossa senhora, mudou tanto, n acredito, na
            mesma cidade, na verdade e, na verdade era, nao acreditei, nao acredito, nao brinca,
            nao contava com, nao creio, nao desconfiei, nao e possivel, nao e que, nao era
            amanha, nao era pra ser, nao esperava, nao estava esperando, nao faco ideia de como,
            nao faco ideia de onde, nao fazia ideia, nao imaginava, nao imaginei, nao me passou
            pela cabeca, nao passou pela minha, nao pode ser, nao reconheci, nao sabia que, nao
            sei nem o que dizer, nao sei o que dizer, nao tava contando com, nao tava esperando,
            nao tinha ideia, nao to acreditando, nao to crendo, nao vai acreditar, nem
            acreditei, nem acredito, nem desconfiava, nem desconfiei, nem em sonho, nem
            imaginava, nem me contaram, nem me inscrevi, nem nos meus sonhos, nem passava pela
            minha, nem passou pela minha, nem reconheci, nem sabia, nem sei o que dizer, nem sei
            o que pensar, nem sonhando, ninguem desconfiava, ninguem diria, ninguem esperava,
            ninguem esperava por, ninguem imaginava, ninguem me avisou que, ninguem me contou,
            ninguem sabia, ninguem tinha me contado, ninguem vai acreditar, no mesmo dia,
            noossa, num piscar de olhos, nunca desconfiei, nunca diria, nunca ia imaginar, nunca
            ia pensar, nunca imaginei, nunca me passou, nunca na vida, nunca na vida imaginei,
            nunca pensei, nunca pensei que, nunca tinha visto, nunca vi isso, nunca vi na minha
            vida, o que voce disse, o queixo, oi como, olha isso, olha o que, olha o tamanhao,
            olha o tamanho, olha quem, olha so quem, olho arregalado, ora essa, orra meu, ouvi
            bem, ouvi direito, ouvi errado, para tudo, pasm*, pasmem, passei mal com a noticia,
            passou pela cabeca, pedi pra repetir, pegadinha, pera ai, perdi a fala, perplex*,
            plot, plot twist, primeira vez que, primeira vez que vejo, primeiro de abril, quais
            as chances, qual a chance, quando menos espera*, quase cai da cadeira, quase cai pra
            tras, quase derrubei, quase desmaiei, quase engasguei, quase infartei, quase nao
            reconheci, quase tive um treco, que babado, que coincidencia, que coisa doida, que
            doideira, que doidera, que e isso, que que e isso, que que foi que, quem avisou,
            quem contou, quem diria, quem diria que, quem foi que disse, quem ganhou fui eu,
            quem ia imaginar, quem imaginaria, quem te viu, rapaaz, reencontrei por acaso, reli,
            repete que nao, repetir tres vezes, revelad*, revelaram, revelou que, reviravolta,
            saiu agua, sem acreditar, sem esperar, sem fala, sem mais nem menos, sem reacao,
            sera que eu li direito, serio isso, serio mesmo, sinistro, so agora descobri, so
            agora percebi, so pode ser erro, so que era, sobrenatural, somos irmaos, sorteada
            fui eu, spoiler real, surgiu do nada, surpreend*, surpres*, surreais, surreal, ta
            brincando, ta falando serio, ta loco, ta louco, ta maluco, ta zoando, tamanhao, tava
            passando na tv, tinha uma carta, tive um treco, to bege, to besta, to boba, to bobo,
            to crendo, to de cara, to sem acreditar, to sonhando, tocou a campainha, topei com,
            tu acredita, tudo isso de, uma carta de, valha me deus, vc nao vai acreditar, vc ta
            me dizendo, vc viu, verdade mesmo, vi direito, virada no final, virgem maria, virou
            o jogo, viu isso, voce nao vai acreditar, voces nao vao acreditar, voces viram, wtf,
            zebra
        """,
        0.5: """
            acaso, achei que, adivinha, ate tu, ave maria, cacilda, caraca, caracas, caraio,
            caramba, choque, crente que, cruzes, de repente, depois de dez anos, depois de vinte
            anos, descobri, diferente de tudo, do nada, doideira, e serio, egua, eita, gente do
            ceu, irreconhecivel, jesus, jura, jurava que, loucura, minha nossa, misericordia,
            mudou completamente, nossa, nossa senhora, novidade, o tempo todo era, ora ora,
            orra, oxe, oxente, pensei que, pera, perai, por acaso, puts, putz, puxa, puxa vida,
            quase cai da, que loucura, que viagem, revelac*, sumiu, tinha certeza que, uai, uau,
            ue, valha, virgem, vish, vixe, wow
        """,
        0.4: """
            achava que, apareceu, ave, coincid*, de uma vez, escondido, esperava, famosa,
            famoso, gemeos, identic*, imaginava, inedit*, justo, logo, mesmo dia, mesmo lugar,
            mesmo nome, milhao, no bolso, passada, pensava que, premio, repentin*, secreto,
            surgiu, trigemeos, virou
        """,
    },
    "nojo": {
        1.5: """
            anojad*, ansia de vomito, asco, ascos*, asqueros*, da* vontade de vomitar, deu
            ansia, embrulh* .. estomago, enoj*, estomago embrulh*, estomago revir*, estomago
            virou, me da ansia, me deu ansia, morr* de nojo, nojeira, nojent*, nojo, quase
            vomit*, que nojo, repugn*, repuls*, revir* .. estomago, revolv* .. estomago, virou
            .. estomago, vomitar, vomitei, vontade de vomitar
        """,
        1.0: """
            absorvente, afastei o prato, agonia no estomago, agua marrom, agua parada, agua
            suja, ansia, anti higienic*, anti-higienic*, argh, arrot*, arroto na, assedi*,
            azed*, baba de, baba do, babad*, babando na lingua, babao, baboso, bafo, banheiro da
            estrada, banheiro da rodoviaria, banheiro de posto, banheiro do bar, banheiro do
            posto, banheiro imundo, banheiro quimico, banho de alcool, barata na, barata no,
            barata voadora na comida, barata*, baratas, baratinha*, batom no copo, bebeu no meu
            copo, beijo molhado, berne, bernes, bichad*, bicheira*, bicho de pe, bicho morto,
            bicho na comida, bicho na salada, bicho no prato, bituca no, blergh, boca cheia,
            boiando, boiando no, bolo de cabelo, bolor*, bosta, botei pra fora, budum, bueiro,
            cabelo na comida, cabelo na sopa, cabelo no meu, cabelo no pao, cabelo no prato,
            cabelo no ralo, cabelo* no ralo, cacaca, cadaver, caiu no chao e comeu, camisinha,
            caracas de, carne estragada, carne mexendo, carne podre, carne verde, carnica,
            carrapato, casca de ferida, casca de unha, catarro, catinga, catinga braba,
            catingud*, cece, cecezento, cera de ouvido, cheira a, cheirando mal, cheirei a
            camisa, cheiro azedo, cheiro de bicho, cheiro de cigarro, cheiro de coco, cheiro de
            esgoto, cheiro de lixo, cheiro de mijo, cheiro de mofo, cheiro de pe, cheiro de
            peixe, cheiro de podre, cheiro de rato, cheiro de suor, cheiro de xixi, cheiro
            forte, cheiro horrivel, cheiro insuportavel, cheiro podre, cheiro que, cheiro ruim,
            chiclete embaixo, chiclete grudado, chiqueiro, chorum*, chorume, chule, chulezao,
            chulezento, chutar cachorro, cinza no prato, coalhad*, coalhou, coc* o saco, coisa
            mais nojenta, colocar pra fora, com bicho, comeu do chao, comeu meleca, comida de
            semana passada, como salsicha, copo sujo, cospe, craca, criando bicho, criou bicho,
            crosta, cru gelado, cupim, cuspe, cuspi*, cuspindo, cuspir, cuspiu, cutuc* o nariz,
            cutucando o dente, da embrulho, da engulho, decompos*, dedo no nariz, dentadura no,
            descarga, dormi de roupa, eca, ecaa, ecati, eeca, em pedacos e, embolorad*, empurrei
            o prato, encardid*, engulho*, enjoad*, enjoo, escarr*, escarradeira, escarrou,
            esgoto, esgoto a ceu aberto, esperma, espinha estour*, esponja preta, esponja velha,
            espremer espinha, espremeu, estomago vira, eww, falta de higiene, fede, fedem,
            fedendo, fedentina, fedeu, fedia, fedid*, fedor, fedorent*, fermentad*, fezes de,
            fio de cabelo, fios de cabelo, formigas no, fossa aberta, fralda, frieira*, fruta
            podre, futum, geladeira .. podre, geladeira desligada, gente desse tipo me, gente
            podre, golfou, gordura velha, gosma, gosment*, gosto azedo, gosto de podre, gosto
            horrivel, gosto ruim, grud*, grudado embaixo, grudando, grudent*, grudou no meu,
            higiene zero, iac, ick, imund*, imundice, inhaca, insalubre, inseto na, inseto no,
            irc, lagarta na, lagartixa*, lama podre, lambe*, lamber, lambeu, lambido, lambuz*,
            larguei o garfo, larguei o prato, larva*, lavar o rosto com sabao, lavei a mao ..
            vezes, lavei as maos .. vezes, lavei o rosto, leite .. pedacos, leite azedo, leite
            coalhado, lencol manchado, lencol sujo, lesma*, limo, limpou o nariz, lixo aberto,
            lixo acumulad*, lodac*, lodo, louca de uma semana, mal ao estomago, mal cheiroso,
            malcheiros*, maltrata animal, maltratar animal, maltratou, mancha amarela, marmita
            de semana passada, marmita esquecida, mastiga de boca aberta, mastigando de boca,
            mau cheiro, me arrepia de nojo, me causa repulsa, me da agonia no estomago, me da
            enjoo, me embrulha, me enjoa, me faz mal ao estomago, meio mastigad*, melad*,
            meleca, melequent*, mesa grudando, mesma colher, mesma faca que, mesmo pano que,
            meteu o dedo no nariz, meu estomago vira, mexendo sozinha, mictorio, mijad*, mijo,
            mofad*, mofo, mordi* .. lagarta, mordid*, mosca em cima, mosca na, mosca no, moscas,
            moscas em cima, murrinha, nao consigo encostar, nao consigo nem olhar, nao dava pra
            usar, nao desce, nao deu descarga, nao encosto, nao encosto nisso, nao escova, nao
            lava a mao, nao lavou a mao, nao piso la, nao toma banho, nata boiando, nata grossa,
            nause*, nausea*, nem almocei depois, nem chego perto, nem consigo olhar, nem
            encosto, nhaca, ninho de, no estomago, nojera, nunca mais comi, nunca mais como,
            oleo velho, ovo estragado, ovo podre, palito de dente, pano de chao na pia, pao
            mofado, passad* do ponto, passo longe, pe fedendo, pedofil*, pegajos*, pegou do chao
            e comeu, peid*, pelo na, pelo no, pelo no travesseiro, pelo que nao era meu, pelos
            no, peludo e verde, penico, pentelho, perdi .. apetite, perdi .. fome, perdi a fome,
            perdi o apetite, perereca*, pessoa podre, pia entupida, piolho*, piscina suja, pisei
            descalc*, pisei em, pisei no coco, pisei num, podre de, podre*, podres, podridao,
            pombo*, por pra fora, porca, porcaria na, porcas, porco, prato sujo, preciso de um
            banho, prendi a respiracao de tanto fedor, pum no, quase pus pra fora, queijo
            mofado, quero tomar banho, ralo cheio, rancos*, ranho, rastro de, ratazana*, rato,
            rato morto, rato na, rato no, ratos, remedio falso, remela, respirando pela
            camiseta, resto boiando, revir* as tripas, revir* por dentro, revir* tudo por
            dentro, revirou tudo, sai com isso, saliva, sanguess*, se aproveitar de crianca,
            sebos*, sem dar descarga, sem encostar em nada, sem higiene, sem lavar, sem tomar
            banho, ser humano podre, sola do, soltou um pum, sovaco*, sovaqueira, suja, sujas,
            sujeira, sujo, sujos, suor escorrendo, suruba, suvaco, talhad*, talher sujo, talhou,
            tampando o nariz, tapando o nariz, tapei o nariz, tarado, tatu de nariz, taturana,
            textura de, tinha bicho, tir* .. fome, tira isso daqui, tira isso de perto, tira o
            apetite, tirando tatu, tirou meleca, tirou minha fome, tirou o apetite, tirou tatu,
            toalha molhada, toalha suja, tripas, ugh, unha cortada, unha do pe, unha encravada,
            unha na, unha podre, unha suja, unhao, unhas cortadas, unhas do pe, urgh, urubu*,
            varejeira*, vaso entupid*, vaso sujo, velho tarado, verde de mofo, verme de gente,
            verme*, virou meu estomago, viscos*, vomit*, vomitaram, vomito, xixi de, xixi no
        """,
        0.6: """
            apetitoso, baixaria, banheiro publico, calcinha suja, colarinho preto, credo, cruz
            credo, cueca, desagradavel, desprez*, desprezivel, entupid*, ferida, gentinha,
            gorduros*, horrivel, horroroso, inseto*, intragavel, meia suja, meias sujas, pe
            sujo, pele morta, perver*, pes sujos, pia cheia, podre por dentro, ralo, resto de
            comida, sangue pisad*, ser desprezivel, sordid*, suor, tarad*, tenis fedido
        """,
        0.4: """
            abusador, apodrec*, aproveitar de idos*, baba, banheiro, bicho, boca, bolor, cabelo
            no, caca, casquinha, cheirando, cheirava, cheiro, coalh*, comida velha, corrupt*,
            cusp*, dedo no, descalc*, engoli, enjo*, espirr*, esponja, estomago, estragad*,
            fezes, fio de, garganta, geladeira, hipocrisia, imoral, imundicie, inseto, larva,
            lixeira, lixo, mastig*, minhoca*, molhad*, mosca*, nariz, pano de, pe descalco,
            pegad*, pervert*, pia, podr*, porcos, privada, sapo*, sovaco, suad*, sujinh*,
            tossiu, unha, unhas, vaso, verme
        """,
    },
}

#: Expressões que gastam as palavras sem valer emoção nenhuma.
IGNORED = """
    amo de, amo de chaves, anda sozinh*, ao vivo, banco de praca, barata da farmacia, barata e
    boa, barato e, boa noite, boa tarde, boas festas, bolo de cenoura sem, bom dia, bom fim de
    semana, botao de panico, caixa surpresa, cao bravo, cartao de feliz, chorinho, choro e,
    cobra coral, colinho do utero, conta barata, contra a raiva, cuidado com o cao, curta
    metragem, de tiro, desliga sozinh*, desligou sozinh*, doce de, droga de farmacia, drogaria,
    fecha sozinh*, fechou sozinh*, feliz aniversario pra, feliz ano novo, feliz cidade, feliz
    dia, feliz natal, feliz pascoa, festa de aniversario, festa junina, festa surpresa, folga
    na, folga no, gol de placa do carro, joga as, jogo da cobra, jogo da cobrinha, kinder ovo,
    legal ou ilegal, leve em conta, licenca nojo, liga sozinh*, lista de, mais barata, mais
    barato, mal passad*, mar bravo, massa com, massa de, massa do, massa pra, medo de errar,
    medo do palco de, mensagem de feliz, mes do desgosto, morar sozinh*, moro sozinh*, mosca
    branca, mouse, musico, nada nao, nasceu em, nasceu na, nasceu no, nojo de parente, o choro
    e, o time azul, opcao barata, ovo surpresa, parque do terror, parte legal, passagem barata,
    passagens baratas, paz mundial, pimenta brava, pode ser, por favor, porra nenhuma, porto
    alegre, pouso alegre, prazer em conhecer, preco barato, presente do indicativo, presente do
    subjuntivo, processo legal, prova real, prova surpresa, raiva canina, raiva humana, rato do
    computador, reinicia sozinh*, roda de choro, roda viva, sala de espera, sem problema, sem
    problemas, sexta feira, show da, show de, show do, sindrome do panico, tanto faz, terminal,
    tiro ao alvo, tiro de meta, tiro mancha, tiros de meta, top dez, touro bravo, vacina ..
    raiva, vento bravo, viva a vida em, viva voz, viva-voz
"""

#: Palavras que aumentam e que diminuem o peso do que está ao lado.
INTENSIFIERS = """
    absolutamente, baita, bastante, bem, caralho, caramba, completamente, demais, enorme,
    extremamente, hiper, imensa, imensamente, imenso, mega, mt, mto, muita, muitas, muitissimo,
    muito, muitos, pra caramba, profundamente, pura, puro, so, super, tanta, tanto, tao, total,
    totalmente, ultra
"""

DOWNTONERS = """
    cadinho, certa, certo, levemente, ligeiramente, meio, pouco, pouquinho, quase, tantinho
"""

#: Escrita da internet, e formas que o léxico escreve de um jeito só.
ABBREVIATIONS = {
    "aki": "aqui",
    "blz": "beleza",
    "ce": "voce",
    "cmg": "comigo",
    "dms": "demais",
    "dnv": "de",
    "eh": "e",
    "esta": "ta",
    "estava": "tava",
    "estou": "to",
    "hj": "hoje",
    "mds": "meu",
    "msm": "mesmo",
    "mt": "muito",
    "mta": "muita",
    "mto": "muito",
    "mtos": "muitos",
    "n": "nao",
    "naum": "nao",
    "nd": "nada",
    "neh": "ne",
    "ngm": "ninguem",
    "nn": "nao",
    "obg": "obrigado",
    "oq": "o",
    "para": "pra",
    "plmdds": "misericordia",
    "pq": "porque",
    "q": "que",
    "qd": "quando",
    "qdo": "quando",
    "sdd": "saudade",
    "sdds": "saudades",
    "slc": "nossa",
    "tb": "tambem",
    "tbm": "tambem",
    "td": "tudo",
    "tds": "todos",
    "tou": "to",
    "vc": "voce",
    "vcs": "voces",
    "vlw": "valeu",
}

#: Frases de quem fala da palavra, e não do que sente.
METALINGUISTIC = """
    a expressao, a palavra, adjetivo, adverbio, antonimo* .. de, artigo sobre, aula sobre,
    chamad* alegria, chamad* tristeza, com s ou, com x ou, com z ou, como escreve, como se diz,
    como se escreve, conjug*, contrario de, de exemplo, defina, definicao, dicionario, diferenca
    entre, ditado, e com s, e com z, em espanhol, em ingles, emoji de, entrevistados, escala de,
    fala da, falou sobre, feminino de, figurinha de, filme chama*, filme chamad*, filme sobre,
    frase feliz, frase sobre, frase triste, genero musical, livro chamad*, livro infantil sobre,
    livro sobre, mascara que, mascara*, masculino de, materia sobre, musica chamad*, musica
    sobre, o artigo, o autor se diz, o conceito, o que significa, o termo, o titulo, o verbo,
    palavras que, palestra sobre, papel da, papel do, personagem, pesquisa sobre, plural de,
    poema sobre, proverbio, que quer dizer, redacao sobre, rima com, rimas com, samba chamad*,
    se escreve com, segundo a pesquisa, separa as silabas, significado de, silaba tonica,
    silabas de, sinonimo* .. de, substantivo, texto sobre, titulo do, trabalho sobre, traducao,
    traduz*
"""

#: Negações que não negam: "não só feliz", "nunca ri tanto".
NEGATED_PHRASES = """
    como nao, fazia anos que nao, fazia tempo que nao, ha anos que nao, ha tempos nao, nada
    como, nada mais, nao .. tanto, nao apenas, nao consigo parar de, nao e que, nao fosse, nao
    parava de, nao paro de, nao poderia .. mais, nao podia .. mais, nao sei se choro, nao so,
    nao somente, nunca .. tanto, nunca estive tao, nunca fiquei tao, nunca fui tao, nunca me
    senti tao, nunca ri tanto, nunca senti tanta, nunca senti tanto, nunca tive tanta, nunca
    tive tanto, nunca vi coisa mais, nunca vi nada tao, nunca vi tanta, nunca vi tanto, por que
    nao, quem nao, se nao fosse, sem querer
"""

#: Palavras que parecem ter grau e não têm: não se desfazem ("caminho" não é cama pequena).
WHOLE_WORDS = """
    caminho caminhos carinho carinhos vizinho vizinhos vizinha vizinhas cozinha cozinhas linha
    linhas
    galinha galinhas farinha rainha rainhas campainha sardinha marinha espinha espinhas bainha vinho
    vinhos pinho ninho ninhos sozinho sozinha sozinhos sozinhas limao limoes cartao coracao coracoes
    botao portao balcao salao feijao fogao aviao leao verao sabao pulmao algodao violao sertao melao
    mamao macarrao camarao caminhao televisao razao irmao mao pao chao opiniao questao cidadao
    estacao licao acao nacao relacao situacao populacao producao educacao pessoa dona
"""

EMOJI: dict[str, tuple[tuple[str, float], ...]] = {
    **dict.fromkeys(
        "😀😃😄😁😊🙂😍🥰😻💖💕❤💛💚💙💜🧡🎉🥳🤩😎🙌💃🕺🎊✨🤗🏆🥹", (("alegria", 0.8),)
    ),
    **dict.fromkeys("😂🤣😆😹😜😝", (("alegria", 0.6),)),
    **dict.fromkeys("😢😭😞😔😟🙁☹😿💔😩🥺😥🥀", (("tristeza", 0.8),)),
    **dict.fromkeys("😡😠🤬👿💢😤🖕👊", (("raiva", 0.9),)),
    **dict.fromkeys("😱😨😰👻😧😓🫣", (("medo", 0.8),)),
    **dict.fromkeys("😲😮😯🤯😳🙀😵", (("surpresa", 0.9),)),
    **dict.fromkeys("🤢🤮🤧💩🪳🐀", (("nojo", 1.0),)),
    "🙄": (("raiva", 0.4),),
    "😒": (("raiva", 0.4),),
    "😬": (("medo", 0.4),),
}
