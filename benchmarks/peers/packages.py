"""What the programs of other projects need besides this project's lock, by project.

As in `tests.peers.environments`: each lies in a folder of its own below the cache folder and never
in our environment. The further packages are what pip chooses beside the lock.
"""

from __future__ import annotations

from tests.peers import environments
from tests.peers.environments import Peer

# datatrove's extras for reading WARC files, for language identification and for words; they are
# asked for by name when a step is made, so fasttext-community of the lock would not do. It hashes
# text as it is, which the lock's xxhash 4 refuses. python-magic wants libmagic of the system: the
# one that a package carries (pylibmagic 0.5.0) takes more than twice the time.
DATATROVE = Peer(
    "datatrove",
    "Apache-2.0",
    (
        *environments.DATATROVE.packages,
        "blis==1.3.4",
        "catalogue==2.0.10",
        "cloudpathlib==0.26.0",
        "confection==1.3.4",
        "cymem==2.0.16",
        "fasttext-numpy2-wheel==0.9.2",
        "faust-cchardet==3.2.0",
        "httpcore==1.0.9",
        "httpx==0.28.1",
        "murmurhash==1.0.16",
        "preshed==3.0.15",
        "pybind11==3.1.0",
        "python-magic==0.4.27",
        "smart_open==9.0.2",
        "spacy==3.8.18",
        "spacy-legacy==3.0.12",
        "spacy-loggers==1.0.5",
        "srsly==2.5.6",
        "thinc==8.3.14",
        "wasabi==1.1.3",
        "weasel==1.0.1",
        "wrapt==2.5.2",
        "xxhash==3.6.0",
    ),
)
# What its programs for exact hashes, lines and MinHash import. 0.4.0 also declares, for others,
# pyspark, unisim, sphinxcontrib-bibtex and an old fire that has no wheel; 0.4.1 wants Python 3.12.
TEXT_DEDUP = Peer(
    "text-dedup",
    "Apache-2.0",
    (
        "text-dedup==0.4.0",
        "click-option-group==0.5.9",
        "datasets==5.2.0",
        "dill==0.4.1",
        "multiprocess==0.70.19",
        "pandas==3.1.1",
    ),
)
