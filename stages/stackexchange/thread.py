"""The posts of one question made one document: answers by score, highest first.

Scores are compared as integers. Dumps have them as strings, by which "9" comes before "10" and
"-3" after both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped
from stages.stackexchange.html import TooLargeError
from stages.stackexchange.post import QUESTION, Post
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.sites import address

MERGED = "answer_in_thread"
"""Kind of the outcome `Skipped` of an answer that is part of its question's document."""

REASONS: dict[str, str] = {
    "orphan_answer": "an answer whose question is not in the dump (or was unreadable)",
    "question_rejected": "an answer to a question that left; the detail says why that did",
    "duplicate_post": "the dumps hold a post of this number already",
    "deleted": "a deleted post (dumps that hold such mark them)",
    "closed": "a closed question, and the settings reject them",
    "unanswered": "a question without answers (that are left), and the settings reject them",
    "low_score": "an answer with a score below min_answer_score",
    "too_large": "more HTML than max_body_chars, or more tags than max_tags",
    "empty": "no text is left of an answer, or of a question and its title",
}
_TITLE_FIRST = re.compile(r"\{title\}\s*")
_BLOCK = re.compile(r"- |> |\| |#{1,6} |```|\d{1,9}\. | {4}|---(?:\n|$)")
_FIELD = re.compile(r"\{(title|body)\}")


def post_id(post: Post) -> str:
    return f"stackexchange/{post.site}/{post.id}"


def post_url(post: Post) -> str | None:
    return address(post.site, "questions" if post.kind == QUESTION else "a", post.id)


def assemble(
    posts: Sequence[Post], settings: StackExchangeSettings, convert: Callable[[str], str]
) -> Iterator[Outcome]:
    """One outcome for each post of one thread, given in the order of the dumps.

    The question is the `Document`, its answers are `Skipped(MERGED)`; else they are `Rejected`, or
    `Bad` where `convert` (HTML to text) gives up. Of posts with one number the first counts.
    """
    question: Post | None = None
    answers: list[Post] = []
    origins: dict[int, str] = {}
    for post in posts:
        if post.id in origins:
            yield _rejected(post, "duplicate_post", f"the first is {origins[post.id]}")
            continue
        origins[post.id] = post.origin
        if post.kind == QUESTION:
            question = post  # its number is the thread's, so there is one at most
        elif post.reason:
            yield _rejected(post, post.reason)
        elif settings.min_answer_score is not None and post.score < settings.min_answer_score:
            yield _rejected(post, "low_score", f"score {post.score}")
        else:
            answers.append(post)
    if question is None:
        for post in answers:
            yield _rejected(post, "orphan_answer", f"question {post.question or 'not named'}")
        return
    verdict = _clean(question, convert)
    if isinstance(verdict, _Clean):
        kept: list[_Clean] = []
        for post in answers:
            judged = _clean(post, convert)
            if isinstance(judged, _Clean):
                kept.append(judged)
            else:
                yield judged
        if kept or settings.unanswered == "keep":
            kept.sort(key=lambda answer: (-answer.post.score, answer.post.id))
            yield _document(verdict, kept, settings)
            yield from (Skipped(MERGED) for _ in kept)
        else:
            yield _rejected(question, "unanswered")
        return
    yield verdict
    why = verdict.reason if isinstance(verdict, Rejected) else "unreadable"
    for post in answers:
        yield _rejected(post, "question_rejected", f"question {question.id}: {why}")


class _Clean(NamedTuple):
    """A post that stays, with its text."""

    post: Post
    text: str


def _clean(post: Post, convert: Callable[[str], str]) -> _Clean | Rejected | Bad:
    if post.reason:
        return _rejected(post, post.reason)
    try:
        text = convert(post.html)
    except TooLargeError as error:
        return _rejected(post, "too_large", str(error))
    except MemoryError:
        raise  # What fits in memory is a fact about the machine, not about the post.
    except Exception as error:  # noqa: BLE001 - any failure of one post is its dead letter
        file, _, key = post.origin.rpartition("#")
        return Bad(file, key, f"html: {type(error).__name__}: {error}"[:300])
    if not text and not post.title:
        return _rejected(post, "empty")
    return _Clean(post, text)


def _rejected(post: Post, reason: str, detail: str = "") -> Rejected:
    return Rejected(post_id(post), post.origin, reason, detail, post_url(post))


def _document(
    clean: _Clean, answers: Sequence[_Clean], settings: StackExchangeSettings
) -> Document:
    question = clean.post
    blocks = [fill(settings.question_template, clean.text, question.title)]
    blocks += [fill(settings.answer_template, a.text, question.title) for a in answers]
    licenses = sorted({question.license, *(a.post.license for a in answers)})
    meta: dict[str, Any] = {
        "site": question.site,
        "tags": list(question.tags),
        "score": question.score,
        "answer_ids": [a.post.id for a in answers],
        "answer_scores": [a.post.score for a in answers],
    }
    if question.accepted:
        meta["accepted_answer_id"] = question.accepted
    if len(licenses) > 1:
        meta["licenses"] = licenses
    return Document(
        id=post_id(question),
        text="\n\n".join(blocks),
        source="stackexchange",
        origin=question.origin,
        url=post_url(question),
        title=question.title or None,
        created=question.created,
        # Each post keeps its own; what is made of them together may carry the newest.
        license=licenses[-1],
        meta=meta,
    )


def fill(template: str, body: str, title: str) -> str:
    """`template` with its fields; nothing in the values is a field.

    Without a title, the blanks after it go too. A body that begins with a list, quote, table or
    code begins a paragraph, since its mark would mean nothing behind `A: `.
    """
    if not title:
        template = _TITLE_FIRST.sub("", template)
    if _BLOCK.match(body):
        template = template.replace(" {body}", "\n\n{body}")
    values = {"title": title, "body": body}
    return _FIELD.sub(lambda match: values[match[1]], template).rstrip()
