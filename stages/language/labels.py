"""The labels that documents can have as their language."""

from __future__ import annotations

_LID_176 = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb"
    " co cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv"
    " he hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la"
    " lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne"
    " new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si"
    " sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu"
    " xal xmf yi yo yue zh"
)
LID_176 = frozenset(_LID_176.split())
"""The 176 labels of fastText's lid.176 (.bin and .ftz have the same)."""

_LANGDETECT = frozenset({"zh-cn", "zh-tw"})
_GUTENBERG = frozenset({"ang", "enm", "fur", "grc", "iu", "mi"})

KNOWN = LID_176 | _LANGDETECT | _GUTENBERG
"""Also those that only langdetect has, which `c4` can use, and the headers of Gutenberg's books."""


def checked(languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """`languages` if all of them are labels that a document can have.

    Raises ValueError: no document would have one that is misspelt, and the corpus would be empty.
    """
    unknown = [name for name in languages or () if name not in KNOWN]
    if unknown:
        raise ValueError(
            f"no document has the language {', '.join(unknown)}: give labels of lid.176, such as en"
        )
    return languages
