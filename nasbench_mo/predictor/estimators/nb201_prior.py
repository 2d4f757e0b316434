"""Which columns of ``nb201-graph-v2`` matter for accuracy, and how much: a kernel prior for few training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.gp_kernel import KernelTerm
from nasbench_mo.predictor.estimators.gp_prior import KernelPrior
from nasbench_mo.predictor.inputs import PREFIX

#: By column: scale of the linear term (prior deviation of the coefficient) and of the Matern term (inverse length),
#: both per unit of the column, for a target standardised by its normal quantiles.
#:
#: Tuned once on CIFAR-100 test accuracy at 200 epochs, on random training sets of 50-1,000 topologies: Adam on a smooth
#: Kendall tau of the other topologies, with an L1 penalty; the 48 most relevant of 192 columns kept. One factor on
#: the lengths, the noise and the rest were then set on CIFAR-10, on six training sets. So figures for CIFAR-100 are not
#: those of an unseen data set; figures for ImageNet16-120 are.
RELEVANCE: Mapping[str, tuple[float, float]] = {
    "edge_0_1=nor_conv_3x3": (0.042, 0.099),
    "count_avg_pool_3x3": (0.0, 0.054),
    "degree_node0_avg_pool_3x3": (0.0074, 0.21),
    "degree_node3_avg_pool_3x3": (0.0, 0.2),
    "path_min_nor_conv_1x1": (0.022, 0.23),
    "path_max_nor_conv_3x3": (0.1, 0.3),
    "path_min_avg_pool_3x3": (0.6, 0.88),
    "path_max_avg_pool_3x3": (0.0, 0.17),
    "path_min_skip_connect+avg_pool_3x3": (0.0, 0.29),
    "path_min_nor_conv_1x1+nor_conv_3x3": (0.57, 0.26),
    "path_max_nor_conv_1x1+nor_conv_3x3": (0.078, 0.058),
    "path_min_nor_conv_1x1+avg_pool_3x3": (0.079, 0.16),
    "path_min_nor_conv_3x3+avg_pool_3x3": (0.019, 0.27),
    "path_min_skip_connect+nor_conv_1x1+nor_conv_3x3": (0.0, 0.22),
    "path_max_skip_connect+nor_conv_1x1+nor_conv_3x3": (0.0, 0.13),
    "path_min_nor_conv_1x1+nor_conv_3x3+avg_pool_3x3": (0.026, 0.59),
    "path_sum_avg_pool_3x3": (0.0, 0.086),
    "path_sum_skip_connect+avg_pool_3x3": (0.0024, 0.18),
    "paths_with_nor_conv_1x1": (0.038, 0.0),
    "paths_with_avg_pool_3x3": (0.0, 0.047),
    "paths_with_nor_conv_1x1+nor_conv_3x3": (0.012, 0.0069),
    "paths_nor_conv_3x3": (0.0, 0.28),
    "paths_nor_conv_1x1>nor_conv_1x1": (0.0, 0.19),
    "paths_nor_conv_1x1>nor_conv_3x3": (0.0, 0.09),
    "paths_nor_conv_1x1>avg_pool_3x3": (0.022, 0.01),
    "paths_nor_conv_3x3>nor_conv_1x1": (0.054, 0.24),
    "paths_nor_conv_3x3>nor_conv_3x3": (0.011, 0.23),
    "paths_avg_pool_3x3>avg_pool_3x3": (0.048, 0.41),
    "paths_nor_conv_3x3>avg_pool_3x3>nor_conv_1x1": (0.0, 0.19),
    "paths_with_0_convolutions": (0.35, 0.64),
    "paths_with_1_spatial": (0.016, 0.15),
    "paths_start_nor_conv_3x3": (0.014, 0.078),
    "paths_start_avg_pool_3x3": (0.0, 0.21),
    "paths_end_avg_pool_3x3": (0.0, 0.13),
    "paths_class_cc": (0.08, 0.24),
    "paths_class_cpc": (0.0, 0.25),
    "path_mean_convolutions": (0.0, 0.71),
    "path_mean_nor_conv_3x3": (0.011, 0.065),
    "out_node0_convolution": (0.031, 0.031),
    "in_node1_convolution": (0.058, 0.043),
    "input_coefficient": (0.0081, 0.03),
    "log_params_millions": (0.0085, 0.19),
    "log_flops_millions": (0.01, 0.24),
    "log_weights_in_3x3": (0.19, 0.18),
    "log_convolutions_1x1_as_half": (0.066, 0.16),
    "log_convolutions": (0.14, 0.078),
    "sqrt_count_nor_conv_3x3": (0.017, 0.12),
    "any_nor_conv_3x3": (0.035, 0.7),
}

#: The same of a measured input (a short training), per standard deviation of the feature. Chosen among five pairs on
#: three training sets of 50-400 cells each, CIFAR-10 and ImageNet16-120, 12-epoch validation error as input.
INPUT_RELEVANCE = (0.2, 0.5)

#: Variance of the Matern term, noise, and variance of what these columns leave out; the target's own variance is 1.
_MATERN_WEIGHT = 0.30
_NOISE = 0.027
_REST = 0.02


def nb201_accuracy_prior(columns: Sequence[str]) -> KernelPrior:
    """Prior for accuracy or error of NAS-Bench-201 cells, by the names of the feature columns.

    It is not for latency, energy or size: other columns matter there.

    Parameters
    ----------
    columns
        Columns of the training features, in their order: those of ``nb201-graph-v2``, measured inputs (``input_...``,
        standardised), and any others, which enter only as part of the rest.

    Raises
    ------
    SpecError
        A column that the prior speaks of is missing.
    """
    missing = [name for name in RELEVANCE if name not in columns]
    if missing:
        raise SpecError(
            "the prior needs the columns of feature map 'nb201-graph-v2'; "
            f"{len(missing)} are missing, e.g. {missing[0]!r}"
        )
    scales = np.array(
        [INPUT_RELEVANCE if name.startswith(PREFIX) else RELEVANCE.get(name, (0.0, 0.0)) for name in columns]
    )
    return KernelPrior(
        terms=(
            KernelTerm(kind="linear", scales=scales[:, 0]),
            KernelTerm(kind="matern52", scales=scales[:, 1], weight=_MATERN_WEIGHT),
        ),
        noise=_NOISE,
        length_spread=0.2,
        noise_spread=0.5,
        rest=_REST,
    )
