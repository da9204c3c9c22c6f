"""Floor of `wikipedia`."""

from __future__ import annotations

from benchmarks.floors.tables import Floor, Work, write


def wikipedia(dumps: list[str], out: str) -> Floor:
    """`text_bytes` are those of the wikitext of articles."""
    import bz2
    from xml.etree import ElementTree

    import mwparserfromhell
    import pyarrow as pa

    def run() -> Work:
        pages = size = 0
        for number, path in enumerate(dumps):
            rows = []
            with bz2.open(path) as stream:
                for _, element in ElementTree.iterparse(stream):
                    if _local(element.tag) != "page":
                        continue
                    fields = {_local(e.tag): e.text or "" for e in element.iter()}
                    redirect = (
                        "redirect" in fields or fields.get("text", "")[:9].lower() == "#redirect"
                    )
                    pages += 1
                    if fields.get("ns", "0") == "0" and not redirect:
                        text = str(mwparserfromhell.parse(fields.get("text", "")).strip_code())
                        rows.append({"title": fields.get("title", ""), "text": text})
                        size += len(fields.get("text", "").encode())
                    element.clear()
            write(pa.Table.from_pylist(rows), out, number)
        return Work(pages, size)

    return run


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
