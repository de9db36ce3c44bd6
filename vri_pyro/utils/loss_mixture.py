"""Which labels are probably right, by a mixture of two normal distributions fitted to their losses."""

from __future__ import annotations

import numpy as np


def low_loss_probability(losses: np.ndarray) -> np.ndarray:
    """Posterior probability that each loss is from the component with the lower mean, float64 [n].

    A mixture of two normal distributions is fitted to the losses [n], scaled to [0, 1]. The fit is deterministic. Equal
    losses all have the probability 1.

    Reference: Arazo et al. (2019) for the idea; Li et al., DivideMix, ICLR 2020, for this mixture.
    """
    from sklearn import mixture  # takes seconds to import

    spread = np.ptp(losses)
    if spread == 0:
        return np.ones(len(losses))
    scaled = ((losses - losses.min()) / spread)[:, None]
    # DivideMix's value of reg_covar; it prevents a component from collapsing onto equal losses.
    fitted = mixture.GaussianMixture(n_components=2, reg_covar=5e-4, random_state=0).fit(scaled)
    return fitted.predict_proba(scaled)[:, fitted.means_.argmin()]
