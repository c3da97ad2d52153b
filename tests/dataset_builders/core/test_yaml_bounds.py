import pytest

from dataset_builders.core.errors import DataError
from dataset_builders.core.yaml_bounds import bounded_yaml

BOMB = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "more than 20,000 values large with its aliases expanded"),
        ("[" * 2000, "more than 32 lists and mappings deep"),
        ("- " * 2000 + "a", "more than 32 lists and mappings deep"),
        ("a: &a [*a]", "contains itself"),
        ("x" * 600_000, "600,000 characters long"),
        ("a: !!timestamp 2026-99-99", "not YAML"),
        ('a: !!int ""', "not YAML"),
        ("a: !!float x", "not YAML"),
        ("a: !!python/object/apply:os.system [id]", "not YAML"),
        ("a: b: c", "not YAML"),
        ("a: \x00", "not YAML"),
    ],
)
def test_what_no_hand_wrote_is_one_error(text, said):
    with pytest.raises(DataError, match=said):
        bounded_yaml(text, "the file")


def test_plain_values_are_read():
    assert bounded_yaml("a: &x [1, yes]\nb: *x\nc: 0o17\n", "the file") == {"a": [1, "yes"], "b": [1, "yes"], "c": 15}
