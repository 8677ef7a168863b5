import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from wheels import installed  # noqa: E402, F401  (a fixture)
