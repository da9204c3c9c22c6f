"""Threads: the order of answers, what leaves and why, the layout of the text."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped
from stages.stackexchange.html import HtmlConverter
from stages.stackexchange.post import Post
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.thread import MERGED, REASONS, assemble, fill


def post(number: int, score: int = 0, html: str | None = None, **more: object) -> Post:
    """Number 1 is the question, all others are its answers."""
    kind = 1 if number == 1 else 2
    text = f"<p>post {number}</p>" if html is None else html
    given = Post("x.com", 1, kind, number, score, text, f"f#{number}")
    given.title = "T" if kind == 1 else ""
    return replace(given, **more)  # type: ignore[arg-type]


def run(*posts: Post, **changed: object) -> list[Outcome]:
    chosen = StackExchangeSettings(**changed)  # type: ignore[arg-type]
    return list(assemble(posts, chosen, HtmlConverter(chosen)))


def document(outcomes: list[Outcome]) -> Document:
    (found,) = (o for o in outcomes if isinstance(o, Document))
    return found


def reasons(outcomes: list[Outcome]) -> dict[str, str]:
    return {o.id.rsplit("/", 1)[1]: o.reason for o in outcomes if isinstance(o, Rejected)}


def order(*scores: int) -> list[int]:
    answers = [post(n, score) for n, score in enumerate(scores, 2)]
    found = document(run(*answers, post(1)))
    assert found.meta is not None
    return found.meta["answer_scores"]


def test_scores_sort_as_integers_not_as_the_strings_of_the_dump() -> None:
    # As strings: "9" > "10" > "-3" > "-20".
    assert order(9, 10, -3, 100, -20, 0) == [100, 10, 9, 0, -3, -20]


def test_equal_scores_go_by_number_wherever_they_lie() -> None:
    outcomes = run(post(30, 5), post(4, 5), post(1), post(100, 5), post(7, 6))
    assert document(outcomes).meta["answer_ids"] == [7, 4, 30, 100]  # type: ignore[index]


def test_the_text_of_a_thread() -> None:
    found = document(
        run(
            post(1, 3, "<p>How?</p><pre>x</pre>", tags=("a",), accepted=3, license="CC BY-SA 3.0"),
            post(2, 1, "<p>So.</p>", license="CC BY-SA 4.0"),
            post(3, 2, "<ul><li>b</li></ul>", license="CC BY-SA 2.5"),
        )
    )
    assert found == Document(
        id="stackexchange/x.com/1",
        text="Q: T\n\nHow?\n\n```\nx\n```\n\nA:\n\n- b\n\nA: So.",
        source="stackexchange",
        origin="f#1",
        url="https://x.com/questions/1",
        title="T",
        license="CC BY-SA 4.0",
        meta={
            "site": "x.com",
            "tags": ["a"],
            "score": 3,
            "answer_ids": [3, 2],
            "answer_scores": [2, 1],
            "accepted_answer_id": 3,
            "licenses": ["CC BY-SA 2.5", "CC BY-SA 3.0", "CC BY-SA 4.0"],
        },
    )


def test_a_question_without_answers_is_kept_or_rejected() -> None:
    assert document(run(post(1))).text == "Q: T\n\npost 1"
    assert reasons(run(post(1), unanswered="reject")) == {"1": "unanswered"}
    gone = run(post(1), post(2, 1), min_answer_score=2, unanswered="reject")
    assert reasons(gone) == {"1": "unanswered", "2": "low_score"}


def test_a_floor_for_scores_is_off_unless_set() -> None:
    assert order(-50) == [-50]
    kept = run(post(1), post(2, 9), post(3, 10), post(4, -1), min_answer_score=10)
    assert document(kept).meta["answer_ids"] == [3]  # type: ignore[index]
    assert reasons(kept) == {"2": "low_score", "4": "low_score"}


def test_answers_without_their_question_are_rejected() -> None:
    assert reasons(run(post(2), post(3))) == {"2": "orphan_answer", "3": "orphan_answer"}


def test_answers_leave_with_their_question() -> None:
    outcomes = run(post(1, reason="closed"), post(2), post(3, reason="deleted"))
    assert reasons(outcomes) == {"1": "closed", "2": "question_rejected", "3": "deleted"}


def test_of_posts_with_one_number_the_first_counts() -> None:
    outcomes = run(
        post(2, 1, "first"), post(1), post(2, 9, "second"), post(1, html="again"), post(2, 5)
    )
    assert document(outcomes).text == "Q: T\n\npost 1\n\nA: first"
    assert Counter(o.reason for o in outcomes if isinstance(o, Rejected)) == {"duplicate_post": 3}


def test_empty_and_oversized_posts() -> None:
    outcomes = run(post(1), post(2, html="<p> </p>"), post(3, html="x" * 200), max_body_chars=100)
    assert reasons(outcomes) == {"2": "empty", "3": "too_large"}
    assert document(run(post(1, html=""))).text == "Q: T"
    assert document(run(post(1, title=""), post(2))).text == "Q: post 1\n\nA: post 2"
    assert reasons(run(post(1, html="", title=""))) == {"1": "empty"}


def test_a_failure_of_the_conversion_is_a_bad_record() -> None:
    def fail(html: str) -> str:
        if "2" in html:
            raise ValueError("no")
        return html

    outcomes = list(assemble([post(1), post(2), post(3)], StackExchangeSettings(), fail))
    (bad,) = (o for o in outcomes if isinstance(o, Bad))
    assert (bad.file, bad.offset, bad.error) == ("f", "2", "html: ValueError: no")
    assert len(outcomes) == 3


def test_templates_take_no_fields_from_the_posts() -> None:
    assert fill("Q: {title}\n\n{body}", "{title}", "{body}") == "Q: {body}\n\n{title}"
    assert fill("<{title}> {body}", "b", "t") == "<t> b"
    found = run(post(1), post(2), question_template="{body} ({title})", answer_template="* {body}")
    assert document(found).text == "post 1 (T)\n\n* post 2"


def test_a_mark_at_the_begin_of_a_post_begins_a_line() -> None:
    for html, text in (
        ("<pre>x</pre>", "A:\n\n```\nx\n```"),
        ("<ol><li>x</li></ol>", "A:\n\n1. x"),
        ("<blockquote><p>x</p></blockquote>", "A:\n\n> x"),
        ("<p><code>x</code> y</p>", "A: `x` y"),
        ("<p>-x</p>", "A: -x"),
    ):
        assert document(run(post(1), post(2, html=html))).text.endswith(text)


POSTS = st.builds(
    lambda number, score, reason, html: post(number, score, html, reason=reason),
    st.integers(1, 8),
    st.integers(-(10**17), 10**17),
    st.sampled_from(["", "", "", "deleted"]),
    st.sampled_from(["<p>x</p>", "", "y"]),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(POSTS, max_size=12),
    st.sampled_from([None, 0, 9]),
    st.sampled_from(["keep", "reject"]),
)
def test_each_post_has_one_outcome(posts: list[Post], floor: int | None, unanswered: str) -> None:
    outcomes = run(*posts, min_answer_score=floor, unanswered=unanswered)
    assert len(outcomes) == len(posts)
    assert set(reasons(outcomes).values()) <= set(REASONS)
    documents = [o for o in outcomes if isinstance(o, Document)]
    merged = [o for o in outcomes if isinstance(o, Skipped)]
    assert all(o.kind == MERGED for o in merged)
    assert len(documents) <= 1
    for found in documents:
        assert found.meta is not None
        scores = found.meta["answer_scores"]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == len(merged) == found.text.count("\n\nA: ")


@pytest.mark.parametrize("reason", ["deleted", "closed"])
def test_reasons_are_documented(reason: str) -> None:
    assert reason in REASONS
