"""Corpora maiores que a memória: as mesmas linhas que em memória, feitas uma vez e relidas."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from src.config.config import Config
from src.config.personas import PERSONAS
from src.models.tokenizer import LunaTokenizer
from src.training import corpus_cache, corpus_reading
from src.training.corpus import CorpusDataset, CorpusOptions, corpus_is_large, prepare_corpus
from src.training.corpus_reading import Block, CorpusReport, DigestSet, Selection, iter_blocks
from src.training.corpus_rows import RowFiles, RowLayout, id_type, pack_rows, write_rows
from src.training.examples import Example, build_examples
from src.training.packing import IGNORED, PackedDataset
from src.utils.documents import Document
from src.utils.errors import ConfigError, DataError, NoDataError
from src.utils.file_utils import load_documents
from tests.conftest import SENTENCES

ROOT = Path(__file__).resolve().parents[1]
L = 48
ONE = CorpusOptions(workers=1)


def paragraph(number: int) -> str:
    """Um parágrafo que nenhum outro número repete."""
    return f"Parágrafo {number}. " + " ".join(SENTENCES[(number + i) % 8] for i in range(4))


@pytest.fixture
def data(tmp_path) -> Path:
    """Textos corridos, um deles com vários segmentos, e conversas de três formatos."""
    folder = tmp_path / "dados"
    folder.mkdir()
    (folder / "texto.txt").write_text("\n\n".join(map(paragraph, range(120))), encoding="utf-8")
    talks = [
        f"Usuário: Pergunta {n}?\nLuna: {SENTENCES[n % 8]}\n\nUsuário: E {n + 1}?\nLuna: {n}."
        for n in range(12)
    ]
    dialogue = "\n---\n".join(["[PERSONA] formal\n" + talks[0], *talks[1:]])
    (folder / "falas.txt").write_text(dialogue, encoding="utf-8")
    records = [{"text": paragraph(500 + n)} for n in range(10)]
    records += [{"instruction": f"Some {n} e 1.", "output": f"Dá {n + 1}."} for n in range(10)]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    (folder / "misto.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocos pequenos, para que um corpus de teste tenha vários."""
    monkeypatch.setattr(corpus_cache, "block_chars", lambda length: 4000)


def spoken() -> tuple[list[str], object]:
    """Uma lista de linhas ditas e a função que as recebe."""
    lines: list[str] = []
    return lines, lines.append


def documents_of(folder: Path) -> list[Document]:
    """Todos os documentos; nenhum é idêntico a outro, mas muitos são quase."""
    return load_documents(str(folder), deduplicate=False)[0]


def examples_of(dataset) -> Counter:
    """Os (ids, aprendidos) que estão nas linhas de um dataset, separados pelas posições."""
    found: Counter = Counter()
    for row in (dataset[i] for i in range(len(dataset))):
        starts = (row["position_ids"] == 0).nonzero().flatten().tolist()
        for start, end in zip(starts, [*starts[1:], dataset.length]):
            ids, labels = row["input_ids"][start:end], row["labels"][start:end]
            learn = labels != IGNORED
            assert torch.equal(labels[learn], ids[learn])
            if learn.any():  # o preenchimento não é exemplo
                found[tuple(ids.tolist()), tuple(learn.tolist())] += 1
    return found


def expected_examples(documents, tokenizer) -> Counter:
    examples = build_examples(documents, tokenizer, L)
    return Counter((tuple(e.ids), tuple(e.learn)) for e in examples)


# ---------------------------------------------------------------------- o conteúdo


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_hold_exactly_the_examples_that_memory_would(
    data, tokenizer, tmp_path, small_blocks, workers
):
    dataset = prepare_corpus(
        str(data), tokenizer, L, tmp_path / "c", CorpusOptions(workers=workers)
    )
    documents = documents_of(data)
    assert dataset.documents == len(documents)
    assert len(list(dataset.folder.glob("rows*.arrow"))) == workers
    expected = expected_examples(documents, tokenizer)
    assert examples_of(dataset) == expected
    assert dataset.tokens == sum(len(ids) * n for (ids, _), n in expected.items())
    assert dataset.learned == sum(sum(learn) * n for (_, learn), n in expected.items())


