import pytest

from tests.dataset_builders.small_build import small_settings


@pytest.fixture(scope="session")
def small_build(tmp_path_factory):
    """A finished build of a small task, made in this process: settings and data-set folder."""
    from dataset_builders.build.edition_folder import write_repository
    from dataset_builders.build.unit_store import claim_work_dir
    from dataset_builders.build.work_units import make_unit, plan_units

    root = tmp_path_factory.mktemp("small_build")
    settings = small_settings(root / "work")
    claim_work_dir(settings.work_dir, settings.seed)
    for unit in plan_units(settings.tasks, settings.edition):
        assert make_unit(unit, settings.work_dir, settings.seed).error is None
    write_repository(settings, root / "out")
    return settings, root / "out"
