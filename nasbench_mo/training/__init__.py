"""Real training of architectures. Needs the extra ``train`` (torch, Pillow)."""

from nasbench_mo.training.building import train_topologies
from nasbench_mo.training.energy import Energy, EnergyMeter
from nasbench_mo.training.export import export_network
from nasbench_mo.training.fused import FusedTrainer
from nasbench_mo.training.gtsrb import read_gtsrb
from nasbench_mo.training.images import Images, ImageSet, read_arrays, subset
from nasbench_mo.training.metrics import Scores, scores
from nasbench_mo.training.network import build_network
from nasbench_mo.training.skeletons import network_skeleton
from nasbench_mo.training.table_spec import TrainedTableSpec
from nasbench_mo.training.trainer import Recipe, Trainer, TrainingResult, train

__all__ = [
    "Energy",
    "EnergyMeter",
    "FusedTrainer",
    "ImageSet",
    "Images",
    "Recipe",
    "Scores",
    "TrainedTableSpec",
    "Trainer",
    "TrainingResult",
    "build_network",
    "export_network",
    "network_skeleton",
    "read_arrays",
    "read_gtsrb",
    "scores",
    "subset",
    "train",
    "train_topologies",
]