def test_rows_do_not_depend_on_the_number_of_processes(data, tokenizer, tmp_path, small_blocks):
    one = prepare_corpus(str(data), tokenizer, L, tmp_path / "a", ONE)
    two = prepare_corpus(str(data), tokenizer, L, tmp_path / "b", CorpusOptions(workers=2))
    assert len(one) == len(two) > 20
    for i in range(len(one)):
        assert all(torch.equal(one[i][name], two[i][name]) for name in one[i])


def test_rows_look_like_those_of_the_packed_dataset(tokenizer, tmp_path):
    path = tmp_path / "um.txt"
    path.write_text(paragraph(1), encoding="utf-8")
    dataset = prepare_corpus(path, tokenizer, L, tmp_path / "c", ONE)
    packed = PackedDataset(build_examples([paragraph(1)], tokenizer, L), L, tokenizer.eos_id)
    assert len(dataset) == len(packed) and dataset.fill_fraction == packed.fill_fraction < 1
    for mine, other in zip((dataset[i] for i in range(len(dataset))), packed):
        assert all(torch.equal(mine[name], other[name]) for name in other)
        assert {name: t.dtype for name, t in mine.items()} == {n: t.dtype for n, t in other.items()}
    assert torch.equal(dataset[-1]["input_ids"], packed[len(packed) - 1]["input_ids"])
    with pytest.raises(IndexError):
        dataset[len(dataset)]


@pytest.mark.parametrize("with_emotion,with_persona", [(True, True), (False, True)])
def test_vectors_follow_each_example_as_in_memory(tokenizer, tmp_path, with_emotion, with_persona):
    path = tmp_path / "falas.txt"
    talk = "Usuário: Estou muito triste.\nLuna: Sinto muito.\nUsuário: Que alegria!\nLuna: Que bom!"
    path.write_text(f"[PERSONA] formal\n{talk}\n---\nUsuário: Oi\nLuna: Olá", encoding="utf-8")
    options = CorpusOptions(with_emotion=with_emotion, with_persona=with_persona, workers=1)
    dataset = prepare_corpus(path, tokenizer, 200, tmp_path / "c", options)
    examples = build_examples(documents_of(path), tokenizer, 200, with_emotion=with_emotion)
    packed = PackedDataset(examples, 200, tokenizer.eos_id, with_emotion, with_persona)
    assert len(dataset) == len(packed)
    emotions = 0
    for mine, other in ((dataset[i], packed[i]) for i in range(len(packed))):
        assert mine.keys() == other.keys() and mine["persona"].any()
        assert all(torch.equal(mine[name], other[name]) for name in other)
        emotions += "emotion" in mine and bool(mine["emotion"].any())
    assert (emotions > 0) == with_emotion


def test_packing_by_blocks_fills_almost_as_well_as_all_at_once(
    data, tokenizer, tmp_path, monkeypatch
):
    documents = documents_of(data)
    packed = PackedDataset(build_examples(documents, tokenizer, L), L, tokenizer.eos_id)
    whole = prepare_corpus(str(data), tokenizer, L, tmp_path / "a", ONE)
    assert whole.fill_fraction == packed.fill_fraction > 0.9  # num bloco só, o mesmo arranjo
    blocks = len(list(iter_blocks(documents, 2000, CorpusReport())))
    monkeypatch.setattr(corpus_cache, "block_chars", lambda length: 2000)
    split = prepare_corpus(str(data), tokenizer, L, tmp_path / "b", ONE)
    assert blocks > 2 and len(packed) <= len(split) <= len(packed) + blocks


def test_every_learned_token_of_a_long_text_is_learned_once(tokenizer, tmp_path):
    path = tmp_path / "longo.txt"
    text = " ".join(SENTENCES[n % 8] for n in range(60))
    path.write_text(text, encoding="utf-8")
    dataset = prepare_corpus(path, tokenizer, L, tmp_path / "c", ONE)
    learned: Counter = Counter()
    for (ids, learn), count in examples_of(dataset).items():
        for token, taught in zip(ids, learn):
            learned[token] += count * taught
    assert learned == Counter([*tokenizer.encode(text), tokenizer.eos_id])


