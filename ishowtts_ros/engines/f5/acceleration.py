"""torch.compile and CUDA graphs for the solver's step, with counters that prove they ran."""
