import pytest

from app.explorer.gui.output_window import letterbox


@pytest.mark.parametrize(
    ("picture", "room", "whole", "expected"),
    [
        ((64, 64), (1920, 1080), True, (448, 28, 1024, 1024)),
        ((64, 64), (1920, 1080), False, (420, 0, 1080, 1080)),
        ((100, 50), (200, 200), True, (0, 50, 200, 100)),
        ((50, 100), (200, 200), False, (50, 0, 100, 200)),
        ((1024, 1024), (1920, 1080), True, (448, 28, 1024, 1024)),
        ((2048, 1024), (1920, 1080), True, (0, 60, 1920, 960)),
        ((5000, 1), (100, 100), False, (0, 49, 100, 1)),
    ],
)
def test_the_picture_is_as_large_as_fits_in_the_middle(
    picture: tuple[int, int], room: tuple[int, int], whole: bool, expected: tuple[int, int, int, int]
) -> None:
    assert letterbox(*picture, *room, whole=whole) == expected