def test_text_split_in_pieces_loses_nothing(tmp_path, tokenizer):
    path = tmp_path / "grande.txt"
    words = [f"palavra{n}" for n in range(9000)]
    path.write_text("\n\n".join(" ".join(words[i : i + 50]) for i in range(0, 9000, 50)))
    report = CorpusReport()
    documents = list(corpus_reading.read_documents([path], report, 0.001))  # .txt: sem limite
    assert len(documents) > 5 and report.files_read == [str(path)]
    assert " ".join(documents).split() == words


def test_large_vocabulary_uses_wider_ids():
    assert (id_type(1 << 16), id_type((1 << 16) + 1)) == ("uint16", "uint32")
    columns = pack_rows([Example([70_000, 1], [False, True])], RowLayout(4, 1, "uint32"))
    assert columns["ids"].tolist() == [[70_000, 1, 1, 1]]
    assert columns["learn"].tolist() == [[False, True, False, False]]


def test_unknown_persona_is_reported_and_the_known_dress_the_conversation():
    talk = [{"role": "user", "content": "Oi"}, {"role": "assistant", "content": "Olá"}]
    report = CorpusReport()
    documents = [
        Document("a", "f:1", messages=talk, persona="formal"),
        Document("b", "f:2", messages=talk, persona="pirata"),
    ]
    (block,) = iter_blocks(documents, 1000, report)
    formal, own = block.chats
    assert formal[0][0]["content"] == PERSONAS["formal"].system_prompt
    assert formal[1] == PERSONAS["formal"].vector
    assert own[0] == talk
    assert [where for where, _ in report.bad_records] == ["f:2"]


# ---------------------------------------------------------------------- o que entra


def test_exact_duplicates_and_held_out_texts_leave_the_training():
    report = CorpusReport()
    selection = Selection(report, held_out=["Este é  da validação."])
    texts = ["Um.", "Dois.", "um. ", "este é da VALIDAÇÃO.", "Três."]
    kept = list(selection.train_documents(map(Document, texts)))
    assert kept == ["Um.", "Dois.", "Três."]
    assert (report.exact_duplicates, selection.removed, report.documents) == (1, 1, 3)


def test_held_out_split_depends_only_on_content_and_seed(data, tokenizer, tmp_path):
    options = CorpusOptions(valid_fraction=0.3, workers=1)
    dataset = prepare_corpus(str(data), tokenizer, L, tmp_path / "c", options)
    documents = documents_of(data)
    valid = dataset.valid_texts
    assert 0 < len(valid) < len(documents)
    assert dataset.documents + len(valid) == len(documents)
    train = [d for d in documents if d not in set(valid)]
    assert examples_of(dataset) == expected_examples(train, tokenizer)
    again = Selection(CorpusReport(), 0.3)
    assert list(again.train_documents(reversed(documents))) == train[::-1]
    other = Selection(CorpusReport(), 0.3, seed=7)
    list(other.train_documents(documents))
    assert other.valid != valid


def test_held_out_conversations_come_back_as_they_were(data, tokenizer, tmp_path):
    options = CorpusOptions(valid_fraction=0.5, workers=1)
    valid = prepare_corpus(str(data), tokenizer, L, tmp_path / "c", options).valid_texts
    originals = {str(d): d for d in documents_of(data)}
    assert any(d.messages for d in valid) and any(not d.messages for d in valid)
    for document in valid:
        assert vars(document) | {"metadata": {}} == vars(originals[document]) | {"metadata": {}}


def test_held_out_part_stops_at_its_limit(monkeypatch):
    monkeypatch.setattr(corpus_reading, "VALID_CHARS", 100)
    selection = Selection(CorpusReport(), fraction=0.9)
    kept = list(selection.train_documents(Document(f"{n:030d}") for n in range(50)))
    assert len(selection.valid) == 3 and len(kept) == 47


