"""Real training of architectures. Needs the extra ``train`` (torch, Pillow)."""

from nasbench_mo.training.energy import Energy, EnergyMeter
from nasbench_mo.training.images import Images, ImageSet, read_gtsrb, subset
from nasbench_mo.training.metrics import Scores, scores
from nasbench_mo.training.network import build_network
from nasbench_mo.training.trainer import Recipe, TrainingResult, train

__all__ = [
    "Energy",
    "EnergyMeter",
    "ImageSet",
    "Images",
    "Recipe",
    "Scores",
    "TrainingResult",
    "build_network",
    "read_gtsrb",
    "scores",
    "subset",
    "train",
]
