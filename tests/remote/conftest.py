import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from engines import buildgrid, casd, proxy, start_casd, start_proxy  # noqa: E402, F401  (fixtures)
