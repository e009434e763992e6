"""Faz os documentos em PDF, DOCX e HTML de ``data/train/documentos`` a partir do texto deles.

O texto fica em ``data/sources/{pdf,docx,html}/*.txt``, no formato ``[TÍTULO]``, ``[CONTEÚDO]``,
``[METADADOS]``; o nome da pasta diz o formato. O mesmo texto dá sempre os mesmos bytes.

Uso (depois de mudar um texto; precisa do extra ``dev``)::

    python scripts/make_documents.py
"""

import argparse
import html
import io
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.utils.documents import Document, LoadReport  # noqa: E402
from src.utils.text_formats import parse_knowledge  # noqa: E402

SOURCES = ROOT / "data" / "sources"
OUTPUT = ROOT / "data" / "train" / "documentos"
ZIP_DATE = (2026, 1, 1, 0, 0, 0)  # um zip guarda horas: fixas, para os bytes não mudarem


def read_source(path: Path) -> tuple[str, list[str], dict]:
    """O documento de ``path``: (título, parágrafos, metadados).

    Erros:
        ValueError: o arquivo não tem exatamente um documento bem formado.
    """
    report = LoadReport()
    lines = path.read_text(encoding="utf-8").split("\n")
    found: list[Document] = list(parse_knowledge(lines, str(path), report))
    if len(found) != 1 or report.bad_records:
        raise ValueError(f"{path}: esperado um documento; {report.bad_records or len(found)}")
    title, _, body = str(found[0]).partition("\n")
    paragraphs = [line.strip() for line in body.split("\n") if line.strip()]
    return title.strip(), paragraphs, found[0].metadata


def is_heading(paragraph: str) -> bool:
    """Um subtítulo: linha curta que não termina como uma frase."""
    return len(paragraph) < 60 and paragraph[-1] not in ".:;!?)" and not paragraph[0].isdigit()


def to_html(title: str, paragraphs: list[str], metadata: dict) -> bytes:
    """Uma página simples, com título, subtítulos e parágrafos."""
    body = "\n".join(
        f"<h2>{html.escape(p)}</h2>" if is_heading(p) else f"<p>{html.escape(p)}</p>"
        for p in paragraphs
    )
    topics = html.escape(", ".join(metadata.get("tópicos", [])), quote=True)
    return (
        '<!DOCTYPE html>\n<html lang="pt-BR">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n"
        f'<meta name="keywords" content="{topics}">\n</head>\n<body>\n'
        f"<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    ).encode()


def to_docx(title: str, paragraphs: list[str], metadata: dict) -> bytes:
    """Um documento do Word, com estilos de título; as datas internas são fixas."""
    import docx

    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.author = title, metadata.get("autor", "")
    properties.created = properties.modified = datetime(*ZIP_DATE)
    document.add_heading(title, level=1)
    for paragraph in paragraphs:
        if is_heading(paragraph):
            document.add_heading(paragraph, level=2)
        else:
            document.add_paragraph(paragraph)
    raw, fixed = io.BytesIO(), io.BytesIO()
    document.save(raw)
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, ZIP_DATE), old.read(name), zipfile.ZIP_DEFLATED)
    return fixed.getvalue()


def to_pdf(title: str, paragraphs: list[str], metadata: dict) -> bytes:
    """Um PDF de página A4, com o texto corrido em linhas, como os que as pessoas têm."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer

    styles, buffer = getSampleStyleSheet(), io.BytesIO()
    styles["BodyText"].fontSize, styles["BodyText"].leading = 11, 15
    story: list[Flowable] = [Paragraph(html.escape(title), styles["Title"]), Spacer(1, 12)]
    for paragraph in paragraphs:
        style = styles["Heading2"] if is_heading(paragraph) else styles["BodyText"]
        story += [Paragraph(html.escape(paragraph), style), Spacer(1, 6)]
    author = metadata.get("autor", "")
    template = SimpleDocTemplate(buffer, pagesize=A4, title=title, author=author, invariant=1)
    template.build(story)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[str, list[str], dict], bytes]] = {
    "docx": to_docx,
    "html": to_html,
    "pdf": to_pdf,
}


def make_documents(sources: Path = SOURCES, output: Path = OUTPUT) -> list[Path]:
    """Refaz todos os documentos e devolve os arquivos escritos."""
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for extension, writer in WRITERS.items():
        for source in sorted((sources / extension).glob("*.txt")):
            target = output / f"{source.stem}.{extension}"
            target.write_bytes(writer(*read_source(source)))
            written.append(target)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="pasta de saída")
    for path in make_documents(output=parser.parse_args().output):
        print(path)


if __name__ == "__main__":
    main()
