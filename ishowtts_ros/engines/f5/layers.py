"""torch's layers without initial values: theirs come from a checkpoint.

Besides being wasted, initialization on the meta device imports half a symbolic algebra system in torch 2.5.
"""

from torch import nn


class Linear(nn.Linear):
    def reset_parameters(self) -> None:
        pass


class Conv1d(nn.Conv1d):
    def reset_parameters(self) -> None:
        pass
