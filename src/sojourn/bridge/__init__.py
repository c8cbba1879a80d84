"""Our declarations in other programs' terms. Each module needs what its name says, which is no dependency of ours."""
