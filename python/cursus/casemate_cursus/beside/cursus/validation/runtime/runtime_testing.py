"""RuntimeTester; see casemate.runtime."""

from casemate.runtime import *
from casemate.runtime import __all__ as __all__
