import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from casd import casd, start_casd  # noqa: E402, F401  (fixtures)
from fault_proxy import proxy, start_proxy  # noqa: E402, F401
