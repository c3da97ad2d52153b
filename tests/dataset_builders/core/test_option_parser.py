import pytest

from dataset_builders.core.option_parser import EXIT_CODES, option_parser


def test_help_stands_in_its_order_and_says_what_a_number_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    parser = option_parser("tool go", "[options]", "Goes 100% there.", ("tool go --speed 3",), notes="Mind the step.")
    parser.add_argument_group("running").add_argument("--speed", type=int, help="steps in a second")
    assert parser.format_help().splitlines() == [
        "usage: tool go [options]",
        "",
        "Goes 100% there.",
        "examples:",
        "  tool go --speed 3",
        "",
        "running:",
        "  --speed N  steps in a second",
        "",
        "Mind the step.",
        EXIT_CODES,
    ]
    assert parser.parse_args(["--speed", "3"]).speed == 3


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_there_though_it_is_not_listed(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        option_parser("tool", "", "Does nothing.").parse_args([option])
    assert capsys.readouterr().out == f"usage: tool\n\nDoes nothing.\n\n{EXIT_CODES}\n"
