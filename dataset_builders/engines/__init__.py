"""Workers for computations: processes on this machine, dask, Slurm, parsl or MPI."""
