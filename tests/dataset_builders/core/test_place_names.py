import pytest

from dataset_builders.core.place_names import place_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/home/ann/models/ani2x.pt", "ani2x.pt"),
        ("/home/ann/editions/standard/", "standard"),
        ("../editions/standard", "standard"),
        ("~/model", "model"),
        (r"C:\Users\ann\model.pt", "model.pt"),
        ("editions/standard", "editions/standard"),
        ("org/name", "org/name"),
        ("mini", "mini"),
        ("..", ".."),
        ("/", "/"),
    ],
)
def test_folders_of_a_machine_are_left_out(text, name):
    assert place_name(text) == name
