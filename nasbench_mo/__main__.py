"""``python -m nasbench_mo`` is ``nasbench-mo``, for environments whose scripts are not on the path."""

from nasbench_mo.cli import main

if __name__ == "__main__":
    main()
