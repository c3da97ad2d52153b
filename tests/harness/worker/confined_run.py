"""Runs the hostile model in a worker and prints what it could do: `python confined_run.py TARGET MEANS [SYSTEM]`.

MEANS is `none`, `landlock` or `bubblewrap`. With SYSTEM `refusing`, namespaces and mounts are denied to this process
and all that it starts, as in a container with the default profile of Docker.
"""

import json
import os
import sys
from pathlib import Path

from harness.worker.kernel_limits import forbid_new_privileges, limit_system_calls

if __name__ == "__main__":
    target, means = Path(sys.argv[1]), sys.argv[2]
    target.write_text(json.dumps(json.loads(target.read_text()) | {"parent": os.getpid()}))
    if sys.argv[3:] == ["refusing"]:
        forbid_new_privileges()
        limit_system_calls()
    from harness.core.potential import LoadOptions
    from harness.worker import confinement
    from harness.worker.client import WorkerPotential, WorkerSpec
    from harness.worker.kernel_limits import not_dumpable
    from harness.worker.project_packages import package_folders
    from tests.harness.worker.test_confinement import BATCH, HERE

    if means == "landlock" and sys.argv[3:] != ["refusing"]:
        confinement._why_no_bubblewrap = lambda: "for this test"
    python = Path(sys.executable)
    how = None if means == "none" else confinement.confinement_for(python, (*package_folders(), HERE), target)
    spec = WorkerSpec("hostile", target, LoadOptions(), module_folders=(HERE,), confinement=how)
    with not_dumpable():
        worker = WorkerPotential(spec)
        done = json.loads(worker.compute(BATCH).failures[0])
        print(json.dumps({"means": worker.traits.isolation, "memory": worker.peak_resident(), "done": done}))
        worker.close()