def test_held_out_part_comes_from_the_whole_corpus_and_not_from_its_beginning(
    tokenizer, tmp_path, monkeypatch
):
    monkeypatch.setattr(corpus_reading, "VALID_CHARS", 2000)
    monkeypatch.setattr(corpus_cache, "VALID_CHARS", 2000)
    path = tmp_path / "linhas.jsonl"
    path.write_text("".join(f'{{"text": "Texto curto {n:030d}."}}\n' for n in range(400)))
    options = CorpusOptions(valid_fraction=0.5, workers=1)
    valid = prepare_corpus(path, tokenizer, L, tmp_path / "c", options).valid_texts
    assert 5 < len(valid) < 2000 // 40
    assert max(int(document.source.rpartition(":")[2]) for document in valid) > 300


def test_digest_set_remembers_everything_it_was_given():
    values = [n * 0x9E3779B97F4A7C15 for n in range(1, 5000)]
    found = DigestSet()
    assert all(found.add(value) for value in values)
    assert not any(found.add(value) for value in values)
    assert len(found) == len(values)
    assert found.add(0) and not found.add(0)


def test_list_of_bad_records_is_bounded_but_counted(monkeypatch):
    monkeypatch.setattr(corpus_reading, "MAX_LISTED_RECORDS", 3)
    report = CorpusReport()
    for number in range(10):
        report.bad_record(f"f:{number}", "ruim")
    assert len(report.bad_records) == 3 and report.unlisted_bad_records == 7
    assert "7 registros fora da lista" in report.warnings()[-1]


def test_a_bad_file_is_skipped_and_the_rest_is_used(data, tokenizer, tmp_path):
    (data / "binario.txt").write_bytes(b"%PDF-1.7 " + bytes(500))
    dataset = prepare_corpus(str(data), tokenizer, L, tmp_path / "c", ONE)
    assert [Path(path).name for path, _ in dataset.report.files_skipped] == ["binario.txt"]
    assert len(dataset.report.files_read) == 3 and dataset.documents > 30


def test_only_streamed_files_decide_whether_the_corpus_is_large(tmp_path):
    text, table, page = tmp_path / "a.TXT", tmp_path / "b.csv", tmp_path / "c.pdf"
    text.write_bytes(b"x" * (1 << 19))
    table.write_bytes(b"x" * (1 << 19))
    page.write_bytes(b"x" * (1 << 21))
    assert not corpus_is_large([text, table, page], 1.0)  # exatamente 1 MB
    table.write_bytes(b"x" * ((1 << 19) + 1))
    assert corpus_is_large([text, str(table), page], 1.0)
    assert not corpus_is_large([text, table])  # o padrão é 100 MB


# ---------------------------------------------------------------------- o cache


def test_second_run_reuses_the_cache_and_another_text_replaces_it(data, tokenizer, tmp_path):
    cache = tmp_path / "c"
    lines, say = spoken()
    first = prepare_corpus(str(data), tokenizer, L, cache, ONE, say)
    stamp = (first.folder / "corpus.json").stat().st_mtime_ns
    assert len(lines) == 1 and "tokenizado uma vez" in lines[0]

    moved = data.rename(data.with_name("outro"))
    second = prepare_corpus(str(moved), tokenizer, L, cache, CorpusOptions(workers=2), say)
    assert second.folder == first.folder and len(lines) == 2 and "já tokenizado" in lines[1]
    assert (second.folder / "corpus.json").stat().st_mtime_ns == stamp
    assert {Path(s["file"]).parent for s in second.sources} == {moved}

    with open(moved / "texto.txt", "a", encoding="utf-8") as stream:
        stream.write("\n\nMais um parágrafo.")
    third = prepare_corpus(str(moved), tokenizer, L, cache, ONE, say)
    assert third.folder != first.folder and not first.folder.exists()
    assert [p.name for p in cache.iterdir() if p.is_dir()] == [third.folder.name]


def test_everything_that_decides_the_rows_is_in_the_key(data, tokenizer, monkeypatch):
    def key(tokenizer=tokenizer, length=L, **options):
        sources = [{"file": "a.txt", "sha256": options.pop("sha", "0"), "bytes": 1}]
        return corpus_cache.corpus_key(sources, tokenizer, length, CorpusOptions(**options))

    config = Config()
    config.tokenizer.vocab_size = 390
    other = LunaTokenizer(config).train(SENTENCES * 3)
    keys = [key(), key(tokenizer=other), key(length=L + 1), key(sha="1"), key(seed=1)]
    keys += [key(valid_fraction=0.1), key(held_out=["x"]), key(max_file_mb=1), key(personas={})]
    keys += [key(with_emotion=True), key(with_persona=True)]
    monkeypatch.setattr(corpus_cache, "FORMAT_VERSION", 99)
    keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == key(workers=7)


