"""Names that MediaWiki gives a meaning: namespaces, redirect words, language links.

The tables hold the local names and aliases of the 20 languages (MediaWiki's own message files);
those of a dump's header are added by the reader.
"""

from __future__ import annotations

import re

_FILE = """
file image | файл картинка | fitxer imatge | soubor | fil billede | datei bild | archivo imagen
fichier image | datoteka slika | fájl kép | file immagine | bestand afbeelding | plik grafika
ficheiro arquivo imagem | fișier fişier imagine | файл изображение | датотека слика datoteka
fil bild | зображення
"""
_CATEGORY = """
category | категория | categoria | kategorie | kategori | categoría | catégorie | kategorija
kategória | categorie | kategoria | к | категорија | категорія
"""
_OTHER = {
    1: "talk",
    2: "user",
    3: "user talk",
    4: "wikipedia project",
    5: "wikipedia talk",
    7: "file talk",
    8: "mediawiki",
    9: "mediawiki talk",
    10: "template",
    11: "template talk",
    12: "help",
    13: "help talk",
    15: "category talk",
    100: "portal",
    108: "book",
    118: "draft",
    710: "timedtext",
    828: "module",
}
FILE_PREFIXES = frozenset(_FILE.replace("|", " ").split())
CATEGORY_PREFIXES = frozenset(_CATEGORY.replace("|", " ").split())
_TEMPLATE_PREFIXES_WORDS = """
template шаблон plantilla šablona skabelon vorlage modèle predložak sablon szablon predefinição
format predloga mall sjabloon шаблон t
"""
TEMPLATE_PREFIXES = frozenset(_TEMPLATE_PREFIXES_WORDS.split())

# Canonical names; valid on every wiki whatever its language.
_BY_NAME = {
    **dict.fromkeys(FILE_PREFIXES, 6),
    **dict.fromkeys(CATEGORY_PREFIXES - {"к"}, 14),
    "media": -2,
    "special": -1,
    **{
        name: number
        for number, names in _OTHER.items()
        for name in ([names] if " talk" in names or number == 1 else names.split())
    },
}


def _normal(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def namespace_of(title: str, local: dict[str, int]) -> int:
    """Namespace number of a full title, by the dump's own names, then the canonical ones."""
    prefix, colon, _ = title.partition(":")
    if not colon:
        return 0
    name = _normal(prefix)
    for known, number in local.items():
        if _normal(known) == name:
            return number
    return _BY_NAME.get(name, 0)


_REDIRECT_WORDS = """
redirect пренасочване виж redirecció redireccio přesměruj presmeruj omdiriger omdirigering
weiterleitung redirección redireccion redirection preusmjeri átirányítás rinvia rinvio rimando
doorverwijzing patrz przekieruj tam redirecionamento redirecteaza redirectează перенаправление
перенапр preusmeritev преусмери преусмјери preusmeri перенаправлення
"""
# MediaWiki wants the word at the very start, an optional colon, and a link.
REDIRECT = re.compile(
    r"\s{0,50}#\s{0,5}(?:" + "|".join(_REDIRECT_WORDS.split()) + r")\s{0,20}:?\s{0,20}\[\[",
    re.IGNORECASE,
)

# Codes of all Wikipedias: a link `[[code:Title]]` is a language link and shows nothing.
_LANGUAGE_CODES_WORDS = """
aa ab ace ady af ak als alt am ami an ang anp ar arc ary arz as ast atj av avk awa ay az azb ba
ban bar bat-smg bcl bdr be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr
ca cbk-zam cdo ce ceb ch cho chr chy ckb co cr crh cs csb cu cv cy da dag de dga din diq dsb dtp
dty dv dz ee el eml en eo es et eu ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan
gcr gd gl glk gn gom gor got gpe gsw gu guc gur guw gv ha hak haw he hi hif ho hr hsb ht hu hy hyw
hz ia iba id ie ig igl ii ik ilo inh io is it iu ja jam jbo jv ka kaa kab kbd kbp kcg kg kge ki kj
kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw ky la lad lb lbe lez lfn lg li lij lld lmo ln lo
lrc lt ltg lv lzh mad mai map-bms mdf mg mh mhr mi min mk ml mn mni mnw mo mos mr mrj ms mt mus
mwl my myv mzn na nah nan nap nb nds nds-nl ne new ng nia nl nn no nov nqo nr nrm nso nv ny oc olo
om or os pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rki rm rmy rn ro
roa-rup roa-tara rsk ru rue rup rw sa sah sat sc scn sco sd se sg sgs sh shi shn shy si simple sk
skr sl sm smn sn so sq sr srn ss st stq su sv sw syl szl szy ta tay tcy tdd te tet tg th ti tig tk
tl tly tn to tpi tr trv ts tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls vo vro wa war wo wuu
xal xh xmf yi yo yue za zea zgh zh zh-classical zh-min-nan zh-yue zu
"""
LANGUAGE_CODES = frozenset(_LANGUAGE_CODES_WORDS.split())
