"""A plug-in of nasbench-mo: one of everything that can be added, in as few lines as possible."""