def damage_truncated(folder: Path) -> None:
    (path,) = folder.glob("rows*.arrow")
    path.write_bytes(path.read_bytes()[:-100])


def damage_missing(folder: Path) -> None:
    next(folder.glob("rows*.arrow")).unlink()


def damage_index(folder: Path) -> None:
    (folder / "corpus.json").write_text('{"version": 1', encoding="utf-8")


def damage_version(folder: Path) -> None:
    index = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    (folder / "corpus.json").write_text(json.dumps(index | {"version": 0}), encoding="utf-8")


def damage_valid(folder: Path) -> None:
    (folder / "valid.jsonl").unlink()


def damage_valid_shortened(folder: Path) -> None:
    lines = (folder / "valid.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "valid.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")


def damage_same_size(folder: Path) -> None:
    (path,) = folder.glob("rows*.arrow")
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncated,
        damage_missing,
        damage_index,
        damage_version,
        damage_valid,
        damage_valid_shortened,
        damage_same_size,
    ],
)
def test_damaged_cache_is_noticed_and_rebuilt(data, tokenizer, tmp_path, damage):
    cache = tmp_path / "c"
    options = CorpusOptions(valid_fraction=0.3, workers=1)
    folder = prepare_corpus(str(data), tokenizer, L, cache, options).folder
    before = examples_of(CorpusDataset(folder))
    damage(folder)
    with pytest.raises(DataError, match="danificado"):
        CorpusDataset(folder)
    lines, say = spoken()
    rebuilt = prepare_corpus(str(data), tokenizer, L, cache, options, say)
    assert "danificado" in lines[0] and "tokenizado uma vez" in lines[1]
    assert examples_of(rebuilt) == before


def test_failure_while_building_leaves_nothing_under_the_real_name(
    data, tokenizer, tmp_path, monkeypatch
):
    cache = tmp_path / "c"

    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(corpus_cache, "_write_index", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare_corpus(str(data), tokenizer, L, cache, ONE)
    assert [path for path in cache.iterdir() if path.is_dir()] == []
    assert len(prepare_corpus(str(data), tokenizer, L, cache, ONE))


def test_killed_while_tokenizing_leaves_no_process_and_the_next_run_works(
    data, tokenizer, tmp_path
):
    cache = tmp_path / "c"
    tokenizer.save(tmp_path / "tok")
    program = textwrap.dedent(f"""
        import os, signal, sys, time
        from src.models.tokenizer import LunaTokenizer
        from src.training import corpus, corpus_cache, corpus_rows
        corpus_cache.block_chars = lambda length: 4000
        def stuck(*arguments):
            print("PID", os.getpid(), flush=True)
            time.sleep(600)
        corpus_rows.block_examples = stuck
        tokenizer = LunaTokenizer().load({str(tmp_path / "tok")!r})
        options = corpus.CorpusOptions(workers=2)
        corpus.prepare_corpus({str(data)!r}, tokenizer, {L}, {str(cache)!r}, options)
        """)
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    workers = [int(child.stdout.readline().split()[1]) for _ in range(2)]
    child.kill()
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    leftovers = [path.name for path in cache.iterdir() if path.is_dir()]
    assert len(leftovers) == 1 and leftovers[0].startswith(".tmp-")

    dataset = prepare_corpus(str(data), tokenizer, L, cache, ONE)
    assert [p.name for p in cache.iterdir() if p.is_dir()] == [dataset.folder.name]


def alive(pid: int) -> bool:
    """Se o processo existe e não é só um resto à espera do pai."""
    status = Path(f"/proc/{pid}/status")
    if os.name != "posix" or not Path("/proc/self").exists():
        pytest.skip("só se confere onde há /proc")
    return status.exists() and "State:\tZ" not in status.read_text(encoding="utf-8")


def test_nothing_to_learn_is_said_with_the_reasons(tokenizer, tmp_path):
    path = tmp_path / "ruim.jsonl"
    path.write_text('{"pergunta": "Oi"}\n', encoding="utf-8")
    with pytest.raises(NoDataError, match="Nenhum texto rendeu") as caught:
        prepare_corpus(path, tokenizer, L, tmp_path / "c", ONE)
    assert "ruim.jsonl:1" in str(caught.value)
    assert [path for path in (tmp_path / "c").iterdir() if path.is_dir()] == []
    with pytest.raises(ConfigError, match="valid_fraction=1"):
        prepare_corpus(path, tokenizer, L, tmp_path / "c", CorpusOptions(valid_fraction=1))


def test_dataset_crosses_to_another_process(data, tokenizer, tmp_path):
    dataset = prepare_corpus(str(data), tokenizer, L, tmp_path / "c", ONE)
    other = pickle.loads(pickle.dumps(dataset))
    assert len(other) == len(dataset) and torch.equal(other[3]["labels"], dataset[3]["labels"])
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, num_workers=1)
    assert next(iter(loader))["input_ids"].tolist() == [
        dataset[i]["input_ids"].tolist() for i in range(4)
    ]


