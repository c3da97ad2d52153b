"""Workers to compute on: processes of this machine, dask, Slurm, parsl or MPI."""
