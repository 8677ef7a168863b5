"""The runtime tester under the name that cursus gives it; its home is casemate.runtime."""

from casemate.runtime import *
from casemate.runtime import __all__ as __all__