def test_pages_are_given_back_while_rows_are_read(data, tokenizer, tmp_path, monkeypatch):
    dataset = prepare_corpus(str(data), tokenizer, L, tmp_path / "c", ONE)
    released = []
    release = RowFiles.release
    monkeypatch.setattr("src.training.corpus_rows.RELEASE_ROWS", 4)
    monkeypatch.setattr(RowFiles, "release", lambda rows: released.append(release(rows)))
    first = dataset[0]["input_ids"]
    for index in range(8):
        dataset[index]
    assert len(released) == 2 and torch.equal(dataset[0]["input_ids"], first)


def test_shortened_exchanges_are_counted_once(tokenizer, tmp_path, caplog):
    path = tmp_path / "longas.txt"
    path.write_text("Usuário: Oi\nLuna: " + "água " * 200, encoding="utf-8")
    prepare_corpus(path, tokenizer, 32, tmp_path / "c", ONE)
    assert "1 trocas não cabem no contexto de 32" in caplog.text


def test_blocks_survive_the_disk(tmp_path):
    block = Block(["é 🌊\u2028\n"], [([{"role": "user", "content": '"'}], (0.5, -1.0))])
    assert Block.read(block.write(tmp_path / "b.json")) == block


def test_forked_workers_do_not_hang_and_the_home_folder_is_left_alone(data, tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tok")
    home = tmp_path / "home"
    home.mkdir()
    program = textwrap.dedent(f"""
        import os
        from src.models.tokenizer import LunaTokenizer
        from src.training import corpus, corpus_cache
        corpus_cache.block_chars = lambda length: 4000
        tokenizer = LunaTokenizer().load({str(tmp_path / "tok")!r})
        tokenizer.encode_batch(["um texto"] * 2000)  # as threads do tokenizador já existem
        options = corpus.CorpusOptions(workers=2)
        corpus.prepare_corpus({str(data)!r}, tokenizer, 400, {str(tmp_path / "c")!r}, options)
        assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
        """)
    environment = os.environ | {"HOME": str(home), "USERPROFILE": str(home)}
    environment["TOKENIZERS_PARALLELISM"] = "true"
    environment = {k: v for k, v in environment.items() if not k.startswith(("XDG_", "HF_HOME"))}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and list(home.iterdir()) == []


def test_blocks_without_examples_give_no_rows(tokenizer, tmp_path):
    layout = RowLayout(L, tokenizer.eos_id, "uint16", with_emotion=True)
    blocks = [Block(), Block([SENTENCES[0]]), Block()]
    files = [block.write(tmp_path / f"{n}.json") for n, block in enumerate(blocks)]
    rows = RowFiles(write_rows(files, tmp_path, tokenizer, layout, workers=1))
    assert len(rows) == rows.total("shortened") + 1
    assert write_rows(files[:1], tmp_path, tokenizer, layout, workers=1) == []
