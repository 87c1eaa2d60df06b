"""Gives labels in a process of its own, until it is killed.

    python -m tests.browse.labelling CATALOG ANNOTATOR     reads an anchor as one line of JSON

Says `N` when the N-th label is on the disk.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

from lrm.browse.labels import LabelFile
from lrm.browse.trace import Anchor
from lrm.store.annotations import Annotation, Target
from lrm.store.catalog import Catalog


def main(path: str, annotator: str) -> None:
    """Label one response again and again, each time with another note."""
    anchor = Anchor(**json.loads(sys.stdin.readline()))
    labels = LabelFile(Catalog(Path(path)), annotator)
    for number in itertools.count(1):
        labels.add(anchor, Annotation(Target(0, 0, 0, 0, None), "answer", annotator, "unsafe", note=f"{number}"))
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(*sys.argv[1:])
