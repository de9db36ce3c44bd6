"""Methods that are compared in the studies of noise rates, open-set noise and the size of the clean set."""

from __future__ import annotations

from study.runs import Options, config, recorded

METHODS: dict[str, Options] = {
    "cross entropy": config("cross_entropy"),
    "clean-only": config("clean_only"),
    "fine-tuned": config("fine_tuned", "--fine_tuning.epochs", "10"),
    "MW-Net": config("mw_net"),
    "VRI": recorded("vri"),
    "VRI, vector": config("vri_vector"),
    "VRI, gated": config("vri_gated"),
}
