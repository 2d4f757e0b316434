"""Public contract suites: what every search space and every searcher promises, checked in one call.

Call them in the tests of a plug-in; they need no test framework and raise :class:`AssertionError`, which names the
broken law.
"""

from nasbench_mo.testing.multi_fidelity import check_multi_fidelity_searcher
from nasbench_mo.testing.searcher import check_searcher
from nasbench_mo.testing.space import check_space

__all__ = ["check_multi_fidelity_searcher", "check_searcher", "check_space"]
