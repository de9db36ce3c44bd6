"""A configuration of VRI with the vector alone whose networks train in hundredths of a second."""

SMALL_METHOD = """\
method:
  class_path: vri_pyro.methods.Bilevel
  init_args:
    model:
      class_path: vri_pyro.models.Rectification
      init_args:
        prior: {class_path: vri_pyro.models.PriorNetwork, init_args: {hidden: [8]}}
    guide: {class_path: vri_pyro.guides.DiagonalNormal, init_args: {hidden: [8]}}
    outer_optimizer: {class_path: torch.optim.Adam, init_args: {lr: 1.0e-3}}
"""
