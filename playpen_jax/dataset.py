"""Write interactions as a versioned data set: `python -m playpen_jax.dataset FOLDER PATH... [--version=1.0.0] [--skip]`.

PATH is what `data.paths` takes: JSON lines, clembench results trees, recorded episodes. FOLDER gets interactions/VERSION, and
preferences/VERSION for pairs: TensorFlow Datasets in array_record, the plays of one instance all in the same split.
`data.paths` reads them (the split train), and so does `tfds.builder_from_directory`; TensorFlow is not needed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from playpen_jax.data.build import build
from playpen_jax.data.read import Reader, Row
from playpen_jax.programs import parser, user_errors


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("dataset", __doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    options.add_argument("--version", default="1.0.0")
    options.add_argument("--skip", action="store_true", help="leave bad rows out instead of stopping")
    args = options.parse_args(argv)
    readers: list[Reader] = []

    def read() -> Iterator[Row]:
        readers.append(Reader(args.skip, quiet=bool(readers)))
        return readers[-1].rows(args.paths)

    with user_errors():
        for there in build(args.folder, read, args.version, f"from {', '.join(map(str, args.paths))}"):
            print(there)
    print(json.dumps(readers[0].account()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
