"""Run app of a benchmark of compositional generalisation."""

from __future__ import annotations

from pathlib import Path

from dash import dash_table
from dash.html import Details, Div, Summary
from dataset_builders.core.hub.names import DATASET_ID
from harness.peg.analysis import INTERVAL_COLUMNS
from harness.peg.benchmarks import CATEGORY, find_benchmark
from harness.peg.columns import QUANTITIES, column_of
from harness.peg.one_edition import described
from ml_peg.app import APP_ROOT
from ml_peg.app.base_app import BaseApp
from ml_peg.app.utils.build_callbacks import plot_from_table_column, struct_from_scatter
from ml_peg.app.utils.load import read_json, read_plot

NAME = Path(__file__).parent.name
BENCHMARK = find_benchmark(NAME)
DATA_PATH = APP_ROOT / "data" / CATEGORY / NAME
DOCS_URL = f"https://huggingface.co/datasets/{DATASET_ID}"


class FragmentsApp(BaseApp):
    """Layout and callbacks of the benchmark."""

    def register_callbacks(self) -> None:
        """Register callbacks to app."""
        figures = {
            path.stem.removeprefix("figure_"): path
            for path in sorted(DATA_PATH.glob("figure_*.json"))
        }
        plot_from_table_column(
            table_id=self.table_id,
            plot_id=f"{NAME}-figure-placeholder",
            column_to_plot={
                column_of(task, quantity): read_plot(path, id=f"{NAME}-{task}-figure")
                for task, path in figures.items()
                for quantity in QUANTITIES
            },
        )
        assets = f"/assets/{CATEGORY}/{NAME}/structures"
        structures = {
            path.stem: f"{assets}/{path.name}"
            for path in sorted((DATA_PATH / "structures").glob("*.xyz"))
        }
        for task in figures:
            struct_from_scatter(
                scatter_id=f"{NAME}-{task}-figure",
                struct_id=f"{NAME}-struct-placeholder",
                structs=structures,
            )


def get_app() -> FragmentsApp:
    """
    Get layout and callback registration of the benchmark.

    Returns
    -------
    FragmentsApp
        Benchmark layout and callback registration.
    """
    rows = read_json(DATA_PATH / "intervals.json")
    return FragmentsApp(
        name=NAME,
        description=(
            "Forces of small molecules whose fragments are known from other molecules, "
            "in combinations that those do not show, against labels of "
            f"{BENCHMARK.level_in_peg}. The score covers the decades from the error of "
            "no forces (0) to 1 meV/Å (100). "
            f"{described(DATA_PATH)}"
        ),
        docs_url=DOCS_URL,
        table_path=DATA_PATH / "metrics_table.json",
        extra_components=[
            Details(
                [
                    Summary("Intervals (95 %)"),
                    dash_table.DataTable(
                        rows,
                        [{"name": name, "id": name} for name in INTERVAL_COLUMNS],
                        id=f"{NAME}-intervals",
                        style_cell={"textAlign": "left", "whiteSpace": "normal"},
                    ),
                ]
            ),
            Div(id=f"{NAME}-figure-placeholder"),
            Div(id=f"{NAME}-struct-placeholder"),
        ],
        info_path=DATA_PATH / "info.json",
    )
